"""The law about several processes: how chunks are dealt, what each process computes, and what is compared."""

import math
from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.suites.laws import distributed
from mbcbench.suites.laws.distributed import DISTRIBUTED, Shares, _Encoded
from mbcbench.suites.laws.gradients import linear_loss
from mbcbench.suites.laws.ranks import NoGroupError, RankError
from mbcbench.types import Encoder
from mbcbench.verify.checker import Budget
from mbcbench.verify.example import KINDS, Example, ExampleData
from mbcbench.verify.law import NotApplicable
from mbcbench.verify.tolerance import Comparison
from tests.controls.base import Mean
from tests.verify.helpers import WIDTH, data_of, holds, numbers, subject_of

NO_GROUP, NO_RANK = NoGroupError("no sockets"), RankError("rank 1 of 2 dies")


def encoded(*encodings: float, elements: float = 1.0, parameters: float = 1.0) -> _Encoded:
    """Return encodings of two sets of three elements, and gradients that are all equal."""
    for_elements = torch.full((len(encodings), 3 * WIDTH), elements, dtype=torch.float64)
    return _Encoded(numbers(*encodings).reshape(-1, 1), for_elements, numbers(parameters, parameters))


def compare(
    alone: _Encoded | Exception, together: _Encoded | Exception, monkeypatch: pytest.MonkeyPatch
) -> tuple[Comparison, list[Shares], ExampleData]:
    """Return what the law says of two results, the shares of all calls, and the data."""
    calls: list[Shares] = []

    def encode_in_ranks(module: Encoder, x: Tensor, data: ExampleData, shares: Shares) -> list[_Encoded]:
        calls.append(shares)
        result = alone if len(shares) == 1 else together
        if isinstance(result, Exception):
            raise result
        return [result] * len(shares)

    monkeypatch.setattr(distributed, "_encode_in_ranks", encode_in_ranks)
    data = data_of(1, 1, 1)
    with torch.no_grad():
        return DISTRIBUTED.check(subject_of(), data), calls, data


def test_the_gradients_for_parameters_count_for_each_set() -> None:
    both = _Encoded(torch.empty(2, 1), torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([7, 8])).gradients()
    assert both.tolist() == [[1, 2, 3, 7, 8], [4, 5, 6, 7, 8]]


def test_equal_results_of_one_and_more_processes_keep_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    comparison, calls, data = compare(encoded(1, 2), encoded(1, 2), monkeypatch)
    assert holds(comparison)
    assert calls == [[[0, 1, 2]], data.choices["chunks of each process"]]


def test_an_encoding_that_differs_in_one_set_breaks_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    comparison, *_ = compare(encoded(1, 2), encoded(1, 2.5, elements=9), monkeypatch)
    assert comparison.gap.tolist() == [0, 0.5]
    assert comparison.note == ""


@pytest.mark.parametrize("gradients", [{"elements": 3.0}, {"parameters": 3.0}])
@pytest.mark.parametrize("encodings", [(1.0, 2.0), (0.0, 0.0)])
def test_gradients_that_differ_where_encodings_agree_break_the_law(
    gradients: dict[str, float], encodings: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison, *_ = compare(encoded(*encodings), encoded(*encodings, **gradients), monkeypatch)
    assert comparison.gap.tolist() == [2, 2]
    assert comparison.note == "the encodings agree, and the gradients differ"


def test_a_process_that_fails_breaks_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    comparison, *_ = compare(encoded(1, 2), NO_RANK, monkeypatch)
    assert comparison.gap.tolist() == [math.inf] * 2
    assert comparison.note == "rank 1 of 2 dies"


@pytest.mark.parametrize("alone", [NO_GROUP, encoded(1, 2)])
def test_the_law_does_not_apply_where_there_can_be_no_group(
    alone: _Encoded | Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotApplicable, match="no sockets"):
        compare(alone, NO_GROUP, monkeypatch)


def test_an_error_in_a_single_process_is_one_of_the_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RankError, match="rank 1 of 2 dies"):
        compare(NO_RANK, encoded(1, 2), monkeypatch)


def test_neighbouring_chunks_are_dealt_to_two_or_three_processes_and_perhaps_none_to_some() -> None:
    dealt = []
    for seed in range(100):
        data = ExampleData(Example(sizes=(1, 2, 1, 3), seed=seed), WIDTH)
        shares = distributed._deal(data)
        assert [*chain.from_iterable(shares)] == [0, 1, 2, 3]
        assert data.choices["chunks of each process"] == shares
        dealt.append([len(share) for share in shares])
    assert {len(counts) for counts in dealt} == {2, 3}
    two = {tuple(counts) for counts in dealt if len(counts) == 2}
    assert two == {(0, 4), (1, 3), (2, 2), (3, 1), (4, 0)}
    assert {counts.index(0) for counts in dealt if len(counts) == 3 and 0 in counts} == {0, 1, 2}


def test_each_process_encodes_its_share_with_the_seed_of_the_example(monkeypatch: pytest.MonkeyPatch) -> None:
    def call(function: Callable[[int], _Encoded], like: _Encoded, size: int, seed: int) -> list[_Encoded]:
        assert isinstance(like, _Encoded)
        assert (size, seed) == (3, 9)
        return [function(rank) for rank in range(size)]

    monkeypatch.setattr(distributed, "call_in_ranks", call)
    monkeypatch.setattr(distributed, "_encode_share", lambda *args: args)
    data, module = data_of(1, 1, seed=9), Mean(WIDTH)
    shares = [[0], [], [1]]
    results: list[Any] = distributed._encode_in_ranks(module, data.x, data, shares)
    assert results == [(module, data.x, data, shares, rank) for rank in range(3)]


def encode_share(
    module: nn.Module, data: ExampleData, rank: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[_Encoded, list[str]]:
    """Return what one of two processes computes, and its exchanges with the other, which has the same gradients."""
    exchanges = []

    def encode(module: Encoder, chunks: list[Tensor]) -> Tensor:
        exchanges.append(f"encode {len(chunks)}")
        state = module.init_state(2)
        for chunk in chunks:
            state = module.update(state, chunk)
        out: Tensor = module.readout(state)
        return out

    def average_gradients(module: Encoder) -> None:
        exchanges.append("average")
        for parameter in module.parameters():
            if parameter.grad is not None:
                parameter.grad = 10 * parameter.grad

    def all_reduce(gradient: Tensor) -> None:
        exchanges.append("sum")
        gradient.mul_(2)

    monkeypatch.setattr(distributed.distributed, "encode", encode)
    monkeypatch.setattr(distributed.distributed, "average_gradients", average_gradients)
    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    with torch.no_grad():
        return distributed._encode_share(module, data.x, data, [[0, 1], [2]], rank), exchanges


class FrozenBias(Mean):
    """Has a bias that is not trained."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.phi.bias.requires_grad = False


def test_a_process_returns_its_encoding_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    module, data = subject_of(FrozenBias).module, data_of(1, 1, 2)
    x = data.x.clone().requires_grad_()
    loss = linear_loss(expected := module(x[:, :2]), data)
    for_elements, for_weight = torch.autograd.grad(loss, [x, module.phi.weight])
    for _ in range(2):  # gradients do not add up from call to call
        result, exchanges = encode_share(module, data, 0, monkeypatch)
        assert exchanges == ["encode 2", "average", "sum"]
        torch.testing.assert_close(result.encoding, expected.detach())
        torch.testing.assert_close(result.for_elements, for_elements.flatten(1))
        torch.testing.assert_close(result.for_parameters, 10 * for_weight.flatten())
        assert not result.encoding.requires_grad


def test_a_process_whose_encoding_needs_no_gradient_takes_part_in_all_exchanges(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module, data = subject_of(Mean).module, data_of(1, 1, 2)
    for parameter in module.parameters():
        parameter.requires_grad = False
    monkeypatch.setattr(Mean, "part", lambda self, x, mask: self.init_state(len(x)))
    result, exchanges = encode_share(module, data, 1, monkeypatch)
    assert exchanges == ["encode 1", "average", "sum"]
    assert result.for_elements.tolist() == [[0.0] * 4 * WIDTH] * 2
    assert result.for_parameters.shape == (0,)


def test_the_law_needs_merge_and_processes_that_can_be_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert DISTRIBUTED.unmet_requirement(subject_of()) is None
    assert DISTRIBUTED.unmet_requirement(subject_of(lambda dim: nn.Linear(dim, 2))) is not None
    monkeypatch.setattr(distributed, "why_not_forkable", lambda: "no fork")
    assert DISTRIBUTED.unmet_requirement(subject_of()) == "no fork"


def test_the_law_is_tried_without_ties_and_first_with_three_processes_of_which_one_has_no_chunk_and_with_two() -> None:
    kinds = [KINDS[kind][0] for kind in DISTRIBUTED.kinds]
    assert not {"constant", "duplicates", "zero rows"} & {*kinds}
    assert {"normal", "sorted", "outlier"} <= {*kinds}
    assert all(example.kinds == DISTRIBUTED.kinds for example in DISTRIBUTED.first)
    shares = [distributed._deal(ExampleData(example, WIDTH)) for example in DISTRIBUTED.first]
    assert [len(of_example) for of_example in shares] == [3, 2]
    assert [] in chain.from_iterable(shares)
    assert len({example.variant for example in DISTRIBUTED.first} - {0}) == 2


def test_processes_are_slow_to_start_and_the_law_gets_a_small_part_of_the_budget_and_no_large_sets() -> None:
    assert 0 < Budget(examples=10_000).sets_for(DISTRIBUTED) < 1000
    assert DISTRIBUTED.max_size <= 64
