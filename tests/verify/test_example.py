"""Cases: drawn data is deterministic, partitions cover the set, and a case survives JSON."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mbcbench.verify import strategies
from mbcbench.verify.example import KINDS, LANES, SMALL_SIZES, Case, Drawn, small_scope


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.just(n), strategies.partitions(n))))
def test_partitions_are_positive_and_sum_to_n(drawn: tuple[int, tuple[int, ...]]) -> None:
    n, sizes = drawn
    assert sum(sizes) == n
    assert min(sizes) >= 1


@given(strategies.cases(variants=3))
def test_chunks_hold_every_element_of_every_set_once(case: Case) -> None:
    drawn = Drawn(case, dim=2)
    assert [chunk.shape[1] for chunk in drawn.chunks] == list(case.sizes)
    streamed = torch.cat(drawn.chunks, 1)
    assert drawn.index.sort(1).values.equal(torch.arange(case.n).expand(len(case.lanes), -1))
    assert torch.equal(streamed, torch.stack([x[i] for x, i in zip(drawn.x, drawn.index, strict=True)]))


@given(strategies.cases())
def test_a_case_survives_json(case: Case) -> None:
    assert Case.from_json(json.loads(json.dumps(case.to_json()))) == case


@pytest.mark.parametrize(
    "case",
    [
        Case(sizes=(1, 2), values=((0.0,), (1.0,), (2.0,)), index=(2, 0, 1), seed=3),
        Case(sizes=(1,), program=(("feed", 0, 1), ("merge", 0, 0)), variant=1),
    ],
)
def test_explicit_cases_survive_json(case: Case) -> None:
    assert Case.from_json(json.loads(json.dumps(case.to_json()))) == case


def test_the_same_case_gives_the_same_data() -> None:
    case = Case(sizes=(4, 5), lanes=LANES, seed=11, arrangement="shuffled")
    assert torch.equal(Drawn(case, 3).x, Drawn(case, 3).x)
    assert torch.equal(Drawn(case, 3).index, Drawn(case, 3).index)


def test_every_kind_of_data_is_what_its_name_says() -> None:
    x = Drawn(Case(sizes=(40,), lanes=LANES, seed=1), 2).x
    by_name = {name: x[at] for at, (name, _) in enumerate(KINDS)}
    assert (by_name["constant"] == by_name["constant"][0]).all()
    assert (by_name["sorted"].diff(dim=0) >= 0).all()
    assert (by_name["negative"] < 0).all()
    assert (by_name["zero rows"] == 0).all(1).sum() == 20
    assert len({tuple(element) for element in by_name["duplicates"].tolist()}) == 2
    assert torch.equal(by_name["small integers"], by_name["small integers"].round())
    assert by_name["offset 1000"].mean() > 900


def test_small_scope_comes_in_order_of_size_and_knows_uneven_chunks() -> None:
    cases = list(small_scope(3))
    assert [c.n for c in cases] == sorted(c.n for c in cases) or cases[0].n == 1
    assert (1, 2) in SMALL_SIZES
    assert {c.variant for c in cases} == {0, 1, 2}


@given(strategies.cardinalities())
def test_cardinalities_stay_in_bounds(n: int) -> None:
    assert 1 <= n <= 513
