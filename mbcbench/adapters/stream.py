"""Streams inside adapters: an adapter of a streaming encoder has its steps too."""

from collections.abc import Callable
from types import MethodType
from typing import Any, TypeVar

from torch import Tensor

from mbcbench.protocol.adapter import Adapter
from mbcbench.protocol.encoder import has_merge, is_streaming
from mbcbench.types import State

A = TypeVar("A", bound=Adapter)


def keep_steps(
    adapter: A, *, update: Callable[..., State] | None = None, readout: Callable[[A, State], Tensor] | None = None
) -> None:
    """Give an adapter the steps of a stream, if the encoder that it adapts has them.

    Parameters
    ----------
    adapter
        The adapter.
    update
        `(adapter, state, x, ...) -> state`, in place of the encoder's `update`.
    readout
        `(adapter, state) -> Tensor`, in place of the encoder's `readout`.
    """
    module = adapter.module
    if not is_streaming(module):
        return
    steps: dict[str, Any] = {
        "init_state": module.init_state,
        "update": module.update if update is None else MethodType(update, adapter),
        "readout": module.readout if readout is None else MethodType(readout, adapter),
    }
    if has_merge(module):
        steps["merge"] = module.merge
    for name, step in steps.items():
        setattr(adapter, name, step)
