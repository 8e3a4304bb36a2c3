"""What the law of padding says about sets of unequal sizes in a batch, and what it names as the culprit."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from mbcbench.suites.laws import padding
from mbcbench.verify.culprit import Locate
from mbcbench.verify.domain import Domain
from mbcbench.verify.example import Example, ExampleData
from tests.controls.base import WIDTH as FEATURES
from tests.controls.base import Mean, hide
from tests.controls.masks import LeakyLayer, NaNForAbsentSet, TightEdges, TightLayer, ZeroForAbsentSet
from tests.suites.laws.masked_streams import Remembers, data_of
from tests.verify.helpers import WIDTH, holds, subject_of
from tests.verify.test_states_and_masks import SumOfPresent


@pytest.fixture(autouse=True)
def _without_graph() -> Iterator[None]:
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        yield


# ---- sets of unequal sizes


@pytest.mark.parametrize("min_size", [1, 2])
def test_the_first_sets_are_cut_to_unequal_sizes(min_size: int) -> None:
    domain, drawn = Domain(min_size=min_size), set()
    for seed in range(40):
        subject, data = subject_of(Remembers, domain=domain), data_of(5, seed=seed, batch_size=4)
        comparison = padding._compare_ragged(subject, data)
        assert holds(comparison)
        assert len(comparison.gap) == 4
        sizes = data.choices["sizes of the first sets"]
        assert [tuple(x.shape) for x, _ in subject.module.seen[:3]] == [(1, n, WIDTH) for n in sizes]
        ((x, mask),) = subject.module.masked
        assert torch.equal(x, data.x[:3])
        assert mask.tolist() == [[True] * n + [False] * (5 - n) for n in sizes]
        assert padding._draw_ragged(subject, data_of(5, seed=seed, batch_size=1))[1] == sizes[:1]
        drawn |= set(sizes)
    assert drawn == set(range(min_size, 6))


class MaskOfFirstSet(Mean):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x, None if mask is None else mask[:1].expand_as(mask))


class LayerWithMaskOfFirstSet(TightLayer):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x, None if mask is None else mask[:1].expand_as(mask))


@pytest.mark.parametrize("encoder", [MaskOfFirstSet, LayerWithMaskOfFirstSet])
def test_a_mask_of_another_set_is_noticed_where_sizes_are_unequal(encoder: type[nn.Module]) -> None:
    data = data_of(5, batch_size=4)
    comparison = padding._compare_ragged(subject_of(encoder), data)
    sizes = data.choices["sizes of the first sets"]
    assert len(set(sizes)) > 1
    assert (comparison.gap > comparison.bound).tolist() == [*(n != sizes[0] for n in sizes), False]


def test_layers_are_compared_on_sets_of_unequal_sizes() -> None:
    for sound in (TightLayer, TightEdges):
        comparison = padding._compare_ragged(subject_of(sound), data_of(5, batch_size=4))
        assert len(comparison.gap) == 4
        assert holds(comparison)
    assert not holds(padding._compare_ragged(subject_of(LeakyLayer), data_of(5, batch_size=4)))


# ---- a set that is masked entirely


def test_one_more_set_is_masked_entirely() -> None:
    data = ExampleData(Example(sizes=(2,), kinds=(4, 0, 1, 2)), WIDTH)  # the first has zeros
    batch, present = padding._with_absent_set(subject_of(), data.x)
    assert torch.equal(batch[:3], data.x[:3])
    assert present.tolist() == [[True, True]] * 3 + [[False, False]]
    assert bool(batch.isfinite().all())
    assert not any(torch.equal(batch[-1], other) for other in data.x)
    assert padding._with_absent_set(subject_of(domain=Domain(vocabulary=2)), data.x).x[-1].unique().tolist() == [0, 1]


class MovesBesideAbsent(Mean):
    """Moves the encoding of the third set if a set is masked entirely."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        is_absent = mask is not None and not bool(mask.any(1).all())
        return super().forward(x, mask) + (torch.arange(len(x)) == 2)[:, None] * is_absent


class NanInOneChannel(ZeroForAbsentSet):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        encoding = super().forward(x, mask)
        return torch.cat([encoding[:, :3], NaNForAbsentSet.forward(self, x, mask)[:, 3:]], 1)


class LayerWithNanForAbsentSet(TightLayer):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        out = super().forward(x, mask)
        return out if mask is None else out.masked_fill(~mask.any(1)[:, None, None], torch.nan)


class RefusesAbsent(Mean):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is not None and not bool(mask.any(1).all()):
            raise ValueError("a set has no element")
        return super().forward(x, mask)


@pytest.mark.parametrize(
    ("encoder", "broken", "note"),
    [
        (Mean, [False] * 4, ""),
        (ZeroForAbsentSet, [False] * 4, ""),
        (NanInOneChannel, [True] * 4, "a set that is masked entirely, beside others, encodes to NaN"),
        (MovesBesideAbsent, [False, False, True, False], ""),
        (TightLayer, [False] * 4, ""),
        (LayerWithNanForAbsentSet, [False] * 4, ""),
    ],
)
def test_a_set_without_elements_does_not_change_others(encoder: type[nn.Module], broken: list[bool], note: str) -> None:
    data = data_of(2, batch_size=4)
    comparison = padding._compare_beside_absent_set(subject_of(encoder), data)
    assert (comparison.gap > comparison.bound).tolist() == broken
    assert comparison.note == note
    assert data.choices == {"masked entirely": "set 4 of 4"}


def test_a_set_without_elements_may_be_refused() -> None:
    data = data_of(2)
    assert holds(padding._compare_beside_absent_set(subject_of(RefusesAbsent), data))
    assert data.choices == {}


# ---- the culprit


class Pool(nn.Module):
    """The sum of present elements. It has the faults that are named."""

    def __init__(self, *faults: str) -> None:
        super().__init__()
        self.faults = faults

    def forward(self, h: Tensor, mask: Tensor | None) -> Tensor:
        total = hide(h, mask).sum(1)
        if mask is None:
            return total
        number = mask.sum(1, keepdim=True)
        is_third = (torch.arange(len(h)) == 2)[:, None]
        if "absent elements" in self.faults:
            total = total + (mask.shape[1] - number)
        if "unequal sizes" in self.faults:
            total = total + (number != number[:1])
        if "absent set" in self.faults:
            total = total + (is_third & (number == 0).any())
        return total


class Pooled(nn.Module):
    """Passes a mask on to its pool."""

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.phi, self.pool = nn.Linear(WIDTH, FEATURES), pool

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        pooled: Tensor = self.pool(self.phi(hide(x, mask)).tanh(), mask)
        return pooled


NAMED = "pool (Pool): depends on masked elements"


@pytest.mark.parametrize(
    ("fault", "by_ragged", "by_absent_set"),
    [("none", "", ""), ("unequal sizes", NAMED, ""), ("absent set", "", NAMED), ("absent elements", NAMED, "")],
)
def test_the_submodule_that_reads_masked_elements_is_named(fault: str, by_ragged: str, by_absent_set: str) -> None:
    subject, data = subject_of(lambda _: Pooled(Pool(fault))), data_of(4, batch_size=5)
    assert padding._locate_ragged(subject, data) == by_ragged
    assert padding._locate_beside_absent_set(subject, data) == by_absent_set
    assert padding.locate_padding(subject, data) == ("" if fault == "none" else NAMED)


def test_the_leaf_of_the_state_that_counts_padding_is_named() -> None:
    locate: Locate = padding.locate_padding
    assert locate(subject_of(SumOfPresent), data_of(2, seed=2, batch_size=1)).startswith("state.number (")
    assert padding.PADDING.locate is locate
