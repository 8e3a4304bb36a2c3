"""Every encoder equals the independent computation that its spec carries."""

from importlib.metadata import entry_points

import numpy as np
import pytest
import torch
from torch import Tensor

from mbcbench import registry, target
from tests.encoders.conftest import Build

OWN = sorted(entry.name for entry in entry_points(group=registry.ENCODERS) if entry.value.startswith("mbcbench."))


def _gap(build: Build, name: str, x: Tensor, scale: float = 1.0) -> float:
    module = build(name)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(scale)
        ours = module(x).numpy()
    reference = target.resolve(name).reference
    assert reference is not None
    theirs = reference(module, x.numpy())
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-300))


@pytest.mark.parametrize("name", OWN)
def test_an_encoder_equals_its_reference(build: Build, x: Tensor, name: str) -> None:
    assert _gap(build, name, x) < 1e-12


@pytest.mark.parametrize("name", OWN)
def test_a_set_of_zeros_equals_its_reference(build: Build, x: Tensor, name: str) -> None:
    x = x.clone()
    x[0] = 0
    x[1, 3:6] = 0
    assert _gap(build, name, x) < 1e-12


@pytest.mark.parametrize("name", OWN)
def test_a_set_of_negative_numbers_equals_its_reference(build: Build, x: Tensor, name: str) -> None:
    assert _gap(build, name, -x.abs() - 1) < 1e-12


@pytest.mark.parametrize("name", OWN)
def test_logits_in_the_hundreds_equal_the_reference(build: Build, x: Tensor, name: str) -> None:
    assert _gap(build, name, 10 * x, scale=4.0) < 1e-10


@pytest.mark.parametrize("name", OWN)
def test_a_set_of_one_element_equals_its_reference(build: Build, x: Tensor, name: str) -> None:
    assert _gap(build, name, x[:, :1]) < 1e-12
