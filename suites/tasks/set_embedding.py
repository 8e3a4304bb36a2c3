"""What every task's model begins with: a network per element, the set encoder, a vector from its encoding."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mbcbench.protocol.encoder import Aggregation, ChunkAggregation, encode_stream, is_streaming
from mbcbench.protocol.spec import EncoderSpec, SlotReadout
from mbcbench.protocol.target import build_from_spec

from .partitions import FULL_SET, Sampling


def slot_vector(encoding: Tensor, readout: SlotReadout) -> Tensor:
    """An encoding `B x d` as it is, `B x K x d` reduced over its slots (`concat`: laid side by side)."""
    if readout == "concat" or encoding.dim() == 2:
        return encoding.flatten(1)
    if readout == "max":
        return encoding.amax(dim=1)
    return encoding.mean(dim=1) if readout == "mean" else encoding.sum(dim=1)


class SetEmbedding(nn.Module):
    """Sets `B x n x d` to vectors `B x features`, in one piece or streamed.

    element: the network of each element, whose output is `width` wide. hyper: of the encoder.
    readout: of its slots, in place of the spec's.
    sampling: how much of a set a training step takes its gradient through.
    A plain encoder is streamed as the pair (f, mean): the unweighted mean of its chunk encodings.
    """

    encoder: Any  # streaming: its steps are no part of nn.Module's type

    def __init__(
        self,
        spec: EncoderSpec,
        element: nn.Module,
        *,
        dim_in: int,
        width: int,
        seed: int,
        hyper: Mapping[str, Any] | None = None,
        readout: SlotReadout | None = None,
        sampling: Sampling = FULL_SET,
    ) -> None:
        super().__init__()
        self.readout, self.sampling = readout or spec.slot_readout, sampling
        encoder = build_from_spec(spec, dim_in=width, seed=seed, **(hyper or {}))
        self.encoder = encoder if is_streaming(encoder) else ChunkAggregation(encoder, "mean")
        self.element = element
        with torch.no_grad():
            self.features = self.vector(self.encoder(self.element(torch.zeros(2, 16, dim_in)))).shape[1]

    def encode(self, x: Tensor) -> Tensor:
        """The vectors of sets given in one piece; in training, as `sampling` says."""
        sampling = self.sampling if self.training else FULL_SET
        return self.vector(sampling(self.encoder, self.element, x))

    def encode_stream(self, chunks: Sequence[Tensor]) -> Iterator[Tensor]:
        """The vectors after each chunk of one stream."""
        state = self.encoder.init_state(chunks[0].shape[0])
        for chunk in chunks:
            state = self.encoder.update(state, self.element(chunk))
            yield self.vector(self.encoder.readout(state))

    def encode_apart(self, chunks: Sequence[Tensor], g: Aggregation) -> Tensor:
        """The vectors of the literal eq. (1): each chunk encoded on its own, the encodings aggregated by `g`."""
        whole = self.encoder.f if isinstance(self.encoder, ChunkAggregation) else self.encoder
        return self.vector(encode_stream(ChunkAggregation(whole, g), [self.element(chunk) for chunk in chunks]))

    def vector(self, encoding: Tensor) -> Tensor:
        """The vector of an encoding, its slots read out as the spec says."""
        return slot_vector(encoding, self.readout)
