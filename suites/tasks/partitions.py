"""Training on partitions (Section 2.5 of the paper): gradients flow through only a part of each set."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mbcbench.protocol.encoder import ChunkAggregation
from mbcbench.protocol.state import map_state, tensors
from mbcbench.types import Encoder

Estimator = Literal["full", "partition", "unbiased"]


@dataclass(frozen=True)
class Sampling:
    """Estimator of the gradient of a loss on whole sets.

    Parameters
    ----------
    estimator
        `full`: the gradient of the whole set.
        `partition`: only a random subset is encoded, as in the paper. Biased: this is the gradient of another set.
        `unbiased`: all chunks of a random partition are encoded, all but one without a graph, and the gradient through
        that one is multiplied by their number. Parameters that only the read-out uses count once.
    size
        Elements that the gradient flows through.
    generator
        Generator of the partitions.
    """

    estimator: Estimator
    size: int = 0
    generator: torch.Generator | None = None

    def __call__(self, encoder: Encoder, element: nn.Module, x: Tensor) -> Tensor:
        """Encode `x` (`B x n x d`) after the network `element`, with the graph of the estimator."""
        if self.estimator == "full" or self.size >= x.shape[1]:
            encoding: Tensor = encoder(element(x))
            return encoding
        chunks = self.chunks(x.shape[1])
        if self.estimator == "partition":
            return encode_subset(encoder, element, x, chunks[0])
        index = int(torch.randint(len(chunks), (), generator=self.generator))
        return encode_unbiased(encoder, element, x, chunks, index)

    def chunks(self, n: int) -> tuple[Tensor, ...]:
        """Draw a partition of `n` elements: the indices of each chunk, of which the last may be smaller."""
        return torch.split(torch.randperm(n, generator=self.generator), self.size)


FULL_SET = Sampling("full")


def encode_subset(encoder: Encoder, element: nn.Module, x: Tensor, subset: Tensor) -> Tensor:
    """Encode the elements of `x` with the indices `subset` as if they were the whole set."""
    encoding: Tensor = encoder(element(x[:, subset]))
    return encoding


def encode_unbiased(encoder: Encoder, element: nn.Module, x: Tensor, chunks: tuple[Tensor, ...], index: int) -> Tensor:
    """Encode all chunks of `x`, with a graph through chunk `index` only, whose gradient counts for all.

    Raises ValueError for a plain encoder, which has no state to accumulate the other chunks in.
    """
    if isinstance(encoder, ChunkAggregation):
        raise ValueError("a plain encoder has no state, so the rest of the set cannot be encoded without a gradient")
    state = encoder.init_state(len(x))
    with torch.no_grad():
        for other, chunk in enumerate(chunks):
            if other != index:
                state = encoder.update(state, element(x[:, chunk]))
    after = encoder.update(state, element(x[:, chunks[index]]))
    encoding: Tensor = encoder.readout(_scale_gradient(len(chunks), before=state, after=after))
    return encoding


def _scale_gradient(factor: int, *, before: Any, after: Any) -> Any:
    """Return the state `after` a chunk, with the gradient through what the chunk changed multiplied by `factor`.

    Tensors that the chunk did not change, such as slots, carry the read-out's own gradient, which is already complete.
    """
    unchanged = {id(tensor) for tensor in tensors(before)}

    def scale(tensor: Tensor) -> Tensor:
        if tensor.requires_grad and id(tensor) not in unchanged:
            tensor.register_hook(lambda gradient: gradient * factor)  # type: ignore[no-untyped-call]
        return tensor

    return map_state(scale, after)


def encode_each_chunk(encoder: Encoder, element: nn.Module, x: Tensor, sampling: Sampling) -> Iterator[Tensor]:
    """Yield the estimator's encoding for each chunk of one random partition: all outcomes, which are equally likely."""
    chunks = sampling.chunks(x.shape[1])
    for index, chunk in enumerate(chunks):
        if sampling.estimator == "partition":
            yield encode_subset(encoder, element, x, chunk)
        else:
            yield encode_unbiased(encoder, element, x, chunks, index)
