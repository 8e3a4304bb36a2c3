"""Shards: every cell is in one of them, and cells whose records others depend on are together."""

from collections import Counter

import pytest

from mbcbench.errors import UsageError
from mbcbench.execution.runner import Job, Limits
from mbcbench.execution.shard import Shard, digest_plan
from mbcbench.records.cell import Cell

LAWS = [f"law{n}" for n in range(32)]
JOBS = [
    Job(Cell(suite=suite, case=case, encoder=f"encoder{n}"), Limits())
    for suite, cases in {"laws": LAWS, "task": ["a", "b", "c"]}.items()
    for n in range(35)
    for case in cases
]


@pytest.mark.parametrize("count", [1, 2, 8, 32])
def test_every_cell_is_in_one_shard_and_shards_have_about_as_many(count: int) -> None:
    shards = [Shard(index, count).select(JOBS, ()) for index in range(1, count + 1)]
    assert Counter(job.cell.key for shard in shards for job in shard) == Counter(job.cell.key for job in JOBS)
    sizes = [len(shard) for shard in shards]
    assert max(sizes) - min(sizes) <= 1


def test_the_order_and_the_rest_of_a_plan_do_not_decide_the_number_of_a_shard() -> None:
    cells = {job.cell.key for job in Shard(2, 4).select(JOBS, ())}
    assert {job.cell.key for job in Shard(2, 4).select(JOBS[::-1], ())} == cells
    assert digest_plan(job.cell for job in JOBS) == digest_plan(job.cell for job in JOBS[::-1])


def test_a_law_is_in_all_shards_although_their_number_divides_that_of_laws() -> None:
    counts = Counter(job.cell.case for job in Shard(3, 8).select(JOBS, ()) if job.cell.suite == "laws")
    assert len(counts) > 24
    assert max(counts.values()) <= 12


def test_cells_that_later_ones_depend_on_are_together_with_those_of_their_encoder() -> None:
    shards = [Shard(index, 4).select(JOBS, {"task"}) for index in range(1, 5)]
    for n in range(35):
        homes = [sum(j.cell.suite == "task" and j.cell.encoder == f"encoder{n}" for j in shard) for shard in shards]
        assert sorted(homes) == [0, 0, 0, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0/4", "--shard 0/4: shards are numbered from 1; give one of 1/4 to 4/4"),
        ("5/4", "--shard 5/4: shards are numbered from 1; give one of 1/4 to 4/4"),
        ("1/0", "--shard 1/0: there is at least one shard; give --shard 1/1"),
        ("2", "--shard 2 is not I/N; for the second of four shards give --shard 2/4"),
        ("-1/4", "--shard -1/4 is not I/N; for the second of four shards give --shard 2/4"),
    ],
)
def test_a_shard_that_does_not_exist_is_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        Shard.parse(text)
    assert str(error.value) == message
