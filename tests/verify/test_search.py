"""The search finds counterexamples, makes them small, and spends nothing where it need not."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.protocol.encoder import AGGREGATIONS, ChunkAggregation, SetEncoder
from mbcbench.verify.example import Example
from mbcbench.verify.law import get_law
from mbcbench.verify.law_run import LawRun, LawTimeout
from mbcbench.verify.search import SearchResult, search
from mbcbench.verify.subject import Subject

State = tuple[Tensor, Tensor]


class Mean(SetEncoder[State]):
    """The mean of the elements."""

    def init_state(self, batch_size: int) -> State:
        return torch.zeros(batch_size, 2, dtype=torch.float64), torch.zeros(batch_size, 1, dtype=torch.float64)

    def update(self, state: State, x: Tensor, mask: Tensor | None = None) -> State:
        return state[0] + x.sum(1), state[1] + x.shape[1]

    def merge(self, a: State, b: State) -> State:
        return a[0] + b[0], a[1] + b[1]

    def readout(self, state: State) -> Tensor:
        return state[0] / state[1].clamp(min=1)


class MeanOfChunkMeans(Mean):
    def update(self, state: State, x: Tensor, mask: Tensor | None = None) -> State:
        return (state[0] + x.mean(1), state[1] + 1) if x.shape[1] else state


class CapOf100(Mean):
    def update(self, state: State, x: Tensor, mask: Tensor | None = None) -> State:
        return super().update(state, x[:, :100])


class RaisesAtFive(Mean):
    def update(self, state: State, x: Tensor, mask: Tensor | None = None) -> State:
        if x.shape[1] == 5:
            raise RuntimeError("five is right out")
        return super().update(state, x)


class LeaksNeighbours(Mean):
    def readout(self, state: State) -> Tensor:
        return super().readout(state) + 1e-6 * state[0].mean(0, keepdim=True)


def run_search(module: nn.Module, name: str = "mbc.partition", examples: int = 2000, **more: Any) -> SearchResult:
    return search(get_law(name), [Subject(module.eval(), 2)], examples=examples, **more)


def counterexample(result: SearchResult) -> Example:
    assert result.counterexample is not None
    return result.counterexample.example


def test_the_mean_passes() -> None:
    result = run_search(Mean())
    assert result.holds
    assert result.examples >= 2000


def test_mean_of_chunk_means_fails_on_three_elements_in_uneven_chunks() -> None:
    example = counterexample(run_search(MeanOfChunkMeans()))
    assert sorted(example.sizes) == [1, 2]
    assert len(example.kinds) == 1


def test_a_counterexample_has_round_numbers() -> None:
    values = counterexample(run_search(MeanOfChunkMeans())).values
    assert values is not None
    assert all(number == round(number) for element in values for number in element)
    assert sum(number != 0 for element in values for number in element) == 1


def test_a_cap_of_100_is_shown_on_101_elements() -> None:
    assert counterexample(run_search(CapOf100())).n == 101


def test_expected_failures_are_found_without_shrinking_the_set() -> None:
    result = run_search(CapOf100(), shrink=False)
    assert counterexample(result).n > 101
    assert result.examples < 2000


def test_an_encoder_that_raises_is_a_counterexample_with_its_message() -> None:
    result = run_search(RaisesAtFive())
    assert result.counterexample is not None
    assert result.counterexample.error == "RuntimeError: five is right out (tests/verify/test_search.py:48)"


def test_a_neighbour_that_leaks_a_millionth_is_found_with_two_sets() -> None:
    assert len(counterexample(run_search(LeaksNeighbours(), "symmetry.batch")).kinds) <= 2


def test_one_set_at_a_time_gives_the_same_result() -> None:
    assert run_search(Mean(), independent_sets=False, examples=200).holds
    assert not run_search(MeanOfChunkMeans(), independent_sets=False).holds


def test_the_same_seed_finds_the_same_counterexample() -> None:
    assert run_search(CapOf100()) == run_search(CapOf100())


@pytest.mark.parametrize("law", ["mbc.partition", "mbc.program", "mbc.large"])
def test_a_search_that_takes_too_long_raises(law: str) -> None:
    with pytest.raises(LawTimeout):
        run_search(Mean(), law, seconds=0)


def test_a_time_limit_also_ends_the_drawing_of_examples() -> None:
    with pytest.raises(LawTimeout):
        run_search(Mean(), examples=10**9, seconds=0.5)


def test_replaying_a_counterexample_breaks_the_law_again() -> None:
    example = counterexample(run_search(MeanOfChunkMeans()))
    run = LawRun(get_law("mbc.partition"), [Subject(MeanOfChunkMeans(), 2)])
    assert run.try_example(Example.from_json(example.to_json())).is_counterexample


class SumOfElements(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum(1)


class MaxOfElements(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.amax(1)


def test_a_plain_sum_is_consistent_with_g_sum_alone() -> None:
    assert [g for g in AGGREGATIONS if run_search(ChunkAggregation(SumOfElements(), g)).holds] == ["sum"]


def test_a_plain_maximum_is_consistent_with_g_max_alone() -> None:
    assert [g for g in AGGREGATIONS if run_search(ChunkAggregation(MaxOfElements(), g)).holds] == ["max"]
