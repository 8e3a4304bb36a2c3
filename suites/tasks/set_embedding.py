"""Part that the models of all tasks share: a network per element, a set encoder, and a vector of its encoding."""

from collections.abc import Iterator, Sequence
from typing import TypedDict

import torch
from torch import Tensor, nn

from mbcbench.protocol.build import build_from_spec
from mbcbench.protocol.encoder import Aggregation, ChunkAggregation, encode_stream, is_streaming
from mbcbench.protocol.spec import EncoderSpec, SlotReadout
from mbcbench.types import Encoder, Hyper

from .partitions import FULL_SET, Sampling


def reduce_slots(encoding: Tensor, readout: SlotReadout) -> Tensor:
    """Return an encoding `B x d` as it is, and `B x K x d` reduced over (`concat`: flattened to) its slots."""
    if readout == "concat" or encoding.dim() == 2:
        return encoding.flatten(1)
    if readout == "max":
        return encoding.amax(dim=1)
    return encoding.mean(dim=1) if readout == "mean" else encoding.sum(dim=1)


class EncoderOptions(TypedDict, total=False):
    """Options of a `SetEmbedding` that models pass on."""

    hyper: Hyper | None
    readout: SlotReadout | None
    sampling: Sampling


class SetEmbedding(nn.Module):
    """Map sets `B x n x dim_in` to vectors `B x features`, in one piece or streamed.

    A plain encoder f is streamed as the pair (f, mean): the unweighted mean of its chunk encodings.

    Parameters
    ----------
    spec
        The encoder.
    element
        Network of each element, with outputs of width `width`.
    dim_in, width
        Width of an element, and of the input of the encoder.
    seed
        Seed of the encoder's weights.
    hyper
        Hyper-parameters of the encoder.
    readout
        Reduction of slots to a vector, in place of the spec's.
    sampling
        Part of a set through which the gradient of a training step flows.
    """

    encoder: Encoder  # the type nn.Module has no init_state, update and readout

    def __init__(
        self,
        spec: EncoderSpec,
        element: nn.Module,
        *,
        dim_in: int,
        width: int,
        seed: int,
        hyper: Hyper | None = None,
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
        """Return the vectors of sets in one piece; in training, with the graph of `sampling`."""
        sampling = self.sampling if self.training else FULL_SET
        return self.vector(sampling(self.encoder, self.element, x))

    def encode_stream(self, chunks: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the vectors after each chunk of one stream."""
        state = self.encoder.init_state(chunks[0].shape[0])
        for chunk in chunks:
            state = self.encoder.update(state, self.element(chunk))
            yield self.vector(self.encoder.readout(state))

    def encode_last(self, chunks: Sequence[Tensor]) -> Tensor:
        """Return the vectors after the last chunk of a stream."""
        state = self.encoder.init_state(chunks[0].shape[0])
        for chunk in chunks:
            state = self.encoder.update(state, self.element(chunk))
        return self.vector(self.encoder.readout(state))

    def encode_chunks_separately(self, chunks: Sequence[Tensor], g: Aggregation) -> Tensor:
        """Return the vectors of eq. (1) as written: chunks are encoded separately, and `g` aggregates their encodings.

        Streaming encoders, too, are used as plain ones here.
        """
        f = self.encoder.f if isinstance(self.encoder, ChunkAggregation) else self.encoder
        return self.vector(encode_stream(ChunkAggregation(f, g), [self.element(chunk) for chunk in chunks]))

    def vector(self, encoding: Tensor) -> Tensor:
        """Return an encoding as a vector; slots are reduced by `readout`."""
        return reduce_slots(encoding, self.readout)
