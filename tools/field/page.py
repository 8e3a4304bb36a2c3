"""Write docs/field.md from docs/field/records.jsonl and the judgements in tools/field/entries."""

import statistics
import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from entries import KINDS, Entry, Judgement, read_entries, read_reasons
from run import read_records

sys.path.append(str(Path(__file__).parents[1]))
from template import markdown_table, write

FAILING = ("fail", "error", "undecided")
NOT_JUDGED = Judgement("?", "not judged yet")
Record = Mapping[str, Any]


def main() -> int:
    """Write the page; return 1 if a failing law has no judgement, or a judgement no failing law."""
    entries, records = read_entries(), read_records()
    recorded = [entry for entry in entries if entry.target in records]
    problems = [problem for entry in recorded for problem in check_judgements(entry, records[entry.target])]
    for problem in problems:
        print(problem, file=sys.stderr)
    words = {
        "NUMBERS": numbers(recorded, records),
        "DEFECTS": defects(recorded, records),
        "REASONS": reason_list(),
        "PACKAGES": "\n".join(packages(recorded, records)),
    }
    write("field", words)
    return 1 if problems else 0


def failures(record: Record) -> dict[str, Record]:
    """Return the results of the laws that do not hold; an error of the encoder itself counts as one."""
    if "error" in record:
        return {"error": {"status": "error", "message": record["error"]}}
    return {law: result for law, result in record["laws"].items() if result["status"] in FAILING}


def check_judgements(entry: Entry, record: Record) -> list[str]:
    """Return what is wrong with the judgements of a module."""
    failing = failures(record)
    unjudged = [f"{entry.target}: {law} fails and is not judged" for law in failing if law not in entry.judgements]
    return unjudged + [f"{entry.target}: {law} is judged, but holds" for law in entry.judgements if law not in failing]


def numbers(entries: Sequence[Entry], records: Mapping[str, Record]) -> str:
    """Return one paragraph with the size of the study and its time."""
    seconds = [records[entry.target]["seconds"] for entry in entries if "seconds" in records[entry.target]]
    judgements = [_judgement(entry, law) for entry in entries for law in failures(records[entry.target])]
    kinds = ", ".join(f"{sum(j.kind == kind for j in judgements)} {kind}" for kind in KINDS)
    stamp = records[entries[0].target]["stamp"]
    packages = len({entry.package for entry in entries})
    clean = sum(not failures(records[entry.target]) for entry in entries)
    return (
        f"{len(entries)} modules of {packages} packages; {clean} break no law. Failures by judgement: {kinds}. A "
        f"module takes {statistics.median(seconds):.0f} s of one core in the median and {max(seconds):.0f} s at most, "
        f"without the import. torch {stamp['torch']}, mbcbench {stamp['mbcbench']}."
    )


def defects(entries: Sequence[Entry], records: Mapping[str, Record]) -> str:
    """Return the table of defects, one row per report."""
    rows: dict[str, list[str]] = {}
    for entry in entries:
        for law in failures(records[entry.target]):
            judgement = _judgement(entry, law)
            if judgement.kind == "defect":
                version = records[entry.target]["stamp"]["version"]
                link = f"[report](field/{judgement.report}.md)"
                rows.setdefault(
                    judgement.report, [f"{entry.package} {version}", f"`{entry.module}`", judgement.reason, link]
                )
    table: str = markdown_table(["package", "module", "defect", "report"], list(rows.values()))
    return table.rstrip()


def reason_list() -> str:
    """Return the reasons that several modules share, as a list."""
    return "\n".join(f"- **{name}** ({reason.kind}). {reason.reason}" for name, reason in read_reasons().items())


def packages(entries: Sequence[Entry], records: Mapping[str, Record]) -> list[str]:
    """Return a section per package."""
    out: list[str] = []
    for package, group in groupby(sorted(entries, key=lambda e: (e.package.lower(), e.adapters)), lambda e: e.package):
        modules = list(group)
        version = records[modules[0].target]["stamp"]["version"]
        files = sorted({entry.adapters for entry in modules})
        links = ", ".join(f"[{name}](../examples/field/{name})" for name in files)
        rows = [row for entry in modules for row in module_rows(entry, records[entry.target])]
        table = markdown_table(["module", "claimed", "breaks", "smallest", "first seen in", "judgement"], rows)
        out += [f"## {package} {version}", "", f"Adapters: {links}", "", table]
    return out


def module_rows(entry: Entry, record: Record) -> list[list[str]]:
    """Return one row per failing law; the module and its claim are in the first."""
    names = [f"`{entry.module}`", entry.claim]
    rows = []
    for law, result in sorted(failures(record).items()):
        shown = [law, _smallest(result), _cell(result.get("first_seen", "")), _judgement_cell(entry, law)]
        rows.append([*names, *shown])
        names = ["", ""]
    return rows or [[*names, "nothing", "", "", ""]]


def _judgement(entry: Entry, law: str) -> Judgement:
    return entry.judgements.get(law, NOT_JUDGED)


def _judgement_cell(entry: Entry, law: str) -> str:
    judgement = _judgement(entry, law)
    shared = next((name for name, reason in read_reasons().items() if reason == judgement), None)
    text = f"{judgement.kind}: {shared or judgement.reason}"
    return f"**{text}** ([report](field/{judgement.report}.md))" if judgement.kind == "defect" else text


def _smallest(result: Record) -> str:
    """Return the size of the smallest counterexample and its gap, or the error."""
    if "n" not in result:
        return _cell(result.get("message", ""))
    what = result.get("error") or result.get("note") or f"gap {result['gap']}"
    return _cell(f"n={result['n']}: {what}")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")[:160]


if __name__ == "__main__":
    sys.exit(main())
