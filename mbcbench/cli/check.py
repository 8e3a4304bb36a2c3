"""`mbcbench check`: try to falsify the laws on encoders."""

import json as json_module
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mbcbench.cli.options import (
    Jobs,
    MemoryLimit,
    Profiles,
    Quiet,
    Seed,
    TimeLimit,
    as_profile,
    split_commas,
)
from mbcbench.types import JsonDict, JsonObject

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from mbcbench.execution.suite import Profile
    from mbcbench.records.record import Record

# Examples where they differ from what a leaderboard spends on a law.
EXAMPLES: "dict[Profile, int]" = {"quick": 600}
EVIDENCE = ("gap", "bound", "examples", "counterexample", "reproduce")


def check(
    targets: Annotated[list[str], typer.Argument(metavar="TARGET", help="Encoders to check.")],
    law: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID,...", help="Check these laws: ids or globs like 'mbc.*'. May be repeated.", show_default="all"
        ),
    ] = None,
    profile: Profiles = "quick",
    examples: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Examples per law.", show_default="the profile's")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="TARGET", help="Compare with this function or encoder.", show_default=False)
    ] = None,
    xfails_file: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Expected failures: lines `law-id: reason`.", show_default=False),
    ] = None,
    seed: Seed = 0,
    jobs: Jobs = None,
    time_limit: TimeLimit = None,
    memory_limit: MemoryLimit = 2.0,
    json: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write one record per line.", show_default=False)
    ] = None,
    quiet: Quiet = False,
) -> int:
    """Check the laws on encoders and show a counterexample for each law that is broken.

    TARGET is a registered name, package.module:attr or path/to/file.py:attr.

    \b
    Examples:
      mbcbench check sse-random
      mbcbench check my.py:Encoder --law 'mbc.*,symmetry.padding'
      mbcbench check my.py:Encoder --profile thorough --json laws.jsonl

    About 10 seconds per encoder with the profile quick, some minutes with thorough. Exit code 0: all laws are as
    claimed; 1: a law is broken; 2: an encoder raised, crashed or took too long.
    """
    from mbcbench import registry
    from mbcbench.api.run import run_options
    from mbcbench.cli.console import print_interrupted
    from mbcbench.execution import planner
    from mbcbench.execution.consume import consume
    from mbcbench.execution.suite import PROBE
    from mbcbench.system import check_writable
    from mbcbench.verify.xfails import load_xfails

    options = run_options(targets, targets, seed, jobs, time_limit, memory_limit)
    chosen = as_profile(profile)
    params = {
        "examples": examples or EXAMPLES.get(chosen),
        "reference": reference,
        "expected_failures": load_xfails(xfails_file, targets) if xfails_file else None,
    }
    known = list(registry.plugins(registry.LAWS))
    laws = registry.select(registry.LAWS, split_commas(law)) or known
    if json is not None:
        check_writable(json)
    steps = planner.check_laws(
        options, laws, chosen, {name: value for name, value in params.items() if value is not None}
    )
    result = consume(steps, options.jobs, quiet=quiet)
    records = [record for record in result.records if record.suite != PROBE]
    records.sort(key=lambda record: (options.encoders.index(record.encoder), known.index(record.case)))
    if json is not None:
        _write_json(json, records)
    _print_laws(options.encoders, records)
    if result.interrupted:
        return print_interrupted(result.progress_text)
    _print_counts(records, result.progress.elapsed)
    return result.exit_code


def _print_laws(encoders: Sequence[str], records: "Sequence[Record]") -> None:
    from mbcbench.cli.console import print_out

    for encoder in encoders:
        of_encoder = [record for record in records if record.encoder == encoder]
        print_out(laws_table(encoder, of_encoder))
        for record in of_encoder:
            text = counterexample_text(record)
            if text is not None:
                print_out(text, soft_wrap=True)


def _print_counts(records: "Sequence[Record]", seconds: float) -> None:
    from mbcbench.cli.console import print_line
    from mbcbench.execution.progress import format_duration
    from mbcbench.records.record import count_statuses

    print_line(f"{count_statuses(record.status for record in records)} in {format_duration(seconds)}")


def laws_table(encoder: str, records: "Iterable[Record]") -> "Table":
    """Return the laws of one encoder as a table, one per row."""
    from rich.text import Text

    from mbcbench.cli.console import format_number, plain_table, status_style

    numbers = ("gap", "bound", "examples", "seconds")
    table = plain_table("law", "status", *numbers, "", numbers=numbers, unbroken=("law", "status"), title=encoder)
    for record in records:
        evidence = evidence_of(record.value, record.detail)
        values = (format_number(evidence[name]) for name in ("gap", "bound", "examples"))
        status = Text(record.status, style=status_style(record.status))
        table.add_row(record.case, status, *values, f"{record.seconds:.1f}", Text(record.message))
    return table


def counterexample_text(record: "Record") -> "Text | None":
    """Return the counterexample of a failure and a snippet that reproduces it, or None if the record has none."""
    from rich.text import Text

    from mbcbench.cli.console import status_style
    from mbcbench.records.record import BROKEN, UNEXPECTED

    parts = [str(record.detail[name]) for name in ("text", "reproduce") if record.detail.get(name)]
    if record.status not in UNEXPECTED | BROKEN or not parts:
        return None
    title = (f"{record.encoder}  {record.case}  {record.status}\n\n", f"bold {status_style(record.status)}")
    return Text.assemble(title, "\n\n".join(part.strip("\n") for part in parts), "\n")


def _write_json(path: Path, records: "Sequence[Record]") -> None:
    lines = [json_module.dumps(_flat(record)) + "\n" for record in records]
    path.write_text("".join(lines), encoding="utf-8")


def _flat(record: "Record") -> JsonDict:
    """Return a law's record as one flat object. Evidence that a record lacks is null."""
    row = json_module.loads(record.to_json())
    names = ("encoder", "status", "seconds", "dtype", "device", "seed", "message")
    return {"law": row["case"], **{name: row[name] for name in names}, **evidence_of(row["value"], row["detail"])}


def evidence_of(gap: Any, detail: JsonObject) -> JsonDict:
    """Return the evidence in a law's record: its gap (the record's value), bound, examples and counterexample."""
    values = {"gap": gap, **detail}
    return {name: values.get(name) for name in EVIDENCE}
