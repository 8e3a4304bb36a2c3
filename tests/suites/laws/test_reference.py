"""The law about an independent computation of the encoding."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from mbcbench.suites.laws.reference import EQUAL
from mbcbench.verify.checker import Budget
from mbcbench.verify.example import KINDS
from mbcbench.verify.subject import Subject
from tests.verify.helpers import data_of, holds, subject_of


def reference_off_by(amount: float, dtype: Any = np.float64) -> Any:
    """Return a reference for the mean of silu(W x + b) that is wrong by an amount for the first set."""

    def encode(module: nn.Module, x: NDArray[np.float64]) -> NDArray[np.float64]:
        weight, bias = (parameter.detach().double().numpy() for parameter in module.parameters())
        features = x @ weight.T + bias
        encoding = (features / (1 + np.exp(-features))).mean(1)
        encoding[0] += amount
        return np.asarray(encoding, dtype)

    return encode


@pytest.mark.parametrize(("amount", "gap"), [(0.0, 0.0), (0.25, 0.25)])
def test_an_encoder_has_the_encodings_of_its_reference(amount: float, gap: float) -> None:
    with torch.no_grad():
        comparison = EQUAL.check(subject_of(reference=reference_off_by(amount)), data_of())
    assert comparison.gap.tolist() == pytest.approx([gap, 0], abs=1e-12)
    assert holds(comparison) == (gap == 0)


def test_a_reference_may_compute_in_another_precision() -> None:
    with torch.no_grad():
        comparison = EQUAL.check(subject_of(reference=reference_off_by(0.0, np.float32)), data_of())
    assert 0 < float(comparison.gap.max()) < 1e-6


def test_a_reference_that_works_in_place_does_not_change_the_data_of_the_encoder() -> None:
    right = reference_off_by(0.0)

    def centred(module: nn.Module, x: NDArray[np.float64]) -> NDArray[np.float64]:
        x -= x.mean(1, keepdims=True)
        encoding: NDArray[np.float64] = right(module, x)
        return encoding

    with torch.no_grad():
        assert not holds(EQUAL.check(subject_of(reference=centred), data_of()))


def test_the_law_needs_a_reference_and_is_tried_on_data_that_tell_wrong_functions_apart() -> None:
    subject: Subject = subject_of()
    assert "no reference" in (EQUAL.unmet_requirement(subject) or "")
    assert EQUAL.unmet_requirement(subject_of(reference=reference_off_by(0.0))) is None
    kinds = [KINDS[kind % len(KINDS)][0] for kind in EQUAL.kinds]
    assert kinds == ["normal", "zero rows", "negative", "outlier", "large", "offset 1000"]


def test_references_are_slow_and_get_a_small_part_of_the_budget_and_small_sets() -> None:
    budget = Budget(examples=1000)
    assert 0 < budget.sets_for(EQUAL) <= 1000 / 8
    assert EQUAL.max_size <= 16
