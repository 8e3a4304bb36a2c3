"""Gradients: training through a stream computes the gradients of the full set."""

from collections.abc import Callable

import torch
from torch import Tensor

from mbcbench.types import Encoder, State
from mbcbench.verify.example import TIE_FREE_KINDS, ExampleData
from mbcbench.verify.law import Law, ignores_order, streams
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison

from .comparison import worse

Encode = Callable[[Encoder, Tensor], Tensor]
# Gradients for the input, per set (`B x n d`), and for all parameters, of the whole batch (`1 x P`).
Gradients = tuple[Tensor, Tensor]


def check_gradient(subject: Subject, data: ExampleData) -> Comparison:
    """The gradient through the stream equals the gradient through the full set, for inputs and every parameter.

    Source: the chain rule; both compute one function. Tried on data without ties, where that is differentiable.

    Why it matters: a detached state, an update under no_grad, or a maximum that is treated as a constant gives the
    right encoding and a wrong gradient: training on streams then silently optimises something else.

    How to fix a failure: no `.detach()`, `.data` or `no_grad` on anything that carries the state from chunk to chunk.
    """

    def encode_stream(module: Encoder, x: Tensor) -> Tensor:
        state = module.init_state(len(x))
        for chunk in _chunks(x, data):
            state = module.update(state, chunk)
        out: Tensor = module.readout(state)
        return out

    return _compare(subject, data, lambda module, x: _gradients(module, x, encode_stream, data))


def check_partial_gradient(subject: Subject, data: ExampleData) -> Comparison:
    """Gradients taken through one chunk at a time sum to the full gradient, counting the read-out's own part once.

    Source: Section 2.5 of the Slot Set Encoder paper, made exact: the other chunks are streamed without a graph.

    Why it matters: this is how to train without bias on a set that is larger than memory. It fails if the contribution
    of one chunk depends on the others other than through the state.

    How to fix a failure: let update add the chunk's own term to the state, and let gradients flow through merging.
    """
    return _compare(subject, data, lambda module, x: _sum_over_chunks(module, x, data))


def _compare(subject: Subject, data: ExampleData, streamed: Callable[[Encoder, Tensor], Gradients]) -> Comparison:
    """Compare streamed gradients with those of the full set.

    Gradients for parameters are those of the whole batch, so that each set answers for them.
    """
    # Both comparisons ask for the gradients of the same perturbed encoders.
    known: dict[tuple[int, bytes], Gradients] = {}

    def full(module: Encoder, x: Tensor) -> Gradients:
        key = (id(module), x.numpy().tobytes())
        if key not in known:
            known[key] = _gradients(module, x, lambda m, inputs: m(inputs), data)
        return known[key]

    actual, expected = streamed(subject.module, data.x), full(subject.module, data.x)
    comparison = subject.compare(actual[0], expected[0], data.x, lambda module, x: full(module, x)[0])
    if not subject.parameters:
        return comparison
    parameters = subject.compare(actual[1], expected[1], data.x, lambda module, x: full(module, x)[1])
    return worse(comparison, parameters)


def _chunks(x: Tensor, data: ExampleData) -> tuple[Tensor, ...]:
    """Return the chunks of `x`, a perturbed copy of the data, with the graph to it."""
    arranged = x.gather(1, data.order[:, :, None].expand_as(x))
    return torch.split(arranged, list(data.example.sizes), dim=1)


def _loss(encoding: Tensor, data: ExampleData) -> Tensor:
    """Return a fixed linear function of the encoding, the same for every set."""
    generator = torch.Generator().manual_seed(data.example.seed)
    weight = torch.randn(encoding.shape[1:], generator=generator, dtype=torch.float64).to(encoding.dtype)
    return (encoding * weight).sum()


def _gradients(module: Encoder, x: Tensor, encode: Encode, data: ExampleData) -> Gradients:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return _differentiate(module, x, _loss(encode(module, x), data))


def _differentiate(module: Encoder, x: Tensor, loss: Tensor) -> Gradients:
    """Return the gradients of a loss."""
    inputs = [x, *(p for p in module.parameters() if p.requires_grad)]
    if not loss.requires_grad:  # the encoding depends neither on the elements nor on parameters
        return torch.zeros_like(x).flatten(1), torch.zeros(1, 1, dtype=x.dtype)
    gradients = torch.autograd.grad(loss, inputs, allow_unused=True)
    filled = [torch.zeros_like(i) if g is None else g for i, g in zip(inputs, gradients, strict=True)]
    parameters = torch.cat([g.flatten() for g in filled[1:]] or [x.new_zeros(1)])
    return filled[0].flatten(1), parameters[None]


def _sum_over_chunks(module: Encoder, x: Tensor, data: ExampleData) -> Gradients:
    """Return the sum of the gradients through one chunk at a time.

    Each of them includes the gradient of the read-out itself, which is subtracted so that it counts once.
    """
    parts = []
    for chunk_with_graph in [*range(len(data.example.sizes)), None]:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            state = _state_with_graph_through(module, leaf, chunk_with_graph, data)
            parts.append(_differentiate(module, leaf, _loss(module.readout(state), data)))
    readout = parts.pop()
    inputs = sum((part[0] - readout[0] for part in parts), start=readout[0])
    parameters = sum((part[1] - readout[1] for part in parts), start=readout[1])
    return inputs, parameters


def _state_with_graph_through(module: Encoder, x: Tensor, number: int | None, data: ExampleData) -> State:
    """Return the state of the stream with a graph through one chunk only, which is fed last, or through none."""
    chunks = _chunks(x, data)
    state = module.init_state(len(x))
    with torch.no_grad():
        for position, chunk in enumerate(chunks):
            if position != number:
                state = module.update(state, chunk)
    return state if number is None else module.update(state, chunks[number])


GRADIENT = Law(
    id="mbc.gradient",
    check=check_gradient,
    requires=(streams,),
    kinds=TIE_FREE_KINDS,
    budget_fraction=0.4,
    max_size=65,
)
PARTIAL_GRADIENT = Law(
    id="mbc.partial_gradient",
    check=check_partial_gradient,
    requires=(streams, ignores_order),
    kinds=TIE_FREE_KINDS,
    budget_fraction=0.25,
    max_size=40,
)
