"""The last layer of a network per element, left for sums and made one with what comes after it."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mbcbench.encoders.nn import networks
from mbcbench.protocol import target
from tests.encoders.conftest import Build

DIM = 64
LINEAR: list[tuple[str, dict[str, Any]]] = [  # encoders that are linear in what phi gives, less a softmax or a gate
    ("deepsets-sum", {}), ("deepsets-mean", {}), ("attention-pooling", {}), ("attention-pooling-gated", {}),
    ("pma", {"seeds": 2}), ("umbc", {}), ("umbc", {"attention": "sigmoid"}), ("umbc", {"attention": "softmax"}),
]  # fmt: skip


def elements(n: int) -> Tensor:
    return torch.randn(2, n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(n))


def flops(module: Any, x: Tensor) -> float:
    """Multiplications for each element of a long set: of one more, beside those that a set costs."""
    counted = []
    for n in (x.shape[1] // 2, x.shape[1]):
        with FlopCounterMode(display=False) as counter:
            module.requires_grad_(False)(x[:, :n])
        counted.append(int(counter.get_total_flops()))
    return (counted[1] - counted[0]) / (2 * len(x) * (x.shape[1] - x.shape[1] // 2))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("first_bias", [False, True])
def test_two_affine_maps_are_one(build: Build, bias: bool, first_bias: bool) -> None:
    as_affine = networks.as_affine
    first = torch.nn.Linear(3, 5, bias=first_bias, dtype=torch.float64)
    second = torch.nn.Linear(5, 4, bias=bias, dtype=torch.float64)
    x = elements(7)
    torch.testing.assert_close(as_affine(second).compose(as_affine(first))(x), second(first(x)), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("bias", [False, True])
def test_what_a_layer_gives_for_a_sum_is_the_sum_of_what_it_gives(build: Build, bias: bool) -> None:
    layer, x = torch.nn.Linear(3, 5, bias=bias, dtype=torch.float64), elements(7)
    found = networks.as_affine(layer).sum_of_outputs(x.sum(1), torch.tensor([7, 7]))
    torch.testing.assert_close(found, layer(x).sum(1), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("name", "hyper"), LINEAR, ids=str)
def test_long_sets_equal_the_reference_too(build: Build, name: str, hyper: dict[str, Any]) -> None:
    module, x = build(name, **hyper), elements(300)
    reference = target.get_spec(name).reference
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
def test_scores_take_no_product_more_than_they_have_layers(build: Build, name: str, products: int) -> None:
    assert products * DIM * DIM < flops(build(name), elements(1000)) < (products + 0.2) * DIM * DIM
