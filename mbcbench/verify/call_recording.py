"""Record the calls of submodules: inputs and outputs, in order of execution."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mbcbench.protocol.state import leaves
from mbcbench.types import Encoder
from mbcbench.verify.isolation import isolated

Run = Callable[[Encoder], object]


class CallKey(NamedTuple):
    """Path of a submodule in the encoder, and number of the call among the calls of the submodule."""

    name: str
    number: int


@dataclass(frozen=True)
class Call:
    """One call of a submodule.

    Parameters
    ----------
    key
        Submodule and number of the call.
    type_name
        Class of the submodule.
    inputs, outputs
        Leaves of the arguments and of the result, with tensors as they were at the time of the call.
    """

    key: CallKey
    type_name: str
    inputs: tuple[object, ...]
    outputs: tuple[object, ...]


# Function of a key and outputs that returns the outputs to use in their place.
Patch = Callable[[CallKey, object], object]


@dataclass
class Calls:
    """Calls of the submodules of an encoder in the order in which they ended, and the result of the run."""

    by_key: dict[CallKey, Call] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    result: Any = None

    def next_key(self, name: str) -> CallKey:
        """Return the key of the next call of a submodule that ends."""
        number = self.numbers.get(name, 0)
        self.numbers[name] = number + 1
        return CallKey(name, number)

    def corresponding(self, others: "Calls") -> Mapping[CallKey, tuple[Call, Call]]:
        """Return the calls of submodules that both runs call equally often, in order."""
        same = {name for name, number in self.numbers.items() if others.numbers.get(name) == number}
        return {key: (call, others.by_key[key]) for key, call in self.by_key.items() if key.name in same}


def record_calls(module: nn.Module, run: Run, *, seed: int = 0, patch: Patch = lambda _, outputs: outputs) -> Calls:
    """Run a function of an encoder with all generators seeded, and return the calls of submodules."""
    calls = Calls()
    with isolated(seed), _without_fast_path(), _watched(module, calls, patch):
        calls.result = run(module)
    return calls


@contextmanager
def _watched(module: nn.Module, calls: Calls, patch: Patch) -> Iterator[None]:
    open_calls: list[tuple[object, ...]] = []  # inputs of the calls that have not ended
    handles = []

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        open_calls.append(_copied_leaves((args, kwargs)))

    def after(name: str, submodule: nn.Module, outputs: object) -> object:
        key = calls.next_key(name)
        patched = patch(key, outputs)
        calls.by_key[key] = Call(key, type(submodule).__name__, open_calls.pop(), _copied_leaves(patched))
        return patched

    for name, submodule in module.named_modules():
        if submodule is not module and not isinstance(submodule, torch.jit.ScriptModule):  # takes no hooks
            handles.append(submodule.register_forward_pre_hook(before, with_kwargs=True))
            handles.append(submodule.register_forward_hook(lambda m, _, out, name=name: after(name, m, out)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _without_fast_path() -> Iterator[None]:
    """Disable the path of `nn.TransformerEncoder` that turns padded tensors into nested ones, which have no shape."""
    is_enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(is_enabled)


def _copied_leaves(values: object) -> tuple[object, ...]:
    """Return the leaves of nested values. Tensors are copied, so later operations in place do not change them."""
    return tuple(leaf.detach().clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves(values))


def equal_values(first: tuple[object, ...], second: tuple[object, ...]) -> bool:
    """Return True if all values are equal, NaN included."""
    if len(first) != len(second):
        return False
    for a, b in zip(first, second, strict=True):
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            if a.shape != b.shape or not torch.equal(a.nan_to_num(), b.nan_to_num()):
                return False
        elif type(a) is not type(b) or a != b:
            return False
    return True
