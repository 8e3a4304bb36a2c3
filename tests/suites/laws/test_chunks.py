"""Which submodule is named if a stream differs from the full set, and where none is."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.protocol.encoder import ChunkAggregation
from mbcbench.suites.laws import chunks
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.subject import Subject
from tests.verify.culprit_encoders import (
    CountsChunks,
    MeanOfAll,
    Plain,
    SetLayerNorm,
    Sorted,
    Stream,
    Variance,
    VarianceOverChunks,
)
from tests.verify.helpers import subject_of

FAULT = "is at fault"


def data_of(*sizes: int, kind: int = 0, sets: int = 2) -> ExampleData:
    return ExampleData(Example(sizes=sizes, kinds=(kind,) * sets, arrangement="shuffled", seed=1), 3)


def examine(encoder: Callable[[int], nn.Module], *sizes: int) -> tuple[str, bool]:
    with torch.no_grad():
        return tuple(chunks._examine(subject_of(encoder), data_of(*sizes), FAULT))


def locate(encoder: Callable[[int], nn.Module], *sizes: int, kind: int = 0, **more: Any) -> str:
    subject: Subject = subject_of(encoder, **more)
    with torch.no_grad():
        return str(chunks.locate_in_chunks(subject, data_of(*sizes, kind=kind), FAULT))


def plain(*layers: nn.Module) -> Callable[[int], nn.Module]:
    return lambda dim_in: ChunkAggregation(Plain(dim_in, *layers), "sum")


def stream(*layers: nn.Module) -> Callable[[int], nn.Module]:
    return lambda dim_in: Stream(dim_in, nn.Sequential(*layers))


class Shifted(nn.Module):
    """Subtracts half of the mean of a set."""

    def forward(self, h: Tensor) -> Tensor:
        return (h - 0.5 * h.mean(1, keepdim=True)).tanh()


@pytest.mark.parametrize(
    ("encoder", "culprit", "is_broken"),
    [
        (Stream, "", False),
        (stream(nn.Tanh(), Shifted()), "layer.1 (Shifted): is at fault", True),
        (stream(SetLayerNorm(), nn.Tanh(), Shifted()), "layer.0 (SetLayerNorm): is at fault", True),
        (CountsChunks, "", True),
        (VarianceOverChunks, "", True),
        (Variance, "", False),
        (plain(nn.Tanh()), "", True),
        (plain(Sorted()), "", True),
        (plain(SetLayerNorm()), "layers.0 (SetLayerNorm): is at fault", True),
        (plain(nn.Tanh(), SetLayerNorm(), Shifted()), "layers.1 (SetLayerNorm): is at fault", True),
    ],
)
def test_the_first_submodule_that_makes_a_stream_differ_is_found(
    encoder: Callable[[int], nn.Module], culprit: str, is_broken: bool
) -> None:
    assert examine(encoder, 2, 3) == (culprit, is_broken)


def test_a_stream_of_up_to_sixteen_chunks_is_examined() -> None:
    assert examine(stream(Shifted()), *[2] * 16) == ("layer.0 (Shifted): is at fault", True)
    assert examine(stream(Shifted()), *[2] * 17) == ("", True)


def test_the_first_of_up_to_eight_submodules_at_fault_is_named() -> None:
    assert examine(stream(*[Shifted() for _ in range(8)]), 2, 3) == ("layer.0 (Shifted): is at fault", True)
    assert examine(stream(*[Shifted() for _ in range(9)]), 2, 3) == ("", True)


class GatedByPool(Plain):
    """Multiplies the elements by a function of a pool over them, which is a submodule."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.pool = MeanOfAll()

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x)
        out: Tensor = (h * self.pool(h).sigmoid()[:, None]).sum(1).sin()
        return out


def test_a_pool_has_no_output_for_an_element_and_is_not_named() -> None:
    assert examine(lambda dim_in: ChunkAggregation(GatedByPool(dim_in), "sum"), 2, 3) == ("", True)


class CentredAndSum(nn.Module):
    """Returns the elements minus their mean, and their sum."""

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        return h - h.mean(1, keepdim=True), h.sum(1)


class AddsBoth(Stream):
    """Adds up the features of elements that are centred in each chunk, and the sums of the chunks."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in, CentredAndSum())

    def features(self, x: Tensor) -> Tensor:
        centred, total = self.layer(self.phi(x))
        out: Tensor = centred.tanh() + total[:, None] / x.shape[1]
        return out


def test_only_the_outputs_for_elements_are_repaired() -> None:
    assert examine(AddsBoth, 2, 3) == ("layer (CentredAndSum): is at fault", True)


# ---- ordinary data decide


class CentresLargeSets(nn.Module):
    """Subtracts the mean of more than five elements."""

    def forward(self, h: Tensor) -> Tensor:
        return (h - h.mean(1, keepdim=True)).tanh() if h.shape[1] > 5 else h.tanh()


class CentresSmallSets(nn.Module):
    """Subtracts the mean of up to five elements."""

    def forward(self, h: Tensor) -> Tensor:
        return (h - h.mean(1, keepdim=True)).tanh() if h.shape[1] <= 5 else h.tanh()


@pytest.mark.parametrize("more", [{}, {"kind": 2}])
def test_a_submodule_of_a_plain_encoder_is_named_even_if_the_elements_are_equal(more: dict[str, int]) -> None:
    assert locate(plain(SetLayerNorm()), 2, 1, **more) == "layers.0 (SetLayerNorm): is at fault"


def test_a_submodule_of_a_plain_encoder_that_is_at_fault_here_is_named_before_one_elsewhere() -> None:
    layers = CentresLargeSets(), CentresSmallSets()
    assert locate(plain(*layers), 4, 4) == "layers.0 (CentresLargeSets): is at fault"
    assert locate(plain(*layers), 2, 1) == "layers.1 (CentresSmallSets): is at fault"


def test_a_submodule_of_a_stream_is_named_if_ordinary_data_show_the_same_or_no_fault() -> None:
    assert locate(stream(Shifted()), 4, 4) == "layer.0 (Shifted): is at fault"
    assert locate(stream(CentresLargeSets()), 4, 4) == "layer.0 (CentresLargeSets): is at fault"
    assert locate(stream(CentresLargeSets(), CentresSmallSets()), 4, 4) == ""
    assert locate(CountsChunks, 2, 1) == ""


def test_no_submodule_of_a_random_encoder_is_named() -> None:
    assert locate(stream(Shifted()), 2, 1, deterministic=False) == ""
