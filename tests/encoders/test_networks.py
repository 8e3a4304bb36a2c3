"""The last layer of a network per element is applied to sums, or composed into the layers after it."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mbcbench.encoders.nn import networks
from mbcbench.protocol.build import get_spec
from tests.encoders.conftest import Build

DIM = 64
LINEAR: list[tuple[str, dict[str, Any]]] = [  # linear in the output of phi, except for softmax weights or gates
    ("deepsets-sum", {}), ("deepsets-mean", {}), ("attention-pooling", {}), ("attention-pooling-gated", {}),
    ("pma", {"seeds": 2}), ("umbc", {}), ("umbc", {"attention": "sigmoid"}), ("umbc", {"attention": "softmax"}),
]  # fmt: skip


def elements(n: int) -> Tensor:
    return torch.randn(2, n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(n))


def flops(module: Any, x: Tensor) -> float:
    """Return the multiplications that one more element of a long set takes, without those per set."""
    totals = []
    for n in (x.shape[1] // 2, x.shape[1]):
        with FlopCounterMode(display=False) as counter:
            module.requires_grad_(False)(x[:, :n])
        totals.append(int(counter.get_total_flops()))
    return (totals[1] - totals[0]) / (2 * len(x) * (x.shape[1] - x.shape[1] // 2))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("first_bias", [False, True])
def test_composed_affine_maps_equal_one_after_the_other(build: Build, bias: bool, first_bias: bool) -> None:
    as_affine = networks.as_affine
    first = torch.nn.Linear(3, 5, bias=first_bias, dtype=torch.float64)
    second = torch.nn.Linear(5, 4, bias=bias, dtype=torch.float64)
    x = elements(7)
    torch.testing.assert_close(as_affine(second).compose(as_affine(first))(x), second(first(x)), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("bias", [False, True])
def test_the_sum_of_outputs_follows_from_the_sum_of_inputs(build: Build, bias: bool) -> None:
    layer, x = torch.nn.Linear(3, 5, bias=bias, dtype=torch.float64), elements(7)
    total = networks.as_affine(layer).sum_of_outputs(x.sum(1), torch.tensor([7, 7]))
    torch.testing.assert_close(total, layer(x).sum(1), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("name", "hyper"), LINEAR, ids=str)
def test_long_sets_equal_the_reference(build: Build, name: str, hyper: dict[str, Any]) -> None:
    module, x = build(name, **hyper), elements(300)
    reference = get_spec(name).reference
    assert reference is not None
    expected = torch.from_numpy(reference(module, x.numpy()))
    torch.testing.assert_close(module(x).detach(), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("name", "hyper"), LINEAR, ids=str)
def test_long_sets_have_the_gradients_of_their_elements_one_by_one(
    build: Build, name: str, hyper: dict[str, Any]
) -> None:
    module, x = build(name, **hyper), elements(150)
    weight = torch.linspace(-1, 1, module(x).numel(), dtype=x.dtype).view_as(module(x))
    state = module.init_state(2)
    for element in torch.split(x, 1, 1):
        state = module.update(state, element)
    parameters = [p for p in module.parameters() if p.requires_grad]
    one_by_one = torch.autograd.grad((module.readout(state) * weight).sum(), parameters)
    at_once = torch.autograd.grad((module(x) * weight).sum(), parameters)
    for a, b in zip(at_once, one_by_one, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", ["deepsets-sum", "deepsets-mean", "pma"])
def test_an_element_of_a_long_set_does_not_pass_through_the_last_layer(build: Build, name: str) -> None:
    assert flops(build(name), elements(1000)) < DIM * DIM


@pytest.mark.parametrize(("name", "products"), [("attention-pooling", 1), ("attention-pooling-gated", 2)])
def test_scores_take_one_product_per_layer(build: Build, name: str, products: int) -> None:
    assert products * DIM * DIM < flops(build(name), elements(1000)) < (products + 0.2) * DIM * DIM
