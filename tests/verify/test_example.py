"""Cases: drawn data is deterministic, partitions cover the set, and an example survives JSON."""

import json

import pytest
import torch
from hypothesis import find, given, settings
from hypothesis import strategies as st

from mbcbench.verify import strategies
from mbcbench.verify.example import ALL_KINDS, KINDS, SMALLEST_SIZES, Example, ExampleData, smallest_examples


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.just(n), strategies.partitions(n))))
def test_partitions_are_positive_and_sum_to_n(partition: tuple[int, tuple[int, ...]]) -> None:
    n, sizes = partition
    assert sum(sizes) == n
    assert min(sizes) >= 1


@settings(deadline=None, derandomize=True)
@given(strategies.examples(variants=3))
def test_chunks_hold_every_element_of_every_set_once(example: Example) -> None:
    data = ExampleData(example, dim=2)
    assert [chunk.shape[1] for chunk in data.chunks] == list(example.sizes)
    streamed = torch.cat(data.chunks, 1)
    assert data.order.sort(1).values.equal(torch.arange(example.n).expand(len(example.kinds), -1))
    assert torch.equal(streamed, torch.stack([x[i] for x, i in zip(data.x, data.order, strict=True)]))


@settings(deadline=None, derandomize=True)
@given(strategies.examples())
def test_a_case_survives_json(example: Example) -> None:
    assert Example.from_json(json.loads(json.dumps(example.to_json()))) == example


@pytest.mark.parametrize(
    "example",
    [
        Example(sizes=(1, 2), values=((0.0,), (1.0,), (2.0,)), order=(2, 0, 1), seed=3),
        Example(sizes=(1,), program=(("feed", 0, 1), ("merge", 0, 0)), variant=1),
    ],
)
def test_explicit_cases_survive_json(example: Example) -> None:
    assert Example.from_json(json.loads(json.dumps(example.to_json()))) == example


def test_the_same_case_gives_the_same_data() -> None:
    example = Example(sizes=(4, 5), kinds=ALL_KINDS, seed=11, arrangement="shuffled")
    assert torch.equal(ExampleData(example, 3).x, ExampleData(example, 3).x)
    assert torch.equal(ExampleData(example, 3).order, ExampleData(example, 3).order)


def test_every_kind_of_data_is_what_its_name_says() -> None:
    x = ExampleData(Example(sizes=(40,), kinds=ALL_KINDS, seed=1), 2).x
    by_name = {name: x[row] for row, (name, _) in enumerate(KINDS)}
    assert (by_name["constant"] == by_name["constant"][0]).all()
    assert (by_name["sorted"].diff(dim=0) >= 0).all()
    assert (by_name["negative"] < 0).all()
    assert (by_name["zero rows"] == 0).all(1).sum() == 20
    assert len({tuple(element) for element in by_name["duplicates"].tolist()}) == 2
    assert torch.equal(by_name["small integers"], by_name["small integers"].round())
    assert by_name["offset 1000"].mean() > 900


def test_smallest_examples_comes_in_order_of_size_and_knows_uneven_chunks() -> None:
    examples = list(smallest_examples(3))
    assert [c.n for c in examples] == sorted(c.n for c in examples) or examples[0].n == 1
    assert (1, 2) in SMALLEST_SIZES
    assert {c.variant for c in examples} == {0, 1, 2}


@settings(deadline=None, derandomize=True)
@given(strategies.cardinalities())
def test_cardinalities_stay_in_bounds(n: int) -> None:
    assert 1 <= n <= 513


def test_one_part_is_the_whole_set() -> None:
    for n in (1, 2, 50):
        assert find(strategies.partitions(n, max_parts=1), lambda sizes: True) == (n,)
