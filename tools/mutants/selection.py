"""Selection: which tests execute which line, as measured once with coverage.py, and how long each takes."""

import ast
import json
import os
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import coverage
import pytest
from forks import PYTEST
from syntax_changes import Mutant

DECLARATIONS, OBSERVATIONS = "tests/verify/test_law_declarations.py", "tests/verify/test_observations.py"


@dataclass(frozen=True)
class Selection:
    """Tests that execute the lines of some files.

    seconds: of each test, by its id. lines: ids of the tests by file and line.
    """

    seconds: dict[str, float]
    lines: dict[str, dict[int, list[str]]]

    def tests_of(self, mutant: Mutant, root: Path, limit: float) -> list[str]:
        """Return the tests that may notice a change, the fastest first, up to `limit` seconds in total.

        Half of the time is for those that compare everything that a law says: they are slow, and notice most.
        """
        executing = sorted(
            self._executing(mutant, root) or self._of_file(mutant.path),
            key=lambda test: (self.seconds.get(test, 0.0), test),
        )
        thorough = self._within(limit / 2, [test for test in executing if _file(test) == OBSERVATIONS])
        others = self._within(
            limit - sum(self.seconds.get(test, 0.0) for test in thorough),
            [test for test in executing if test not in thorough],
        )
        return [*others, *thorough] or executing[:1]

    def _within(self, limit: float, tests: Sequence[str]) -> list[str]:
        """Return the first of some tests that take less than a limit together."""
        total = accumulate(self.seconds.get(test, 0.0) for test in tests)
        return [test for test, seconds in zip(tests, total, strict=True) if seconds <= limit]

    def _of_file(self, path: str) -> set[str]:
        """Return the tests that execute a line of a file; processes that they start may execute others."""
        return {test for tests in self.lines.get(path, {}).values() for test in tests}

    def _executing(self, mutant: Mutant, root: Path) -> set[str]:
        """Return the tests that execute a line.

        A line that runs at import, such as that of a constant, a default or a decorator, belongs to all tests that
        execute a line of the same function, of a function that it names, or a line in which the same name occurs, and
        to those about what laws declare.
        """
        lines = self.lines.get(mutant.path, {})
        at_import, names = _import_time(root / mutant.path, mutant.line)
        if not at_import:
            return set(lines.get(mutant.line, []))
        executing = {test for line in at_import for test in lines.get(line, [])}
        executing |= {test for test in self.seconds if _file(test) == DECLARATIONS}
        for path, tests in self.lines.items():
            uses = _uses(root / path, names)
            executing |= {test for line in uses for test in tests.get(line, [])}
        return executing

    def with_more(self, other: "Selection") -> "Selection":
        """Return a selection with the tests of another one too, which replace those of the same files."""
        files = {_file(test) for test in other.seconds}
        lines = {}
        for path in [*self.lines, *(path for path in other.lines if path not in self.lines)]:
            mine, theirs = self.lines.get(path, {}), other.lines.get(path, {})
            lines[path] = {
                line: sorted({t for t in mine.get(line, []) if _file(t) not in files} | set(theirs.get(line, [])))
                for line in {*mine, *theirs}
            }
        seconds = {test: seconds for test, seconds in self.seconds.items() if _file(test) not in files}
        return Selection({**seconds, **other.seconds}, lines)

    def to_file(self, path: Path) -> None:
        """Write the selection as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"seconds": self.seconds, "lines": self.lines}))

    @classmethod
    def from_file(cls, path: Path) -> "Selection":
        """Read a selection."""
        content = json.loads(path.read_text())
        lines = {name: {int(line): tests for line, tests in each.items()} for name, each in content["lines"].items()}
        return cls(content["seconds"], lines)


def _file(test: str) -> str:
    return test.partition("::")[0]


def _import_time(path: Path, line: int) -> tuple[Collection[int], Collection[str]]:
    """Return what belongs to a line that runs at import, else nothing.

    That is the lines of the function that it heads, or the names that its statement defines and the lines of the
    functions that it names.
    """
    body = ast.parse(path.read_text()).body
    lines, names = _of_body(body, line)
    statement = next((node for node in body if node.lineno <= line <= (node.end_lineno or 0)), None)
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        used = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
        functions = [node for node in body if isinstance(node, ast.FunctionDef) and node.name in used]
        lines = [*lines, *(n for f in functions for n in range(f.body[0].lineno, (f.end_lineno or 0) + 1))]
    return lines, names


def _of_body(body: Sequence[ast.stmt], line: int) -> tuple[Collection[int], Collection[str]]:
    for node in body:
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        last = node.end_lineno or node.lineno
        if not first <= line <= last:
            continue
        if isinstance(node, ast.FunctionDef):
            start = node.body[0].lineno
            return (range(start, last + 1), [node.name]) if line < start else ([], [])
        if isinstance(node, ast.ClassDef):
            inside = _of_body(node.body, line)
            return inside if line >= node.body[0].lineno else (range(first, last + 1), [node.name])
        return range(first, last + 1), {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and _is_stored(n)}
    return [], []


def _is_stored(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


def _uses(path: Path, names: Collection[str]) -> Iterator[int]:
    """Yield the lines in which one of some names is read."""
    for node in ast.walk(ast.parse(path.read_text())):
        if (isinstance(node, ast.Name) and not _is_stored(node) and node.id in names) or (
            isinstance(node, ast.Attribute) and node.attr in names
        ):
            yield node.lineno


class _Recorder:
    """Plug-in of pytest that tells coverage.py which test runs, and measures its time."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self.seconds: dict[str, float] = {}
        self._measured = measured

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._measured.switch_context(item.nodeid)
        began = time.process_time()
        result = yield
        self.seconds[item.nodeid] = time.process_time() - began
        self._measured.switch_context("")
        return result


def record(root: Path, targets: Sequence[str], tests: Sequence[str]) -> Selection:
    """Run tests, and return which of them execute which lines of the target files."""
    os.chdir(root)
    measured = coverage.Coverage(data_file=None, include=[str(root / path) for path in targets], config_file=False)
    recorder = _Recorder(measured)
    measured.start()
    code = pytest.main([*PYTEST, *tests], plugins=[recorder])
    measured.stop()
    if code:
        raise SystemExit(f"the tests fail without a mutation: pytest ended with {code}")
    data: Any = measured.get_data()
    lines = {}
    for path in targets:
        contexts = data.contexts_by_lineno(str(root / path))
        lines[path] = {line: sorted(filter(None, tests)) for line, tests in contexts.items()}
    return Selection(recorder.seconds, lines)
