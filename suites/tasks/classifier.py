"""Models of a vector per set: a network per element, a set encoder, a slot read-out and a head."""

from collections.abc import Iterator, Sequence
from typing import Literal, Unpack

from torch import Tensor, nn

from mbcbench.protocol.spec import EncoderSpec

from .initialization import PartSeeds, seeded
from .set_embedding import EncoderOptions, SetEmbedding

Architecture = Literal["small", "deepsets"]


class SetClassifier(SetEmbedding):
    """Map sets `B x n x dim_in` to `B x outputs` numbers, in one piece or streamed.

    Parameters
    ----------
    spec
        The encoder.
    dim_in, width, outputs
        Width of an element, of the hidden layers, and of the output (scores of classes, or regressed numbers).
    seed
        Seed of all weights.
    architecture
        `small`: two layers with ReLU per element, and a linear head behind a LayerNorm, which hides the scale of the
        encoding from the head, since a sum grows with the set.
        `deepsets`: the network of arXiv 1703.06114 for point clouds, as the Slot Set Encoder paper trains it: per
        element three layers with tanh in place of the equivariant ones, then dropout, Linear, tanh, dropout, Linear.
    options
        See `SetEmbedding`.
    """

    def __init__(
        self,
        spec: EncoderSpec,
        *,
        dim_in: int,
        width: int,
        outputs: int,
        seed: int,
        architecture: Architecture = "small",
        **options: Unpack[EncoderOptions],
    ) -> None:
        seeds = PartSeeds.spawn(seed)
        with seeded(seeds.element):
            element = _element_network(dim_in, width, architecture)
        super().__init__(spec, element, dim_in=dim_in, width=width, seed=seeds.encoder, **options)
        with seeded(seeds.head):
            self.head = _head(self.features, width, outputs, architecture)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.head(self.encode(x))
        return output

    def stream(self, chunks: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the outputs after each chunk of one stream."""
        return map(self.head, self.encode_stream(chunks))


def _element_network(dim_in: int, width: int, architecture: Architecture) -> nn.Module:
    if architecture == "small":
        return nn.Sequential(nn.Linear(dim_in, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
    widths = [(dim_in, width), (width, width), (width, width)]
    return nn.Sequential(*(layer for a, b in widths for layer in (nn.Linear(a, b), nn.Tanh())))


def _head(features: int, width: int, outputs: int, architecture: Architecture) -> nn.Module:
    if architecture == "small":
        return nn.Sequential(nn.LayerNorm(features), nn.Linear(features, outputs))
    hidden = nn.Linear(features, width)
    return nn.Sequential(nn.Dropout(0.5), hidden, nn.Tanh(), nn.Dropout(0.5), nn.Linear(width, outputs))
