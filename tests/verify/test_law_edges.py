"""Each law on encoders that raise, refuse, return other shapes or touch their input: directly, without a search."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.errors import BrokenPluginError, LawOutOfMemoryError
from mbcbench.records.record import Status
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import get_law
from mbcbench.verify.law_run import LawRun
from mbcbench.verify.subject import Subject
from tests.controls.base import Max, Mean, Slots, Sum, hide
from tests.verify.helpers import WIDTH, check, holds, subject_of

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


class Faint(Mean):
    """Shuts a gate so far that float32 has no number for its encodings."""

    def readout(self, state: Any) -> Tensor:
        return super().readout(state) * 1e-25 * 1e-25


class FaintInFloat64(Faint):
    def readout(self, state: Any) -> Tensor:
        out = super().readout(state)
        return out + 1e-20 * (out.dtype == torch.float32)


class NaNForFreshState(Mean):
    """Encodes the empty set as zeros, and a stream without elements otherwise."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return Mean.readout(self, self.part(x, mask))

    def readout(self, state: Any) -> Tensor:
        mean: Tensor = state.total / state.number.unsqueeze(1)
        return mean


class OnesForFreshState(NaNForFreshState):
    def readout(self, state: Any) -> Tensor:
        return super().readout(state).nan_to_num(1.0)


class RefusesFreshState(NaNForFreshState):
    def readout(self, state: Any) -> Tensor:
        if bool((state.number == 0).any()):
            raise ValueError("no element has arrived")
        return super().readout(state)


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


def test_an_encoding_that_is_too_small_for_float32_may_be_zero_there_but_not_larger() -> None:
    assert holds(check("numerics.float32", Faint))
    assert not holds(check("numerics.float32", FaintInFloat64))


def test_a_stream_without_elements_is_encoded_like_the_empty_set_or_refused() -> None:
    assert holds(check("mbc.empty", RefusesFreshState))
    assert check("mbc.empty", NaNForFreshState).note.startswith("the fresh state encodes to NaN")
    assert not holds(check("mbc.empty", OnesForFreshState))


def test_an_error_for_nan_is_raised_unless_linear_algebra_raises_it() -> None:
    assert holds(check("hygiene.nonfinite", DecomposesNan))
    with pytest.raises(RuntimeError, match="not finite"):
        check("hygiene.nonfinite", RaisesOnNan)


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


# ---- a law that is not one


def test_a_law_that_returns_no_comparison_is_at_fault_and_not_the_encoder() -> None:
    def is_shifted(subject: Subject, data: ExampleData) -> Any:
        return True

    law = replace(get_law("mbc.partition"), id="my.shift", check=is_shifted)
    with pytest.raises(BrokenPluginError, match=r"^my.shift returned bool, not a Comparison; use subject.compare$"):
        Checker(Mean, dim_in=WIDTH).try_law(law, Budget(examples=64))


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
