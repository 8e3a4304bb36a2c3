"""Mutate the laws, the tolerance and the search, and count the mutants that the tests notice.

`python tools/mutants/mutants.py` draws a sample of all mutants, runs for each the tests that execute its line, and
writes docs/mutants.json and docs/mutants.md; `make mutants` does the same. A run that was stopped goes on where it was.
With --again, mutants that survived for no known reason are tried again, after --record of the tests that were added;
the page says how many were killed at first, too.
"""

import argparse
import json
import random
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from forks import SURVIVED, in_fork, run_tests, warm_up
from mutants_page import page
from selection import Selection, record
from syntax_changes import Mutant, mutants, mutated

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".mutants"  # what can be made again
SELECTION, LOG = FOLDER / "selection.json", FOLDER / "log.txt"
RESULTS, PAGE, REASONS = ROOT / "docs/mutants.json", ROOT / "docs/mutants.md", Path(__file__).with_name("reasons.toml")
MODULES = ("tolerance", "noise", "law_run", "search", "drawing", "shrink", "strategies", "subject")
FOLDERS = ("tests/verify", "tests/suites/laws", "tests/protocol")
TESTS = (*FOLDERS, "tests/test_controls.py", "tests/test_registered_encoders.py")
RECORD_SECONDS = 7200.0


@dataclass(frozen=True)
class Settings:
    """Which mutants are tried, and with how much: a sample, its seed, and seconds of tests for each mutant."""

    sample: int = 250
    seed: int = 5
    seconds: float = 30.0


def targets() -> list[str]:
    """Return the files that are mutated."""
    laws = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "suites/laws").glob("*.py"))
    return [*laws, *(f"mbcbench/verify/{name}.py" for name in MODULES)]


def draw(settings: Settings) -> tuple[list[Mutant], int]:
    """Return a random sample of the mutants of all files, and the number of all."""
    everything = [mutant for path in targets() for mutant in mutants(path, (ROOT / path).read_text())]
    random.Random(settings.seed).shuffle(everything)  # so that a larger sample contains a smaller one
    return everything[: settings.sample], len(everything)


def recorded(tests: Sequence[str]) -> Selection:
    """Return which tests execute which line; run the given tests for that, or all if nothing is known yet."""
    if tests or not SELECTION.exists():
        new = FOLDER / "new.json"

        def child() -> int:
            record(ROOT, targets(), tests or TESTS).to_file(new)
            return 0

        FOLDER.mkdir(exist_ok=True)
        if in_fork(child, RECORD_SECONDS, LOG):
            raise SystemExit(f"the tests could not be recorded; see {LOG}")
        selection = Selection.from_file(new)
        if SELECTION.exists():
            selection = Selection.from_file(SELECTION).with_more(selection)
        selection.to_file(SELECTION)
    return Selection.from_file(SELECTION)


def module_name(path: str) -> str:
    """Return the name under which a file is imported."""
    name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return name if name.startswith("mbcbench.") else f"mbcbench.{name}"


def fate(mutant: Mutant, selection: Selection, seconds: float) -> dict[str, object]:
    """Run the tests of a mutant, and return a row of the results."""
    tests = selection.tests_of(mutant, ROOT, seconds)
    tree = mutated((ROOT / mutant.path).read_text(), mutant.number)
    # What is done for the first time in a process takes longer, and a mutant may be slower without an endless loop.
    limit = 20 + 4 * sum(selection.seconds.get(test, 0.0) for test in tests)
    status = run_tests(tests, module_name(mutant.path), ROOT / mutant.path, tree, limit, LOG) if tests else SURVIVED
    return {**asdict(mutant), "fate": status, "tests": len(tests)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutants of a sample, and write the results and their page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=Settings.sample)
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--seconds", type=float, default=Settings.seconds, help="of tests for each mutant")
    parser.add_argument("--record", nargs="*", default=[], metavar="TEST", help="tests that were added or changed")
    parser.add_argument("--again", action="store_true", help="try those again that survived for no known reason")
    parser.add_argument("--page-only", action="store_true", help="write the page of the results there are")
    options = parser.parse_args(arguments)
    settings = Settings(options.sample, options.seed, options.seconds)
    rows = {} if not RESULTS.exists() else {row_id(row): row for row in json.loads(RESULTS.read_text())["mutants"]}
    sample, total = draw(settings)
    reasons = tomllib.loads(REASONS.read_text())
    if not options.page_only:
        warm_up()
        selection = recorded(options.record)
        for number, mutant in enumerate(sample, 1):
            row = rows.get(mutant.id)
            if row is None or (options.again and row["fate"] == SURVIVED and mutant.id not in reasons):
                before = {} if row is None else {"first": SURVIVED}
                rows[mutant.id] = row = {**fate(mutant, selection, settings.seconds), **before}
                print(f"{number} {mutant.path}:{mutant.line} {row['fate']} ({row['tests']} tests)", file=sys.stderr)
                write(settings, total, [rows[m.id] for m in sample if m.id in rows])
    PAGE.write_text(page(json.loads(RESULTS.read_text()), REASONS))
    return 0


def row_id(row: dict[str, object]) -> str:
    """Return the id of the mutant of a row."""
    return f"{row['path']}:{row['line']}:{row['column']}: {row['before']} -> {row['after']}"


def write(settings: Settings, total: int, rows: list[dict[str, object]]) -> None:
    """Write the results so far."""
    RESULTS.write_text(json.dumps({**asdict(settings), "total": total, "mutants": rows}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
