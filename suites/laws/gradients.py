"""Gradients: training through a stream computes the gradients of the full set."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mbcbench.protocol import state as pytree
from mbcbench.types import Encoder, State
from mbcbench.verify.example import TIE_FREE_KINDS, ExampleData
from mbcbench.verify.law import Law, NotApplicable, ignores_order, streams
from mbcbench.verify.observed_subject import Check, locate_parameter
from mbcbench.verify.subject import Quantity, Subject
from mbcbench.verify.tolerance import Comparison

from .comparison import violation
from .mbc import is_consistent, locate_partition


def check_gradient(subject: Subject, data: ExampleData) -> Comparison:
    """The gradient through the stream equals the gradient through the full set, for inputs and every parameter.

    Source: the chain rule; both compute one function. Tried on data without ties, where that is differentiable.

    Why it matters: a detached state, an update under no_grad, or a detached maximum that is part of the result gives
    the right encoding and a wrong gradient: training on streams then silently optimises something else. A maximum that
    only rescales, as in a softmax, cancels in the result and may be detached.

    An encoder with trainable parameters fails too if no gradient reaches them or the elements, in whatever way it is
    computed. Without trainable parameters the law does not apply where no gradient reaches the elements, as for tokens.

    How to fix a failure: use no `.detach()`, `.data` or `no_grad` on what the state carries from chunk to chunk, except
    on a maximum that cancels.
    """

    def encode_stream(module: Encoder, x: Tensor) -> Tensor:
        state = module.init_state(len(x))
        for chunk in data.cut(x):
            state = module.update(state, chunk)
        out: Tensor = module.readout(state)
        return out

    return _compare(subject, data, lambda module, x: _gradients(module, x, encode_stream, data))


def check_partial_gradient(subject: Subject, data: ExampleData) -> Comparison:
    """Gradients through one chunk at a time sum to the full gradient; initial state and read-out count once.

    Source: Section 2.5 of the Slot Set Encoder paper, made exact: the other chunks are streamed without a graph. The
    gradient of a learned initial state to which chunks are added is computed once, through all chunks.

    Why it matters: this is how to train without bias on a set that is larger than memory. It fails if the contribution
    of one chunk depends on other chunks except through the state.

    How to fix a failure: let update add the chunk's own term to the state, and let gradients flow through merging.
    """
    return _compare(subject, data, lambda module, x: _sum_over_chunks(module, x, data))


def locate_gradient(subject: Subject, data: ExampleData) -> str:
    """Return the parameter with the largest gradient error; if the encodings differ, the cause of that."""
    return _locate(subject, data, check_gradient)


def locate_partial_gradient(subject: Subject, data: ExampleData) -> str:
    """Return the parameter with the largest gradient error; if the encodings differ, the cause of that."""
    return _locate(subject, data, check_partial_gradient)


def _locate(subject: Subject, data: ExampleData, check: Check) -> str:
    if not is_consistent(subject, data):
        return locate_partition(subject, data)
    return locate_parameter(check)(subject, data)


def _compare(subject: Subject, data: ExampleData, streamed: Quantity) -> Comparison:
    """Compare streamed gradients with those of the full set."""

    def full(module: Encoder, x: Tensor) -> Tensor:
        return _gradients(module, x, lambda m, inputs: m(inputs), data)

    actual, expected = streamed(subject.module, data.x), full(subject.module, data.x)
    if not bool((actual != 0).any()) and not bool((expected != 0).any()):
        return _without_gradient(subject, data)
    return subject.compare(actual, expected, data.x, full)


def _without_gradient(subject: Subject, data: ExampleData) -> Comparison:
    """Return a violation if the parameters should have a gradient; raise NotApplicable if it may be zero."""
    with torch.enable_grad():
        has_graph = bool(subject.module(data.x).requires_grad)
    if subject.parameters and not has_graph:
        return violation(data, "no gradient reaches the elements or any trainable parameter")
    raise NotApplicable("no gradient reaches the elements" + (" or a parameter" if subject.parameters else ""))


def linear_loss(encoding: Tensor, data: ExampleData) -> Tensor:
    """Return a fixed linear function of the encoding, the same for every set."""
    generator = torch.Generator().manual_seed(data.example.seed)
    weight = torch.randn(encoding.shape[1:], generator=generator, dtype=torch.float64).to(encoding.dtype)
    return (encoding * weight).sum()


def _gradients(module: Encoder, x: Tensor, encode: Quantity, data: ExampleData) -> Tensor:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return _differentiate(module, x, linear_loss(encode(module, x), data))


def _differentiate(module: Encoder, x: Tensor, loss: Tensor) -> Tensor:
    """Return the gradients of a loss, `B x (n d + P)`.

    The gradients for a set's elements come first. The gradients for the parameters are those of the whole batch, and
    repeated for each set.
    """
    inputs = [x, *(p for p in module.parameters() if p.requires_grad)]
    gradients = gradients_of(loss, inputs)
    filled = [torch.zeros_like(i) if g is None else g for i, g in zip(inputs, gradients, strict=True)]
    parameters = torch.cat([g.flatten() for g in filled[1:]] or [x.new_zeros(0)])
    return torch.cat([filled[0].flatten(1), parameters.expand(len(x), -1)], 1)


def gradients_of(loss: Tensor, leaves: Sequence[Tensor]) -> list[Tensor | None]:
    """Return the gradients of a loss, None for leaves that it does not depend on.

    They are computed by `backward`, since reentrant checkpoints refuse `torch.autograd.grad`.
    """
    if not loss.requires_grad:
        return [None] * len(leaves)
    for leaf in leaves:
        leaf.grad = None
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [leaf.grad for leaf in leaves]
    for leaf in leaves:
        leaf.grad = None
    return gradients


def _sum_over_chunks(module: Encoder, x: Tensor, data: ExampleData) -> Tensor:
    """Return the sum of the gradients through one chunk at a time.

    Each of them includes the gradient of the read-out itself, which is subtracted so that it counts once.
    """
    cut = _cut_leaves(module, x, data)
    parts = []
    for chunk_with_graph in [*range(len(data.example.sizes)), None]:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            state = _state_with_graph_through(module, leaf, chunk_with_graph, data, cut)
            parts.append(_differentiate(module, leaf, linear_loss(module.readout(state), data)))
    readout = parts.pop()
    total = sum((part - readout for part in parts), start=readout)
    return total + _gradient_of_start(module, x, data, cut) if cut else total


def _cut_leaves(module: Encoder, x: Tensor, data: ExampleData) -> list[int]:
    """Return which leaves of the initial state have a graph that ends at the first chunk streamed without one.

    Slots pass through a stream as they are, and keep theirs.
    """
    with torch.enable_grad():
        start = module.init_state(len(x))
    before = list(pytree.leaves(start))
    if not any(_has_graph(leaf) for leaf in before):
        return []
    with torch.no_grad():
        after = list(pytree.leaves(module.update(start, data.cut(x)[0])))
    keeps_graph = [_has_graph(leaf) for leaf in after] if len(after) == len(before) else [False] * len(before)
    return [i for i, leaf in enumerate(before) if _has_graph(leaf) and not keeps_graph[i]]


def _has_graph(leaf: object) -> bool:
    return isinstance(leaf, Tensor) and leaf.requires_grad


def _state_with_graph_through(
    module: Encoder, x: Tensor, number: int | None, data: ExampleData, cut: Sequence[int]
) -> State:
    """Return the state of the stream with a graph through one chunk only, which is fed last, or through none."""
    chunks = data.cut(x)
    start = module.init_state(len(x))
    state = _with_leaves(start, cut, [leaf.detach() for leaf in _leaves(start, cut)])
    with torch.no_grad():
        for position, chunk in enumerate(chunks):
            if position != number:
                state = module.update(state, chunk.detach())  # a state may be a view of its chunk
    return state if number is None else module.update(state, chunks[number])


def _gradient_of_start(module: Encoder, x: Tensor, data: ExampleData, cut: Sequence[int]) -> Tensor:
    """Return the gradient through these leaves of the initial state, and all chunks."""
    with torch.enable_grad():
        start = module.init_state(len(x))
        originals = _leaves(start, cut)
        inputs = [leaf.detach().requires_grad_() for leaf in originals]
        state = _with_leaves(start, cut, inputs)
        for chunk in data.cut(x):
            state = module.update(state, chunk)
        loss = linear_loss(module.readout(state), data)
        gradients: Sequence[Tensor | None] = [None] * len(inputs)
        if loss.requires_grad:
            gradients = torch.autograd.grad(loss, inputs, allow_unused=True)
        terms = [(leaf * g).sum() for leaf, g in zip(originals, gradients, strict=True) if g is not None]
        return _differentiate(module, x.detach().requires_grad_(), torch.stack([x.new_zeros(()), *terms]).sum())


def _leaves(state: State, numbers: Sequence[int]) -> list[Tensor]:
    """Return some leaves of a state, which are tensors."""
    leaves: list[Any] = list(pytree.leaves(state)) if numbers else []
    return [leaves[number] for number in numbers]


def _with_leaves(state: State, numbers: Sequence[int], leaves: Sequence[Tensor]) -> State:
    return pytree.replace_leaves(state, dict(zip(numbers, leaves, strict=True))) if numbers else state


GRADIENT = Law(
    id="mbc.gradient",
    check=check_gradient,
    requires=(streams,),
    kinds=TIE_FREE_KINDS,
    budget_fraction=0.4,
    max_size=65,
    locate=locate_gradient,
)
PARTIAL_GRADIENT = Law(
    id="mbc.partial_gradient",
    check=check_partial_gradient,
    requires=(streams, ignores_order),
    kinds=TIE_FREE_KINDS,
    budget_fraction=0.25,
    max_size=40,
    locate=locate_partial_gradient,
)
