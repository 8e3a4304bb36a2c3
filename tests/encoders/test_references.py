"""Every encoder equals the independent reference of its spec."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mbcbench import registry
from mbcbench.protocol.build import get_spec
from tests.encoders.conftest import Build

BUILT_IN = [p.name for p in registry.plugins(registry.ENCODERS).values() if p.target.startswith("mbcbench.")]


VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("sse-random", {"bias": True, "num_slots": 3, "slot_dim": 5, "dim": 7}),
    ("sse-deterministic-max", {"bias": True, "attention": "softmax"}),
    ("sse-hierarchical", {"num_slots": (5, 4, 3), "aggregate": "max", "slots": "deterministic"}),
    ("deepsets-original", {"kind": 2, "normalize": "mean"}),
    ("deepsets-original-mean", {"kind": 2, "normalize": "max", "layers": 1}),
    ("set-transformer", {"layer_norm": True, "seeds": 3, "heads": 2}),
    ("set-transformer-sab", {"layer_norm": True, "layers": 1}),
    ("pma", {"layer_norm": True, "seeds": 3}),
    ("umbc", {"attention": "softmax", "slots": "deterministic"}),
    ("umbc", {"attention": "sigmoid", "heads": 1}),
    ("perceiver", {"layers": 2, "heads": 1}),
    ("slot-attention", {"iterations": 1}),
    ("fspool", {"pieces": 3}),
    ("top-k", {"k": 20}),
]


def relative_gap(build: Build, name: str, x: Tensor, scale: float = 1.0, **hyper: Any) -> float:
    module = build(name, **hyper)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(scale)
        encoding = module(x).numpy()
    reference = get_spec(name).reference
    assert reference is not None
    expected = reference(module, x.numpy())
    assert encoding.shape == expected.shape
    return float(np.abs(encoding - expected).max() / max(np.abs(expected).max(), 1e-300))


@pytest.mark.parametrize("name", BUILT_IN)
def test_an_encoder_equals_its_reference(build: Build, x: Tensor, name: str) -> None:
    assert relative_gap(build, name, x) < 1e-12


@pytest.mark.parametrize(("name", "hyper"), VARIANTS, ids=str)
def test_an_encoder_equals_its_reference_under_other_hyper_parameters(
    build: Build, x: Tensor, name: str, hyper: dict[str, Any]
) -> None:
    assert relative_gap(build, name, x, **hyper) < 1e-12


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_set_of_zeros_equals_its_reference(build: Build, x: Tensor, name: str) -> None:
    x = x.clone()
    x[0] = 0
    x[1, 3:6] = 0
    assert relative_gap(build, name, x) < 1e-12


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_set_of_negative_numbers_equals_its_reference(build: Build, x: Tensor, name: str) -> None:
    assert relative_gap(build, name, -x.abs() - 1) < 1e-12


@pytest.mark.parametrize("name", BUILT_IN)
def test_logits_in_the_hundreds_equal_the_reference(build: Build, x: Tensor, name: str) -> None:
    assert relative_gap(build, name, 10 * x, scale=4.0) < 1e-10


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_set_of_one_element_equals_its_reference(build: Build, x: Tensor, name: str) -> None:
    assert relative_gap(build, name, x[:, :1]) < 1e-12
