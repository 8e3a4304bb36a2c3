"""Cells: units of work that run alone, may crash alone, and are never repeated."""

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
    """One unit of work: what to run (suite, case, params), on which encoder (a target), and under which seed.

    identity: what else can change the outcome (versions, digests of the sources and data), filled in by the runner.
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
        """Everything that can change the cell's outcome, flat."""
        own = {name: getattr(self, name) for name in ("suite", "case", "encoder", "seed", "dtype", "device")}
        return own | {f"params.{k}": v for k, v in self.params.items()} | dict(self.identity)

    @property
    def key(self) -> str:
        """A hash of `fields`."""
        return hashlib.sha256(json.dumps(self.fields(), sort_keys=True).encode()).hexdigest()[:20]

    def record(self, status: Status, *, detail: Detail | JsonObject | None = None, **more: Any) -> Record:
        """Return a record of this cell; `more` are fields of `Record`."""
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
