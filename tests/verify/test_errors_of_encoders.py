"""Errors of encoders: each is reported by the law that it is about, and by no other."""

from typing import Any

import pytest
from torch import Tensor

from tests.controls.base import Mean
from tests.verify.helpers import check, holds


class RefusesAbsentSets(Mean):
    error: Exception = ValueError("each set needs an element in each chunk")

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        if mask is not None and not bool(mask.any(1).all()):
            raise self.error
        return super().update(state, x, mask)


class RaisesMutely(RefusesAbsentSets):
    error = ValueError()


class PacksSequences(RefusesAbsentSets):
    """Raises what `pack_padded_sequence` raises for a set without elements."""

    error = RuntimeError("Length of all samples has to be greater than 0")


class PacksSequencesInPlace(PacksSequences):
    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        if mask is not None:
            x[~mask] = 0.0
        return super().update(state, x, mask)


class MergeRaises(Mean):
    """Its states cannot be merged, as those of some metrics."""

    def merge(self, a: Any, b: Any) -> Any:
        raise RuntimeError("states are not merged")


class MergeRaisesInTraining(Mean):
    def merge(self, a: Any, b: Any) -> Any:
        if self.training:
            raise RuntimeError("states are not merged in train mode")
        return super().merge(a, b)


class MergeRaisesForAbsentSets(Mean):
    def merge(self, a: Any, b: Any) -> Any:
        if a.number.any() and b.number.any() and not (a.number.all() and b.number.all()):
            raise RuntimeError("a set has no elements in one of the states")
        return super().merge(a, b)


@pytest.mark.parametrize("law", ["mbc.mask", "symmetry.padding", "mbc.empty"])
def test_a_set_without_elements_may_be_refused_with_a_message_only(law: str) -> None:
    for seed in range(6):
        assert holds(check(law, RefusesAbsentSets, seed=seed))
    with pytest.raises(ValueError, match=r"^$"):
        _ = [check(law, RaisesMutely, seed=seed) for seed in range(6)]


@pytest.mark.parametrize("law", ["mbc.mask", "mbc.train", "hygiene.rng"])
def test_only_laws_on_merging_report_a_merge_that_raises(law: str) -> None:
    for seed in range(6):
        assert holds(check(law, MergeRaises, seed=seed))
    with pytest.raises(RuntimeError, match="states are not merged"):
        check("mbc.merge", MergeRaises)


def test_a_merge_that_raises_in_train_mode_only_is_reported_by_the_law_on_train_mode() -> None:
    assert holds(check("mbc.merge", MergeRaisesInTraining))
    with pytest.raises(RuntimeError, match="states are not merged in train mode"):
        check("mbc.train", MergeRaisesInTraining)


def test_a_merge_that_raises_for_masked_sets_only_is_reported_by_the_law_on_masks() -> None:
    assert holds(check("mbc.merge", MergeRaisesForAbsentSets))
    with pytest.raises(RuntimeError, match="a set has no elements in one of the states"):
        _ = [check("mbc.mask", MergeRaisesForAbsentSets, seed=seed) for seed in range(12)]


def test_only_laws_on_masks_report_an_error_for_a_set_without_elements() -> None:
    assert holds(check("hygiene.inputs", PacksSequences))
    assert not holds(check("hygiene.inputs", PacksSequencesInPlace))
    with pytest.raises(RuntimeError, match="greater than 0"):
        _ = [check("mbc.mask", PacksSequences, seed=seed) for seed in range(6)]
