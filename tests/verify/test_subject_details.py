"""The bound of a comparison, and the variants of an encoder that laws are tried on."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mbcbench.types import Encoder
from mbcbench.verify.domain import Domain
from mbcbench.verify.subject import NAN, Subject, parameter_variants
from mbcbench.verify.tolerance import PERTURBATION, Comparison
from tests.controls.base import Mean
from tests.verify.helpers import WIDTH, numbers, subject_of
from tests.verify.law_helpers import Level

EPS = torch.finfo(torch.float64).eps
LARGE = 2.0**20  # products with it are exact
ONES = torch.ones(1, 2, WIDTH, dtype=torch.float64)


class Matrix(nn.Module):
    """A matrix with many entries, zeros and a bias; encodes a set as the sum of its elements."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.linear = nn.Linear(100, 100)
        self.zeros = nn.Parameter(torch.zeros(10_000))
        self.inputs: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.inputs.append(x.clone())
        assert not torch.is_grad_enabled()
        return x.sum(1)


class FailsIfLarge(Matrix):
    """An entry overflows with weights that are far larger than those of a fresh layer."""

    def forward(self, x: Tensor) -> Tensor:
        factors = torch.ones(WIDTH, dtype=x.dtype)
        if float(root_mean_square(self.linear.weight)) > 0.1:
            factors[0] = torch.inf
        return super().forward(x) * factors


def root_mean_square(tensor: Tensor) -> Tensor:
    return tensor.detach().double().square().mean().sqrt()


class Quantity:
    """A quantity of the first number of each set, which remembers what it is computed of."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor
        self.modules: list[Any] = []
        self.sets: list[Tensor] = []
        self.weights: list[Tensor] = []

    def __call__(self, module: Encoder, x: Tensor) -> Tensor:
        self.modules.append(module)
        self.sets.append(x.clone())
        self.weights.append(torch.cat([p.detach().flatten() for p in (*module.parameters(), torch.zeros(1))]))
        return self.factor * x[:, 0, :1]


def compare(gap: float, quantity: Any, encoder: type[nn.Module] = Level, x: Tensor = ONES, **more: Any) -> Comparison:
    """Compare two numbers about 1 that differ by a gap."""
    expected = torch.ones(len(x), 1, dtype=torch.float64)
    return subject_of(encoder, **more).compare(expected + gap, expected, x, quantity)


# ---- comparisons


def test_encodings_of_two_shapes_have_an_infinite_gap() -> None:
    actual, expected = torch.zeros(2, 3), torch.zeros(2, 4)
    comparison = subject_of().compare(actual, expected, torch.zeros(2, 5, WIDTH))
    assert comparison.gap.tolist() == [math.inf, math.inf]
    assert comparison.bound.tolist() == [0, 0]
    assert comparison.gap.dtype == comparison.bound.dtype == torch.float64
    assert comparison.note == "shape (2, 3) instead of (2, 4)"
    assert comparison.is_broken


def test_equal_encodings_have_the_bound_of_a_sum_and_the_scale_of_the_expected_one() -> None:
    quantity = Quantity()
    expected = numbers(1, -8)[:, None]
    x = torch.ones(2, 4, WIDTH, dtype=torch.float64)
    comparison = subject_of().compare(expected.clone(), expected, x, quantity)
    assert comparison.gap.tolist() == [0, 0]
    assert comparison.bound.tolist() == [8 * EPS, 64 * EPS]
    assert comparison.note == ""
    assert comparison.scale is not None
    assert comparison.scale.tolist() == [1, 8]
    assert quantity.sets == []


@pytest.mark.parametrize(
    ("actual", "expected", "note"),
    [(math.nan, 1, NAN), (1, math.nan, NAN), (math.nan, math.nan, ""), (math.inf, 1, "")],
)
def test_an_encoding_that_is_nan_on_one_side_is_described(actual: float, expected: float, note: str) -> None:
    a, b = (torch.tensor([[1.0, value]], dtype=torch.float64) for value in (actual, expected))
    assert subject_of().compare(a, b, ONES).note == note


@pytest.mark.parametrize(("gap", "number"), [(2 * EPS, 0), (3 * EPS, 1)])
def test_the_condition_is_measured_if_a_gap_exceeds_half_of_the_bound(gap: float, number: int) -> None:
    quantity = Quantity()
    compare(gap, quantity, x=ONES[:, :1])  # whose bound is four epsilons
    assert min(len(quantity.sets), 1) == number


def test_the_condition_of_a_random_encoder_and_without_a_perturbation_is_not_measured() -> None:
    quantity = Quantity()
    for more in ({"deterministic": False}, {"perturbation": None}):
        assert compare(1.0, quantity, **more).bound.tolist() == pytest.approx([4 * EPS * math.sqrt(2)])
    assert quantity.sets == []


@pytest.mark.parametrize("perturbation", [PERTURBATION, 1e-10], ids=["by default", "as given"])
def test_thirty_times_the_change_of_a_quantity_is_added_to_the_bound(perturbation: float) -> None:
    quantity = Quantity(LARGE)
    comparison = compare(1.0, quantity, perturbation=perturbation)
    assert comparison.bound.tolist() == pytest.approx([30 * 2 * EPS * LARGE], rel=1e-3)
    assert len(quantity.sets) == 9  # once unperturbed, and eight times perturbed
    for x in quantity.sets[1:]:
        assert (x - ONES).abs().flatten().tolist() == pytest.approx([perturbation] * 6, rel=1e-3)
    assert len({tuple(x.flatten().tolist()) for x in quantity.sets[1:]}) > 4
    assert torch.equal(quantity.sets[0], ONES)


@pytest.mark.parametrize(("excess", "number"), [(0, 2), (1, 9)])
def test_no_more_changes_are_made_once_a_gap_is_half_of_the_bound(excess: int, number: int) -> None:
    quantity = Quantity(LARGE)
    half = 2 + 30 * LARGE  # epsilons, of the bound of one element and thirty times two
    compare((half + excess) * EPS, quantity, x=ONES[:, :1])
    assert len(quantity.sets) == number


@pytest.mark.parametrize(("gaps", "number"), [((0, 0), 0), ((0, 1e-12), 2), ((1e-12, 1.0), 9)])
def test_changes_are_made_until_the_gap_of_each_set_is_covered(gaps: tuple[float, float], number: int) -> None:
    quantity = Quantity(LARGE)
    expected = torch.ones(2, 1, dtype=torch.float64)
    subject_of(Level).compare(expected + numbers(*gaps)[:, None], expected, ONES.expand(2, -1, -1), quantity)
    assert len(quantity.sets) == number


def test_the_largest_of_several_changes_counts() -> None:
    def difference(module: Encoder, x: Tensor) -> Tensor:
        return LARGE * (x[:, 0, :1] - x[:, 1, :1])  # changes by two perturbations, or not at all

    assert compare(1.0, difference).bound.tolist() == pytest.approx([2 * 30 * 2 * EPS * LARGE], rel=1e-3)


def test_a_change_that_is_not_finite_adds_nothing() -> None:
    def jump(module: Encoder, x: Tensor) -> Tensor:
        return torch.where(x[:, 0, :1] == 1, 1.0, torch.inf)

    assert compare(1.0, jump).bound.tolist() == pytest.approx([4 * EPS * math.sqrt(2)])


@pytest.mark.parametrize(
    ("vocabulary", "is_moved", "relative"),
    [(0, True, PERTURBATION), (5, False, PERTURBATION), (0, True, 1e-10)],
    ids=["numbers", "tokens", "numbers, by a given change"],
)
def test_parameters_are_perturbed_with_the_elements_unless_these_are_tokens(
    vocabulary: int, is_moved: bool, relative: float
) -> None:
    quantity = Quantity(LARGE)
    with torch.no_grad():
        compare(1.0, quantity, Mean, domain=Domain(vocabulary=vocabulary), perturbation=relative)
    before = quantity.weights[0][:-1]
    for weights, x in zip(quantity.weights[1:], quantity.sets[1:], strict=True):
        assert ((weights[:-1] - before) / before).abs().tolist() == pytest.approx([relative] * len(before), rel=0.6)
        assert torch.equal(x, ONES) != is_moved
    assert len({tuple(weights.tolist()) for weights in quantity.weights}) > 4
    assert quantity.modules[0] is not quantity.modules[1]


def test_the_condition_of_the_encoding_is_measured_unless_a_quantity_is_given() -> None:
    class Steep(Level):
        def forward(self, x: Tensor) -> Tensor:
            return LARGE * x[:, 0, :1]

    one = torch.ones(1, 1, dtype=torch.float64)
    bound = subject_of(Steep).compare(one + 1, one, ONES).bound.tolist()
    assert bound == pytest.approx([30 * 2 * EPS * LARGE], rel=1e-3)


# ---- variants of an encoder


def reference(module: nn.Module, x: Any) -> Any:
    return np.zeros(1)


def known(**more: Any) -> Subject:
    """Return a subject of which everything is known."""
    return subject_of(
        Matrix,
        deterministic=False,
        rebuild=lambda: Matrix(WIDTH),
        reference=reference,
        domain=Domain(min_size=2),
        **more,
    )


def test_variants_of_an_encoder_keep_what_is_known_of_it() -> None:
    subject = known()
    variants = (subject.with_perturbation(1e-10), subject.with_weights(2.0), subject.in_float32_digits, subject.copy())
    for twin in (*variants, subject.in_float32(0)):
        assert (twin.deterministic, twin.reference, twin.domain, twin.dim_in) == (
            False,
            reference,
            Domain(min_size=2),
            3,
        )
    assert all(twin.rebuild is subject.rebuild for twin in variants)
    assert [twin.perturbation for twin in variants] == [1e-10, None, None, PERTURBATION]
    assert subject.with_perturbation(1e-10).module is subject.module
    assert subject.with_perturbation(1e-10) is subject.with_perturbation(1e-10)
    assert subject.with_perturbation(1e-10) is not subject.with_perturbation(None)


def test_each_variant_of_an_encoder_is_made_once() -> None:
    subject = subject_of()
    for first, second in zip(*([*_variants(subject)] for _ in range(2)), strict=True):
        assert first is second
    modules = [v.module if isinstance(v, Subject) else v for v in _variants(subject)]
    assert len({id(module) for module in modules}) == len(modules) == 8


def _variants(subject: Subject) -> tuple[Any, ...]:
    weights, digits = (subject.with_weights(2.0), subject.with_weights(3.0)), subject.in_float32_digits
    dtypes = (subject.in_dtype(torch.float32), subject.in_dtype(torch.bfloat16))
    return (*weights, digits, *dtypes, subject.in_float32(0), subject.in_float32(1), subject.in_train_mode)


def test_weights_are_multiplied_and_biases_are_not() -> None:
    subject = subject_of()
    before = {name: p.detach().clone() for name, p in subject.module.named_parameters()}
    scaled = dict(subject.with_weights(4.0).module.named_parameters())
    assert torch.equal(scaled["phi.weight"], 4 * before["phi.weight"])
    assert torch.equal(scaled["phi.bias"], before["phi.bias"])
    assert all(torch.equal(p, before[name]) for name, p in subject.module.named_parameters())


def test_float32_can_hold_the_digits_of_parameters_in_float64() -> None:
    subject = subject_of()
    with torch.no_grad():
        subject.module.phi.weight.fill_(1 / 3)
    weight = subject.in_float32_digits.module.phi.weight
    assert weight.dtype == torch.float64
    assert torch.equal(weight, weight.float().double())
    assert 0 < float((weight - 1 / 3).detach().abs().amax()) < 1e-7


def test_an_encoder_in_float32_has_other_parameters_of_about_the_same_size() -> None:
    subject = known()
    weight = subject.module.linear.weight
    factors = [subject.in_float32(trial).module.linear.weight.detach().double() / weight.detach() for trial in (0, 1)]
    assert 0.899 < float(factors[0].amin()) < 0.91
    assert 1.09 < float(factors[0].amax()) < 1.101
    assert not torch.allclose(factors[0], factors[1], atol=0.01)
    assert subject.in_float32(0).dtype == torch.float32
    rebuilt = subject.in_float32(0).rebuild()
    assert {parameter.dtype for parameter in rebuilt.parameters()} == {torch.float32}
    assert subject.in_dtype(torch.bfloat16).linear.weight.dtype == torch.bfloat16
    assert weight.dtype == torch.float64


def test_copies_of_an_encoder_have_parameters_of_their_own() -> None:
    subject = subject_of(Matrix, domain=Domain(min_size=2))
    training = subject.in_train_mode
    for twin in (subject.copy(), training):
        assert twin.module is not subject.module
        assert torch.equal(twin.module.linear.weight, subject.module.linear.weight)
        assert twin.module.linear.weight is not subject.module.linear.weight
        assert (twin.domain, twin.dim_in) == (Domain(min_size=2), WIDTH)
    assert (training.module.training, subject.module.training) == (True, False)


def assert_is_noisy(module: Any, base: Any, scale: float) -> None:
    """Assert that noise of half the size of the parameters was added to them, and that they are scaled."""
    noise = module.linear.weight.detach() / scale - base.linear.weight.detach()
    level = max(float(root_mean_square(base.linear.weight)), 0.1)
    assert float(root_mean_square(noise)) == pytest.approx(0.5 * level, rel=0.1)
    assert float(noise.mean().abs()) < 0.01
    assert float(root_mean_square(module.zeros)) == pytest.approx(0.05 * scale, rel=0.1)


@pytest.mark.parametrize("size", [0.01, 1.0])
def test_an_encoder_is_rebuilt_with_noise_on_its_parameters(size: float) -> None:
    subject = subject_of(Matrix)
    with torch.no_grad():
        subject.module.linear.weight.mul_(size / root_mean_square(subject.module.linear.weight))
    before = subject.module.linear.weight.detach().clone()
    assert_is_noisy(subject.rebuild(), subject.module, 1.0)
    assert torch.equal(subject.module.linear.weight, before)


def test_variants_of_three_scales_follow_the_encoder_as_built() -> None:
    base = subject_of(Matrix).module
    variants: list[Any] = parameter_variants(base, WIDTH, 0, Domain())
    assert len(variants) == 4
    assert variants[0] is base
    for variant, scale in zip(variants[1:], (1.0, 3.0, 0.3), strict=True):
        assert_is_noisy(variant, base, scale)
    again: list[Any] = parameter_variants(base, WIDTH, 0, Domain())
    other: list[Any] = parameter_variants(base, WIDTH, 10, Domain())
    assert torch.equal(again[1].linear.weight, variants[1].linear.weight)
    assert not torch.allclose(other[1].linear.weight, variants[1].linear.weight, rtol=0.1)
    assert not torch.allclose(variants[3].linear.weight / 0.3, variants[1].linear.weight, rtol=0.1)


def inputs_of_variants(base: nn.Module, seed: int, domain: Domain) -> Tensor:
    """Return the sets on which variants of an encoder are tried."""
    variants: list[Any] = parameter_variants(base, WIDTH, seed, domain)
    inputs: Tensor = variants[1].inputs[0]
    return inputs


@pytest.mark.parametrize(("min_size", "n"), [(1, 5), (9, 9)])
def test_variants_are_tried_on_ordinary_sets_that_the_encoder_admits(min_size: int, n: int) -> None:
    base = subject_of(Matrix).module
    first, second, again = (inputs_of_variants(base, seed, Domain(min_size=min_size)) for seed in (0, 1, 0))
    assert first.shape == (2, n, WIDTH)
    assert first.dtype == torch.float64
    assert not torch.equal(first, second)
    assert torch.equal(first, again)
    tokens = inputs_of_variants(base, 0, Domain(min_size=min_size, vocabulary=4))
    assert set(tokens.flatten().tolist()) <= {0, 1, 2, 3}


def test_a_variant_that_is_not_finite_is_left_out() -> None:
    base = subject_of(FailsIfLarge).module
    variants: list[Any] = parameter_variants(base, WIDTH, 0, Domain())
    sizes = [float(root_mean_square(variant.linear.weight)) for variant in variants]
    assert len(sizes) == 3
    assert max(sizes) < 0.1
