"""Precision, NaN and stored parameters: which results are at fault, and how the laws describe them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.suites.laws import hygiene
from mbcbench.verify.example import Example, ExampleData
from tests.controls.base import Mean
from tests.controls.hygiene import Float32Output, Float32State, Float64Output, HalfForSingle, HalfInside
from tests.suites.laws.helpers import Recording, law_says
from tests.verify.helpers import WIDTH, check, data_of, holds, subject_of

# ---- hygiene.dtype


class OnAnotherDevice(Recording):
    """Returns float64 results on a device without memory."""

    def pool(self, x: Tensor) -> Tensor:
        out = super().pool(x)
        return out.to("meta") if x.dtype is torch.float64 else out


@pytest.mark.parametrize(
    ("encoder", "note"),
    [
        (Mean, ""),
        (Recording, ""),
        (Float64Output, "float32 input and parameters, float64 output"),
        (Float32Output, "float64 input and parameters on cpu, float32 on cpu"),
        (OnAnotherDevice, "float64 input and parameters on cpu, float64 on meta"),
        (Float32State, "the state of a float64 stream holds float32"),
        (HalfInside, "with float64 input and parameters, it computes in float16 inside"),
        (HalfForSingle, "with float32 input and parameters, it computes in float16 inside"),
    ],
)
def test_a_result_of_another_type_is_described(encoder: type[nn.Module], note: str) -> None:
    comparison = check("hygiene.dtype", encoder, 2, 1)
    assert (comparison.note, holds(comparison)) == (note, not note)


DOUBLE = torch.ones(3, dtype=torch.float64)
SINGLE = torch.ones(3, dtype=torch.float32)


@pytest.mark.parametrize(
    ("compute", "narrowed"),
    [
        (lambda: DOUBLE + 1, None),
        (DOUBLE.float, torch.float32),
        (lambda: DOUBLE.reshape(3, 1).half(), torch.float16),
        (lambda: DOUBLE.float().half(), torch.float32),
        (lambda: [DOUBLE.float(), DOUBLE.half()], torch.float32),
        (DOUBLE.int, None),
        (lambda: DOUBLE > 0, None),
        (lambda: DOUBLE.to(torch.complex64), torch.complex64),
        (lambda: DOUBLE.to(torch.complex128).to(torch.complex64), torch.complex64),
        (lambda: DOUBLE.to(torch.complex128).abs(), None),
        (lambda: SINGLE + 1, None),
        (lambda: SINGLE.clone().copy_(DOUBLE), torch.float32),
        (lambda: DOUBLE.sum().float(), None),  # one number
        (lambda: DOUBLE.sum(dtype=torch.float32), None),
        (lambda: SINGLE * DOUBLE[0], None),
        (lambda: torch.zeros_like(DOUBLE, dtype=torch.float32), None),
        (lambda: DOUBLE.new_zeros(3, dtype=torch.float32), None),
    ],
)
def test_numbers_in_lower_precision_are_noticed(compute: Callable[[], object], narrowed: torch.dtype | None) -> None:
    with hygiene._NarrowingWatch(torch.float64) as watch:
        compute()
    assert watch.narrowed is narrowed


def test_an_operation_that_is_watched_gives_its_own_result() -> None:
    with hygiene._NarrowingWatch(torch.float64):
        out = torch.full_like(DOUBLE, 2, dtype=torch.float32)
    assert out.dtype is torch.float32
    assert out.tolist() == [2, 2, 2]


# ---- hygiene.nonfinite


class RecordingInStream(Mean):
    """Keeps the sets and chunks that it is given."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.inputs: list[tuple[str, Tensor]] = []

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        self.inputs.append(("chunk", x.clone()))
        return super().update(state, x, mask)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        self.inputs.append(("set", x.clone()))
        return self.readout(super().update(self.init_state(len(x)), x, mask))


def test_one_number_is_replaced_in_sets_and_in_streams() -> None:
    data, subject = data_of(2, 1), subject_of(RecordingInStream, perturbation=None)
    assert holds(law_says("hygiene.nonfinite", subject, data))
    place = tuple(data.choices["set, element and coordinate"])
    expected = []
    for whole in (True, False):
        for bad in (torch.nan, torch.inf):
            x = data.x.clone()
            x[place] = bad
            sets = [data.x, x]
            chunks = [("chunk", chunk) for given in sets for chunk in (given[:, :2], given[:, 2:])]
            expected += [("set", given) for given in sets] if whole else chunks
    for (name, x), (expected_name, expected_x) in zip(subject.module.inputs, expected, strict=True):
        assert name == expected_name
        torch.testing.assert_close(x, expected_x, equal_nan=True)


class Swallows(Recording):
    """Takes elements that are not finite for zeros."""

    def pool(self, x: Tensor) -> Tensor:
        return x.nan_to_num(0, 0, 0).sum(1)


class OneChannelIsNaN(Recording):
    """Shows what is not finite in one of the outputs."""

    def pool(self, x: Tensor) -> Tensor:
        total = x.nan_to_num(0, 0, 0).sum(1)
        return torch.cat([total, total[:, :1] + 0 * x.sum((1, 2)).unsqueeze(1)], 1)


class Spreads(Recording):
    """Adds the mean over sets of zero times one of the outputs; the first output of all sets is infinite."""

    def pool(self, x: Tensor) -> Tensor:
        total = x.sum(1)
        leak = 0 * x.sum((1, 2)).mean()
        return torch.cat([total[:, :1] * torch.inf, total[:, 1:2] + leak, total.nan_to_num(0, 0, 0)], 1)


class Saturates(Recording):
    """Has a finite number for infinity."""

    def pool(self, x: Tensor) -> Tensor:
        return x.tanh().sum(1)


class InfiniteAlready(Recording):
    """Has an infinite output for every set."""

    def pool(self, x: Tensor) -> Tensor:
        return torch.cat([x.sum(1), torch.full((len(x), 1), torch.inf, dtype=x.dtype)], 1)


class RefusesNaNAndSpreadsInfinity(Spreads):
    def pool(self, x: Tensor) -> Tensor:
        if bool(x.isnan().any()):
            raise ValueError("NaN is not admitted")
        return super().pool(x)


class CountsFiniteSets(Recording):
    """Adds the number of finite sets of the batch."""

    def pool(self, x: Tensor) -> Tensor:
        return x.sum(1) + x.isfinite().all(2).all(1).sum()


SWALLOWED = "NaN in an element does not reach the encoding of its set"


@pytest.mark.parametrize(
    ("encoder", "note"),
    [
        (Recording, ""),
        (Swallows, SWALLOWED),
        (OneChannelIsNaN, ""),
        (Saturates, ""),
        (InfiniteAlready, ""),
        (Spreads, "nan in one set reaches the encoding of another"),
        (RefusesNaNAndSpreadsInfinity, "inf in one set reaches the encoding of another"),
    ],
)
def test_numbers_that_are_not_finite_show_in_their_own_set_only(encoder: type[nn.Module], note: str) -> None:
    comparison = check("hygiene.nonfinite", encoder, 3)
    assert (comparison.note, holds(comparison)) == (note, not note)


def test_only_other_sets_are_compared() -> None:
    data = data_of(3, sets=4)
    comparison = law_says("hygiene.nonfinite", subject_of(CountsFiniteSets), data)
    row = data.choices["set, element and coordinate"][0]
    assert comparison.gap.tolist() == pytest.approx([0.0 if number == row else 1.0 for number in range(4)])
    assert (comparison.gap > comparison.bound).tolist() == [number != row for number in range(4)]


class Fails(Recording):
    """Raises an error of this type for what is not finite."""

    error: Exception = RuntimeError("failed")

    def pool(self, x: Tensor) -> Tensor:
        if not bool(x.isfinite().all()):
            raise self.error
        return super().pool(x)


@pytest.mark.parametrize("error", [RuntimeError("failed"), ValueError()])
def test_an_error_that_is_no_refusal_is_raised(error: Exception) -> None:
    subject = subject_of(type("Failing", (Fails,), {"error": error}))
    with pytest.raises(type(error)):
        law_says("hygiene.nonfinite", subject, data_of(3))


@pytest.mark.parametrize("error", [getattr(torch.linalg, "LinAlgError")("no"), ValueError("not admitted")])  # noqa: B009
def test_what_is_refused_or_cannot_be_solved_breaks_nothing(error: Exception) -> None:
    subject = subject_of(type("Refusing", (Fails,), {"error": error}))
    assert holds(law_says("hygiene.nonfinite", subject, data_of(3)))


# ---- hygiene.state_dict


class ForgetsItsShift(Mean):
    """Adds a number in one piece that is not stored."""

    shift = 0.0

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x, mask) + self.shift


class ForgetsItsShiftInStreams(ForgetsItsShift):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.readout(super().update(self.init_state(len(x)), x, mask))

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return super().update(state, x + self.shift, mask)


@pytest.mark.parametrize(
    ("encoder", "is_kept"), [(Mean, True), (ForgetsItsShift, False), (ForgetsItsShiftInStreams, False)]
)
def test_what_is_not_stored_is_noticed_in_sets_and_in_streams(encoder: type[nn.Module], is_kept: bool) -> None:
    subject = subject_of(encoder, rebuild=lambda: encoder(WIDTH).double().eval())
    subject.module.shift = 1.0
    assert holds(law_says("hygiene.state_dict", subject, data_of(2, 1))) is is_kept


def test_an_encoder_that_is_stored_is_the_same() -> None:
    data = ExampleData(Example(sizes=(2, 1), kinds=(0, 0), seed=1), WIDTH)
    comparison = law_says("hygiene.state_dict", subject_of(Mean), data)
    assert comparison.gap.tolist() == pytest.approx([0, 0], abs=1e-12)
