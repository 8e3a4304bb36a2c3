"""Detail of the record of a law."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, kw_only=True)
class AggregationDetail:
    """Result of a law for a plain module with one aggregation of chunk encodings.

    Parameters
    ----------
    consistent
        True if no counterexample was found.
    examples
        Number of sets tried.
    counterexample
        The counterexample as plain data, or None.
    """

    consistent: bool
    examples: int
    counterexample: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class LawDetail:
    """What the record of a law holds beyond the columns of every record.

    Parameters
    ----------
    law
        Id of the law.
    statement
        The law in one sentence.
    bound
        Bound that the gap (the record's value) must not exceed.
    examples
        Number of sets tried; None if the encoder could not be tried.
    worst_gap
        Largest gap seen.
    counterexample
        The counterexample as plain data.
    text
        The counterexample for a reader.
    reproduce
        Python code that fails with the counterexample.
    pairs
        For a plain module, the results by aggregation of the chunk encodings.
    """

    law: str
    statement: str | None = None
    bound: float | None = None
    examples: int | None = None
    worst_gap: float | None = None
    counterexample: Mapping[str, Any] | None = None
    text: str | None = None
    reproduce: str | None = None
    pairs: Mapping[str, AggregationDetail] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the detail as plain data, without fields that are None."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.pairs is not None:
            values["pairs"] = {g: vars(pair) for g, pair in self.pairs.items()}
        return {name: value for name, value in values.items() if value is not None}
