"""Record the calls of submodules: inputs and outputs, in order of execution."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from mbcbench.protocol.state import leaves
from mbcbench.types import Encoder
from mbcbench.verify.isolation import isolated

Run = Callable[[Encoder], object]


@dataclass(frozen=True)
class Call:
    """One call of a submodule.

    Parameters
    ----------
    name, type_name
        Path of the submodule in the encoder, and its class.
    inputs, outputs
        Tensors and plain values that it was given and that it returned, as they were then.
    """

    name: str
    type_name: str
    inputs: tuple[object, ...]
    outputs: tuple[object, ...]


@dataclass
class Calls:
    """Calls of the submodules of an encoder, in the order in which they ended."""

    calls: list[Call] = field(default_factory=list)

    def by_name(self) -> Mapping[str, list[Call]]:
        """Return the calls of each submodule."""
        named: dict[str, list[Call]] = {}
        for call in self.calls:
            named.setdefault(call.name, []).append(call)
        return named


def record_calls(module: nn.Module, run: Run, *, seed: int = 0) -> Calls:
    """Run a function of an encoder with all generators seeded, and return the calls of submodules."""
    calls = Calls()
    with isolated(seed), _watched(module, calls.calls):
        run(module)
    return calls


@contextmanager
def _watched(module: nn.Module, calls: list[Call]) -> Iterator[None]:
    open_calls: list[tuple[object, ...]] = []  # inputs of the calls that have not ended
    handles = []

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        open_calls.append(_copies((args, kwargs)))

    def after(name: str, submodule: nn.Module, outputs: object) -> None:
        calls.append(Call(name, type(submodule).__name__, open_calls.pop(), _copies(outputs)))

    for name, submodule in module.named_modules():
        if submodule is module:
            continue
        handles.append(submodule.register_forward_pre_hook(before, with_kwargs=True))
        handles.append(submodule.register_forward_hook(lambda m, _, out, name=name: after(name, m, out)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _copies(values: object) -> tuple[object, ...]:
    """Return copies of the tensors of nested values, and the plain values among them; other objects are left out."""
    known = (leaf for leaf in leaves(values) if leaf is None or isinstance(leaf, Tensor | bool | int | float | str))
    return tuple(leaf.detach().clone() if isinstance(leaf, Tensor) else leaf for leaf in known)
