"""Cells: units of work that run in a process of their own and are not repeated when nothing has changed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mbcbench.records.detail import Detail
from mbcbench.records.record import Record, Status
from mbcbench.types import JsonDict, JsonObject


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One unit of work of a suite.

    Parameters
    ----------
    suite
        Name of the suite that runs the cell.
    case
        Id of the law, or name of the task or measurement.
    encoder
        Target of the encoder; empty if there is none.
    params
        Parameters of the cell, as plain data.
    seed
        Seed of all random numbers.
    dtype, device
        Type and device of the tensors.
    identity
        Other facts that can change the outcome: versions, and digests of sources and data. The planner adds entries.
    """

    suite: str
    case: str
    encoder: str
    params: JsonObject = field(default_factory=dict)
    seed: int = 0
    dtype: str = "float32"
    device: str = "cpu"
    identity: Mapping[str, str] = field(default_factory=dict)

    def fields(self) -> JsonDict:
        """Return everything that can change the outcome, in one flat mapping."""
        fields = {name: getattr(self, name) for name in ("suite", "case", "encoder", "seed", "dtype", "device")}
        return fields | {f"params.{name}": value for name, value in self.params.items()} | dict(self.identity)

    @property
    def key(self) -> str:
        """Hash of `fields`."""
        return hashlib.sha256(json.dumps(self.fields(), sort_keys=True).encode()).hexdigest()[:20]

    def record(self, status: Status, *, detail: Detail | JsonObject | None = None, **more: Any) -> Record:
        """Return a record of this cell.

        Parameters
        ----------
        status
            Outcome.
        detail
            Fields that only records of this kind have.
        **more
            Other fields of `Record`, such as `metric` and `value`.

        Returns
        -------
        Record
            A record with the suite, case, encoder, seed, type, device, parameters and key of this cell.
        """
        return Record(
            suite=self.suite,
            case=self.case,
            encoder=self.encoder,
            status=status,
            cell=self.key,
            seed=self.seed,
            dtype=self.dtype,
            device=self.device,
            params=self.params,
            detail=detail.to_dict() if isinstance(detail, Detail) else detail or {},
            **more,
        )
