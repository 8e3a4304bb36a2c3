"""What the law of train mode changes in a batch, and what it says."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mbcbench.suites.laws import training
from mbcbench.verify.domain import Domain
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import NotApplicable
from mbcbench.verify.subject import Subject
from tests.verify.culprit_encoders import WIDTH as FEATURES
from tests.verify.culprit_encoders import CentredOverBatch, Flattened, Plain
from tests.verify.helpers import WIDTH, holds, subject_of

FAULT = "depends on the other sets of the batch in train mode"


def data_of(*sizes: int, sets: int = 4, seed: int = 2) -> ExampleData:
    return ExampleData(Example(sizes=sizes or (3,), kinds=(0,) * sets, seed=seed), WIDTH)


class Encoder(nn.Module):
    """A sum of features; subclasses add something in train mode."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi = nn.Linear(dim_in, 4)

    def added(self, x: Tensor, encoding: Tensor) -> Tensor:
        """Return what is added in train mode."""
        return torch.zeros_like(encoding)

    def forward(self, x: Tensor) -> Tensor:
        encoding: Tensor = self.phi(x).tanh().sum(1)
        return encoding + self.added(x, encoding) if self.training else encoding


class AddsBatchMean(Encoder):
    def added(self, x: Tensor, encoding: Tensor) -> Tensor:
        return encoding.mean(0, keepdim=True)


class AddsNoise(Encoder):
    def added(self, x: Tensor, encoding: Tensor) -> Tensor:
        return torch.randn_like(encoding)


class AddsNoiseAndBatchMean(Encoder):
    def added(self, x: Tensor, encoding: Tensor) -> Tensor:
        return torch.rand_like(encoding[:1]) * encoding.mean(0, keepdim=True)


class AddsOwnNoise(Encoder):
    """Draws from a generator of its own, which all copies share."""

    generator = torch.Generator()

    def added(self, x: Tensor, encoding: Tensor) -> Tensor:
        return torch.rand(encoding.shape, generator=self.generator, dtype=encoding.dtype)


class AddsPreviousMean(Encoder):
    """Adds the mean of the batch before this one."""

    before: Tensor

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.register_buffer("before", torch.zeros(4))

    def added(self, x: Tensor, encoding: Tensor) -> Tensor:
        before, self.before = self.before, encoding.detach().mean(0)
        return before.expand_as(encoding)


class MovesItsInput(Encoder):
    """Centres the sets in place."""

    def added(self, x: Tensor, encoding: Tensor) -> Tensor:
        x -= 1
        return torch.zeros_like(encoding)


class NaNInTraining(Encoder):
    def added(self, x: Tensor, encoding: Tensor) -> Tensor:
        return torch.full_like(encoding, torch.nan)


class OneChannelFewer(Encoder):
    """Lacks a channel in train mode if the first number of the batch is negative."""

    def forward(self, x: Tensor) -> Tensor:
        encoding = super().forward(x)
        return encoding[:, 1:] if self.training and float(x[0, 0, 0]) < 0 else encoding


class Outer(Encoder):
    """A matrix for each set."""

    def forward(self, x: Tensor) -> Tensor:
        encoding = super().forward(x)
        return encoding[:, :, None] * encoding[:, None]


@pytest.mark.parametrize("encoder", [Encoder, AddsNoise, AddsPreviousMean, MovesItsInput, NaNInTraining, Outer])
@pytest.mark.parametrize("sets", [2, 3])
def test_an_encoder_whose_sets_do_not_interact_keeps_the_law(encoder: type[Encoder], sets: int) -> None:
    data = data_of(sets=sets)
    x = data.x.clone()
    with torch.no_grad():
        comparison = training.check_train(subject_of(encoder), data)
    assert holds(comparison)
    assert comparison.gap.shape == (sets,)
    assert torch.equal(data.x, x)


def test_only_the_sets_that_stay_are_compared() -> None:
    data = data_of()
    with torch.no_grad():
        comparison = training.check_train(subject_of(AddsBatchMean), data)
    changed = data.choices["sets that change"]
    assert changed.tolist()[::3] == [True, False]
    assert (comparison.gap > 1e-3).tolist() == (~changed).tolist()
    assert (comparison.gap > comparison.bound).tolist() == (~changed).tolist()


def test_the_others_are_changed_beyond_their_spread_and_remain_tokens() -> None:
    x, changed = data_of().x, torch.tensor([True, False, True, False])
    others = training._change_sets(subject_of(Encoder), x, changed)
    assert torch.equal(others[::2], 1 - 3 * x[::2])
    assert torch.equal(others[1::2], x[1::2])
    tokens = Example(sizes=(3,), kinds=(0,) * 4, seed=2, vocabulary=5)
    subject = subject_of(Encoder, domain=Domain(vocabulary=5))
    others = training._change_sets(subject, ExampleData(tokens, WIDTH).x, changed)
    assert set(others.flatten().tolist()) <= {0.0, 1.0, 2.0, 3.0, 4.0}


def test_what_is_drawn_depends_on_the_example_and_leaves_the_generator() -> None:
    subject, gaps = subject_of(AddsNoiseAndBatchMean), []
    with torch.random.fork_rng(), torch.no_grad():
        for seed in (1, 2):
            torch.manual_seed(seed)
            before = torch.get_rng_state()
            gaps.append(training.check_train(subject, data_of()).gap)
            assert torch.equal(torch.get_rng_state(), before)
    assert torch.allclose(gaps[0], gaps[1])
    assert bool((gaps[0] > 0).any())


def test_a_batch_of_one_set_says_nothing() -> None:
    with pytest.raises(NotApplicable, match=r"^a batch of one set has no other sets$"):
        training.check_train(subject_of(Encoder), data_of(sets=1))


def test_an_encoder_with_a_generator_of_its_own_is_not_compared() -> None:
    with pytest.raises(NotApplicable, match="it draws from a generator of its own"), torch.no_grad():
        training.check_train(subject_of(AddsOwnNoise), data_of())


def test_encodings_whose_shape_depends_on_the_batch_are_left_to_another_law() -> None:
    data = data_of()
    data.x[0] = 1.0  # which becomes -2
    with torch.no_grad():
        comparison = training.check_train(subject_of(OneChannelFewer), data)
    assert comparison.gap.tolist() == [0.0] * 4


def locate(encoder: Callable[[int], nn.Module], sets: int = 3) -> str:
    subject: Subject = subject_of(encoder)
    with torch.no_grad():
        return str(training.locate_train(subject, data_of(3, sets=sets)))


@pytest.mark.parametrize(
    ("layers", "culprit"),
    [
        ([CentredOverBatch, nn.Tanh], f"layers.0 (CentredOverBatch): {FAULT}"),
        ([nn.Tanh, lambda: Flattened(nn.BatchNorm1d(FEATURES))], f"layers.1.inner (BatchNorm1d): {FAULT}"),
        ([lambda: nn.LayerNorm(FEATURES), nn.Tanh], ""),
    ],
)
@pytest.mark.parametrize("sets", [2, 3])
def test_the_submodule_that_couples_sets_in_train_mode_is_named(
    layers: list[Callable[[], nn.Module]], culprit: str, sets: int
) -> None:
    assert locate(lambda dim_in: Plain(dim_in, *(layer() for layer in layers)), sets) == culprit
