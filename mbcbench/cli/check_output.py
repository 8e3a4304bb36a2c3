"""Output of `mbcbench check`: tables of laws, counterexamples and conclusions."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mbcbench.cli.check_export import evidence_of
from mbcbench.cli.check_matrix import print_matrix
from mbcbench.cli.conclusions import PARTITION, advice, common_error, conclusions, fold

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from mbcbench.records.record import Record


def print_laws(encoders: Sequence[str], records: "Sequence[Record]", *, traceback: bool = False) -> None:
    from rich.text import Text

    from mbcbench.cli.console import print_line, print_out
    from mbcbench.records.record import NOT_RUN

    checked: list[str] = []
    for encoder in encoders:
        of_encoder = [record for record in records if record.encoder == encoder]
        if not of_encoder:  # interrupted before its first law
            continue
        error = common_error(of_encoder)
        if error is not None:
            print_line(f"{encoder}  {of_encoder[0].status}  {error.removeprefix(NOT_RUN)}")
            if traceback and "traceback" in of_encoder[0].detail:
                print_line(of_encoder[0].detail["traceback"])
            continue
        checked.append(encoder)
        print_out(laws_table(encoder, [record for record in of_encoder if record.status != "skip"]))
        for reason, laws in skipped(of_encoder).items():
            print_out(Text(f"Does not apply ({reason}): {', '.join(laws)}"))
        print_line("")
        _print_counterexamples(of_encoder, traceback=traceback)
        for line in (*conclusions(of_encoder), *advice(of_encoder)):
            print_line(line)
    if len(checked) > 1:
        print_matrix(checked, [record for record in records if record.encoder in checked])


def _print_counterexamples(records: "Sequence[Record]", *, traceback: bool) -> None:
    """Print counterexamples, the most informative first, then the laws whose failures these explain."""
    from mbcbench.cli.console import print_line, print_out

    shown, folded = fold(records)
    as_expected = ", ".join(record.case for record in folded.pop(PARTITION, []))
    for record in shown:
        text = counterexample_text(record, traceback=traceback)
        if text is not None:
            print_out(text, soft_wrap=True)
        if record.case == PARTITION and as_expected:
            print_line(f"Also broken, because {PARTITION} is: {as_expected} (counterexamples: --html PATH)\n")
    for cause, explained in folded.items():
        print_line(f"Not shown, since {cause}: {', '.join(record.case for record in explained)}\n")


def skipped(records: "Iterable[Record]") -> dict[str, list[str]]:
    """Return the laws that do not apply, by reason."""
    laws: dict[str, list[str]] = {}
    for record in records:
        if record.status == "skip":
            laws.setdefault(record.message, []).append(record.case)
    return laws


def print_choices(records: "Sequence[Record]") -> None:
    """Print the width chosen for an encoder that declares none, and the weights taken from a file."""
    from mbcbench.cli.console import print_line

    for record in records:
        if record.detail.get("weights"):
            print_line(record.detail["weights"])
        if record.detail.get("why_dim_in"):
            width, reason = record.detail["dim_in"], record.detail["why_dim_in"]
            print_line(f"{record.encoder}: elements of width {width}, {reason}; --dim-in N sets another")


def print_counts(records: "Sequence[Record]", seconds: float) -> None:
    """Print how often each status occurs; an encoder that could not be checked counts once."""
    from mbcbench.cli.console import print_line
    from mbcbench.errors import plural
    from mbcbench.execution.progress import format_duration
    from mbcbench.records.record import count_statuses

    by_encoder: dict[str, list[Record]] = {}
    for record in records:
        by_encoder.setdefault(record.encoder, []).append(record)
    tried = [record for group in by_encoder.values() if common_error(group) is None for record in group]
    untried = sum(common_error(group) is not None for group in by_encoder.values())
    words = [f"{plural(untried, 'encoder')} could not be checked"] if untried else []
    counts = count_statuses(record.status for record in tried)
    print_line(f"{'; '.join(filter(None, [counts, *words]))} in {format_duration(seconds)}")


def laws_table(encoder: str, records: "Iterable[Record]") -> "Table":
    """Return the laws of one encoder as a table, one per row."""
    from rich.text import Text

    from mbcbench.cli.console import format_number, status_style
    from mbcbench.cli.fitted_table import fitted_table

    rows = []
    for record in records:
        evidence = evidence_of(record.value, record.detail)
        values = (format_number(evidence[name]) for name in ("gap", "bound", "examples"))
        texts = map(Text, (*values, f"{record.seconds:.1f}", record.message))
        rows.append([Text(record.case), Text(record.status, style=status_style(record.status)), *texts])
    numbers = ("gap", "bound", "examples", "seconds")
    return fitted_table(("law", "status", *numbers, ""), rows, numbers=numbers, optional=numbers[1:], title=encoder)


def counterexample_text(record: "Record", *, traceback: bool = False) -> "Text | None":
    """Return the counterexample of a failure and a snippet that reproduces it, or None if the record has none.

    traceback: include the traceback of an error.
    """
    from rich.text import Text

    from mbcbench.cli.console import status_style
    from mbcbench.records.record import BROKEN, UNEXPECTED

    style = f"bold {status_style(record.status)}"
    parts = [
        str(record.detail[name])
        for name in ("text", *(["traceback"] if traceback else []), "reproduce")
        if record.detail.get(name)
    ]
    if record.status not in UNEXPECTED | BROKEN or not parts:
        return None
    title, _, rest = "\n\n".join(part.strip("\n") for part in parts).partition("\n")
    return Text.assemble((title, style), "\n", rest, "\n")
