"""What the law of masks says about states that are merged."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.suites.laws import masks
from mbcbench.verify.domain import Domain
from mbcbench.verify.example import ExampleData
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison
from tests.controls.base import Mean, Sum, Sums
from tests.controls.masks import MergeByPaddedLength
from tests.suites.laws.masked_streams import SEEDS, Case, Remembers, are_normal, case_of, data_of
from tests.verify.helpers import WIDTH, holds, subject_of

MERGE_LEAKS = "states of masked chunks do not merge to the state of all these chunks"


@pytest.fixture(autouse=True)
def _without_graph() -> Iterator[None]:
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        yield


def merged(encoder: Callable[[int], nn.Module], *sizes: int, seed: int = 0, **more: Any) -> tuple[Comparison, Case]:
    """Compare merged states, and return what is compared too."""
    case = case_of(encoder, *sizes, seed=seed, **more)
    return masks._compare_merged(*case), case


def lacking_side(data: ExampleData) -> tuple[str, Tensor]:
    """Return which of two states lacks sets, and which sets."""
    (side,) = (side for side in ("first", "second") if f"sets without elements in the {side}" in data.choices)
    return side, data.choices[f"sets without elements in the {side}"]


def test_some_sets_have_no_elements_in_one_of_two_states_that_are_merged() -> None:
    texts, sides, lack = set(), set(), []
    for seed in SEEDS:
        comparison, case = merged(Remembers, 2, 1, 3, seed=seed)
        assert holds(comparison)
        text = case.data.choices["states that are merged"]
        side, lacking = lacking_side(case.data)
        texts.add(text)
        sides.add(side)
        lack.append(lacking.double().mean())
        masked = [mask for _, mask in case.subject.module.masked]
        position = int(text.split()[1])
        for number, (mask, chunk) in enumerate(zip(masked, case.padded, strict=True)):
            lacks = (number < position) == (side == "first")
            assert torch.equal(mask, chunk.present & ~lacking[:, None] if lacks else chunk.present)
    assert texts == {"of 1 and 2 chunks", "of 2 and 1 chunks"}
    assert sides == {"first", "second"}
    assert 0.3 < float(torch.stack(lack).mean()) < 0.7


def test_sets_lack_no_part_of_a_merged_stream_if_the_other_is_too_small() -> None:
    lacks = {"first": False, "second": False}
    for seed in SEEDS:
        comparison, case = merged(Mean, 3, 2, seed=seed, domain=Domain(min_size=3))
        assert holds(comparison)
        assert case.data.choices["states that are merged"] == "of 1 and 1 chunks"
        side, lacking = lacking_side(case.data)
        lacks[side] |= bool(lacking.any())
    assert lacks == {"first": False, "second": True}


def test_a_stream_in_one_chunk_has_no_states_to_merge() -> None:
    comparison, case = merged(Mean, 4)
    assert comparison.gap.tolist() == comparison.bound.tolist() == [0.0] * 3
    assert "states that are merged" not in case.data.choices


class NoMerge(Mean):
    merge = None  # type: ignore[assignment]


def test_an_encoder_without_merge_has_no_states_to_merge() -> None:
    comparison, case = merged(NoMerge, 2, 1)
    assert not case.subject.mergeable
    assert comparison.gap.tolist() == comparison.bound.tolist() == [0.0] * 3
    assert "states that are merged" not in case.data.choices


class RaisesWhereSetsLack(Mean):
    """Raises an error if some sets of a state have no element, and others have."""

    error: type[Exception] = RuntimeError

    def merge(self, a: Any, b: Any) -> Any:
        if any(0 < int((state.number == 0).sum()) < len(state.number) for state in (a, b)):
            raise self.error("some sets are missing")
        return super().merge(a, b)


class RefusesWhereSetsLack(RaisesWhereSetsLack):
    error = ValueError


class NeverMerges(Mean):
    def merge(self, a: Any, b: Any) -> Any:
        raise RuntimeError("no merge today")


class MergesMeans(Sum):
    def merge(self, a: Any, b: Any) -> Any:
        return Sums((a.total + b.total) / 2, a.number + b.number)


def test_an_error_of_a_merge_counts_if_states_without_masks_merge() -> None:
    with pytest.raises(RuntimeError, match="some sets are missing"):
        merged(RaisesWhereSetsLack, 2, 1, seed=1)
    refused, _ = merged(RefusesWhereSetsLack, 2, 1, seed=1)
    never, case = merged(NeverMerges, 2, 1, seed=1)
    assert holds(refused)
    assert holds(never)
    assert 0 < int(lacking_side(case.data)[1].sum()) < 3


def test_a_wrong_merge_counts_if_states_without_masks_merge() -> None:
    leaks, _ = merged(MergeByPaddedLength, 2, 1, seed=2)
    assert not holds(leaks)
    assert leaks.note == MERGE_LEAKS
    assert holds(merged(MergesMeans, 2, 1, seed=2)[0])


class MergesWronglyOfSize(Mean):
    """Doubles the merged state of so many elements."""

    size = 5

    def merge(self, a: Any, b: Any) -> Any:
        total, number = super().merge(a, b)
        return Sums(total * torch.where(number == self.size, 2, 1)[:, None], number)


class RaisesOfSize(MergesWronglyOfSize):
    def merge(self, a: Any, b: Any) -> Any:
        if int((a.number + b.number)[0]) == self.size:
            raise RuntimeError("no merge today")
        return Mean.merge(self, a, b)


@pytest.mark.parametrize("encoder", [MergesWronglyOfSize, RaisesOfSize])
def test_a_merge_is_wrong_if_it_fails_on_this_stream_or_on_an_ordinary_one(encoder: type[nn.Module]) -> None:
    wrong = [masks._merges_wrongly(subject_of(encoder), data_of(*sizes)) for sizes in ((1, 1), (2, 3), (1, 4))]
    assert wrong == [True, True, True]
    subject = subject_of(encoder)
    subject.module.size = 7
    wrong = [masks._merges_wrongly(subject, data_of(*sizes)) for sizes in ((3, 4), (3, 3))]
    assert wrong == [True, False]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_ordinary_merge_is_that_of_two_normal_sets_in_two_chunks(dtype: torch.dtype) -> None:
    module = Remembers(WIDTH).to(dtype).eval()
    data = ExampleData(data_of(1).example, WIDTH, dtype=dtype)
    assert not masks._merges_wrongly(Subject(module, WIDTH), data)
    chunks = [x for x, _ in module.seen]
    assert [x.dtype for x in chunks] == [dtype] * 6
    assert [tuple(x.shape) for x in chunks] == [(3, 1, WIDTH)] * 2 + [(2, 2, WIDTH), (2, 3, WIDTH)] * 2
    assert all(are_normal(x) for x in chunks)
