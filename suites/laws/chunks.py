"""Locate submodules that treat the elements of a chunk differently from those of the full set."""

from collections.abc import Callable

import torch
from torch import Tensor

from mbcbench.protocol import state as pytree
from mbcbench.types import Encoder, State
from mbcbench.verify.culprit import MAX_CHUNKS, Part, locate_module
from mbcbench.verify.example import ExampleData
from mbcbench.verify.layout import Alignment
from mbcbench.verify.subject import Subject


def locate_in_chunks(subject: Subject, data: ExampleData, fault: str) -> str:
    """Return the first submodule whose outputs for the elements of a chunk are not those for the full set."""
    batch_size, n = data.x.shape[:2]
    start = state = subject.init_state(batch_size)
    positions = torch.split(data.order.expand(batch_size, n), list(data.example.sizes), dim=1)
    parts = []
    for chunk, elements in list(zip(data.chunks, positions, strict=True))[:MAX_CHUNKS]:
        alignment = Alignment(torch.arange(batch_size), elements, batch_size, n)
        parts.append(Part(_update(pytree.clone(state), chunk), alignment))
        state = subject.update(state, chunk)

    def encode(module: Encoder, x: Tensor) -> object:
        return module.update(module.init_state(len(x)), x)

    return locate_module(subject, data.x, _update(start, data.x), parts, fault, encode=encode, elements_only=True)


def _update(state: State, x: Tensor) -> Callable[[Encoder], object]:
    return lambda module: module.update(state, x)
