"""The mutations of `make mutants`, and the choice of the tests that are run for each."""

import ast
from pathlib import Path

import mutants_page
import pytest
from mutants import ROOT, TESTS
from selection import OBSERVATIONS, Selection
from syntax_changes import Mutant, mutants, mutated

SOURCE = '''\
"""Text is not changed."""

LIMIT = 3


@cache
def first(values: list[int | None], *, n: int = 1) -> int:
    """Return the first of some values."""
    if n > LIMIT and values:
        raise ValueError(f"{n + 1} is too much")
    return max(values[: n + 1], key=abs)
'''


def changes(source: str) -> set[tuple[int, str, str]]:
    return {(mutant.line, mutant.operator, mutant.after) for mutant in mutants("a.py", source)}


def test_each_mutant_changes_one_thing_that_runs() -> None:
    assert changes(SOURCE) == {
        (3, "constant", "LIMIT = 4"),
        (7, "removed decorator", "def first(values: list[int | N…"),
        (7, "constant", "…list[int | None], *, n: int = 2) -> int:"),
        (9, "boolean", "if n > LIMIT or values:"),
        (9, "comparison", "if n >= LIMIT and values:"),
        (9, "comparison", "if n <= LIMIT and values:"),
        (10, "removed statement", "pass"),
        (11, "returned value", "return None"),
        (11, "removed keyword", "return max(values[:n + 1])"),
        (11, "minimum or maximum, any or all", "return min(values[: n + 1], key=abs)"),
        (11, "arithmetic", "return max(values[: n - 1], key=abs)"),
        (11, "constant", "return max(values[: n + 2], key=abs)"),
    }


def test_assertions_about_lengths_and_frozen_records_are_not_changed() -> None:
    source = "@dataclass(frozen=True)\nclass A:\n    pass\nzipped = zip(a, b, strict=True)\n"
    assert changes(source) == {(2, "removed decorator", "class A: pass")}


def test_a_mutant_compiles_and_differs_from_the_source_in_one_place() -> None:
    original = ast.unparse(ast.parse(SOURCE)).splitlines()
    for mutant in mutants("a.py", SOURCE):
        tree = mutated(SOURCE, mutant.number)
        compile(tree, "a.py", "exec")
        lines = ast.unparse(tree).splitlines()
        differing = [pair for pair in zip(original, lines, strict=False) if pair[0] != pair[1]]
        assert differing
        assert len(original) != len(lines) or len(differing) == 1


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "a.py").write_text(SOURCE)
    return tmp_path


def mutant(line: int) -> Mutant:
    return next(m for m in mutants("a.py", SOURCE) if m.line == line)


SELECTION = Selection(
    {"fast": 0.1, "slow": 5.0, "slower": 9.0, "other": 1.0},
    {"a.py": {9: ["slow", "fast", "slower"], 10: ["fast"], 11: ["other"]}},
)


def test_the_fastest_tests_that_execute_a_line_are_run_up_to_a_limit(root: Path) -> None:
    assert SELECTION.tests_of(mutant(9), root, 100.0) == ["fast", "slow", "slower"]
    assert SELECTION.tests_of(mutant(9), root, 6.0) == ["fast", "slow"]
    assert SELECTION.tests_of(mutant(10), root, 0.01) == ["fast"]


def test_what_runs_at_import_belongs_to_the_tests_of_what_uses_it(root: Path) -> None:
    assert SELECTION.tests_of(mutant(3), root, 100.0) == ["fast", "slow", "slower"]  # LIMIT is read in line 9
    assert SELECTION.tests_of(mutant(7), root, 100.0) == ["fast", "other", "slow", "slower"]


def test_a_line_that_no_test_executes_may_run_in_processes_of_all_tests_of_its_file(root: Path) -> None:
    selection = Selection(SELECTION.seconds, {"a.py": {10: ["fast"], 11: ["other"]}})
    assert selection.tests_of(mutant(9), root, 100.0) == ["fast", "other"]


def test_tests_that_compare_everything_have_half_of_the_time(root: Path) -> None:
    thorough = [f"{OBSERVATIONS}::{name}" for name in "abc"]
    selection = Selection(dict.fromkeys(thorough, 2.0) | {"fast": 0.1}, {"a.py": {9: [*thorough, "fast"]}})
    assert selection.tests_of(mutant(9), root, 9.0) == ["fast", thorough[2], *thorough[:2]]
    assert selection.tests_of(mutant(9), root, 5.0) == ["fast", thorough[1], thorough[0]]


def test_recorded_tests_replace_those_of_the_same_name(tmp_path: Path) -> None:
    more = SELECTION.with_more(Selection({"fast": 0.2}, {"a.py": {11: ["fast"]}, "b.py": {1: ["fast"]}}))
    more.to_file(tmp_path / "selection.json")
    assert Selection.from_file(tmp_path / "selection.json") == more
    assert more.seconds["fast"] == 0.2
    assert more.lines == {"a.py": {9: ["slow", "slower"], 10: [], 11: ["fast", "other"]}, "b.py": {1: ["fast"]}}


def test_the_page_counts_mutants_and_gives_the_reasons_of_survivors(tmp_path: Path) -> None:
    reasons = tmp_path / "reasons.toml"
    reasons.write_text('"a.py:3:8: LIMIT = 3 -> LIMIT = 4" = "Equivalent: nothing reads it."\n')
    row = {"path": "a.py", "line": 3, "column": 8, "operator": "constant", "before": "LIMIT = 3", "after": "LIMIT = 4"}
    killed = {**row, "fate": "killed"}
    rows = [{**row, "fate": "survived"}, *({**killed, "line": n} for n in range(8)), {**killed, "first": "survived"}]
    text = mutants_page.page({"seed": 0, "seconds": 5.0, "total": 100, "mutants": rows}, reasons)
    assert "**9 of 10 are killed: 90.0%**" in text
    words = " ".join(text.split())
    assert "Of the 9 that are not known to be equivalent to the original, 100.0% are killed." in words
    assert "Before that, 8 were killed: 80.0% [49.0%, 94.3%] (Wilson's interval at 95 %), or 88.9% of those" in words
    assert "- `a.py:3:8: LIMIT = 3 -> LIMIT = 4`: Equivalent: nothing reads it." in text


def test_the_page_of_a_fresh_sample_says_so(tmp_path: Path) -> None:
    row = {"path": "a.py", "line": 3, "column": 8, "operator": "constant", "before": "1", "after": "2"}
    rows = [{**row, "fate": "survived"}, *[{**row, "fate": "killed"}] * 9]
    text = mutants_page.page({"seed": 0, "seconds": 5.0, "total": 100, "mutants": rows}, tmp_path / "reasons.toml")
    assert "share estimates that of all mutants: [59.6%, 98.2%]" in " ".join(text.split())
    assert "Tests were added" not in text


def test_no_test_of_mutants_starts_pytest() -> None:
    """Plug-ins are not loaded there: an inner run would lack that of mbcbench, and all mutants would be killed."""
    paths = [ROOT / test for test in TESTS]
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py"))]
    assert len(files) > 30
    assert not [file for file in files if "pytester" in file.read_text()]
