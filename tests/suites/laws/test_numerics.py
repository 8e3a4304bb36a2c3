"""The laws about rounding and the scale of the data: what they try, and what they call far."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.suites.laws import numerics
from mbcbench.suites.laws.numerics import FLOAT32, PRECISION, SCALE
from mbcbench.verify.checker import Budget
from mbcbench.verify.domain import Domain
from mbcbench.verify.example import KINDS, Example, ExampleData
from mbcbench.verify.law import Law
from mbcbench.verify.law_run import LawRun
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison
from tests.controls.base import Slots
from tests.suites.laws.encoders import (
    BRAIN,
    DOUBLE,
    SINGLE,
    Given,
    Recording,
    Rows,
    Tabulated,
    TabulatedStream,
)
from tests.verify.helpers import WIDTH, data_of, holds, numbers, subject_of


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Given]:
    """What the encoders of class Recording are given in a test."""
    monkeypatch.setattr(Recording, "given", [])
    return Recording.given


def check_law(law: Law, module: nn.Module, data: ExampleData, **more: Any) -> Comparison:
    with torch.no_grad():
        return law.check(Subject(module, WIDTH, **more), data)


# ---- scale


def test_inputs_are_scaled_by_a_thousandth_to_ten_thousand_and_moved_by_a_thousand(given: list[Given]) -> None:
    tried = set()
    subject = subject_of(Recording)
    for seed in range(80):
        data = data_of(2, 1, sets=1, seed=seed)
        given.clear()
        with torch.no_grad():
            assert holds(SCALE.check(subject, data))
        whole, *chunks = [x for x, _, _ in given[:3]]
        assert torch.equal(whole, torch.cat(chunks, 1))
        scale = float((whole.max() - whole.min()) / (data.x.max() - data.x.min()))
        offset = float((whole - scale * data.x).mean())
        assert data.choices["scale and offset"] == pytest.approx([scale, offset], rel=1e-6, abs=1e-6)
        tried.add((round(math.log10(scale), 3), round(offset)))
    assert {scale for scale, _ in tried} == {-3, -1, 1, 2, 3, 4}
    assert {offset for _, offset in tried} == {-1000, 0, 1000}


@pytest.mark.parametrize("rows", [[[1.0, math.inf], [1.0, 1.0]], [[1.0, math.nan]]])
def test_a_finite_set_has_a_finite_encoding(rows: Rows) -> None:
    comparison = check_law(SCALE, TabulatedStream({DOUBLE: rows}, {DOUBLE: rows}), data_of())
    assert comparison.gap.tolist() == [math.inf, math.inf]
    assert comparison.note == "a finite set has an encoding that is not finite"


@pytest.mark.parametrize(("streamed", "is_kept"), [(1.0, True), (1 + 1e-9, False)])
def test_a_stream_of_scaled_inputs_has_the_encoding_of_the_set(streamed: float, is_kept: bool) -> None:
    module = TabulatedStream({DOUBLE: [[1.0]]}, {DOUBLE: [[streamed]]})
    assert holds(check_law(SCALE, module, data_of())) == is_kept


def test_the_rounding_of_a_logit_excuses_gaps_in_proportion_to_the_largest_number_of_a_set() -> None:
    module = Tabulated({DOUBLE: [[3.0]]})
    subject = Subject(module, WIDTH)  # its encodings of ordinary data are 3
    x = numbers(0.5, -2.0, 10.0, 1000.0).reshape(4, 1, 1)
    comparison = Comparison(numbers(1, 1, 1, 1), numbers(0, 1, 2, 0.5), "note", numbers(1, 5, 5, 5))
    excused = numerics._excuse_exponents(subject, comparison, x)
    logit = 16 * torch.finfo(DOUBLE).eps
    assert excused.bound.tolist() == [3 * logit, 1 + 2 * 5 * logit, 2, 0.5 + 1000 * 5 * logit]
    assert excused[::2] == comparison[::2]
    without_scale = comparison._replace(scale=None)
    assert numerics._excuse_exponents(subject, without_scale, x) is without_scale


def test_inputs_are_scaled_after_equal_elements_are_moved_apart(given: list[Given]) -> None:
    with torch.no_grad():
        LawRun(SCALE, [subject_of(Recording)]).try_example(Example(sizes=(2,), kinds=(2,), seed=1))
    assert all(float((x[:, 0] - x[:, 1]).abs().min()) > 0 for x, _, _ in given if x.shape[1] == 2)


# ---- precision


def test_the_error_in_each_precision_is_reported_in_epsilons_of_the_encoding() -> None:
    single, brain = torch.finfo(SINGLE).eps, torch.finfo(BRAIN).eps
    module = TabulatedStream(
        {SINGLE: [[2.0], [2.0], [0.0]], BRAIN: [[0.5], [0.5], [0.0]]},
        {SINGLE: [[2.0], [2 + 8 * single], [0.0]], BRAIN: [[0.5 + brain], [0.5], [0.0]]},
    )
    comparison = check_law(PRECISION, module, data_of(sets=3))
    assert comparison.gap.tolist() == [2, 4, 0]
    assert comparison.bound.tolist() == [math.inf] * 3
    assert comparison.note == "float32 4 eps, bfloat16 2 eps"


def test_an_encoding_that_is_lost_in_a_precision_has_an_infinite_error() -> None:
    whole = {SINGLE: [[math.nan], [0.0], [1.0]], BRAIN: [[1.0], [0.0], [0.0]]}
    streamed = {SINGLE: [[math.nan], [0.0], [1.0]], BRAIN: [[1.0], [0.0], [1.0]]}
    comparison = check_law(PRECISION, TabulatedStream(whole, streamed), data_of(sets=3))
    assert comparison.gap.tolist() == [math.inf, 0, math.inf]
    assert comparison.note == "float32 inf eps, bfloat16 inf eps"


class DrawsSlots(Slots):
    """Draws its slots anew for each set."""

    def init_state(self, batch_size: int) -> Any:
        state = super().init_state(batch_size)
        return state._replace(slots=state.slots + torch.randn_like(state.slots))


def test_stream_and_set_draw_the_same_numbers_when_their_precision_is_measured() -> None:
    module, state = DrawsSlots(WIDTH), torch.get_rng_state()
    comparison = check_law(PRECISION, module, data_of())
    assert float(comparison.gap.max()) < 1e3
    assert torch.equal(torch.get_rng_state(), state)


def test_a_precision_that_is_not_supported_is_reported_as_such() -> None:
    table = {BRAIN: [[1.0]]}
    comparison = check_law(PRECISION, TabulatedStream(table, table), data_of())
    assert comparison.note == "float32 not supported (RuntimeError: no such kernel), bfloat16 0 eps"
    assert comparison.gap.tolist() == [0, 0]


def test_precision_is_measured_on_sets_of_many_sizes_and_judges_nobody() -> None:
    assert (min(e.n for e in PRECISION.fixed), max(e.n for e in PRECISION.fixed)) == (1, 257)
    assert (min(len(e.sizes) for e in PRECISION.fixed), max(len(e.sizes) for e in PRECISION.fixed)) == (1, 16)
    assert len({example.seed for example in PRECISION.fixed}) == len(PRECISION.fixed)
    kinds = [KINDS[kind][0] for kind in PRECISION.fixed[0].kinds]
    assert kinds == ["normal", "sorted", "negative", "class by class"]
    assert not PRECISION.can_fail({}, {})


def test_laws_of_numbers_are_not_for_tokens_and_laws_of_streams_not_for_plain_encoders() -> None:
    tokens = subject_of(domain=Domain(vocabulary=5))
    plain = Subject(Tabulated({DOUBLE: [[1.0]]}), WIDTH)
    unmet = [(law.unmet_requirement(tokens), law.unmet_requirement(plain)) for law in (SCALE, FLOAT32, PRECISION)]
    assert [[reason is None for reason in reasons] for reasons in unmet] == [
        [False, False],
        [False, True],
        [True, False],
    ]


@pytest.mark.parametrize("law", [SCALE, FLOAT32])
def test_expensive_laws_get_a_part_of_the_budget_and_no_large_sets(law: Law) -> None:
    assert Budget(examples=1000).sets_for(law) < 1000
    assert law.max_size < PRECISION.max_size


# ---- float32


def test_weights_and_inputs_grow_up_to_a_hundredfold(given: list[Given]) -> None:
    subject = subject_of(Recording)
    weights = subject.module.phi.weight.detach()
    tried = set()
    for seed in range(60):
        data = data_of(2, sets=1, seed=seed)
        given.clear()
        with torch.no_grad():
            assert holds(FLOAT32.check(subject, data))
        for x, _, factors in (each for each in given if each[0].shape[1] <= 3):  # ordinary sets have five elements
            tried.add((round(float(factors[0, 0] / weights[0, 0]), 3), round(float(x[0, 0, 0] / data.x[0, 0, 0]), 3)))
        factor, scale = data.choices["factor of the weights, and of the input"]
        assert (factor, scale) in tried
    assert {factor for factor, _ in tried} == {1, 10, 30, 100}
    assert {scale for _, scale in tried} == {1, 100}


def far_sets(exact: Rows, rounded: Rows, **more: Any) -> list[bool]:
    """Return for each of two sets whether the encoding in float32 is far from that in float64."""
    comparison = check_law(FLOAT32, Tabulated({DOUBLE: exact, SINGLE: rounded}), data_of(), **more)
    assert set(comparison.gap.tolist()) <= {0, math.inf}
    assert comparison.bound.tolist() == [0, 0]
    return (comparison.gap > 0).tolist()


@pytest.mark.parametrize(
    ("exact", "rounded", "is_far"),
    [
        (100.0, 101.0, False),  # one per cent exactly
        (100.0, 101.5, True),
        (0.9e30, math.inf, True),  # well inside the range of float32
        (1e30, math.inf, False),
        (1.5e30, math.inf, False),
        (0.0, 0.9e-30, False),  # where numbers in between have lost digits
        (0.0, 1.5e-30, True),
        (math.inf, 1.0, False),
        (math.nan, 1.0, False),
    ],
)
def test_near_is_one_per_cent_of_an_encoding_that_float32_can_hold(exact: float, rounded: float, is_far: bool) -> None:
    assert far_sets([[exact]], [[rounded]]) == [is_far, is_far]


def test_an_encoding_with_an_infinite_number_is_ignored() -> None:
    assert far_sets([[1.0, math.inf], [1.0, 1.0]], [[1.0, 2.0]]) == [False, True]


@pytest.mark.parametrize(("rounded", "is_far"), [(150.0, False), (math.inf, True), (math.nan, True)])
def test_a_random_encoding_is_far_only_if_it_is_not_finite(rounded: float, is_far: bool) -> None:
    assert far_sets([[100.0]], [[rounded]], deterministic=False) == [is_far, is_far]


class LargeForFive(Tabulated):
    """Encodes sets of five elements as a thousand times the numbers of other sets."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (1000 if x.shape[1] == 5 else 1)


@pytest.mark.parametrize(("rounded", "is_kept"), [(10.0, True), (12.0, False)])
def test_near_is_one_per_cent_of_an_ordinary_encoding_if_that_is_larger(rounded: float, is_kept: bool) -> None:
    module = LargeForFive({DOUBLE: [[1.0]], SINGLE: [[rounded]]})
    assert holds(check_law(FLOAT32, module, data_of())) == is_kept


@pytest.mark.parametrize(
    ("error", "is_far"), [((0.0, 49.0), [False, True]), ((0.0, 50.0), [False, False]), ((9.0, 51.0), [False, False])]
)
def test_the_rounding_error_of_float32_excuses_a_gap(
    error: tuple[float, float], is_far: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numerics, "_float32_error", lambda *_: numbers(*error))
    assert far_sets([[100.0]], [[100.5], [150.0]]) == is_far


@pytest.mark.parametrize(("product", "is_far"), [(0.9e9, True), (1e9, True), (1.5e9, False)])
def test_products_above_a_thousand_million_explain_an_overflow(
    product: float, is_far: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numerics, "largest_product", lambda *_: product)
    assert far_sets([[100.0]], [[100.0], [math.inf]]) == [False, is_far]


def test_an_encoder_that_does_not_support_float32_is_not_judged() -> None:
    comparison = check_law(FLOAT32, Tabulated({DOUBLE: [[1.0]]}), data_of())
    assert (comparison.gap.tolist(), comparison.bound.tolist()) == ([0, 0], [0, 0])


@pytest.mark.parametrize(
    ("whole", "streamed", "way"), [([[1.0]], [[2.0], [1.0]], " as a stream"), ([[2.0], [1.0]], [[1.0]], "")]
)
def test_the_first_way_that_is_far_in_some_set_is_named(whole: Rows, streamed: Rows, way: str) -> None:
    ones: Rows = [[1.0]]
    module = TabulatedStream({DOUBLE: ones, SINGLE: whole}, {DOUBLE: ones, SINGLE: streamed})
    comparison = check_law(FLOAT32, module, data_of())
    assert comparison.gap.tolist() == [math.inf, 0]
    assert comparison.note == f"the encoding in float32{way} is far from that in float64"


def test_a_stream_that_differs_in_float64_too_is_not_tried_in_float32() -> None:
    ones: Rows = [[1.0]]
    for streamed, ways in (([[1.0], [2.0]], [""]), (ones, ["", " as a stream"])):
        module = TabulatedStream({DOUBLE: ones, SINGLE: ones}, {DOUBLE: streamed, SINGLE: ones})
        subject, data = Subject(module, WIDTH), data_of()
        assert list(numerics._float32_encodings(subject, subject, data.x.float(), data)) == ways


def test_a_number_that_is_not_finite_makes_an_encoding_infinite() -> None:
    out = torch.zeros(4, 2, 2)
    out[1, 0, 1], out[2, 1, 0], out[3] = math.inf, math.nan, -math.inf
    assert numerics._is_infinite(out).tolist() == [False, True, True, True]


def test_products_explain_an_overflow_and_what_is_wrong_without_masked_elements(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[Tensor] = []

    def measure(module: nn.Module, x: Tensor) -> float:
        tried.append(x)
        return math.inf if float(x[0, 0, 0]) < 4 else 0.0

    monkeypatch.setattr(numerics, "largest_product", measure)
    x = torch.arange(6.0).reshape(6, 1, 1).expand(-1, 2, WIDTH)
    lost = torch.tensor([[True, False, False, False, False, True], [True, True, True, False, True, True]])
    infinite = torch.tensor([[False, False, False, False, False, True], [False, True, False, True, True, True]])
    explained = numerics._is_overflow_of_products(subject_of(), x, lost, infinite)
    assert [sets.shape for sets in tried] == [(1, 3, WIDTH)] * 4
    assert [sets[0, :, 0].tolist() for sets in tried] == [[0, 0, 1], [1, 1, 1], [4, 4, 1], [5, 5, 1]]
    assert all(sets.dtype == DOUBLE for sets in tried)
    assert explained.tolist() == [[True, False, False, False, False, False], [True, True, False, False, False, False]]
