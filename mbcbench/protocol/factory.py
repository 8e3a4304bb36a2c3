"""Factories: call a target that is not a spec with the element width and hyper-parameters."""

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from mbcbench.errors import UsageError, user_frame
from mbcbench.protocol.copying import copy_module
from mbcbench.protocol.spec import WIDTH
from mbcbench.registry import did_you_mean

FUNCTION_FIX = (
    "; a target is a module class, an instance, a factory or an EncoderSpec; a function is called with dim_in and "
    "returns a module: wrap one that encodes sets in a torch.nn.Module"
)


class InstanceFactory:
    """Factory that copies a module, so that changes to a copy do not reach the original."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, dim_in: int, **hyper: Any) -> nn.Module:
        """Return a copy; raise UsageError for hyper-parameters."""
        if hyper:
            raise UsageError(
                f"{', '.join(hyper)}: a module that is built already takes no hyper-parameters; name its class instead"
            )
        return copy_module(self.module)


class FixedWidthFactory:
    """Factory that calls a class or function which does not take the element width."""

    def __init__(self, target: Callable[..., nn.Module]) -> None:
        self.__wrapped__ = target

    def __call__(self, dim_in: int, **hyper: Any) -> nn.Module:
        """Return a new module; the width is ignored."""
        return self.__wrapped__(**hyper)


class NamedWidthFactory(FixedWidthFactory):
    """Factory that passes the element width as `dim_in=`."""

    def __call__(self, dim_in: int, **hyper: Any) -> nn.Module:
        """Return a new module."""
        return self.__wrapped__(**{WIDTH: dim_in, **hyper})


def factory_of(target: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """Return a factory for a class or function.

    The element width is the argument `dim_in`, or else the first one, unless its default is not an integer.
    """
    parameters = _parameters(target)
    width = width_parameter(parameters)
    if width is None:
        return FixedWidthFactory(target)
    is_first = width is parameters[0] and width.kind is not width.KEYWORD_ONLY
    return target if is_first else NamedWidthFactory(target)


def width_parameter(parameters: list[inspect.Parameter]) -> inspect.Parameter | None:
    """Return the parameter that takes the element width, or None."""
    named = next((parameter for parameter in parameters if parameter.name == WIDTH), None)
    if named is not None or not parameters:
        return named
    first = parameters[0]
    is_positional = first.kind not in (first.KEYWORD_ONLY, first.VAR_KEYWORD)
    may_be_a_width = first.default is first.empty or type(first.default) is int
    return first if is_positional and may_be_a_width else None


def argument_advice(factory: Callable[..., nn.Module], error: BaseException | None, hyper: Iterable[str]) -> str:
    """Return advice on the arguments of a factory that was called with wrong ones, or an empty string.

    hyper: names of the hyper-parameters that it was called with.
    """
    if not isinstance(error, TypeError) or "argument" not in str(error) or user_frame(error):
        return ""
    parameters = _parameters(inspect.unwrap(factory))
    width = width_parameter(parameters)
    names = [p.name for p in parameters if p is not width and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if not names:
        return "; it takes no hyper-parameters"
    wrong = [name for name in hyper if name not in names and f"'{name}'" in str(error)]
    hint = did_you_mean(wrong[0], names) if wrong and "Did you mean" not in str(error) else ""  # Python 3.13 hints
    return f"{hint}; set {'it' if len(names) == 1 else 'them'} with --hyper NAME=VALUE, it takes {', '.join(names)}"


def width_advice(factory: Callable[..., nn.Module], error: BaseException | None) -> str:
    """Return advice for a target whose argument is not the element width, or an empty string."""
    if not isinstance(error, TypeError | AttributeError) or not re.search(r"'int' object|\bnot int\b", str(error)):
        return ""
    target = inspect.unwrap(factory)
    width = width_parameter(_parameters(target))
    if width is None or width.name == WIDTH:
        return ""
    if not inspect.isclass(target):
        return FUNCTION_FIX
    factory_call = f"def make(dim_in): return {target.__name__}({width.name}=...)"
    return f"; its argument {width.name} got the element width: give a factory in its place, {factory_call}"


def _parameters(target: Callable[..., nn.Module]) -> list[inspect.Parameter]:
    if getattr(target, "__init__", None) is nn.Module.__init__:  # accepts no arguments, unlike its signature
        return []
    try:
        return list(inspect.signature(target, follow_wrapped=False).parameters.values())
    except (TypeError, ValueError):  # a callable written in C
        return [inspect.Parameter(WIDTH, inspect.Parameter.POSITIONAL_ONLY)]
