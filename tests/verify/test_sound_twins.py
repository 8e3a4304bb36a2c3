"""Sound twins of the controls: encoders that are close to a fault, and keep the law that names it."""

import contextlib
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench import registry
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.records.record import Status
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import NotApplicable, get_law
from mbcbench.verify.law_result import LawResult
from tests.controls import control
from tests.controls.base import SLOTS, WIDTH, Mean, Slots, Slotted
from tests.controls.masks import TightLayer, ZeroForAbsentSet
from tests.controls.numerics import BareQuery, ComposedQuery, DeepSoftmax
from tests.controls.sizes import SetFunction, ZeroForOneElement
from tests.controls.symmetry import ChannelsFirst, ClassToken, Layer, SortedOutputs
from tests.controls.training import BatchNormOverSets, CentredByPastMean, LayerNormOverFeatures

BUDGET = Budget(examples=64, min_examples=4)
EXPENSIVE = ("mbc.large",)


def results(encoder: type[nn.Module], *laws: str) -> list[LawResult]:
    checker = Checker(EncoderSpec(name=encoder.__name__, factory=encoder), dim_in=3, seed=0)
    return [checker.try_law(get_law(law), BUDGET) for law in laws]


class FixedMask(Mean):
    """A mean that heeds its mask in every chunk."""


class Periodic(SetFunction):
    """A mean of waves of fractional coordinates, whose period is 1."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward((2 * torch.pi * x).sin()) + super().forward((2 * torch.pi * x).cos())


class Triples(Layer):
    """A layer with an output for each three elements, `B x n x n x n`."""

    def forward(self, x: Tensor) -> Tensor:
        h = super().forward(x).sum(2)
        return (h[:, :, None, None] + 2 * h[:, None, :, None] * h[:, None, None, :]).tanh()


class OrderedTriples(Triples):
    """Its faulty twin: the output of three elements is zero if the second comes after the third."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).triu()


def test_outputs_of_triples_are_permuted_along_all_axes() -> None:
    (sound,), (faulty,) = (results(encoder, "symmetry.elements") for encoder in (Triples, OrderedTriples))
    assert (sound.status, faulty.status) == (Status.PASS, Status.FAIL)


class Distances(SetFunction):
    """All distances between two elements, sorted: `B x n (n - 1) / 2`."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] < 2:
            raise ValueError("a set has two elements or more")
        h, (i, j) = self.phi(x), torch.triu_indices(x.shape[1], x.shape[1], 1)
        distances: Tensor = (h[:, i] - h[:, j]).abs().sum(2)
        return distances.sort(1).values


@pytest.mark.parametrize(
    ("encoder", "law"),
    [
        (FixedMask, "mbc.mask"),
        (ZeroForAbsentSet, "symmetry.padding"),
        (TightLayer, "symmetry.padding"),
        (ZeroForOneElement, "hygiene.finite"),
        (SetFunction, "symmetry.size"),
        (LayerNormOverFeatures, "symmetry.train"),
        (BareQuery, "numerics.float32"),
        (ComposedQuery, "numerics.float32"),
        (DeepSoftmax, "numerics.float32"),
        (CentredByPastMean, "symmetry.train"),
        (SortedOutputs, "symmetry.elements"),
        (ChannelsFirst, "symmetry.elements"),
        (ClassToken, "symmetry.elements"),
        (Periodic, "substance.elements"),
    ],
)
def test_a_sound_twin_keeps_the_law(encoder: type[nn.Module], law: str) -> None:
    (result,) = results(encoder, law)
    assert result.status is Status.PASS, result


def test_encodings_of_other_shapes_are_not_subtracted() -> None:
    elements, attention, interactions = results(
        Distances, "substance.elements", "substance.attention", "substance.interactions"
    )
    assert (elements.status, attention.status, interactions.status) == (Status.PASS, Status.PASS, Status.SKIP)
    assert interactions.message.startswith("sets of different sizes have encodings of different shapes")


class MaskedChannelsFirst(TightLayer):
    """A layer with a mask that returns `B x d x n`."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x, mask).transpose(1, 2)


def test_a_layer_with_another_layout_is_not_taken_for_an_encoder_of_sets() -> None:
    permutation, padding = results(MaskedChannelsFirst, "symmetry.permutation", "symmetry.padding")
    assert permutation.message == f"it is a set-to-set layer: its output is B x {WIDTH} x n"
    assert padding.status is Status.SKIP
    assert "select_output(module, lambda out: out.transpose(1, 2))" in padding.message
    (tokens,) = results(ClassToken, "symmetry.permutation")
    assert tokens.message == f"it is a set-to-set layer: its output is B x (n + 1) x {WIDTH}"


class BatchNormSum(BatchNormOverSets):
    """Normalises over the batch in train mode; (f, sum) is consistent in eval mode."""

    def forward(self, x: Tensor) -> Tensor:
        encoding: Tensor = self.norm(self.phi(x).transpose(1, 2)).tanh().sum(2)
        return encoding


def test_batch_norm_is_a_failure_and_no_error() -> None:
    on_streams, on_batches = results(BatchNormSum, "mbc.train", "symmetry.train")
    assert (on_streams.status, on_batches.status) == (Status.FAIL, Status.FAIL)


class TrainedSpread(Slots):
    """Slots with a spread that acts in train mode only."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.spread = nn.Parameter(torch.ones(()))

    def init_state(self, batch_size: int) -> Any:
        state = super().init_state(batch_size)
        if not self.training:
            return state
        noise = torch.randn(batch_size, SLOTS, WIDTH).to(self.slots.dtype)
        return Slotted(state.slots + self.spread * noise, state.total)


class DeadSpread(TrainedSpread):
    """Its faulty twin: no gradient reaches the spread."""

    def init_state(self, batch_size: int) -> Any:
        slots = self.slots.expand(batch_size, -1, -1)
        if self.training:
            slots = slots + torch.randn(slots.shape).to(slots.dtype) * self.spread.detach()
        return Slotted(slots, torch.zeros_like(slots))


def test_a_parameter_that_acts_in_train_mode_only_is_not_dead() -> None:
    (alive,), (dead,) = (results(encoder, "substance.parameters") for encoder in (TrainedSpread, DeadSpread))
    assert alive.status is Status.PASS
    assert dead.status is Status.FAIL
    assert dead.search is not None
    assert dead.search.counterexample is not None
    assert dead.search.counterexample.note == "no gradient: spread"


class DictSlots(Slots):
    """A state that is a dict."""

    def init_state(self, batch_size: int) -> Any:
        return super().init_state(batch_size)._asdict()

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return super().update(Slotted(**state), x, mask)._asdict()

    def merge(self, a: Any, b: Any) -> Any:
        return super().merge(Slotted(**a), Slotted(**b))._asdict()

    def readout(self, state: Any) -> Tensor:
        return super().readout(Slotted(**state))


@dataclass(frozen=True)
class SlotState:
    slots: Tensor
    total: Tensor


class DataclassSlots(Slots):
    """A state that is a dataclass."""

    def init_state(self, batch_size: int) -> Any:
        return SlotState(*super().init_state(batch_size))

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return SlotState(*super().update(state, x, mask))

    def merge(self, a: Any, b: Any) -> Any:
        return SlotState(a.slots, a.total + b.total)


class TupleSlots(Slots):
    """A state that is a tuple, without names."""

    def init_state(self, batch_size: int) -> Any:
        return tuple(super().init_state(batch_size))

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return tuple(super().update(Slotted(*state), x, mask))

    def merge(self, a: Any, b: Any) -> Any:
        return tuple(super().merge(Slotted(*a), Slotted(*b)))

    def readout(self, state: Any) -> Tensor:
        return super().readout(Slotted(*state))


class CountsSlots(Mean):
    """A state in which `slots` is a number."""

    def init_state(self, batch_size: int) -> Any:
        return {**super().init_state(batch_size)._asdict(), "slots": 3}

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        part = self.part(x, mask)
        return {"total": state["total"] + part.total, "number": state["number"] + part.number, "slots": state["slots"]}

    def merge(self, a: Any, b: Any) -> Any:
        return {"total": a["total"] + b["total"], "number": a["number"] + b["number"], "slots": a["slots"]}

    def readout(self, state: Any) -> Tensor:
        mean: Tensor = state["total"] / state["number"].clamp(min=1).unsqueeze(1)
        return mean


class Retrieval(SetFunction):
    """Three steps of a Hopfield network: long sums of equal terms, which round alike."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.query = nn.Parameter(torch.randn(2, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        h, query = self.phi(x).tanh(), self.query.expand(len(x), -1, -1)
        for _ in range(3):
            query = (2 * query @ h.transpose(1, 2)).softmax(2) @ h
        return query.flatten(1)


class FusedAttention(SetFunction):
    """A transformer, whose attention PyTorch computes in one operation."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 8, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        mean: Tensor = self.layers(self.phi(x)).mean(1)
        return mean


class RunningSums(SetFunction):
    """Linear attention: sums over elements, one after the other, whose roundings add up where elements are repeated."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.keys = nn.Linear(dim_in, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        products = self.keys(x).unsqueeze(3) * self.phi(x).unsqueeze(2)
        mean: Tensor = torch.cumsum(products, 1)[:, -1].flatten(1) / x.shape[1]
        return mean.tanh()


@pytest.mark.parametrize("encoder", [Retrieval, FusedAttention, RunningSums])
def test_large_sets_are_encoded_within_rounding_and_memory(encoder: type[nn.Module]) -> None:
    (result,) = results(encoder, "symmetry.size")
    assert result.status is Status.PASS, result


def test_every_law_compares_each_set_of_a_batch_once() -> None:
    subject = Checker(EncoderSpec(name="slots", factory=Slots), dim_in=3, seed=0).subjects()[0]
    for law_id in registry.plugins(registry.LAWS):
        law = get_law(law_id)
        if law.fixed or law.explore is not None or law.unmet_requirement(subject):
            continue
        for seed in range(3):
            data = ExampleData(Example(sizes=(2, 3), seed=seed, kinds=(0, 1, 2, 3)), 3)
            with contextlib.suppress(NotApplicable), torch.no_grad():
                assert law.check(subject, data).gap.shape == (4,), law_id


class LogCovariance(SetFunction):
    """The logarithm of a covariance; eigenvalues of NaN raise LinAlgError."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.phi(x).tanh()
        h = h - h.mean(1, keepdim=True)
        covariance = h.transpose(1, 2) @ h / x.shape[1] + 0.01 * torch.eye(WIDTH, dtype=x.dtype)
        values, vectors = torch.linalg.eigh(covariance)
        logarithm: Tensor = ((vectors * values.log()[:, None]) @ vectors.transpose(1, 2)).flatten(1)
        return logarithm


class CapturedLogCovariance(LogCovariance):
    """Its faulty twin encodes such a set as zeros."""

    def forward(self, x: Tensor) -> Tensor:
        try:
            return super().forward(x)
        except RuntimeError:
            return x.new_zeros(len(x), WIDTH * WIDTH)


def test_an_algorithm_that_does_not_converge_on_nan_refuses_it() -> None:
    (sound,), (faulty,) = (results(encoder, "hygiene.nonfinite") for encoder in (LogCovariance, CapturedLogCovariance))
    assert (sound.status, faulty.status) == (Status.PASS, Status.FAIL)


def test_a_layer_is_no_stream_of_chunks() -> None:
    on_partition, on_large = results(TightLayer, "mbc.partition", "mbc.large")
    assert (on_partition.status, on_large.status) == (Status.SKIP, Status.SKIP)
    assert on_partition.message == on_large.message == "it is a set-to-set layer: one output per element"


def test_an_encoder_that_needs_contiguous_elements_breaks_one_law() -> None:
    layout, partition = results(FlatView, "hygiene.inputs", "mbc.partition")
    assert (layout.status, partition.status) == (Status.FAIL, Status.PASS)
    assert layout.search is not None
    assert layout.search.counterexample is not None
    assert layout.search.counterexample.note.startswith("a view of a larger tensor raises RuntimeError: view size is")


class FlatView(SetFunction):
    """Reads the elements of all sets as rows of one matrix."""

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.phi(x.view(-1, x.shape[2])).view(len(x), -1, WIDTH).tanh().sum(1)
        return total


@pytest.mark.parametrize(
    ("name", "law"), [("ClosureState", "mbc.program"), ("ClosureState", "mbc.resume"), ("HandleState", "mbc.resume")]
)
def test_what_a_state_cannot_carry_is_a_failure_and_no_error(name: str, law: str) -> None:
    checker = Checker(control(name).spec, dim_in=3, seed=0)
    assert checker.try_law(get_law(law), BUDGET).status is Status.FAIL


@pytest.mark.parametrize("encoder", [DictSlots, DataclassSlots, TupleSlots, CountsSlots])
def test_a_state_may_be_a_dict_a_dataclass_or_a_tuple(encoder: type[nn.Module]) -> None:
    laws = [law for law in registry.select(registry.LAWS, None) if law not in EXPENSIVE]
    outcomes = dict(zip(laws, results(encoder, *laws), strict=True))
    unexpected = (Status.FAIL, Status.ERROR)
    assert not {law: result for law, result in outcomes.items() if result.status in unexpected}
    slots = Status.PASS if encoder in (DictSlots, DataclassSlots) else Status.SKIP
    assert outcomes["symmetry.slots"].status is slots
    assert outcomes["substance.slots"].status is slots
