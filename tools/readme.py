"""Write README.md: every number is counted or read from records, every output is that of its command."""

import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping

import pandas as pd
from template import DOCS, filled

from mbcbench import registry
from mbcbench.records import reference

sys.path.insert(0, str(DOCS.parent))
from tests.controls import controls

ROOT = DOCS.parent
CHECK = "mbcbench check examples/chunk_mean.py:ChunkMean --law mbc.partition"
VERDICTS = ("confirmed", "refuted", "no difference", "undecided")
# Readings that a reader can check or would ask for first; their verdicts are those of the records.
READINGS = (
    ("C1", "as written"),
    ("C1", "exact states"),
    ("C5", "run per chunk, 16 slots at the top"),
    ("C8", ""),
    ("C10", "K=1, 200 pixels"),
    ("C13", "partition: faster per second"),
    ("C19", "below 5000"),
    ("C22", "ahead"),
)


def main() -> None:
    """Write the page."""
    (ROOT / "README.md").write_text(readme(), encoding="utf-8")


def readme() -> str:
    """Return the page."""
    return filled("README", {**counts(), **claims(), "CHECK": CHECK, "CHECKED": output(CHECK)})


def counts() -> dict[str, object]:
    """Return what can be counted."""
    records = [json.loads(line) for line in (DOCS / "field" / "records.jsonl").read_text(encoding="utf-8").splitlines()]
    return {
        "LAWS": len(registry.plugins(registry.LAWS)),
        "ENCODERS": len(registry.plugins(registry.ENCODERS)),
        "CONTROLS": len(controls()),
        "MODULES": len(records),
        "PACKAGES": _counted("packages", (DOCS / "field.md").read_text(encoding="utf-8")),
        "DEFECTS": len(list((DOCS / "field").glob("*.md"))),
        "FASTER": _median_speed(),
        "HAS_REFERENCE": bool(reference.load().info),
    }


def _counted(noun: str, page: str) -> str:
    match = re.search(rf"(\d+) {noun}", page)
    assert match is not None
    return match[1]


def _median_speed() -> str:
    """Return how many times faster the kernel is, forward on one thread, from the first table of its page."""
    rows = (DOCS / "speed.md").read_text(encoding="utf-8").splitlines()
    return next(row for row in rows if row.startswith("| median ")).split("|")[3].strip()


def claims() -> dict[str, object]:
    """Return what is said about the claims of the paper."""
    table = pd.read_csv(DOCS / "results" / "claims.csv", keep_default_na=False)
    verdicts = table["verdict"].value_counts()
    first, *others = [f"{verdicts[verdict]} {verdict}" for verdict in VERDICTS if verdict in verdicts]
    first = first.replace(" ", " are ", 1)
    return {
        "READINGS": len(table),
        "CLAIMS": table["id"].nunique(),
        "COUNTS": f"{', '.join([first, *others[:-1]])} and {others[-1]}",
        "FOUND": "\n".join(_found(table)),
    }


def _found(table: pd.DataFrame) -> Iterator[str]:
    for claim, reading in READINGS:
        (row,) = table[table["id"].eq(claim) & table["reading"].eq(reading)].to_dict("records")
        yield _line(row)


def _line(row: Mapping[object, str]) -> str:
    """Return a list item: the verdict, the claim, its reading, and the comparison that decides, without p-values."""
    reading = f" ({row['reading']})" if row["reading"] else ""
    comparison = row["why"].partition(" (and ")[0].partition(", p = ")[0]
    text = f"- **{row['verdict']}**: {row['claim']}{reading}: {comparison}."
    return textwrap.fill(text, 118, subsequent_indent="  ", break_on_hyphens=False)


def output(command: str) -> str:
    """Return what a command prints about a broken law, indented; long lines are wrapped."""
    program = [sys.executable, "-m", *command.split()]
    lines = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False).stdout.splitlines()
    first = next(number for number, line in enumerate(lines) if "is broken by" in line)
    last = next(number for number, line in enumerate(lines) if line.startswith("  more"))
    return "\n".join(_wrapped(line) for line in lines[first : last + 1])


def _wrapped(line: str) -> str:
    indent = "    " + " " * (len(line) - len(line.lstrip()))
    return textwrap.fill(line.strip(), 118, initial_indent=indent, subsequent_indent=indent + " " * 10)


if __name__ == "__main__":
    main()
