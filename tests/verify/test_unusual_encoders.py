"""Sound encoders that could be mistaken for a fault, each with the law that must not accuse it."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.protocol.spec import EncoderSpec
from mbcbench.records.record import Status
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.law import get_law
from mbcbench.verify.law_result import LawResult
from tests.controls.base import WIDTH, Mean, Slots, Softmax, Sums, Weighed, count, hide
from tests.controls.gradients import LearnedStart
from tests.controls.sizes import SetFunction


def result(encoder: type[nn.Module], law: str, seed: int = 0) -> LawResult:
    checker = Checker(EncoderSpec(name=encoder.__name__, factory=encoder), dim_in=3, seed=seed)
    return checker.try_law(get_law(law), Budget(examples=64, min_examples=4))


class LearnedEncodingOfNothing(Mean):
    """A mean; a set without present elements has a learned encoding."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.empty = nn.Parameter(torch.randn(WIDTH))

    def readout(self, state: Sums) -> Tensor:
        return torch.where(state.number.unsqueeze(1) > 0, super().readout(state), self.empty)


class LearnedPadding(SetFunction):
    """A mean in one piece; a set of which the mask hides every element has a learned encoding."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.empty = nn.Parameter(torch.randn(WIDTH))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if x.shape[1] == 0:
            raise ValueError("a set has elements")
        number = count(x, mask).unsqueeze(1)
        total = hide(self.phi(hide(x, mask)).tanh(), mask).sum(1)
        return torch.where(number > 0, total / number.clamp(min=1), self.empty)


class HeadForLargeSets(SetFunction):
    """Has another read-out for sets of more than 16 elements."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.heads = nn.ModuleList([nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)])

    def pool(self, features: Tensor) -> Tensor:
        encoding: Tensor = self.heads[features.shape[1] > 16](features.mean(1))
        return encoding


class LearnedMissingValue(SetFunction):
    """Replaces coordinates that are NaN by learned ones."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.missing = nn.Parameter(torch.randn(dim_in))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.where(x.isnan(), self.missing, x))


class TagOfLaterChunks(Mean):
    """Adds a learned vector for each chunk but the first: not consistent, but every parameter is used."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.tag = nn.Parameter(torch.randn(WIDTH))

    def update(self, state: Sums, x: Tensor, mask: Tensor | None = None) -> Sums:
        new: Sums = super().update(state, x, mask)
        is_later = (state.number > 0).to(new.total.dtype).unsqueeze(1)
        return Sums(new.total + is_later * self.tag, new.number)


class BucketsOfSize(Mean):
    """A mean, and a learned vector for each power of two of the size: steps at 1, 2, 4, ..., 65,536."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.size = nn.Embedding(24, WIDTH)

    def readout(self, state: Sums) -> Tensor:
        bucket = torch.bucketize(state.number, 2 ** torch.arange(20), right=True)
        return torch.cat([super().readout(state), self.size(bucket)], 1)


class BucketsOf32(BucketsOfSize):
    """A mean, and a learned vector that depends on the size in units of 32."""

    def readout(self, state: Sums) -> Tensor:
        return torch.cat([Mean.readout(self, state), self.size(state.number // 32 % 24)], 1)


class BucketsOfLargeSizes(BucketsOfSize):
    """A mean, and a learned vector for each power of two of the size, from 1,024 elements on."""

    def readout(self, state: Sums) -> Tensor:
        bucket = torch.bucketize(state.number, 2 ** torch.arange(10, 20), right=True)
        return torch.cat([Mean.readout(self, state), self.size(bucket)], 1)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("encoder", [BucketsOfSize, BucketsOf32, BucketsOfLargeSizes])
def test_a_step_by_design_is_not_an_overflow(encoder: type[nn.Module], seed: int) -> None:
    outcome = result(encoder, "mbc.large", seed)
    assert outcome.status is Status.PASS, outcome


class NumberedMoments(Mean):
    """Sums of powers; the state is a dict from the exponent to the sum."""

    def init_state(self, batch_size: int) -> Any:
        return {power: self.phi.weight.new_zeros(batch_size, WIDTH) for power in (1, 2)}

    def part(self, x: Tensor, mask: Tensor | None) -> Any:
        return {power: hide(self.features(hide(x, mask)) ** power, mask).sum(1) for power in (1, 2)}

    def add(self, a: Any, b: Any) -> Any:
        return {power: a[power] + b[power] for power in a}

    def readout(self, state: Any) -> Tensor:
        return torch.cat([state[power] for power in sorted(state)], 1)


class CharacteristicFunction(Mean):
    """The mean of exp(i w x); the state is complex."""

    def init_state(self, batch_size: int) -> Any:
        state = super().init_state(batch_size)
        return Sums(torch.complex(state.total, state.total), state.number)

    def features(self, x: Tensor) -> Tensor:
        angle = self.phi(x)
        return torch.polar(torch.ones_like(angle), angle)

    def readout(self, state: Any) -> Tensor:
        return torch.view_as_real(super().readout(state)).flatten(1)


class NothingUntilTheFirstChunk(Mean):
    """The state is None until the first chunk arrives, and then a named tuple."""

    def init_state(self, batch_size: int) -> Any:
        return None

    def add(self, a: Any, b: Any) -> Any:
        return (b if a is None else a) if a is None or b is None else super().add(a, b)

    def readout(self, state: Any) -> Tensor:
        if state is None:
            raise ValueError("an empty set has no mean")
        return super().readout(state)


class LargestHundred(Mean):
    """The mean of the 100 largest of each feature; the state grows until it holds as many."""

    room = 100

    def init_state(self, batch_size: int) -> Any:
        return self.phi.weight.new_zeros(batch_size, 0, WIDTH)

    def add(self, a: Any, b: Any) -> Any:
        features = torch.cat([a, b], 1)
        return features.topk(min(self.room, features.shape[1]), 1).values

    def update(self, state: Any, x: Tensor) -> Any:  # type: ignore[override]
        return self.add(state, self.features(x))

    def readout(self, state: Any) -> Tensor:
        mean: Tensor = state.sum(1) / max(1, state.shape[1])
        return mean

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return self.readout(self.update(self.init_state(len(x)), x))


class LargestThousand(LargestHundred):
    """Its buffer is full after a thousand elements."""

    room = 1000


class SpectralNorm(SetFunction):
    """Normalises its weights by a singular vector, which each call in train mode improves."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        torch.nn.utils.parametrizations.spectral_norm(self.phi)


class LearnedSink(Softmax):
    """Softmax pooling with a learned key and value, which the stream begins with, and which fresh states share."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.sink = nn.Parameter(torch.randn(2, WIDTH))

    def init_state(self, batch_size: int) -> Any:
        logit, value = self.sink.unsqueeze(1).expand(-1, batch_size, -1)
        return Weighed(logit, value, torch.ones_like(value))

    def update(self, state: Any, x: Tensor) -> Any:  # type: ignore[override]
        return self.add(state, self.part(x, None)) if x.shape[1] else state

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return self.readout(self.update(self.init_state(len(x)), x))


@pytest.mark.parametrize("law", ["mbc.gradient", "mbc.partial_gradient"])
@pytest.mark.parametrize("encoder", [LearnedStart, LearnedSink, Slots])
def test_the_gradient_of_a_learned_initial_state_counts_once(encoder: type[nn.Module], law: str) -> None:
    for seed in range(3):
        outcome = result(encoder, law, seed)
        assert outcome.status is Status.PASS, outcome


@pytest.mark.parametrize("law", ["mbc.resume", "mbc.program"])
@pytest.mark.parametrize("encoder", [NumberedMoments, CharacteristicFunction, NothingUntilTheFirstChunk])
def test_a_state_of_any_structure_can_be_saved(encoder: type[nn.Module], law: str) -> None:
    outcome = result(encoder, law)
    assert outcome.status is Status.PASS, outcome


@pytest.mark.parametrize(
    ("encoder", "law"),
    [
        (LearnedEncodingOfNothing, "substance.parameters"),
        (LearnedPadding, "substance.parameters"),
        (HeadForLargeSets, "substance.parameters"),
        (LearnedMissingValue, "substance.parameters"),
        (TagOfLaterChunks, "substance.parameters"),
        (SpectralNorm, "symmetry.train"),
        (LargestHundred, "mbc.memory"),
        (LargestThousand, "mbc.memory"),
        (NothingUntilTheFirstChunk, "mbc.memory"),
    ],
)
def test_a_sound_encoder_is_not_accused(encoder: type[nn.Module], law: str) -> None:
    outcome = result(encoder, law)
    assert outcome.status is Status.PASS, outcome
