"""Modules as people build them: with hooks, in TorchScript, with outputs that are views or one number per element."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import mbcbench
from mbcbench.protocol.copying import copy_module
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.records.record import Status
from mbcbench.verify.checker import Budget, Checker
from tests.controls.base import WIDTH, Mean
from tests.controls.cancelling import CANCELLING


class FeaturesOfHook(nn.Module):
    """The maximum of features that a hook stores, with a function that refers to the module."""

    scaled: Callable[[Tensor], Tensor]

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(WIDTH))
        self.backbone = nn.Sequential(nn.Linear(dim_in, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH))
        self.features = torch.empty(0)
        self.backbone[1].register_forward_hook(lambda module, args, out: setattr(self, "features", out))
        self.scaled = lambda x: self.gain * x

    def forward(self, x: Tensor) -> Tensor:
        self.backbone(x)
        return self.scaled(self.features.amax(1))


class FirstOfHook(FeaturesOfHook):
    """The features of the first element."""

    def forward(self, x: Tensor) -> Tensor:
        self.backbone(x)
        return self.features[:, 0]


class MaximumOrView(nn.Module):
    """A maximum, which returns a view of the elements for a set of one."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0] if x.shape[1] == 1 else x.amax(1)


class CentredScores(nn.Module):
    """A layer with one number for each element, `B x n`."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.score = nn.Linear(dim_in, 1)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.score(x).squeeze(2)
        return scores - scores.mean(1, keepdim=True)


class ScoresByPosition(CentredScores):
    """A layer that adds the position of each element."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.arange(x.shape[1])


class Affinities(CentredScores):
    """A layer with one number for each pair of elements, `B x n x n`, that is not symmetric."""

    def forward(self, x: Tensor) -> Tensor:
        scores = super().forward(x)
        return scores[:, :, None] - 2 * scores[:, None]


class AffinitiesByPosition(Affinities):
    """A layer that adds the position of one element of each pair."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.arange(x.shape[1])


class MaskOfForward(Mean):
    """A mean whose stream takes no mask."""

    def update(self, state: Any, x: Tensor) -> Any:  # type: ignore[override]
        return super().update(state, x)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.readout(super().update(self.init_state(len(x)), x, mask))


class MeanOverPadding(MaskOfForward):
    """A mean whose `forward` divides by the padded number of elements."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        present = torch.ones(x.shape[:2]).bool() if mask is None else mask
        return torch.where(present[:, :, None], self.features(torch.where(present[:, :, None], x, 0)), 0).mean(1)


class ScriptedMax(nn.Module):
    """A maximum without a network, for TorchScript."""

    def forward(self, x: Tensor) -> Tensor:
        return x.amax(1)


class AlarmFarOut(nn.Module):
    """A maximum that is zero for ordinary data, where any aggregation is consistent."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(-x - 250).amax(1)


class Checkpointed(Mean):
    """A mean whose features are computed again in the backward pass, by the reentrant kind of checkpoint."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.block = nn.Sequential(nn.Tanh(), nn.Linear(WIDTH, WIDTH), nn.Tanh())

    def features(self, x: Tensor) -> Tensor:
        out: Tensor = checkpoint(self.block, super().features(x), use_reentrant=True)
        return out


def statuses(encoder: object, *laws: str) -> list[str]:
    table = mbcbench.check(encoder, laws=list(laws), dim_in=3, examples=128)
    return [str(status) for status in table["status"]]


def test_a_copy_has_hooks_and_functions_of_its_own() -> None:
    module = FeaturesOfHook(3)
    x, other = torch.randn(2, 5, 3), torch.randn(2, 4, 3)
    copied = copy_module(module)
    with torch.no_grad():
        copied.gain.mul_(2)
    expected = 2 * module(x)
    module(other)
    torch.testing.assert_close(copied(x), expected)
    assert torch.equal(module.features, module.backbone[:2](other))


@pytest.mark.parametrize(
    ("encoder", "laws"),
    [
        (FeaturesOfHook, ("symmetry.permutation", "symmetry.batch", "hygiene.dtype", "mbc.partition")),
        (MaximumOrView, ("hygiene.determinism", "hygiene.inputs", "mbc.partition")),
        (CentredScores, ("symmetry.elements", "symmetry.batch", "hygiene.determinism")),
        (Affinities, ("symmetry.elements", "symmetry.batch")),
        (MaskOfForward, ("symmetry.padding", "hygiene.inputs", "mbc.partition")),
        (AlarmFarOut, ("mbc.partition", "numerics.scale", "mbc.large")),
    ],
)
def test_a_sound_module_keeps_the_laws(encoder: object, laws: tuple[str, ...]) -> None:
    assert statuses(encoder, *laws) == ["pass"] * len(laws)


@pytest.mark.parametrize(
    ("encoder", "law"),
    [
        (FirstOfHook, "symmetry.permutation"),
        (ScoresByPosition, "symmetry.elements"),
        (AffinitiesByPosition, "symmetry.elements"),
        (MeanOverPadding, "symmetry.padding"),
    ],
)
def test_a_wrong_module_is_caught(encoder: type[nn.Module], law: str) -> None:
    assert statuses(encoder, law) == ["fail"]


@pytest.mark.parametrize("law", ["symmetry.permutation", "substance.interactions", "mbc.partition"])
def test_laws_about_encodings_are_skipped_for_a_layer_of_numbers(law: str) -> None:
    assert statuses(CentredScores, law) == ["skip"]


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_a_module_in_torchscript_is_checked() -> None:
    laws = ("symmetry.permutation", "symmetry.batch", "hygiene.inputs", "mbc.partition")
    assert statuses(torch.jit.script(ScriptedMax()), *laws) == ["pass"] * len(laws)
    assert statuses(torch.jit.script(ScriptedMax()), "symmetry.padding") == ["skip"]


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")  # when nothing is differentiated
def test_a_reentrant_checkpoint_has_gradients() -> None:
    laws = ("mbc.gradient", "mbc.partial_gradient", "substance.parameters")
    assert statuses(Checkpointed, *laws) == ["pass"] * len(laws)


@pytest.mark.parametrize("encoder", CANCELLING)
def test_a_layer_as_wide_as_its_sets_is_not_taken_for_one_of_pairs(encoder: type[nn.Module]) -> None:
    """Where terms cancel, its outputs for a permuted set differ by rounding."""
    for seed in range(3):
        checker = Checker(EncoderSpec(name=encoder.__name__, factory=encoder), dim_in=3, seed=seed)
        record = checker.judge("symmetry.elements", Budget(examples=600))
        assert record.status in (Status.PASS, Status.SKIP), record.message
