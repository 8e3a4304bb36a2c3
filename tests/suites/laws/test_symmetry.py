"""Symmetries: what the laws give to an encoder, which outputs count as symmetric, and which part is named."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.suites.laws import symmetry
from mbcbench.suites.laws.symmetry import BATCH, ELEMENTS, PERMUTATION, REPLICATION, SLOTS
from mbcbench.verify.checker import Budget
from mbcbench.verify.culprit import find_culprit
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import Law, NotApplicable
from mbcbench.verify.layout import ElementAxis
from mbcbench.verify.search import search
from mbcbench.verify.tolerance import Comparison
from tests.controls.base import WIDTH, Mean, Slots, Sum
from tests.controls.symmetry import BatchCentred, FirstElementBias, Layer, PositionalLayer, SortedOutputs, positions
from tests.verify.helpers import WIDTH as DIM_IN
from tests.verify.helpers import holds, subject_of

KIND_CONSTANT = 2
EXAMPLE = Example(sizes=(2, 3), kinds=(0, 0, 0), seed=1)
Encoder = Callable[[int], nn.Module]


class Recorder(Mean):
    """A mean that remembers the sets that it is given in one piece, and the chunks."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.sets: list[Tensor] = []
        self.chunks: list[Tensor] = []

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        self.chunks.append(x)
        return super().update(state, x, mask)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        self.sets.append(x)
        return self.readout(super().update(self.init_state(len(x)), x, mask))


def judge(law: Law, encoder: Encoder, example: Example = EXAMPLE) -> Comparison:
    with torch.no_grad():
        return law.check(subject_of(encoder), ExampleData(example, DIM_IN))


def record(law: Law, example: Example = EXAMPLE) -> tuple[Recorder, ExampleData]:
    """Return an encoder after a law has been tried on it, and the data of the law."""
    subject, data = subject_of(Recorder), ExampleData(example, DIM_IN)
    with torch.no_grad():
        assert holds(law.check(subject, data))
    assert isinstance(subject.module, Recorder)
    return subject.module, data


def arranged(x: Tensor, permutations: Tensor) -> Tensor:
    """Return the elements of each set in another order, one set at a time."""
    return torch.stack([one[permutation] for one, permutation in zip(x, permutations, strict=True)])


def culprit(law: Law, encoder: Encoder, example: Example = EXAMPLE) -> str:
    return find_culprit(law, [subject_of(encoder)], example)


# ---- permutations of the elements


def test_each_set_has_its_own_permutation() -> None:
    encoder, data = record(PERMUTATION)
    permutations = data.choices["permutation"]
    assert permutations.shape == (3, 5)
    assert permutations.sort(1).values.tolist() == [list(range(5))] * 3
    assert len({tuple(row) for row in permutations.tolist()}) == 3
    assert torch.equal(encoder.sets[0], arranged(data.x, permutations))
    assert torch.equal(encoder.sets[1], data.x)
    assert not holds(judge(PERMUTATION, FirstElementBias))


@pytest.mark.parametrize("rest", [(), (2,), (2, 4), (1, 2, 3)])
def test_elements_of_any_shape_are_permuted(rest: tuple[int, ...]) -> None:
    x = torch.arange(2 * 3 * int(torch.tensor(rest).prod())).reshape(2, 3, *rest)
    permutations = torch.tensor([[2, 0, 1], [1, 0, 2]])
    assert torch.equal(symmetry._permute(x, permutations), arranged(x, permutations))


class Positions(nn.Module):
    """Multiplies elements by their positions."""

    def forward(self, h: Tensor) -> Tensor:
        return h * (1 + positions(h))


class Sorted(nn.Module):
    """Sorts each feature over the elements."""

    def forward(self, h: Tensor) -> Tensor:
        return h.sort(1).values


class Table(nn.Module):
    """Returns a vector for each position, whatever the elements are."""

    def forward(self, h: Tensor) -> Tensor:
        return positions(h).expand(len(h), -1, WIDTH).cos()


class Combined(nn.Module):
    """Sums over elements the products of their features and the output of a submodule for them."""

    def __init__(self, dim_in: int, inner: nn.Module) -> None:
        super().__init__()
        self.phi, self.inner = nn.Linear(dim_in, WIDTH), inner

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.phi(x).tanh()
        inner: Tensor = self.inner(h)
        return (h * inner).sum(1)


@pytest.mark.parametrize(
    ("encoder", "expected"),
    [
        (lambda d: Combined(d, Positions()), "inner (Positions): depends on the order of elements"),
        (lambda d: Combined(d, Table()), "inner (Table): depends on the order of elements"),
        (FirstElementBias, "state.total differs"),
        (lambda d: Combined(d, Sorted()), ""),  # the same for any order: what multiplies the features is at fault
        (lambda d: Combined(d, nn.Identity()), ""),
    ],
)
def test_the_part_that_depends_on_the_order_of_elements_is_named(encoder: Encoder, expected: str) -> None:
    assert culprit(PERMUTATION, encoder) == expected


def test_the_part_of_a_layer_that_depends_on_the_order_of_elements_is_named() -> None:
    layer = culprit(ELEMENTS, lambda d: nn.Sequential(nn.Linear(d, WIDTH), Positions()))
    assert layer == "1 (Positions): depends on the order of elements"


# ---- sets of a batch


def test_the_sets_of_another_batch_are_compared_with_themselves() -> None:
    encoder, data = record(BATCH)
    rows = data.choices["sets of the other batch"]
    assert any(torch.equal(x, data.x[rows]) for x in encoder.sets)
    assert any(torch.equal(x, data.x) for x in encoder.sets)
    assert encoder.chunks == []


def test_the_other_batch_has_one_set_or_more_up_to_all() -> None:
    batches = [symmetry._draw_rows(ExampleData(Example(sizes=(1,), kinds=(0,) * 3, seed=s), 1)) for s in range(24)]
    assert {len(rows) for rows in batches} == {1, 2, 3}
    assert {int(row) for rows in batches for row in rows} == {0, 1, 2}


@pytest.mark.parametrize("seed", range(6))
def test_a_set_that_is_not_in_the_other_batch_has_no_gap(seed: int) -> None:
    data = ExampleData(Example(sizes=(3,), kinds=(0,) * 6, seed=seed), DIM_IN)
    with torch.no_grad():
        gap = BATCH.check(subject_of(BatchCentred), data).gap
    drawn = {int(row) for row in data.choices["sets of the other batch"]}
    assert {row for row in range(6) if gap[row] > 0} == drawn


def test_a_batch_with_too_few_encodings_is_described() -> None:
    class OneForAll(Mean):
        def readout(self, state: Any) -> Tensor:
            return super().readout(state)[:1]

    comparison = judge(BATCH, OneForAll)
    assert comparison.note == "1 encodings of 3 sets"
    assert not holds(comparison)


class TableOf256(Mean):
    """Streams at most 256 sets without a fault."""

    def init_state(self, batch_size: int) -> Any:
        state = super().init_state(batch_size)
        return state._replace(total=state.total + (torch.arange(batch_size) >= 256).unsqueeze(1))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.features(x).mean(1)


class Plain(nn.Module):
    """A mean that does not stream."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.mean = TableOf256(dim_in)

    def forward(self, x: Tensor) -> Tensor:
        return self.mean.forward(x)


@pytest.mark.parametrize(
    ("encoder", "number", "is_kept"),
    [(TableOf256, 299, True), (TableOf256, 300, False), (Mean, 300, True), (Plain, 300, True)],
)
def test_batches_of_300_sets_are_streamed_too(encoder: Encoder, number: int, is_kept: bool) -> None:
    comparison = judge(BATCH, encoder, Example(sizes=(1, 2), kinds=(0,) * number, seed=3))
    assert holds(comparison) == is_kept
    assert comparison.gap.shape == (number,)


def test_many_sets_are_tried_after_the_smallest_examples_with_changed_parameters() -> None:
    subjects = [subject_of(Recorder), subject_of(Recorder)]
    assert search(BATCH, subjects, examples=1).holds
    many = [[x for x in subject.module.sets if len(x) > 256] for subject in subjects]
    assert many[0] == []
    assert {len(x) for x in many[1]} > {300}  # the other batch is as large as a table of 256 rows, and smaller
    chunks = {tuple(chunk.shape[1:]) for subject in subjects for chunk in subject.module.chunks if len(chunk) > 256}
    assert chunks == {(1, DIM_IN), (2, DIM_IN)}
    x = many[1][0]
    assert x.unique().numel() == x.numel() > 256 * 3 * DIM_IN  # no two elements are equal, of which some are


@pytest.mark.parametrize(("is_random", "is_kept"), [(True, True), (False, False)])
def test_streams_that_differ_by_themselves_are_not_compared(is_random: bool, is_kept: bool) -> None:
    class StartsAnew(BatchCentred):
        def init_state(self, batch_size: int) -> Any:
            state = super().init_state(batch_size)
            return state._replace(total=state.total + torch.rand(1)) if is_random else state

    subject, data = subject_of(StartsAnew), ExampleData(EXAMPLE, DIM_IN)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        comparison = symmetry._compare_streams(subject, data, torch.tensor([2, 0]))
    assert holds(comparison) == is_kept
    assert (comparison.gap > 0).tolist() == [not is_kept, False, not is_kept]


def test_the_part_that_depends_on_other_sets_is_named() -> None:
    class CentredOverBatch(nn.Module):
        def forward(self, h: Tensor) -> Tensor:
            return h - h.mean((0, 1))

    named = culprit(BATCH, lambda d: Combined(d, CentredOverBatch()))
    assert named == "inner (CentredOverBatch): depends on the other sets of the batch"


# ---- set-to-set layers

ORDERS = torch.tensor([[2, 0, 1], [0, 2, 1]])  # of three elements of two sets


def permuted_outputs(whole: Tensor, *axes: tuple[int, int]) -> list[list[Any]]:
    outputs = symmetry._permuted_outputs(whole, ORDERS, [ElementAxis(*axis) for axis in axes])
    return [output.tolist() for output in outputs]


def moved(whole: Tensor, number: int, orders: Sequence[Sequence[int]]) -> Tensor:
    """Return an output with the entries along an axis of each set in another order."""
    return torch.stack([out.index_select(number - 1, torch.tensor(o)) for out, o in zip(whole, orders, strict=True)])


def test_outputs_are_permuted_along_any_of_the_axes_of_elements() -> None:
    whole, orders = torch.arange(18).reshape(2, 3, 3), ORDERS.tolist()
    rows, columns = moved(whole, 1, orders), moved(whole, 2, orders)
    assert permuted_outputs(whole, (1, 0)) == [rows.tolist(), whole.tolist()]
    expected = [rows, columns, moved(rows, 2, orders), whole]
    assert permuted_outputs(whole, (1, 0), (2, 0)) == [output.tolist() for output in expected]


def test_tokens_before_or_after_the_elements_keep_their_places() -> None:
    whole = torch.arange(30).reshape(2, 5, 3)
    before = moved(whole, 1, [[0, 1, 4, 2, 3], [0, 1, 2, 4, 3]])
    after = moved(whole, 1, [[2, 0, 1, 3, 4], [0, 2, 1, 3, 4]])
    assert permuted_outputs(whole, (1, 2)) == [before.tolist(), after.tolist(), whole.tolist()]
    columns, both = moved(whole, 2, ORDERS.tolist()), [moved(out, 2, ORDERS.tolist()) for out in (before, after)]
    expected = [before, after, columns, *both, whole]
    assert permuted_outputs(whole, (1, 2), (2, 0)) == [output.tolist() for output in expected]


def test_an_axis_that_has_another_length_or_is_missing_is_not_permuted() -> None:
    whole = torch.arange(30).reshape(2, 5, 3)
    assert permuted_outputs(whole, (1, 0), (1, 1), (3, 0), (4, 0)) == [whole.tolist()]


class TwoTokens(Layer):
    """Returns the mean before and after the outputs of the elements."""

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        mean = out.mean(1, keepdim=True)
        return torch.cat([mean, 2 * mean, out], 1)


class DropsBeforeLargest(Layer):
    """Returns the outputs of the elements from the one with the largest first coordinate on."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, int(x[0, :, 0].argmax()) :]


@pytest.mark.parametrize("encoder", [Layer, SortedOutputs, TwoTokens])
def test_an_equivariant_layer_keeps_the_law_on_constant_and_normal_sets(encoder: Encoder) -> None:
    example = Example(sizes=(5,), kinds=(KIND_CONSTANT, 0, 0), seed=1)
    assert holds(judge(ELEMENTS, encoder, example))
    assert judge(ELEMENTS, PositionalLayer, example).gap[1] > 1e-7


def test_a_layer_whose_number_of_outputs_depends_on_the_order_breaks_the_law() -> None:
    comparison = judge(ELEMENTS, DropsBeforeLargest)
    assert comparison.note.startswith("shape (3, ")
    assert not holds(comparison)


@pytest.mark.parametrize(("num_sets", "is_tried"), [(2, True), (3, False)])
def test_a_layer_with_more_than_8388608_outputs_is_not_tried(num_sets: int, is_tried: bool) -> None:
    subject = subject_of(Mean)
    vars(subject)["element_axes"] = (ElementAxis(1, 0), ElementAxis(2, 0))
    data = ExampleData(Example(sizes=(2048,), kinds=(0,) * num_sets, seed=1), DIM_IN)
    with torch.no_grad():
        if is_tried:
            assert holds(ELEMENTS.check(subject, data))
        else:
            with pytest.raises(NotApplicable, match="2048 elements have too many outputs, one for each combination of"):
                ELEMENTS.check(subject, data)


# ---- replication


def test_a_set_is_replicated_three_times() -> None:
    encoder, data = record(REPLICATION)
    assert torch.equal(encoder.sets[0], torch.cat([data.x, data.x, data.x], 1))
    assert torch.equal(encoder.sets[1], data.x)
    assert not holds(judge(REPLICATION, Sum))
    assert [REPLICATION.describe_outcome(holds=kept, note="") for kept in (True, False)] == ["size-free", "size-aware"]


# ---- what the laws declare


@pytest.mark.parametrize(
    ("law", "kept", "applies_not_to"),
    [(PERMUTATION, Mean, Layer), (REPLICATION, Mean, Layer), (SLOTS, Slots, Mean), (ELEMENTS, Layer, Mean)],
)
def test_a_law_of_symmetry_applies_to_some_encoders_only(law: Law, kept: Encoder, applies_not_to: Encoder) -> None:
    assert law.unmet_requirement(subject_of(kept)) is None
    assert law.unmet_requirement(subject_of(applies_not_to)) is not None


def test_laws_that_take_long_are_tried_on_fewer_examples() -> None:
    budget = Budget(examples=4000)
    numbers = {law.id: budget.sets_for(law) for law in (PERMUTATION, REPLICATION, BATCH)}
    assert numbers["symmetry.batch"] < numbers["symmetry.replication"] < numbers["symmetry.permutation"] / 2
    assert Budget(examples=1, min_examples=50).sets_for(BATCH) < 50
    assert REPLICATION.max_size < PERMUTATION.max_size / 3
