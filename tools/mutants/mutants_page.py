"""Page: the mutants that were tried, and what is known about those that survived."""

import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from forks import SURVIVED, TIMEOUT
from scipy.stats import binomtest
from syntax_changes import OPERATORS

PAGE = """\
# Mutants

Would the tests notice a mistake in the code that judges encoders? To find out, the laws (`suites/laws`), the tolerance
and the search are changed at random, one small change (a *mutant*) at a time, and the tests that execute the changed
line are run. A mutant is *killed* if a test fails. If none does, either a test is missing, or the change makes no
difference. Of {total:,} mutants, {tried} were drawn (seed {seed}), in {files} files. Each was tried with the fastest of
its tests, up to {seconds:g} seconds of CPU time. `make mutants` repeats it.

**{killed} of {tried} are killed: {share:.1%}**, {timeouts} of them by a time limit. Of the {left} that are not known to
be equivalent to the original, {share_left:.1%} are killed.

{estimate}

| change | tried | killed |
|---|--:|--:|
{operators}

| file | tried | killed |
|---|--:|--:|
{paths}

## Survivors

{survivors}

Why not an existing tool? mutmut 3 does not mutate functions with decorators and the constants of modules, and derives
the name of a module from its path, which differs here. cosmic-ray starts a process for each mutant, which imports torch
for seconds, and rewrites the files of the repository. `tools/mutants` forks one process per mutant from one that has
imported torch, and replaces the syntax tree of one module. Messages, names, type hints and assertions are not
mutated.
"""

FRESH = """\
No test was written for a mutant of this sample, so that the share estimates that of all mutants: [{low:.1%},
{high:.1%}] (Wilson's interval at 95 %). Another `--seed` draws another sample."""
KNOWN = """\
Tests were added for survivors of this sample. Before that, {first} were killed: {first_share:.1%} [{low:.1%},
{high:.1%}] (Wilson's interval at 95 %), or {first_left:.1%} of those that are not known to be equivalent. These shares
estimate those of all mutants; another `--seed` draws another sample."""


def page(results: dict[str, Any], reasons: Path) -> str:
    """Return the page of the results as Markdown."""
    rows = results["mutants"]
    why = tomllib.loads(reasons.read_text()) if reasons.exists() else {}
    survivors = [row for row in rows if row["fate"] == SURVIVED]
    equivalent = sum(_reason(row, why).startswith("Equivalent") for row in survivors)
    killed, left = len(rows) - len(survivors), len(rows) - equivalent
    first = sum(row.get("first", row["fate"]) != SURVIVED for row in rows)
    interval = binomtest(first, len(rows)).proportion_ci(0.95, method="wilson")
    estimate = (KNOWN if first < killed else FRESH).format(
        first=first,
        first_share=first / len(rows),
        first_left=first / left,
        low=interval.low,
        high=interval.high,
    )
    lines = [f"- `{_line(row)}`: {_reason(row, why) or 'not explained yet.'}" for row in survivors]
    return PAGE.format(
        total=results["total"],
        files=len({row["path"] for row in rows}),
        tried=len(rows),
        seed=results["seed"],
        seconds=results["seconds"],
        killed=killed,
        share=killed / len(rows),
        estimate=estimate,
        timeouts=sum(row["fate"] == TIMEOUT for row in rows),
        left=left,
        share_left=killed / left,
        operators=_table(rows, "operator", list(OPERATORS)),
        paths=_table(rows, "path", sorted({row["path"] for row in rows})),
        survivors="\n".join(lines) or "None.",
    )


def _table(rows: list[dict[str, Any]], column: str, values: list[str]) -> str:
    tried = Counter(row[column] for row in rows)
    killed = Counter(row[column] for row in rows if row["fate"] != SURVIVED)
    return "\n".join(f"| {value} | {tried[value]} | {killed[value]} |" for value in values if tried[value])


def _line(row: dict[str, Any]) -> str:
    """Return a mutant in one line, which is also the key of its reason."""
    return f"{row['path']}:{row['line']}:{row['column']}: {row['before']} -> {row['after']}"


def _reason(row: dict[str, Any], reasons: dict[str, Any]) -> str:
    return str(reasons.get(_line(row), ""))
