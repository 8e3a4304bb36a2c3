"""The parts of a model have independent initial weights."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from mbcbench import registry
from mbcbench.protocol.build import get_spec
from mbcbench.records.cell import Cell
from mbcbench.suites.tasks.centroids import suite as centroids
from mbcbench.suites.tasks.centroids.settings import DIGIT_PROFILES
from mbcbench.suites.tasks.centroids.standard import TASK
from mbcbench.suites.tasks.classifier import SetClassifier
from mbcbench.suites.tasks.image_completion.neural_process import NeuralProcess

LARGEST_SHARE = 0.01
COINCIDENCES = 2  # a uniform draw has 2^24 values: of short parameters a value or two may be equal by chance


def classifier(encoder: str) -> nn.Module:
    model: nn.Module = SetClassifier(get_spec(encoder), dim_in=2, width=64, outputs=10, seed=0)
    return model


def neural_process(encoder: str) -> nn.Module:
    model: nn.Module = NeuralProcess(get_spec(encoder), seed=0)
    return model


def prototypical_network(encoder: str) -> nn.Module:
    settings = DIGIT_PROFILES["smoke"]
    cell = Cell(suite="centroids", case="mnist-centroids", encoder=encoder)
    model: nn.Module = centroids.build_network(cell, settings, torch.zeros(10, 5, 1, 28, 28), seed=0)
    return model


def pair_network(encoder: str) -> nn.Module:
    model: nn.Module = TASK.build(get_spec(encoder), seed=0)
    return model


def drawn_values(parameter: Tensor) -> Tensor:
    """Return the distinct values of a parameter; none if they are constants, such as the zeros of a bias."""
    values: Tensor = torch.unique(parameter.detach().flatten())
    return values if len(values) > 2 else values[:0]


def shared(model: nn.Module) -> list[str]:
    """Return the pairs of parameters that have more than 1 % of their values in common."""
    values = {name: drawn_values(p) for name, p in model.named_parameters()}
    pairs = []
    for (a, x), (b, y) in itertools.combinations(values.items(), 2):
        fewer = min(len(x), len(y))
        if fewer and int(torch.isin(x, y).sum()) > LARGEST_SHARE * fewer + COINCIDENCES:
            pairs.append(f"{a} and {b}")
    return pairs


@pytest.mark.parametrize("encoder", list(registry.plugins(registry.ENCODERS)))
@pytest.mark.parametrize("build", [classifier, neural_process, prototypical_network, pair_network])
def test_no_two_parameters_of_a_model_share_values(build: object, encoder: str) -> None:
    assert callable(build)
    assert shared(build(encoder)) == []


def test_shared_values_are_found() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    assert shared(model) == []
    first, second = model.children()
    assert isinstance(first, nn.Linear)
    assert isinstance(second, nn.Linear)
    second.weight.data[0] = first.weight.data[3]
    assert shared(model) == ["0.weight and 1.weight"]


def test_models_that_differ_in_the_encoder_start_with_the_same_element_network() -> None:
    a, b = classifier("deepsets-mean"), classifier("sse-random")
    assert isinstance(a.element, nn.Module)
    assert isinstance(b.element, nn.Module)
    for p, q in zip(a.element.parameters(), b.element.parameters(), strict=True):
        assert torch.equal(p, q)
