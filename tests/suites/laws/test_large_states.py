"""What the laws of large sets and of memory try, and what they say."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.suites.laws import states
from mbcbench.verify.domain import Domain
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import get_law
from mbcbench.verify.tolerance import Comparison
from tests.controls.base import Mean
from tests.verify.helpers import WIDTH, check, holds, numbers, subject_of

ONES = (1,) * 8
LIMITS = (2**7, 2**8, 2**15, 2**16)


# ---- mbc.large: the limits of integers


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_is_crossed_if_the_fourth_of_eight_single_elements_or_a_later_one_reaches_it(limit: int) -> None:
    crossing = [n for n in range(limit - 10, limit + 10) if states._crosses_limit((n - 8, *ONES), n)]
    assert crossing == [limit, limit + 1, limit + 2, limit + 3, limit + 4]


def test_no_limit_is_crossed_elsewhere_or_without_single_elements_at_the_end() -> None:
    assert not any(states._crosses_limit((n - 8, *ONES), n) for n in (*range(9, 120), 1024, 5000, 2**15 - 1, 10**5))
    assert not states._crosses_limit((124, 8), 132)
    assert not states._crosses_limit((125, *ONES[1:]), 132)
    assert not states._crosses_limit((*ONES, 124), 132)


class Counter(nn.Module):
    """The square of the number of elements, with jumps once it has reached some numbers, for sets that start positive.

    Sets of elements that are negative never jump.
    """

    jumps: tuple[tuple[int, float], ...] = ()

    def __init__(self, dim_in: int) -> None:
        super().__init__()

    def init_state(self, batch_size: int) -> Any:
        return torch.zeros(batch_size, dtype=torch.float64), torch.zeros(batch_size, dtype=torch.float64)

    def update(self, state: Any, x: Tensor) -> Any:
        number, total = state
        return number + x.shape[1], total + x.sum((1, 2))

    def readout(self, state: Any) -> Tensor:
        number, total = state
        encoding: Tensor = number**2
        for at, jump in self.jumps:
            encoding = encoding + jump * (number >= at) * (total > 0)
        return encoding.unsqueeze(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.update(self.init_state(len(x)), x))


def jumping(*jumps: tuple[int, float]) -> type[Counter]:
    return type("Jumping", (Counter,), {"jumps": jumps})


def signed(n: int, *, values: bool = False) -> ExampleData:
    """Return sets of `n` elements that end in single ones: negative and positive, or written out and positive."""
    sizes = (n - 8, *ONES)
    if values:
        return ExampleData(Example(sizes=sizes, values=((1.0,) * WIDTH,) * n, order=tuple(range(n))), WIDTH)
    data = ExampleData(Example(sizes=sizes, kinds=(2, 2), seed=4), WIDTH)
    data.x = torch.ones_like(data.x) * numbers(-1, 1)[:, None, None]
    return data


def test_a_step_counts_as_far_as_it_exceeds_a_hundred_of_the_steps_before() -> None:
    subject, data = subject_of(jumping((129, 1e6))), signed(130)
    comparison = states.check_large(subject, data)
    ordinary = 125**2 - 124**2  # the last of the three steps from 122 to 125 elements
    assert comparison.gap.tolist() == [0.0, 1e6 + 129**2 - 128**2 - 100 * ordinary]
    assert comparison.scale is not None
    assert comparison.scale.tolist() == [128**2, 128**2]
    assert comparison.note == "element 129 changes the encoding far more than equal elements do"
    assert not holds(comparison)


@pytest.mark.parametrize(("jump", "is_broken"), [(0.0, False), (2e4, False), (3e4, True)])
def test_a_step_of_a_hundred_ordinary_ones_is_not_unusual(jump: float, is_broken: bool) -> None:
    comparison = states.check_large(subject_of(jumping((128, jump))), signed(132))
    assert comparison.is_broken == is_broken
    assert is_broken or comparison.gap.tolist() == [0.0, 0.0]


def test_an_encoder_with_such_steps_elsewhere_has_them_by_design() -> None:
    data = signed(2**8)
    assert holds(states.check_large(subject_of(jumping((50, 1e6), (2**8, 1e6))), data))
    assert not holds(states.check_large(subject_of(jumping((50, 10.0), (2**8, 1e6))), data))
    assert states.check_large(subject_of(jumping((50, 1e6))), data).note.startswith("element ")


def test_elements_that_are_written_out_are_all_there_for_an_encoder_of_larger_sets() -> None:
    subject = subject_of(jumping((128, 1e6)), domain=Domain(min_size=3))
    assert states.check_large(subject, signed(128, values=True)).note.startswith("element 128 changes")
    # Otherwise two of them were added, and there are 126 without them.
    assert states.check_large(subject, signed(128)).note == ""
    assert states.check_large(subject, signed(130)).note.startswith("element 128 changes")


class CountsChunks(Mean):
    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        return super().part(x, mask)._replace(number=torch.ones(len(x), dtype=torch.int64))


def test_other_large_sets_are_compared_with_their_stream() -> None:
    assert holds(check("mbc.large", Mean, 100, 32))
    comparison = check("mbc.large", CountsChunks, 100, 32)
    assert not holds(comparison)
    assert comparison.scale is not None


@pytest.mark.parametrize(
    ("at", "n", "is_found"),
    [
        *((at, 132, at in (5, 120)) for at in (4, 5, 120, 121)),
        *((at, 1025, at in (1024, 1028)) for at in (1023, 1024, 1028, 1029)),
        (1024, 1024, False),
        *((size, 20_000, True) for size in (2**10, 2**12, 2**14)),
        (2**14 + 20, 20_000, False),
    ],
)
def test_unusual_steps_are_sought_in_small_sets_and_at_three_large_sizes(at: int, n: int, is_found: bool) -> None:
    assert states._takes_such_steps(subject_of(jumping((at, 1e9))), signed(n)) is is_found


def test_a_mean_takes_no_unusual_step() -> None:
    with torch.no_grad():
        assert states._takes_such_steps(subject_of(Mean), signed(1025)) is False


def test_unusual_steps_are_sought_from_the_least_size() -> None:
    data = signed(132)
    for least, first, last in ((10, 14, 120), (119, 123, 127)):
        domain = Domain(min_size=least)
        found = [
            at
            for at in (first - 1, first, last, last + 1)
            if states._takes_such_steps(subject_of(jumping((at, 1e9)), domain=domain), data)
        ]
        assert found == [first, last]


def has_unusual_step(scale: float, *sets: Sequence[float]) -> bool:
    """Return what is said of sets that are given by the steps of their encodings, from zero."""
    levels = torch.stack([numbers(*accumulate(steps, initial=0.0)) for steps in sets], 1)
    return bool(states._has_unusual_step(list(levels.unsqueeze(2)), scale))


@pytest.mark.parametrize(
    ("steps", "is_unusual"),
    [
        ((0.0, 0.0, 0.0, 0.0, 0.0), False),
        ((1.0, 1.0, 1.0, 99.0), False),
        ((1.0, 1.0, 1.0, 150.0), True),
        ((10.0, 10.0, 10.0, 500.0), False),
        ((1.0, 1.0, 5.0, 400.0), False),
        ((5.0, 1.0, 1.0, 400.0), False),
        ((1.0, 1.0, 1.0, 50.0, 3000.0), False),
        ((1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 150.0), True),
        ((900.0, 1.0, 1.0, 1.0, 150.0), True),
        ((150.0, 1.0, 1.0, 1.0), False),
        ((0.0, 0.0, 0.0, 1e-4, 9e-3, 0.8, 70.0, 6000.0), False),
    ],
)
def test_a_step_is_unusual_beside_the_three_before_it(steps: Sequence[float], is_unusual: bool) -> None:
    assert has_unusual_step(0.0, steps) is is_unusual
    assert has_unusual_step(0.0, [0.0] * len(steps), steps) is is_unusual


@pytest.mark.parametrize(("step", "is_unusual"), [(0.5e-6, False), (1.5e-6, True)])
def test_a_step_of_a_millionth_of_the_scale_is_noticeable(step: float, is_unusual: bool) -> None:
    assert has_unusual_step(1.0, [0, 0, 0, step]) is is_unusual
    assert has_unusual_step(1e3, [0, 0, 0, 1e3 * step]) is is_unusual


def test_large_examples_cross_each_limit_in_equal_elements_and_have_many_elements_and_chunks() -> None:
    examples = get_law("mbc.large").fixed
    crossing = [example for example in examples if states._crosses_limit(example.sizes, example.n)]
    assert [example.n - 4 for example in crossing] == list(LIMITS)
    for example in crossing[:2]:
        x = ExampleData(example, WIDTH).x
        assert torch.equal(x, x[:, :1].expand_as(x))
    others = [example for example in examples if example not in crossing]
    assert max(example.n for example in others) > 2**16
    assert max(len(example.sizes) for example in others) > 2**12


# ---- mbc.memory


def fed_until(size_of: Callable[[int], int], *sizes: int) -> tuple[Comparison, int]:
    """Return what is said of a state of so many bytes after so many elements, and how many elements were fed."""
    fed = 0

    def update(state: Any, x: Tensor) -> Any:
        nonlocal fed
        fed += x.shape[1]
        return torch.zeros(size_of(fed), dtype=torch.uint8)

    data = ExampleData(Example(sizes=sizes, kinds=(0,), seed=1), WIDTH)
    return states._compare_sizes(subject_of(), data, update), fed


@pytest.mark.parametrize(
    ("sizes", "note"),
    [
        ((1,) * 4, "the state grows from 1 bytes after 1 element to 4096 bytes after 4096 elements"),
        ((1,) * 8, "the state grows from 2 bytes after 2 elements to 8192 bytes after 8192 elements"),
        ((3,) * 4, "the state grows from 3 bytes after 3 elements to 3072 bytes after 3072 elements"),
        ((256,) * 8, "the state grows from 512 bytes after 512 elements to 8192 bytes after 8192 elements"),
    ],
)
def test_a_state_that_grows_is_fed_up_to_8192_elements(sizes: tuple[int, ...], note: str) -> None:
    comparison, fed = fed_until(lambda n: n, *sizes)
    assert comparison.note == note
    assert comparison.gap.tolist() == [torch.inf]
    assert note.endswith(f" {fed} elements")


@pytest.mark.parametrize(("limit", "fed"), [(1, 8), (2, 8), (3, 32), (8, 32), (9, 128), (100, 512), (3000, 8192)])
def test_a_state_that_stops_growing_is_fed_no_more(limit: int, fed: int) -> None:
    comparison, elements = fed_until(lambda n: min(n, limit), *[1] * 8)
    assert (comparison.gap.tolist(), comparison.note) == (([torch.inf], comparison.note) if limit > 2048 else ([0], ""))
    assert elements == fed


def test_a_state_that_shrinks_does_not_grow() -> None:
    comparison, fed = fed_until(lambda n: 100 - n, *[1] * 8)
    assert (comparison.gap.tolist(), fed) == ([0], 8)


class KeepsMasks(Mean):
    """Keeps the masks of a stream."""

    is_refused = False

    def init_state(self, batch_size: int) -> Any:
        return super().init_state(batch_size), torch.zeros(batch_size, 0, dtype=torch.bool)

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        sums, masks = state
        if mask is not None and self.is_refused:
            raise ValueError("no masks in streams")
        return super().update(sums, x, mask), masks if mask is None else torch.cat([masks, mask], 1)

    def readout(self, state: Any) -> Tensor:
        return super().readout(state[0])


class RefusesMasks(KeepsMasks):
    is_refused = True


class KeepsElements(KeepsMasks):
    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return Mean.update(self, state[0], x), torch.cat([state[1], x[:, :, 0] > 0], 1)


def test_a_state_that_keeps_its_masks_grows() -> None:
    comparison = check("mbc.memory", KeepsMasks, *[64] * 32)
    assert not holds(comparison)
    assert comparison.note.startswith("with masks, the state grows from ")


def test_a_state_that_keeps_its_elements_grows_without_masks() -> None:
    assert check("mbc.memory", KeepsElements, *[64] * 32).note.startswith("the state grows from ")


@pytest.mark.parametrize("encoder", [Mean, RefusesMasks, Counter])
def test_a_state_of_fixed_size_keeps_the_law(encoder: type[nn.Module]) -> None:
    comparison = check("mbc.memory", encoder, *[64] * 8)
    assert comparison.gap.tolist() == [0.0, 0.0]
    assert comparison.note == ""


def test_memory_is_measured_with_many_elements_in_large_and_in_single_chunks() -> None:
    examples = get_law("mbc.memory").fixed
    assert {max(example.sizes) for example in examples} == {1, 64}
    assert all(example.n >= 256 and len(example.kinds) == 1 for example in examples)
    assert max(example.n for example in examples) == 2048
