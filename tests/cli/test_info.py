"""The commands that show what there is: show, list, describe, env, import-asv."""

import json
import re
from pathlib import Path

import pytest

import mbcbench
from tests.cli.helpers import BROKEN, HONEST, run_only
from tests.conftest import Command, Plugins


def test_show_prints_an_earlier_run(command: Command) -> None:
    run_only(command, HONEST, "--profile", "smoke")
    assert "LEADERBOARD smoke" in command("show")[1]
    (folder,) = Path(".mbcbench/runs").iterdir()
    row = command("show", "--all")[1].strip().splitlines()[-1]
    assert row.split(maxsplit=3) == [folder.name, "encode", "1", "1 ok"]
    assert command("show", folder.name, "--html", "page.html")[0] == 0
    assert Path("page.html").exists()


def test_show_prints_the_report_that_is_named(command: Command) -> None:
    run_only(command, HONEST, "--profile", "smoke")
    assert "LEADERBOARD smoke" in command("show", "--report", "leaderboard")[1]
    code, _, err = command("show", "--report", "leaderbord")
    assert code == 3
    assert "no report is called 'leaderbord' (did you mean leaderboard?)" in err


def test_describe_shows_an_encoder_or_a_law(command: Command) -> None:
    code, out, _ = command("describe", HONEST)
    assert code == 0
    assert "A sum of projected elements." in out
    assert "B x n x 3 -> B x 3" in out
    assert "It says nothing." in command("describe", "law:law.holds")[1]
    assert command("describe", "law.holds") == command("describe", "law:law.holds")


def test_describe_shows_the_summary_of_any_other_plugin(command: Command) -> None:
    _, out, _ = command("describe", "encode")
    assert "the suite encode" in out
    assert "mbcbench run --suite encode" in out
    assert "mbcbench show --report leaderboard" in command("describe", "leaderboard")[1]


def test_describe_says_where_the_records_of_an_artefact_come_from(command: Command, plugins: Plugins) -> None:
    plugins.add("artefacts", "table2", "reports.paper.tables:TABLE2")
    assert re.search(r"records from +mbcbench run --suite laws$", command("describe", "table2")[1], re.MULTILINE)
    plugins.add("artefacts", "torn", "no_such_module:TORN")
    code, _, err = command("describe", "torn")
    assert (code, err.count("\n")) == (2, 1)


def test_a_docstring_that_is_inherited_is_no_summary(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from torch import nn\nclass E(nn.Linear):\n    def __init__(self, d):\n")
    with (tmp_path / "mine.py").open("a") as file:
        file.write(
            "        super().__init__(d, 2)\n    def forward(self, x):\n        return super().forward(x).sum(1)\n"
        )
    code, out, _ = command("describe", "mine.py:E")
    assert code == 0
    assert "summary" not in out


def test_a_group_of_laws_and_an_encoder_that_cannot_be_built_are_one_line(command: Command) -> None:
    code, _, err = command("describe", "law")
    assert (code, err) == (3, "mbcbench: law is a group of laws; describe one of law.breaks, law.holds\n")
    code, _, err = command("describe", f"{BROKEN}:Raises")
    assert code == 2
    assert err.startswith(f"mbcbench: {BROKEN}:Raises cannot be called")


def test_an_encoder_that_crashes_is_described_in_one_line(command: Command) -> None:
    code, _, err = command("describe", f"{BROKEN}:Segfaults")
    assert code == 2
    assert "SIGSEGV" in err
    assert err.count("\n") == 1


def test_list_shows_the_registered_names(command: Command) -> None:
    code, out, _ = command("list")
    assert code == 0
    assert all(name in out for name in ("law.breaks", "encode", "leaderboard"))
    assert "encode" not in command("list", "laws")[1]


def test_list_shows_summaries_and_no_trailing_blanks(command: Command) -> None:
    _, out, _ = command("list", "suites")
    assert "the suite encode" in out
    assert "fake_plugins:ENCODE" not in out
    assert not [line for line in out.splitlines() if line.endswith(" ")]


def test_the_width_of_piped_tables_is_that_of_columns(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, command("list")[1].splitlines())) <= 60
    monkeypatch.setenv("COLUMNS", "30")
    assert " encode   by default\n   the suite encode\n" in command("list", "suites")[1]
    monkeypatch.setenv("COLUMNS", "wide")
    assert command("list")[0] == 0


def test_env_shows_versions_and_hardware(command: Command) -> None:
    code, out, _ = command("env")
    assert code == 0
    assert all(word in out for word in ("torch", "cores", "memory", "cache"))


def test_measurements_of_asv_become_a_run(command: Command) -> None:
    results = {"version": 2, "params": {}, "commit_hash": "0", "python": "3", "result_columns": ["result", "params"]}
    Path("asv.json").write_text(json.dumps(results | {"results": {"tool.time_it": [[0.5], []]}}))
    code, out, _ = command("import-asv", "asv.json")
    assert (code, "records.jsonl" in out) == (0, True)
    assert command("import-asv", "asv.json", "--run", "latest")[0] == 0
    assert mbcbench.load(next(Path(".mbcbench/runs").iterdir()))["value"].tolist() == [0.5, 0.5]


def test_an_encoder_is_built_by_name(plugins: Plugins) -> None:
    plugins.module(
        "third", "from torch import nn\ndef f(dim_in, dim=2):\n    'One line.'\n    return nn.Linear(dim_in, dim)"
    )
    plugins.add("encoders", "third", "third:f")
    assert mbcbench.get_spec("third").summary == "One line."
    assert mbcbench.build("third", dim_in=5, dim=3).weight.shape == (3, 5)
