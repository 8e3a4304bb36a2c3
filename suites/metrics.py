"""Metrics: name, unit and direction of the values of records."""

from dataclasses import dataclass

from mbcbench.records.cell import Cell
from mbcbench.records.detail import Detail
from mbcbench.records.record import Record, Status


@dataclass(frozen=True, kw_only=True)
class Metric:
    """Quantity that a suite reports.

    Parameters
    ----------
    name
        `Record.metric`.
    unit
        `Record.unit`; empty for counts and fractions.
    higher_is_better
        None for a record that is kept for its detail, such as pictures.
    """

    name: str
    unit: str = ""
    higher_is_better: bool | None = False

    def record(self, cell: Cell, value: float, detail: Detail) -> Record:
        """Return the record of a value that was measured."""
        return self._record(cell, Status.OK, value=value, detail=detail)

    def error(self, cell: Cell, message: str) -> Record:
        """Return the record of a measurement that failed."""
        return self._record(cell, Status.ERROR, message=message)

    def _record(
        self, cell: Cell, status: Status, *, value: float | None = None, message: str = "", detail: Detail | None = None
    ) -> Record:
        return cell.record(
            status,
            metric=self.name,
            value=value,
            unit=self.unit,
            higher_is_better=self.higher_is_better,
            message=message,
            detail=detail,
        )


ACCURACY = Metric(name="accuracy", higher_is_better=True)
NLL = Metric(name="nll", unit="nats")
