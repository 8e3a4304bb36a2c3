"""Matrix of laws and encoders, printed by `mbcbench check` for several encoders."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from mbcbench.records.record import Record, Status


def print_matrix(encoders: Sequence[str], records: "Sequence[Record]") -> None:
    """Print the statuses of all laws (rows) and encoders (columns), in as many blocks as the width requires."""
    from mbcbench.cli.console import output_width, print_line, print_out
    from mbcbench.cli.fitted_table import GAP

    laws = list(dict.fromkeys(record.case for record in records))
    statuses = {(record.case, record.encoder): record.status for record in records}
    status_width = max((len(record.status) for record in records), default=0)
    room = output_width() - max(map(len, laws), default=0) - 1
    labels, per_block = _short_names(encoders), len(encoders)
    if sum(max(len(label), status_width) + GAP for label in labels) > room:
        labels, per_block = [str(number) for number in range(1, len(encoders) + 1)], room // (status_width + GAP)
        for label, encoder in zip(labels, encoders, strict=True):
            print_line(f"{label:>3}  {encoder}")
    columns = list(zip(labels, encoders, strict=True))
    for start in range(0, len(columns), max(1, per_block)):
        print_out(_matrix(laws, columns[start : start + max(1, per_block)], statuses))


def _short_names(encoders: Sequence[str]) -> list[str]:
    """Return the names without files and modules, if they are then still distinct."""
    names = [encoder.rpartition(":")[2] for encoder in encoders]
    return names if len(set(names)) == len(names) else list(encoders)


def _matrix(
    laws: Sequence[str], columns: Sequence[tuple[str, str]], statuses: "dict[tuple[str, str], Status]"
) -> "Table":
    from rich.text import Text

    from mbcbench.cli.console import plain_table, status_style

    labels = [label for label, _ in columns]
    table = plain_table("law", *labels, unbroken=("law", *labels))
    for law in laws:
        row = [statuses.get((law, encoder)) for _, encoder in columns]
        table.add_row(law, *(Text(status, style=status_style(status)) if status else "" for status in row))
    return table
