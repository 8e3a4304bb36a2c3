"""Sound twins of the controls: encoders that are close to a fault, and keep the law that names it."""

import contextlib
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
from tests.controls import control
from tests.controls.base import SLOTS, WIDTH, Mean, Slots, Slotted, hide
from tests.controls.masks import NoNaNGradientOfPadding, TightEdges, TightLayer, TightPairs, ZeroForAbsentSet
from tests.controls.numerics import BareQuery, ComposedQuery, DeepSoftmax
from tests.controls.sizes import SetFunction, ZeroForOneElement
from tests.controls.symmetry import ChannelsFirst, ClassToken, SortedOutputs
from tests.controls.training import (
    BatchNormOverSets,
    CentredByPastMean,
    CentredStream,
    DropoutInPlace,
    LayerNormOverFeatures,
)
from tests.verify.helpers import results

BUDGET = Budget(examples=64, min_examples=4)


class FixedMask(Mean):
    """A mean that heeds its mask in every chunk."""


class KeepsTheLargest(Mean):
    """Keeps the eight elements of the largest scores; up to eight are a view of the chunk."""

    def init_state(self, batch_size: int) -> Any:
        return self.phi.weight.new_zeros(batch_size, 0, self.phi.in_features)

    def keep(self, x: Tensor) -> Tensor:
        if x.shape[1] <= 8:
            return x
        largest = x.sum(2).topk(8, dim=1).indices
        return x.gather(1, largest[:, :, None].expand(-1, -1, x.shape[2]))

    def update(self, state: Any, x: Tensor) -> Any:  # type: ignore[override] # takes no mask
        return self.keep(torch.cat([state, x], 1) if state.shape[1] else x)

    def merge(self, a: Any, b: Any) -> Any:
        return self.keep(torch.cat([a, b], 1))

    def readout(self, state: Any) -> Tensor:
        return self.features(state).sum(1)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return self.readout(self.update(self.init_state(len(x)), x))


class DropoutWithMask(Mean):
    """Drops features, another selection for sets with padding."""

    def features(self, x: Tensor) -> Tensor:
        return torch.nn.functional.dropout(super().features(x), 0.5, self.training)


class BatchNormWithMask(Mean):
    """Normalises over the elements of the batch in train mode, padding included; symmetry.train judges this."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.norm = nn.BatchNorm1d(WIDTH, track_running_stats=False)

    def features(self, x: Tensor) -> Tensor:
        features = super().features(x)
        if not self.training or features.shape[0] * features.shape[1] < 2:
            return features
        normed: Tensor = self.norm(features.flatten(0, 1)).view_as(features)
        return normed


class HiddenAfterwards(Mean):
    """Hides the features of padding, which is finite where a gradient passes it."""

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        part = super().part(x, mask)
        return part._replace(total=hide(self.features(x), mask).sum(1))


class SettingsInContexts(Mean):
    """Computes features in NumPy, without gradients and with another default dtype, which are restored afterwards."""

    def features(self, x: Tensor) -> Tensor:
        default = torch.get_default_dtype()
        try:
            torch.set_default_dtype(x.dtype)
            with torch.no_grad(), torch.autocast("cpu", enabled=False):
                return torch.from_numpy(super().features(x).numpy())
        finally:
            torch.set_default_dtype(default)


class WithoutGradients(Mean):
    """Computes features in NumPy, which fails if they have gradients."""

    def features(self, x: Tensor) -> Tensor:
        return torch.from_numpy(super().features(x).numpy())


class Periodic(SetFunction):
    """A mean of waves of fractional coordinates, whose period is 1."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward((2 * torch.pi * x).sin()) + super().forward((2 * torch.pi * x).cos())


@pytest.mark.parametrize(
    ("encoder", "law"),
    [
        (SettingsInContexts, "hygiene.rng"),
        (WithoutGradients, "hygiene.rng"),
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
        (CentredStream, "mbc.train"),
        (DropoutInPlace, "symmetry.train"),
        (NoNaNGradientOfPadding, "symmetry.padding"),
        (TightPairs, "symmetry.padding"),
        (TightEdges, "symmetry.padding"),
        (KeepsTheLargest, "mbc.fork"),
        (KeepsTheLargest, "mbc.partial_gradient"),
        (DropoutWithMask, "mbc.mask"),
        (DropoutWithMask, "symmetry.padding"),
        (BatchNormWithMask, "symmetry.padding"),
        (HiddenAfterwards, "mbc.mask"),
        (HiddenAfterwards, "symmetry.padding"),
        (SortedOutputs, "symmetry.elements"),
        (ChannelsFirst, "symmetry.elements"),
        (ClassToken, "symmetry.elements"),
        (Periodic, "substance.elements"),
    ],
)
def test_a_sound_twin_keeps_the_law(encoder: type[nn.Module], law: str) -> None:
    (result,) = results(encoder, law)
    assert result.status is Status.PASS, result


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
