"""Compare two runs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbcbench.cli.main import main
from mbcbench.records.compare import Options, compare
from mbcbench.records.record import Record, Status, frame
from mbcbench.records.store import Run

OPPOSITE = {
    "slower": "faster", "more-memory": "less-memory", "worse": "better", "new-failure": "fixed",
}  # fmt: skip
OPPOSITE |= {b: a for a, b in OPPOSITE.items()} | {"not-comparable": "not-comparable"}


def measured(value: float, unit: str = "elements/s", higher: bool = True, seed: int = 0, **more: Any) -> Record:
    named: dict[str, Any] = {"suite": "cost", "case": "encode", "encoder": "e", "status": Status.OK, "metric": "m"}
    return Record(**{**named, "value": value, "unit": unit, "higher_is_better": higher, "seed": seed, **more})


def law(status: Status, message: str = "", **more: Any) -> Record:
    return Record(suite="laws", case="mbc.merge", encoder="e", status=status, message=message, **more)


records = st.builds(
    measured,
    st.floats(0.01, 100),
    unit=st.sampled_from(["bytes", "s", "elements/s", ""]),
    higher=st.just(False),
    seed=st.integers(0, 3),
    encoder=st.sampled_from("ef"),
    status=st.sampled_from([Status.OK, Status.TIMEOUT]),
    dtype=st.sampled_from(["float32", "float64"]),
).map(lambda record: replace(record, metric=record.unit or "error"))
frames = st.lists(records, min_size=1, max_size=12).map(frame)


def kinds(a: pd.DataFrame, b: pd.DataFrame, options: Options | None = None) -> list[str]:
    return list(compare(a, b, options or Options())["kind"])


@settings(deadline=None, max_examples=50, derandomize=True)
@given(frames)
def test_a_run_does_not_differ_from_itself(run: pd.DataFrame) -> None:
    assert kinds(run, run) == []


@settings(deadline=None, max_examples=50, derandomize=True)
@given(frames, frames)
def test_swapping_the_runs_swaps_worse_and_better(a: pd.DataFrame, b: pd.DataFrame) -> None:
    assert sorted(OPPOSITE[kind] for kind in kinds(a, b)) == sorted(kinds(b, a))


@pytest.mark.parametrize(
    ("unit", "higher", "was", "now", "kind"),
    [
        ("elements/s", True, 100.0, 80.0, ["slower"]),
        ("elements/s", True, 100.0, 95.0, []),
        ("s", False, 1.0, 0.8, ["faster"]),
        ("bytes", False, 100.0, 106.0, ["more-memory"]),
        ("bytes", False, 100.0, 104.0, []),
        ("", True, 0.90, 0.88, ["worse"]),
        ("", True, 0.90, 0.895, []),
    ],
)
def test_one_seed_is_judged_by_the_minimum_and_has_no_interval(
    unit: str, higher: bool, was: float, now: float, kind: list[str]
) -> None:
    changes = compare(frame([measured(was, unit, higher)]), frame([measured(now, unit, higher)]))
    assert list(changes["kind"]) == kind
    assert changes["low"].isna().all()
    assert all(note == "one seed: no interval" for note in changes["note"])


def runs(values: list[float]) -> pd.DataFrame:
    return frame([measured(value, "", seed=seed) for seed, value in enumerate(values)])


def test_a_change_counts_when_its_interval_excludes_zero() -> None:
    steady = compare(runs([0.90, 0.80, 0.70]), runs([0.85, 0.76, 0.65]))
    assert list(steady["kind"]) == ["worse"]
    assert steady["change"].item() == pytest.approx(-0.14 / 3)
    assert steady["low"].item() < steady["change"].item() < steady["high"].item() < 0
    assert kinds(runs([0.90, 0.80, 0.70]), runs([0.60, 0.85, 0.75])) == []


def replication(outcome: str, gap: float, status: Status = Status.OK) -> pd.DataFrame:
    measurement = {"metric": "gap", "value": gap, "higher_is_better": False}
    return frame([law(status, outcome, **measurement)])


@pytest.mark.parametrize(
    ("b", "changes"),
    [
        (replication("size-aware", 4.0), []),
        (replication("size-aware", 5.0), [["changed", "one seed: no interval"]]),
        (replication("size-free", 0.0), [["changed", "size-aware -> size-free"]]),
        (replication("size-free", 3.999), [["changed", "size-aware -> size-free"]]),
        (replication("", 0.0, Status.PASS), [["changed", "size-aware -> pass"]]),
        (replication("torn", 5.0, Status.ERROR), [["new-failure", "error: torn"]]),
        (frame([law(Status.SKIP, "it is a layer")]), []),
    ],
)
def test_a_law_without_right_or_wrong_changes_for_neither_better_nor_worse(
    b: pd.DataFrame, changes: list[list[str]]
) -> None:
    assert compare(replication("size-aware", 4.0), b)[["kind", "note"]].to_numpy().tolist() == changes


def test_the_minimum_is_an_option() -> None:
    a, b = frame([measured(100.0)]), frame([measured(80.0)])
    assert kinds(a, b, Options({"time": 0.5, "memory": 0.5, "score": 0.5})) == []


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("a", "b", "kind"), [("inf", "inf", []), ("1", "inf", ["worse"]), ("inf", "1", ["better"])])
def test_an_infinite_measurement_equals_itself_only(a: str, b: str, kind: list[str]) -> None:
    before, after = (frame([measured(float(value), unit="", higher=False)]) for value in (a, b))
    assert kinds(before, after) == kind


def test_new_and_fixed_failures_are_reported_with_their_messages() -> None:
    good, bad = frame([law(Status.PASS)]), frame([law(Status.FAIL, "gap 0.5")])
    assert compare(good, bad)[["kind", "note"]].to_numpy().tolist() == [["new-failure", "fail: gap 0.5"]]
    assert kinds(bad, good) == ["fixed"]
    gaps: dict[str, Any] = {"metric": "gap", "higher_is_better": False}
    good, bad = frame([law(Status.PASS, value=1e-16, **gaps)]), frame([law(Status.FAIL, value=0.5, **gaps)])
    assert compare(good, bad)[["kind", "note"]].to_numpy().tolist() == [["new-failure", "fail: gap 0.5"]]
    assert kinds(bad, good) == ["fixed"]
    assert kinds(frame([law(Status.XFAIL)]), frame([law(Status.XPASS)])) == ["new-failure"]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"dtype": "float64"}, "dtype was float32 and is float64"),
        ({"device": "cuda"}, "device was cpu and is cuda"),
        ({"params": {"data": "new"}}, "data was old and is new"),
    ],
)
def test_different_setups_are_not_compared_and_the_note_has_the_difference(other: dict[str, Any], reason: str) -> None:
    was = measured(100.0, params={"data": "old"})
    changes = compare(frame([was]), frame([replace(was, value=1.0, **other)]))
    assert changes[["kind", "note"]].to_numpy().tolist() == [["not-comparable", reason]]


def test_times_of_another_processor_are_not_compared_but_scores_are() -> None:
    def run(speed: float, score: float, processor: str) -> pd.DataFrame:
        rows = [measured(speed), measured(score, "", metric="accuracy")]
        return frame(rows).assign(schema=1, processor=processor, threads=1)

    changes = compare(run(100.0, 0.9, "old"), run(10.0, 0.8, "new")).set_index("kind")["note"]
    assert changes["not-comparable"] == "processor was old and is new"
    assert set(changes.index) == {"not-comparable", "worse"}


def test_records_of_different_schemas_are_not_compared() -> None:
    a = frame([measured(1.0)])
    assert compare(a.assign(schema=1), a.assign(schema=2))["note"].item() == "schema was 1 and is 2"


def test_only_parameters_that_tell_cells_apart_are_shown() -> None:
    def run(factor: float) -> pd.DataFrame:
        return frame([measured(factor * n, params={"n": n, "dim": 64}) for n in (10, 20)])

    assert list(compare(run(1), run(2))["what"]) == ["n=10", "n=20"]
    assert list(compare(run(1)[:1], run(2)[:1])["what"]) == ["dim=64 n=10"]


def test_what_only_one_run_has_is_noted() -> None:
    a, b = frame([measured(1.0)]), frame([measured(1.0, encoder="f")])
    assert set(compare(a, b)["note"]) == {"only in A", "only in B"}


def keep(root: Path, *records: Record) -> str:
    run = Run.create(root, profile="quick", seed=0, argv=[], encoders=["e"])
    run.append(records)
    run.close()
    return run.folder.name


def call(*arguments: str) -> Any:
    with pytest.raises(SystemExit) as ended:
        main(["compare", *arguments])
    return ended.value.code


def test_the_command_prints_writes_and_fails_on_the_kinds_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)  # pytest-xdist sets it
    a = keep(tmp_path / ".mbcbench", law(Status.PASS), measured(100.0))
    b = keep(tmp_path / ".mbcbench", law(Status.FAIL), measured(50.0))
    assert call(a, a, "--fail-on", "regress,new-failure") == 0
    assert "no changes" in capsys.readouterr().out
    assert call(a, b, "--json", "changes.jsonl") == 0
    assert [json.loads(line)["kind"] for line in Path("changes.jsonl").read_text().splitlines()] == [
        "slower",
        "new-failure",
    ]
    out = capsys.readouterr().out
    assert "one seed: no interval" in out
    assert out.endswith("1 slower, 1 new-failure; fails now: mbc.merge\n")
    failing = keep(tmp_path / ".mbcbench", law(Status.FAIL), measured(100.0))
    assert call(a, failing) == 0
    assert capsys.readouterr().out.split("\n")[1].split() == ["kind", "suite", "case", "encoder", "note"]
    assert call(a, b, "--fail-on", "regress") == call(a, b, "--fail-on", "new-failure") == 4
    assert call(b, a, "--fail-on", "regress,new-failure") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["monday"], "no run is called 'monday'"),
        (["--fail-on", "regres"], "did you mean regress?"),
        (["--min-effect", "speed=1"], "is not NAME=VALUE with one of time, memory, score"),
        (["--json", "no/such"], "there is no folder no"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    a = keep(tmp_path / ".mbcbench", law(Status.PASS))
    runs = [a] if arguments[0] == "monday" else [a, a]
    assert call(*runs, *arguments) == 3
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
