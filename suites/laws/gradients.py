"""Gradients: what training through a stream must not change."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mbcbench.verify.example import TIE_FREE_KINDS, ExampleData
from mbcbench.verify.law import Law, streams
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison

from .comparison import worse

Encode = Callable[[Any, Tensor], Tensor]


def check_gradient(subject: Subject, data: ExampleData) -> Comparison:
    """The gradient through the stream equals the gradient through the full set, for inputs and every parameter.

    Source: the chain rule; both compute one function. On data without ties, where it is differentiable.

    Why it matters: a detached state, an update under no_grad, or a maximum that is shifted by a constant that is not
    one gives the right encoding and the wrong gradient: training on streams then quietly optimises something else.

    How to fix a failure: no `.detach()`, `.data` or `no_grad` on what carries the state from chunk to chunk.
    """

    def streamed(module: Any, x: Tensor) -> Tensor:
        arranged = x.gather(1, data.order[:, :, None].expand_as(x))
        state = module.init_state(len(x))
        for chunk in torch.split(arranged, list(data.example.sizes), dim=1):
            state = module.update(state, chunk)
        out: Tensor = module.readout(state)
        return out

    return _compare(subject, data, lambda module, x: _gradients(module, x, streamed, data))


def check_partial_gradient(subject: Subject, data: ExampleData) -> Comparison:
    """Gradients taken through one chunk at a time sum to the full gradient, the read-out's own part counted once.

    Source: Section 2.5 of the Slot Set Encoder paper, made exact: the other chunks are streamed without a graph.

    Why it matters: it is how a set larger than memory is trained on without bias; it fails where the contribution of
    one chunk depends on the others other than through the state.

    How to fix a failure: let update add the chunk's own term to the state, and let gradients flow through merging.
    """
    return _compare(subject, data, lambda module, x: _one_chunk_at_a_time(module, x, data))


def _compare(subject: Subject, data: ExampleData, taken: Callable[[Any, Tensor], tuple[Tensor, Tensor]]) -> Comparison:
    """Gradients for inputs (per set) and parameters (of the whole batch, so each set answers for them)."""

    def full(module: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        return _gradients(module, x, lambda m, inputs: m(inputs), data)

    got, want = taken(subject.module, data.x), full(subject.module, data.x)
    comparison = subject.compare(got[0], want[0], data.x, lambda module, x: full(module, x)[0])
    if not subject.parameters:
        return comparison
    return worse(comparison, subject.compare(got[1], want[1], data.x, lambda module, x: full(module, x)[1]))


def _loss(encoding: Tensor, data: ExampleData) -> Tensor:
    """A fixed linear function of the encoding, the same for every set."""
    generator = torch.Generator().manual_seed(data.example.seed)
    weight = torch.randn(encoding.shape[1:], generator=generator, dtype=torch.float64).to(encoding.dtype)
    return (encoding * weight).sum()


def _gradients(module: Any, x: Tensor, encode: Encode, data: ExampleData) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return _flat(module, x, _loss(encode(module, x), data))


def _flat(module: Any, x: Tensor, loss: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of a loss for `x` (`B x n d`) and for all parameters (`B x P`, the same in each row)."""
    wanted = [x, *(p for p in module.parameters() if p.requires_grad)]
    if not loss.requires_grad:  # the encoding does not depend on anything that is asked for
        return torch.zeros_like(x).flatten(1), torch.zeros(len(x), 1, dtype=x.dtype)
    found = torch.autograd.grad(loss, wanted, allow_unused=True)
    filled = [torch.zeros_like(w) if g is None else g for w, g in zip(wanted, found, strict=True)]
    parameters = torch.cat([g.flatten() for g in filled[1:]] or [x.new_zeros(1)])
    return filled[0].flatten(1), parameters.expand(len(x), -1)


def _one_chunk_at_a_time(module: Any, x: Tensor, data: ExampleData) -> tuple[Tensor, Tensor]:
    parts = []
    for with_graph in [*range(len(data.example.sizes)), None]:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            state = _with_graph_through(module, leaf, with_graph, data)
            parts.append(_flat(module, leaf, _loss(module.readout(state), data)))
    direct = parts.pop()  # the read-out's own part
    inputs = sum((part[0] - direct[0] for part in parts), start=direct[0])
    parameters = sum((part[1] - direct[1] for part in parts), start=direct[1])
    return inputs, parameters


def _with_graph_through(module: Any, x: Tensor, number: int | None, data: ExampleData) -> Any:
    """The state of the stream with a graph through one chunk alone (the last to be fed), or through none."""
    chunks = torch.split(x.gather(1, data.order[:, :, None].expand_as(x)), list(data.example.sizes), dim=1)
    state = module.init_state(len(x))
    with torch.no_grad():
        for at, chunk in enumerate(chunks):
            if at != number:
                state = module.update(state, chunk)
    return state if number is None else module.update(state, chunks[number])


GRADIENT = Law(
    id="mbc.gradient", check=check_gradient, requires=(streams,), kinds=TIE_FREE_KINDS, budget_fraction=0.4, max_size=65
)
PARTIAL_GRADIENT = Law(
    id="mbc.partial_gradient",
    check=check_partial_gradient,
    requires=(streams,),
    kinds=TIE_FREE_KINDS,
    budget_fraction=0.25,
    max_size=40,
)
