"""`mbcbench check`: exit codes, and the records that it prints and writes."""

import json
from pathlib import Path

import pytest

from tests.cli.helpers import BROKEN, HONEST
from tests.conftest import Command


def test_the_counterexample_of_a_broken_law_is_shown(command: Command) -> None:
    code, out, _ = command("check", HONEST, "--examples", "3", "--json", "laws.jsonl")
    assert code == 1
    assert "n = 2, chunks (1, 1)" in out
    assert "1 pass, 1 fail" in out
    broken, kept = (json.loads(line) for line in Path("laws.jsonl").read_text().splitlines())
    assert kept["law"] == "law.holds"
    assert (kept["status"], kept["gap"], kept["bound"], kept["examples"]) == ("pass", 1e-16, 1e-15, 3)
    assert (broken["encoder"], broken["counterexample"], broken["message"]) == (HONEST, {"n": 2}, "gap 0.5")
    assert broken.keys() >= {"seconds", "dtype", "device", "seed", "culprit", "reproduce"}


def test_laws_that_hold_end_with_0(command: Command) -> None:
    code, out, _ = command("check", HONEST, "--law", "law.holds")
    assert code == 0
    assert "law.breaks" not in out


def test_a_crash_ends_with_2_and_has_a_row_for_each_law(command: Command) -> None:
    code, _, err = command("check", f"{BROKEN}:Segfaults", HONEST, "--law", "law.holds", "--json", "laws.jsonl")
    rows = [json.loads(line) for line in Path("laws.jsonl").read_text().splitlines()]
    assert code == 2
    assert [(row["encoder"].rpartition(":")[2], row["status"]) for row in rows] == [
        ("Segfaults", "crash"),
        ("Honest", "pass"),
    ]
    assert "SIGSEGV" in rows[0]["message"]
    assert "Traceback" not in err


@pytest.mark.parametrize("option", ["law.holds,law.breaks", "law.*", "*holds,law.breaks"])
def test_laws_are_chosen_by_lists_and_globs(command: Command, option: str) -> None:
    assert "1 pass, 1 fail" in command("check", HONEST, "--law", option)[1]
    assert "1 pass in" in command("check", HONEST, "--law", "*.h*")[1]
