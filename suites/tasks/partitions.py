"""Training on partitions (Section 2.5 of the paper): how much of a set a step takes its gradient through."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mbcbench.protocol.encoder import ChunkAggregation
from mbcbench.protocol.state import map_state, tensors

Estimator = Literal["full", "partition", "unbiased"]


@dataclass(frozen=True)
class Sampling:
    """An estimator of the gradient; `size` is the number of elements that it takes it through.

    full: the gradient of the whole set.
    partition: a random subset is all that is encoded, as the paper trains. Biased: it is another set's gradient.
    unbiased: all chunks of a random partition are encoded, all but one of them without a graph, and the gradient
        through that one is multiplied by their number. What the read-out adds of its own is counted once.
    """

    how: Estimator
    size: int = 0
    generator: torch.Generator | None = None

    def __call__(self, encoder: Any, element: nn.Module, x: Tensor) -> Tensor:
        """The encoding of `x` (`B x n x d`)."""
        if self.how == "full" or self.size >= x.shape[1]:
            out: Tensor = encoder(element(x))
            return out
        chunks = self.chunks(x.shape[1])
        if self.how == "partition":
            return partition(encoder, element, x, chunks[0])
        chosen = int(torch.randint(len(chunks), (), generator=self.generator))
        return unbiased(encoder, element, x, chunks, chosen)

    def chunks(self, n: int) -> tuple[Tensor, ...]:
        """The places of the elements of each chunk of a random partition of n elements; the last may be smaller."""
        return torch.split(torch.randperm(n, generator=self.generator), self.size)


FULL_SET = Sampling("full")


def partition(encoder: Any, element: nn.Module, x: Tensor, chunk: Tensor) -> Tensor:
    """The encoding of one chunk of `x`, its places given, as if it were the set."""
    out: Tensor = encoder(element(x[:, chunk]))
    return out


def unbiased(encoder: Any, element: nn.Module, x: Tensor, chunks: tuple[Tensor, ...], chosen: int) -> Tensor:
    """The encoding of `x` with a graph through one chunk alone, whose gradient counts for all.

    Raises ValueError for a plain encoder, which has no state to leave the others in.
    """
    if isinstance(encoder, ChunkAggregation):
        raise ValueError("a plain encoder has no state: the rest of the set cannot be encoded apart from its gradient")
    state = encoder.init_state(len(x))
    with torch.no_grad():
        for at, chunk in enumerate(chunks):
            state = state if at == chosen else encoder.update(state, element(x[:, chunk]))
    after = encoder.update(state, element(x[:, chunks[chosen]]))
    out: Tensor = encoder.readout(_gradient_times(len(chunks), before=state, after=after))
    return out


def _gradient_times(factor: int, *, before: Any, after: Any) -> Any:
    """The state `after` a chunk, with the gradient through what the chunk changed multiplied.

    What it left alone (the slots) leads to the read-out's own gradient.
    """
    kept = {id(tensor) for tensor in tensors(before)}

    def scaled(tensor: Tensor) -> Tensor:
        if tensor.requires_grad and id(tensor) not in kept:
            tensor.register_hook(lambda gradient: gradient * factor)  # type: ignore[no-untyped-call]
        return tensor

    return map_state(scaled, after)


def each_chunk(encoder: Any, element: nn.Module, x: Tensor, sampling: Sampling) -> Iterator[Tensor]:
    """The encodings of an estimator for each chunk of one random partition: all its outcomes, equally likely."""
    chunks = sampling.chunks(x.shape[1])
    for at, chunk in enumerate(chunks):
        if sampling.how == "partition":
            yield partition(encoder, element, x, chunk)
        else:
            yield unbiased(encoder, element, x, chunks, at)
