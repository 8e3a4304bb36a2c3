"""The command `report`: what it writes, of which runs, and what it refuses."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from mbcbench.cli import main
from mbcbench.records import store
from mbcbench.records.cell import Cell
from mbcbench.records.record import Status
from tests.cli.report_records import cloud, clouds


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return the folder of a run with the records of Table 1."""
    created = store.Run.create(tmp_path, profile="thorough", seed=0, argv=[], encoders=[])
    created.append(clouds())
    created.close()
    return created.folder


Invoke = Callable[..., int]


@pytest.fixture
def report() -> Invoke:
    def call(*arguments: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main.main(["report", *arguments])
        return int(ended.value.code or 0)

    return call


def test_the_command_writes_what_is_asked_for(run: Path, report: Invoke, tmp_path: Path) -> None:
    assert report(str(run), "--only", "table1,claims", "--format", "csv,md", "--out", str(tmp_path / "o")) == 0
    assert {p.name for p in (tmp_path / "o").iterdir()} == {
        "README.md",
        "table1.csv",
        "table1.md",
        "claims.csv",
        "claims.md",
    }


def test_artefacts_come_from_the_latest_run_that_has_records_for_them(
    run: Path, report: Invoke, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--only", "table1", "--format", "csv", "--root", str(tmp_path), "--out", str(tmp_path / "o"))
    store.Run.create(tmp_path, profile="thorough", seed=0, argv=[], encoders=[]).close()
    assert report(*arguments) == 0
    assert "1 of 1 artefact drawn" in capsys.readouterr().out
    report("latest", *arguments)
    assert "0 of 1 artefact drawn" in capsys.readouterr().out


def test_a_report_of_everything_names_what_lacks_records_in_one_line(
    run: Path, report: Invoke, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report(str(run), "--format", "csv", "--out", str(tmp_path / "o"))
    error = capsys.readouterr().err
    assert error.startswith("mbcbench: no records for arms, ")
    assert "for the command that makes them, see: mbcbench describe arms" in error
    assert error.count("\n") == 1


def test_an_artefact_that_only_another_run_has_records_for_names_that_run(
    run: Path, report: Invoke, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    law = Cell(suite="laws", case="mbc.partition", encoder="fspool").record(Status.XFAIL, metric="gap", value=1.0)
    other = store.Run.create(tmp_path, profile="thorough", seed=0, argv=[], encoders=[])
    other.append([law])
    other.close()
    report("--only", "table1,table2", "--format", "csv", "--root", str(tmp_path), "--out", str(tmp_path / "o"))
    output = capsys.readouterr()
    assert f"table1: no records in {other.folder.name}, but in {run.name}" in output.err
    assert "1 of 2 artefacts drawn" in output.out


def test_an_unknown_artefact_is_one_line_with_the_nearest(
    run: Path, report: Invoke, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(str(run), "--only", "fig3x") == 3
    err = capsys.readouterr().err
    assert "did you mean fig3" in err
    assert err.count("\n") == 1


def test_an_unknown_format_is_wrong_usage(run: Path, report: Invoke, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(str(run), "--format", "cvs") == 3
    assert "did you mean csv" in capsys.readouterr().err


def test_a_run_of_a_newer_mbcbench_is_refused_in_one_line(
    run: Path, report: Invoke, capsys: pytest.CaptureFixture[str]
) -> None:
    info = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(info | {"schema": 99}))
    assert report(str(run)) == 3
    assert "install a newer mbcbench" in capsys.readouterr().err


def test_several_runs_are_put_together_and_the_later_one_counts(run: Path, report: Invoke, tmp_path: Path) -> None:
    again = store.Run.create(tmp_path, profile="thorough", seed=0, argv=[], encoders=[])
    again.append([replace(record, value=0.0) for record in clouds()[:1]])
    again.append([replace(cloud("mine", 100, 0, 0.5), cell="another")])
    again.close()
    assert report(str(run), str(again.folder), "--only", "table1", "--format", "csv", "--out", str(tmp_path / "o")) == 0
    table = pd.read_csv(tmp_path / "o" / "table1.csv")
    assert set(table["model"]) >= {"mine", "SSE random K=16"}
    score = table[table["model"].eq("DeepSets (max)") & table["points"].eq(100)]["ours"].item()
    first = [
        record.value or 0.0 for record in clouds() if record.encoder == "max" and record.detail["test_size"] == 100
    ]
    assert score == pytest.approx(sum(first[1:]) / len(first))


def test_a_record_of_a_newer_mbcbench_is_refused_in_one_line(
    run: Path, report: Invoke, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run / "records.jsonl"
    first, *others = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps({**json.loads(first), "schema": 99}), *others]))
    assert report(str(run)) == 3
    err = capsys.readouterr().err
    assert "line 1, has schema 99" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", [["report"], ["show"], ["compare", "latest"]])
@pytest.mark.parametrize("detail", [{"test_size": [1]}, {"mode": {}}, {"statement": 3}, {"n": {"a": 1}}])
def test_details_of_other_types_are_one_line_at_most(
    command: list[str], detail: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    created = store.Run.create(tmp_path, profile="thorough", seed=0, argv=[], encoders=["sse-random"])
    created.append([replace(record, detail={**record.detail, **detail}) for record in clouds()])
    created.close()
    extra = (
        ["--only", "claims,table1", "--format", "md", "--out", str(tmp_path / "out")] if command == ["report"] else []
    )
    with pytest.raises(SystemExit) as ended:
        main.main([*command, str(created.folder), *extra, "--root", str(tmp_path)])
    assert ended.value.code in (None, 0, 2, 3)
    err = capsys.readouterr().err
    assert "a fault of mbcbench" not in err
    assert all(line.startswith("mbcbench: ") for line in err.splitlines())
