"""Each law on encoders that raise, refuse, return other shapes or touch their input: directly, without a search."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.errors import LawOutOfMemoryError
from mbcbench.records.record import Status
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.domain import Domain
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import NotApplicable, get_law
from mbcbench.verify.law_run import LawRun
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison
from tests.controls import control
from tests.controls.base import Max, Mean, Slots, Sum, Sums, hide

WIDTH = 3


def subject_of(encoder: Callable[[int], nn.Module], **more: Any) -> Subject:
    torch.manual_seed(0)
    return Subject(encoder(WIDTH).double().eval(), WIDTH, **more)


def check(law: str, encoder: Callable[[int], nn.Module], *sizes: int, seed: int = 1, **more: Any) -> Comparison:
    """Return what a law says about an encoder on two normal sets."""
    example = Example(sizes=sizes or (2, 1), kinds=(0, 0), seed=seed)
    with torch.no_grad():
        return get_law(law).check(subject_of(encoder, **more), ExampleData(example, WIDTH))


def holds(comparison: Comparison) -> bool:
    return bool((comparison.gap <= comparison.bound).all())


# ---- hygiene.inputs


class CentresChunksInPlace(Mean):
    """Centres a chunk in place, and only a chunk."""

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        new = super().update(state, x, mask)
        x -= 1
        return new

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.readout(super().update(self.init_state(len(x)), x, mask))


class ViewsChunks(Mean):
    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return super().update(state, x.view(-1, WIDTH).view(x.shape), mask)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x.contiguous(), mask)


class RaisesInStreams(Mean):
    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        raise RuntimeError("no chunks today")

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.readout(super().update(self.init_state(len(x)), x, mask))


class SumOfChunkMeans(Sum):
    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        return super().part(x, mask)._replace(total=self.features(x).mean(1))


def test_a_chunk_that_is_modified_is_a_violation() -> None:
    comparison = check("hygiene.inputs", CentresChunksInPlace)
    assert comparison.note == "a chunk was modified"
    assert not holds(comparison)


def test_a_chunk_that_cannot_be_viewed_is_a_violation() -> None:
    comparison = check("hygiene.inputs", ViewsChunks)
    assert comparison.note.startswith("a view of a larger tensor raises RuntimeError: view size is not compatible")
    assert not holds(comparison)


def test_an_update_that_always_raises_is_not_a_matter_of_views() -> None:
    with pytest.raises(RuntimeError, match="no chunks today"):
        check("hygiene.inputs", RaisesInStreams)


def test_a_stream_that_differs_from_the_set_keeps_the_law_of_inputs() -> None:
    assert holds(check("hygiene.inputs", SumOfChunkMeans))
    assert not holds(check("mbc.partition", SumOfChunkMeans))


# ---- side effects and precision


class DrawsInStreams(Mean):
    """Draws from the global generator for each chunk, and not for a full set."""

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        torch.rand(1)
        return super().update(state, x, mask)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.readout(super().update(self.init_state(len(x)), x, mask))


class RoundsItsBias(Mean):
    """Computes a vector of four numbers in float32, and nothing else."""

    def features(self, x: Tensor) -> Tensor:
        return super().features(x) + self.phi.bias.float().double().to(x.dtype)


def test_a_stream_that_draws_from_the_global_generator_is_noticed() -> None:
    assert check("hygiene.rng", DrawsInStreams).note == "the state of torch's global generator changed"


def test_a_vector_that_is_rounded_to_float32_is_noticed() -> None:
    note = check("hygiene.dtype", RoundsItsBias).note
    assert note == "with float64 input and parameters, it computes in float32 inside"


# ---- other shapes, errors and refusals


class OneMoreChannel(Mean):
    """Streams encodings with a channel that those of full sets lack."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x, mask)[:, :-1]


class OneForAll(Mean):
    """Returns one encoding for the whole batch."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x, mask).mean(0, keepdim=True)


class Float64Only(Mean):
    def features(self, x: Tensor) -> Tensor:
        if x.dtype is not torch.float64:
            raise RuntimeError(f"not implemented for {x.dtype}")
        return super().features(x)


class RaisesOnNan(Mean):
    error: type[Exception] = RuntimeError

    def features(self, x: Tensor) -> Tensor:
        if not bool(x.isfinite().all()):
            raise self.error("not finite")
        return super().features(x)


class DecomposesNan(RaisesOnNan):
    error = getattr(torch.linalg, "LinAlgError")  # noqa: B009 # it has no type


class RefusesAbsentSets(Mean):
    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        if mask is not None and not bool(mask.any(1).all()):
            raise ValueError("each set needs an element in each chunk")
        return super().update(state, x, mask)


class RaisesMutely(RefusesAbsentSets):
    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        if mask is not None and not bool(mask.any(1).all()):
            raise ValueError
        return super().update(state, x, mask)


class NeedsMemory(Mean):
    def features(self, x: Tensor) -> Tensor:
        raise MemoryError


def test_encodings_of_different_shapes_differ_without_bound() -> None:
    comparison = check("mbc.partition", OneMoreChannel)
    assert comparison.gap.tolist() == [torch.inf, torch.inf]
    assert comparison.note == "shape (2, 4) instead of (2, 3)"


def test_a_batch_with_one_encoding_breaks_the_law_of_batches() -> None:
    comparison = check("symmetry.batch", OneForAll)
    assert comparison.note == "1 encodings of 2 sets"
    assert not holds(comparison)
    assert holds(check("symmetry.train", OneForAll))  # it is for symmetry.batch to judge


def test_a_precision_that_is_not_supported_is_reported_and_breaks_nothing() -> None:
    comparison = check("numerics.precision", Float64Only)
    assert comparison.note.startswith("float32 not supported (RuntimeError: not implemented for torch.float32)")
    assert comparison.gap.tolist() == [0.0, 0.0]
    assert holds(check("numerics.float32", Float64Only))


def test_an_error_for_nan_is_raised_unless_linear_algebra_raises_it() -> None:
    assert holds(check("hygiene.nonfinite", DecomposesNan))
    with pytest.raises(RuntimeError, match="not finite"):
        check("hygiene.nonfinite", RaisesOnNan)


@pytest.mark.parametrize("law", ["mbc.mask", "symmetry.padding", "mbc.empty"])
def test_a_set_without_elements_may_be_refused_with_a_message_only(law: str) -> None:
    for seed in range(6):
        assert holds(check(law, RefusesAbsentSets, seed=seed))
    with pytest.raises(ValueError, match=r"^$"):
        _ = [check(law, RaisesMutely, seed=seed) for seed in range(6)]


def test_memory_that_runs_out_is_not_a_counterexample() -> None:
    example = Example(sizes=(2,), kinds=(0,), seed=1)
    with pytest.raises(LawOutOfMemoryError):
        LawRun(get_law("mbc.partition"), [subject_of(NeedsMemory)]).try_example(example)


class NeedsMemoryForThreeElements(Mean):
    def features(self, x: Tensor) -> Tensor:
        if x.shape[1] == 3:
            raise MemoryError
        return super().features(x)


def test_memory_that_runs_out_in_a_law_is_the_status_of_its_record() -> None:
    record = Checker(NeedsMemoryForThreeElements, dim_in=WIDTH).judge("mbc.partition", Budget(examples=64))
    assert record.status is Status.OOM
    assert record.message.startswith("memory ran out: ")


# ---- states


class StateOfOtherShape(Mean):
    """Uses a state and appends to it, in place."""

    def init_state(self, batch_size: int) -> Any:
        return {"total": super().init_state(batch_size).total, "chunks": []}

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        state["chunks"].append(x)
        return {"total": state["total"] + self.features(x).sum(1), "chunks": state["chunks"]}

    def merge(self, a: Any, b: Any) -> Any:
        return {"total": a["total"] + b["total"], "chunks": [*a["chunks"], *b["chunks"]]}

    def readout(self, state: Any) -> Tensor:
        total: Tensor = state["total"]
        return total


def test_a_state_that_gets_longer_when_it_is_used_was_changed() -> None:
    comparison = check("mbc.fork", StateOfOtherShape)
    assert comparison.note == "using a state changed it"


def test_a_state_that_stores_its_chunks_grows() -> None:
    comparison = check("mbc.memory", StateOfOtherShape, *[1] * 8)
    assert comparison.note == f"{6 * 2 * WIDTH * 8} bytes more after 8 elements than after 2"


class CountsInOneByte(Mean):
    """Counts in an integer of eight bits."""

    def add(self, a: Any, b: Any) -> Any:
        return Sums(a.total + b.total, (a.number + b.number) % 256)

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        part = super().part(x, mask)
        return part._replace(number=part.number % 256)


def test_the_element_at_which_a_count_overflows_is_named() -> None:
    comparison = check("mbc.large", CountsInOneByte, 2**8 - 4, *[1] * 8)
    assert comparison.note == "element 256 changes the encoding far more than equal elements do"
    assert not holds(comparison)
    assert check("mbc.large", Mean, 2**8 - 4, *[1] * 8).gap.tolist() == [0.0, 0.0]


class WeightsLaterChunks(Mean):
    """A stream of elements in order: each number is half of the last."""

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        weights = 0.5 ** torch.arange(x.shape[1], dtype=x.dtype)
        return super().part(x, mask)._replace(total=(self.features(x) * weights[:, None]).sum(1))

    def add(self, a: Any, b: Any) -> Any:
        return Sums(a.total + b.total * 0.5 ** a.number[:, None].to(a.total.dtype), a.number + b.number)

    def readout(self, state: Any) -> Tensor:
        total: Tensor = state.total
        return total


@pytest.mark.parametrize("seed", range(4))
def test_states_of_an_ordered_stream_are_merged_with_their_neighbours_only(seed: int) -> None:
    in_order = Domain(order_sensitive=True)
    assert holds(check("mbc.merge", WeightsLaterChunks, 2, 1, 3, seed=seed, domain=in_order))


def test_states_of_an_ordered_stream_merged_in_any_order_break_the_law() -> None:
    results = [check("mbc.merge", WeightsLaterChunks, 2, 1, 3, seed=seed) for seed in range(4)]
    assert not all(holds(result) for result in results)


# ---- gradients and parameters


class Constant(Mean):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x, mask).detach()

    def readout(self, state: Any) -> Tensor:
        return super().readout(state).detach()


class Untrained(Constant):
    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.requires_grad_(False)


class BatchNorm(Mean):
    """Normalises over the batch in train mode, and has a parameter that it never uses."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.norm, self.unused = nn.BatchNorm1d(4), nn.Parameter(torch.zeros(1))

    def readout(self, state: Any) -> Tensor:
        out: Tensor = self.norm(super().readout(state))
        return out


def test_an_encoder_without_gradients_breaks_their_law_if_it_has_parameters() -> None:
    assert check("mbc.gradient", Constant).note == "no gradient reaches the elements or any trainable parameter"
    with pytest.raises(NotApplicable, match=r"^no gradient reaches the elements$"):
        check("mbc.gradient", Untrained)


def test_a_parameter_is_dead_although_the_encoder_cannot_be_trained_on_one_set() -> None:
    example = Example(sizes=(4,), kinds=(0,), seed=1)
    subject = subject_of(BatchNorm)
    with torch.no_grad():
        comparison = get_law("substance.parameters").check(subject, ExampleData(example, WIDTH))
    assert comparison.note == "no gradient: unused"


# ---- numbers that the laws report


class TwiceAsSmall(Sum):
    """Returns NaN for one element, and infinity for two."""

    def readout(self, state: Any) -> Tensor:
        number, total = state.number[:, None], super().readout(state)
        return total.masked_fill(number == 1, torch.nan).masked_fill(number == 2, torch.inf)


@pytest.mark.parametrize(
    ("n", "note"),
    [
        (1, "a set of one finite element encodes to NaN"),
        (2, "a set of 2 finite elements encodes to infinity"),
        (3, ""),
    ],
)
def test_a_set_that_is_not_encoded_to_numbers_is_described(n: int, note: str) -> None:
    assert check("hygiene.finite", TwiceAsSmall, n).note == note


@pytest.mark.parametrize("encoder", [Mean, Sum, Max, Slots])
@pytest.mark.parametrize("law", ["mbc.partition", "mbc.merge", "mbc.order", "mbc.empty", "mbc.mask", "mbc.resume"])
def test_a_correct_encoder_is_within_the_bound_of_an_ordinary_example(encoder: type[nn.Module], law: str) -> None:
    comparison = check(law, encoder, 3, 1, 2)
    assert holds(comparison)
    assert bool((comparison.bound < 1e-12).all())


class NaNInOneChannel(Sum):
    def readout(self, state: Any) -> Tensor:
        return super().readout(state) * torch.tensor([torch.nan, 1, 1, 1], dtype=torch.float64)


def test_one_number_that_is_not_finite_is_enough() -> None:
    assert check("hygiene.finite", NaNInOneChannel, 3).note == "a set of 3 finite elements encodes to NaN"


class MasksAll(Sum):
    """Uses a mask of booleans of its own, which is true."""

    def features(self, x: Tensor) -> Tensor:
        return hide(super().features(x), torch.ones(x.shape[:2], dtype=torch.bool))


def test_the_cost_of_a_large_set_is_predicted_with_the_arguments_of_each_operation() -> None:
    assert holds(check("symmetry.size", MasksAll, 512))


class StateWithoutSets(Mean):
    """Keeps its sums with the sets last, so that no leaf of the state has one row per set."""

    def init_state(self, batch_size: int) -> Any:
        return [torch.zeros(4, batch_size, dtype=torch.float64), torch.zeros(1, batch_size, dtype=torch.float64)]

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return [state[0] + self.features(x).sum(1).T, state[1] + x.shape[1]]

    def readout(self, state: Any) -> Tensor:
        mean: Tensor = (state[0] / state[1].clamp(min=1)).T
        return mean


def test_a_state_without_a_row_for_each_set_is_judged_by_its_encoding() -> None:
    assert not holds(check("substance.interactions", StateWithoutSets, 4))
    assert holds(check("substance.interactions", Mean, 4))


class LeaksNaN(nn.Module):
    """Multiplies by the mask, so that 0 x NaN reaches the sum; refuses padding that is large and finite."""

    refuses, leaks_everywhere = True, True

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi = nn.Linear(dim_in, 4)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        present = torch.ones(x.shape[:2], dtype=torch.bool) if mask is None else mask
        if self.refuses and bool(x.isfinite().all()) and bool((x.abs() > 50).any()):
            raise ValueError("numbers are too large")
        hidden = hide(x, present)
        leaks = hidden.sum((1, 2)) > -torch.inf if self.leaks_everywhere else hidden.sum((1, 2)) > 0
        features = self.phi(torch.where(leaks[:, None, None], x, hidden)) * present[:, :, None]
        out: Tensor = features.sum(1)
        return out


class LeaksNaNInPositiveSets(LeaksNaN):
    refuses, leaks_everywhere = False, False


def test_padding_that_is_refused_does_not_reach_the_encoding() -> None:
    note = check("symmetry.padding", LeaksNaN, 2, seed=3).note
    assert note.startswith("finite padding is fine, but NaN or infinity in padding reaches the encoding")


def test_a_leak_of_nan_in_one_of_two_sets_is_explained() -> None:
    with torch.no_grad():
        data = ExampleData(Example(sizes=(2,), kinds=(5, 9), seed=3), WIDTH)  # negative, and offset by 10
        comparison = get_law("symmetry.padding").check(subject_of(LeaksNaNInPositiveSets), data)
    assert (comparison.gap > comparison.bound).tolist() == [False, True]
    assert comparison.note.startswith("finite padding is fine")


class SumOfPresent(Mean):
    """Counts masked elements in its mean, where the first of them is zero."""

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        part = super().part(x, mask)
        return part._replace(number=torch.full_like(part.number, x.shape[1])) if mask is not None else part


def test_a_mean_that_counts_padding_breaks_the_laws_of_masks() -> None:
    assert not holds(check("mbc.mask", SumOfPresent))
    assert not holds(check("symmetry.padding", SumOfPresent))


@pytest.mark.parametrize(
    ("name", "law", "culprit"),
    [
        ("CountsChunks", "mbc.partition", "state.number (2 instead of 1) differs"),
        ("Decay", "mbc.order", "state.total differs"),
        ("MergeForgetsCount", "mbc.merge", "state.number (0 instead of 2) differs"),
        ("EmptyChunkCounted", "mbc.empty", "state.number (3 instead of 1) differs"),
        ("InPlaceCount", "mbc.fork", "state.number: changed in place by update"),
        ("DropoutInTraining", "mbc.train", "dropout (Dropout): draws random numbers for each chunk"),
        ("PaddedSizeCounted", "mbc.mask", "state.number (5 instead of 2) differs"),
        (
            "BatchNormOverSets",
            "symmetry.train",
            "norm (BatchNorm1d): depends on the other sets of the batch in train mode",
        ),
        ("DetachedState", "mbc.gradient", "parameter phi.bias: its gradient is off by 50 %"),
        ("GraphFollowsState", "mbc.partial_gradient", "parameter phi.bias: it receives no gradient"),
        ("FirstElementBias", "symmetry.permutation", "state.total differs"),
        ("PaddingCounted", "symmetry.padding", "state.number (3 instead of 1) differs"),
    ],
)
def test_a_law_names_the_part_of_an_encoder_that_breaks_it(name: str, law: str, culprit: str) -> None:
    checker = Checker(control(name).spec, dim_in=WIDTH, seed=0)
    search = checker.try_law(get_law(law), Budget(examples=64)).search
    assert search is not None
    assert search.culprit == culprit
