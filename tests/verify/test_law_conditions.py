"""Conditions in the laws and the search that matter to few encoders, each with an encoder to which it matters."""

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mbcbench.records.record import Status
from mbcbench.suites.laws import masks, numerics, states
from mbcbench.suites.laws.masked_gradients import _NO_GRADIENT, _NOT_FINITE, _OTHER_GRADIENT, _describe
from mbcbench.suites.laws.program import _shorter_programs
from mbcbench.verify import tolerance
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import Law, NotApplicable, get_law
from mbcbench.verify.law_run import LawRun, Observation
from mbcbench.verify.shrink import _accept_if_same_fault, _simpler_values
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import MAX_RELATIVE_BOUND, Comparison
from tests.controls.base import WIDTH, Mean
from tests.controls.gradients import LearnedStart
from tests.controls.masks import NoGradientWithMask
from tests.controls.merge import MergeForgetsCount
from tests.verify.helpers import check, holds, subject_of

EXAMPLE = Example(sizes=(2,), seed=0)


@pytest.mark.parametrize(
    ("gap", "bound", "ratio"),
    [(1.0, 0.5, 2.0), (1.0, 4.0, 0.25), (0.0, 0.5, 0.0), (0.5, 0.0, math.inf), (0.0, 0.0, 0.0)],
)
def test_the_ratio_of_an_observation_is_that_of_gap_and_bound(gap: float, bound: float, ratio: float) -> None:
    assert Observation(EXAMPLE, gap=gap, bound=bound).ratio == ratio
    assert Observation(EXAMPLE, gap=gap, bound=bound, error="ValueError").ratio == math.inf


@pytest.mark.parametrize(
    ("tried", "is_accepted"),
    [
        (Observation(EXAMPLE, gap=8.0, bound=1.0), True),
        (Observation(EXAMPLE, gap=4.0, bound=1.0), False),
        (Observation(EXAMPLE, gap=8.0, bound=1.0, error="ValueError"), False),
        (Observation(EXAMPLE, gap=math.inf, bound=1.0), False),
        (Observation(EXAMPLE, gap=0.0, bound=1.0), False),
    ],
)
def test_a_simpler_example_is_kept_if_it_shows_the_same_fault_as_clearly(
    tried: Observation, is_accepted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = LawRun(get_law("mbc.partition"), [subject_of()])
    monkeypatch.setattr(run, "try_example", lambda example: replace(tried, example=example))
    kept = _accept_if_same_fault(run, EXAMPLE, Observation(EXAMPLE, gap=9.0, bound=1.0), 5.0)
    assert (kept is not None) == is_accepted


class SeedsTorch(Mean):
    def features(self, x: Tensor) -> Tensor:
        torch.manual_seed(0)
        return super().features(x)


class SeedsNumpy(Mean):
    def features(self, x: Tensor) -> Tensor:
        np.random.seed(0)
        return super().features(x)


class SeedsPython(Mean):
    def features(self, x: Tensor) -> Tensor:
        random.seed(0)
        return super().features(x)


@pytest.mark.parametrize("encoder", [SeedsTorch, SeedsNumpy, SeedsPython])
def test_a_generator_that_is_seeded_as_it_was_seeded_already_is_noticed(encoder: type[nn.Module]) -> None:
    python_state, numpy_state = random.getstate(), np.random.get_state()
    data = ExampleData(EXAMPLE, 3)
    try:
        with torch.random.fork_rng(), torch.no_grad():
            for each in (encoder, Mean):
                subject = subject_of(each)
                torch.manual_seed(0)
                np.random.seed(0)
                random.seed(0)
                assert holds(get_law("hygiene.rng").check(subject, data)) == (each is Mean)
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


class Gates(Mean):
    """A mean that ignores the first feature of the elements, for which all gradients are zero."""

    def features(self, x: Tensor) -> Tensor:
        return super().features(torch.cat([torch.zeros_like(x[..., :1]), x[..., 1:]], -1))


class GatesWithoutGradient(NoGradientWithMask, Gates):
    pass


def test_gradients_are_compared_if_some_of_them_are_zero() -> None:
    assert holds(check("symmetry.padding", Gates, seed=2))
    assert not holds(check("symmetry.padding", GatesWithoutGradient, seed=2))


class Recurrent(nn.Module):
    """Streams in one order, and cannot merge."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.cell = nn.GRU(dim_in, WIDTH, batch_first=True)

    def init_state(self, batch_size: int) -> Tensor:
        return next(self.parameters()).new_zeros(1, batch_size, WIDTH)

    def update(self, state: Tensor, x: Tensor) -> Tensor:
        new: Tensor = self.cell(x, state)[1] if x.shape[1] else state  # which refuses empty chunks
        return new

    def readout(self, state: Tensor) -> Tensor:
        return state[0]

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.update(self.init_state(len(x)), x))


def status(encoder: type[nn.Module], law: str, examples: int = 24) -> Status:
    return Checker(encoder(3).eval(), dim_in=3).judge(law, Budget(examples=examples, min_examples=4)).status


def test_programs_of_an_encoder_that_cannot_merge_have_no_merges() -> None:
    assert status(Recurrent, "mbc.program", examples=200) is Status.PASS


class StateThatGrowsOnce(LearnedStart):
    """Starts without a number of elements, so that the first update adds a leaf to the state."""

    def init_state(self, batch_size: int) -> Any:
        return (super().init_state(batch_size).total,)

    def add(self, a: Any, b: Any) -> Any:
        return super().add(Mean.init_state(self, len(a[0]))._replace(total=a[0]) if len(a) == 1 else a, b)

    def readout(self, state: Any) -> Tensor:
        total: Tensor = state[0]
        return total.tanh()


def test_the_gradient_of_a_learned_start_is_counted_if_the_first_update_adds_a_leaf() -> None:
    assert status(StateThatGrowsOnce, "mbc.partial_gradient") is Status.PASS


class MeanOfMany(Mean):
    """Refuses sets of fewer than five elements."""

    min_size = 5

    def readout(self, state: Any) -> Tensor:
        if bool((state.number < self.min_size).any()):
            raise ValueError("sets need at least 5 elements")
        return super().readout(state)


def test_no_set_lacks_a_chunk_if_the_others_are_too_few_elements() -> None:
    assert status(MeanOfMany, "mbc.mask", examples=64) is Status.PASS


class DrawsInOnePiece(Mean):
    """Draws a number from the global generator when a set is encoded in one piece."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            torch.rand(1)
        return super().forward(x, mask)


def test_a_number_that_is_drawn_only_for_a_set_in_one_piece_is_noticed() -> None:
    assert not holds(check("hygiene.rng", DrawsInOnePiece))


class ForgetsBeyond300(Mean):
    """Encodes the first 300 elements only."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x[:, :300], mask)


def test_a_large_set_whose_order_matters_is_described() -> None:
    comparison = check("symmetry.size", ForgetsBeyond300, 512)
    assert not holds(comparison)
    assert comparison.note == "512 elements in another order"
    assert holds(check("symmetry.size", ForgetsBeyond300, 256))


@pytest.mark.parametrize(
    ("gradient", "note"),
    [(0.0, _NO_GRADIENT), (1.0, _OTHER_GRADIENT), (math.nan, _NOT_FINITE), (math.inf, _NOT_FINITE)],
)
def test_a_wrong_gradient_of_a_padded_set_is_described(gradient: float, note: str) -> None:
    assert _describe(torch.tensor([[0.0, gradient]])) == note


def test_a_program_is_shortened_by_a_step_or_a_number() -> None:
    program = (("feed", 0, 2), ("merge", 1, 0))
    assert [tuple(shorter) for shorter in _shorter_programs(program)] == [
        (("feed", 0, 2),),
        (("feed", 0, 2), ("merge", 0, 0)),
        (("merge", 1, 0),),
        (("feed", 0, 1), ("merge", 1, 0)),
    ]


@pytest.mark.parametrize(("encoder", "n"), [(Mean, 3), (Recurrent, 2)])
def test_an_overflow_of_products_is_sought_with_masked_elements_if_an_encoder_takes_a_mask(
    encoder: type[nn.Module], n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def measure(module: nn.Module, x: Tensor) -> float:
        sizes.append(x.shape[1])
        return math.inf

    monkeypatch.setattr(numerics, "largest_product", measure)
    lost = torch.tensor([[True, False], [False, False]])
    explained = numerics._is_overflow_of_products(subject_of(encoder), torch.zeros(2, 2, 3), lost, lost)
    assert explained.tolist() == [[True, False], [True, False]]
    assert sizes == [n]


def test_the_choices_of_a_masked_stream_in_train_mode_say_where_its_padding_is() -> None:
    data = ExampleData(Example(sizes=(2, 1), kinds=(0, 0), seed=1), 3)
    with torch.no_grad():
        get_law("mbc.mask").check(subject_of(Mean), data)
    padding = data.choices["positions of the padding in train mode"]
    assert padding.sum(1).tolist() == [4, 4]


class SmallSum(Mean):
    """A sum whose encoding is far below one."""

    def readout(self, state: Any) -> Tensor:
        total: Tensor = state.total
        return total * 1e-3


def test_the_error_of_an_encoding_below_one_is_relative_to_it() -> None:
    encoder = subject_of(SmallSum).in_dtype(torch.float32)
    data = ExampleData(Example(sizes=(7,) * 9, kinds=(0, 1, 2, 3), seed=1), 3)
    with torch.no_grad():
        assert float(numerics._relative_error(encoder, data, torch.float32).max()) > 0.01


class Pairs(nn.Module):
    """An output for each pair of elements."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x[..., 0].unsqueeze(1) * x[..., 0].unsqueeze(2)


def test_a_layer_with_an_output_for_each_pair_is_not_tried_on_sets_with_too_many() -> None:
    assert holds(check("symmetry.elements", Pairs, 8))
    with pytest.raises(NotApplicable, match="3000 elements have too many outputs, one for each combination of 2"):
        check("symmetry.elements", Pairs, 3000)


class RefusesToMerge(Mean):
    def merge(self, a: Any, b: Any) -> Any:
        raise ValueError("these states cannot be merged")


def test_elements_are_moved_apart_in_proportion_to_their_size() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.tensor([0.0, 1e-3, 1.0, 1e3], dtype=torch.float64).repeat(100, 1)
    moved = (tolerance.jitter(x, generator) - x).abs().amax(0).tolist()
    assert moved == pytest.approx([1e-6, 1e-6, 1e-6, 1e-3], rel=0.2)


def test_encodings_of_another_shape_differ() -> None:
    whole = torch.zeros(2, 3, dtype=torch.float64)
    assert numerics._differ(subject_of(), whole, torch.zeros(2, 3, 1, dtype=torch.float64)).tolist() == [True, True]
    assert numerics._differ(subject_of(), whole, whole).tolist() == [False, False]


class KeepsPositive(nn.Module):
    """Encodes a set as those of its elements that are positive in all sets of the batch."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x[:, (x[..., 0] > 0).all(0)]


def test_encodings_whose_size_depends_on_the_data_are_no_affine_function() -> None:
    assert holds(check("substance.attention", KeepsPositive, 5))


def test_a_bound_is_never_larger_than_an_error() -> None:
    def check_nothing(subject: Subject, data: ExampleData) -> Comparison:
        one = torch.ones(len(data.x), dtype=torch.float64)
        return Comparison(gap=0 * one, bound=one, scale=one)

    with torch.no_grad():
        observation = LawRun(Law(id="of.bound", check=check_nothing), [subject_of(ForgetsBeyond300)]).try_example(
            EXAMPLE
        )
    assert 0 < observation.relative_bound <= MAX_RELATIVE_BOUND * (1 + 1e-9)


@pytest.mark.parametrize(("encoder", "is_wrong"), [(Mean, False), (MergeForgetsCount, True), (RefusesToMerge, False)])
def test_a_merge_is_wrong_if_states_without_masks_do_not_merge(encoder: type[nn.Module], is_wrong: bool) -> None:
    with torch.no_grad():
        assert masks._merges_wrongly(subject_of(encoder), ExampleData(Example(sizes=(2, 1), seed=0), 3)) == is_wrong


@pytest.mark.parametrize(("step", "is_unusual"), [(10.0, False), (1e5, True)])
def test_a_step_that_is_small_beside_the_encoding_is_not_unusual(step: float, is_unusual: bool) -> None:
    level = torch.full((1, 2), 1e3, dtype=torch.float64)
    encodings = [level] * (2 * states._STEPS_BEFORE_LIMIT)
    later = [level + step * states._NOTICEABLE] * 3
    assert states._has_unusual_step([*encodings, *later], 1.0) == is_unusual


def test_the_simplest_elements_are_ones_then_counted_then_rounded() -> None:
    simpler = [values.tolist() for values in _simpler_values(np.array([[0.126, 2.0], [-1.5, 0.0]]))]
    assert simpler == [
        [[1.0, 0.0], [1.0, 0.0]],
        [[0.0, 0.0], [1.0, 0.0]],
        [[0.0, 2.0], [-2.0, 0.0]],
        [[0.1, 2.0], [-1.5, 0.0]],
        [[0.13, 2.0], [-1.5, 0.0]],
    ]


@pytest.mark.parametrize(("gap", "is_broken"), [(0.7e-6, False), (1.4e-6, True)])
def test_a_gap_is_negligible_up_to_a_millionth_of_an_epsilon(gap: float, is_broken: bool) -> None:
    def check_gap(subject: Subject, data: ExampleData) -> Comparison:
        one = torch.ones(len(data.x), dtype=torch.float64)
        return Comparison(gap=gap * torch.finfo(torch.float64).eps * one, bound=0 * one, scale=one)

    with torch.no_grad():
        observation = LawRun(Law(id="of.gap", check=check_gap), [subject_of()]).try_example(EXAMPLE)
    assert observation.is_counterexample == is_broken
