"""Shards: a plan divided into parts that are run apart, as the tasks of a job array, and merged later."""

import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from mbcbench.errors import UsageError
from mbcbench.execution.runner import Job
from mbcbench.records.cell import Cell
from mbcbench.types import JsonDict

PATTERN = re.compile(r"(\d+)/(\d+)")


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of a plan, numbered from 1."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a shard such as `2/4`. Raises UsageError for any other text."""
        match = PATTERN.fullmatch(text)
        if match is None:
            raise UsageError(f"--shard {text} is not I/N; for the second of four shards give --shard 2/4")
        index, count = map(int, match.groups())
        if count == 0:
            raise UsageError(f"--shard {text}: there is at least one shard; give --shard 1/1")
        if not 1 <= index <= count:
            raise UsageError(f"--shard {text}: shards are numbered from 1; give one of 1/{count} to {count}/{count}")
        return cls(index, count)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def to_dict(self) -> JsonDict:
        """Return the shard as run.json holds it."""
        return {"index": self.index, "count": self.count}

    def select(self, jobs: Sequence[Job], with_follow_up: Collection[str]) -> list[Job]:
        """Return the jobs of this shard, in their order.

        with_follow_up: suites whose later cells depend on the records of the first ones. All their cells of one encoder
        are in the same shard, which plans the later cells from them; the cells of other suites are divided one by one.
        Shards of the same jobs get about equally many jobs of each suite. The division depends on the jobs alone.
        """
        groups: dict[tuple[str, str], list[Job]] = {}
        for job in jobs:
            cell = job.cell
            group = cell.encoder if cell.suite in with_follow_up else cell.key
            groups.setdefault((cell.suite, group), []).append(job)
        # In the order of the plan, shards of 8 would have the same 4 of 32 laws each, some of which are expensive.
        shuffled = sorted(groups, key=lambda group: (group[0], hashlib.sha256(group[1].encode()).digest()))
        chosen = {job.cell.key for group in shuffled[self.index - 1 :: self.count] for job in groups[group]}
        return [job for job in jobs if job.cell.key in chosen]


def digest_plan(cells: Iterable[Cell]) -> str:
    """Return a digest of all cells of a plan, which is the same for all shards of a run."""
    return hashlib.sha256(" ".join(sorted(cell.key for cell in cells)).encode()).hexdigest()[:16]
