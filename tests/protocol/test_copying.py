"""Copies of modules that hold functions, which lead to the module directly or through other functions."""

import functools
import inspect
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

import mbcbench
from mbcbench.errors import BrokenPluginError
from mbcbench.protocol.copying import copy_module
from tests.controls.base import WIDTH


class Pair(NamedTuple):
    function: Callable[[Tensor], Tensor]
    number: int


class Recursion(NamedTuple):
    even: Callable[[Tensor, int], Tensor]
    odd: Callable[..., Tensor]


def mutually_recursive(module: "Features") -> Recursion:
    def even(x: Tensor, depth: int) -> Tensor:
        return module.embed(x) if depth == 0 else odd(x, depth - 1)

    def odd(x: Tensor, depth: int) -> Tensor:
        return even(x, depth - 1)

    return Recursion(even, odd)


class Features(nn.Module):
    """A mean of features, computed by a function that is an attribute."""

    features: Any

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi = nn.Linear(dim_in, WIDTH)

    def embed(self, x: Tensor) -> Tensor:
        out: Tensor = self.phi(x).tanh()
        return out

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.features(x)
        return features.mean(1)


def _through_list(module: Features) -> Callable[[Tensor], Tensor]:
    layers = [module.phi]
    return lambda x: layers[0](x).tanh()


def _through_method(module: Features) -> Callable[[Tensor], Tensor]:
    embed = module.embed
    return functools.wraps(embed)(lambda x: embed(+x))


def _through_partial(module: Features) -> Callable[[Tensor], Tensor]:
    embed = functools.partial(module.embed)
    return lambda x: embed(+x)


def _by_default(module: Features) -> Callable[[Tensor], Tensor]:
    def embed(x: Tensor, self: Features = module) -> Tensor:
        return self.embed(x)

    return embed


def _by_keyword(module: Features) -> Callable[[Tensor], Tensor]:
    def embed(x: Tensor, *, self: Features = module) -> Tensor:
        return self.embed(x)

    return embed


def _of_weak_reference(module: Features) -> Callable[[Tensor], Tensor]:
    reference = weakref.ref(module)
    return lambda x: reference().embed(x)  # type: ignore[union-attr]


WAYS: dict[str, Callable[[Features], Callable[[Tensor], Tensor]]] = {
    "autocast": lambda module: torch.autocast("cpu", enabled=False)(module.embed),
    "cached method": lambda module: functools.lru_cache(module.embed),
    "default": _by_default,
    "keyword": _by_keyword,
    "list": _through_list,
    "method": _through_method,
    "partial": _through_partial,
    "recursion": lambda module: functools.partial(mutually_recursive(module).odd, depth=3),
    "weak reference": _of_weak_reference,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_function_of_the_copy_computes_with_the_copy(way: str) -> None:
    module = Features(3)
    module.features = WAYS[way](module)
    x = torch.randn(2, 4, 3)
    copied = copy_module(copy_module(module))
    with torch.no_grad():
        copied.phi.weight.zero_()
        copied.phi.bias.fill_(1.0)
    torch.testing.assert_close(copied(x), torch.ones(2, WIDTH).tanh())
    torch.testing.assert_close(module(x), module.embed(x).mean(1))


def test_functions_in_containers_belong_to_the_copy_and_are_copied_once() -> None:
    module: Any = Features(3)
    function = _through_method(module)
    module.in_tuple, module.in_dict = (function,), {"pair": Pair(function, 3), "list": [function]}
    copied = copy_module(module)
    new = copied.in_tuple[0]
    assert new is not function
    assert new is copied.in_dict["list"][0] is copied.in_dict["pair"].function
    assert new.__wrapped__.__self__ is copied
    assert module.in_tuple == (function,)


def test_functions_that_share_a_variable_still_share_it_in_the_copy() -> None:
    module: Any = Features(3)
    number = 0

    def count() -> nn.Module:
        nonlocal number
        number += 1
        return module  # type: ignore[no-any-return]

    module.count, module.counted = count, lambda: (number, module)
    copied = copy_module(module)
    copied.count()
    assert copied.counted() == (1, copied)
    assert module.counted() == (0, module)


def test_functions_that_do_not_lead_to_the_module_are_not_copied() -> None:
    module: Any = Features(3)
    scale = 2.0
    module.features, module.activation = (lambda x: scale * x), nn.functional.silu
    copied = copy_module(module)
    assert copied.features is module.features
    assert copied.activation is module.activation


class TimedForward(Features):
    """Wraps its `forward` in a function, as a library does that measures or casts."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.features = self.embed
        forward = self.forward

        @functools.wraps(forward)
        def timed(x: Tensor) -> Tensor:
            return forward(x)

        self.forward = timed  # type: ignore[method-assign]


def test_an_encoder_with_a_wrapped_forward_is_checked() -> None:
    assert list(inspect.signature(copy_module(TimedForward(3)).forward).parameters) == ["x"]
    laws = ["symmetry.permutation", "hygiene.dtype", "hygiene.determinism", "hygiene.state_dict"]
    assert mbcbench.check(TimedForward, laws=laws, dim_in=3, examples=32)["status"].eq("pass").all()


class Holder:
    """Refers to a module; only a function knows it."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module


class ThroughHolder(Features):
    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        holder: Any = Holder(self)
        self.features = lambda x: holder.module.embed(+x)


class LayersInList(Features):
    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.layers = [nn.Linear(dim_in, WIDTH)]

    def features(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers[0](x)
        return out


@pytest.mark.parametrize("encoder", [ThroughHolder, LayersInList])
def test_an_encoder_that_computes_with_parameters_of_another_module_is_told_so(encoder: type[nn.Module]) -> None:
    with pytest.raises(BrokenPluginError, match=r"it computes with parameters that are not its own: keep layers in nn"):
        mbcbench.check(encoder, laws=["mbc.partition"], dim_in=3, examples=16)
