"""A classifier of sets: per-element MLP, set encoder, slot read-out, head."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mbcbench.protocol.spec import EncoderSpec

from .set_embedding import SetEmbedding, slot_vector

__all__ = ["Architecture", "SetClassifier", "slot_vector"]

Architecture = Literal["small", "deepsets"]


class SetClassifier(SetEmbedding):
    """Scores of `classes` classes for sets `B x n x dim_in`, in one piece or streamed.

    architecture: `small` (two layers per element, ReLU; a LayerNorm keeps the scale of the encoding, which of a sum
    grows with the set, from a linear head), or `deepsets`, that of arXiv 1703.06114 for point clouds with layers per
    element in place of the equivariant ones (three, tanh; dropout, Linear, tanh, dropout, Linear), as the Slot Set
    Encoder paper trains. embedding: see `SetEmbedding`.
    """

    def __init__(
        self,
        spec: EncoderSpec,
        *,
        dim_in: int,
        width: int,
        classes: int,
        seed: int,
        architecture: Architecture = "small",
        **embedding: Any,
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            element = _element(dim_in, width, architecture)
            super().__init__(spec, element, dim_in=dim_in, width=width, seed=seed, **embedding)
            self.head = _head(self.features, width, classes, architecture)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.encode(x))
        return scores

    def stream(self, chunks: Sequence[Tensor]) -> Iterator[Tensor]:
        """The scores after each chunk of one stream."""
        return map(self.head, self.encode_stream(chunks))


def _element(dim_in: int, width: int, architecture: Architecture) -> nn.Module:
    if architecture == "small":
        return nn.Sequential(nn.Linear(dim_in, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
    widths = [(dim_in, width), (width, width), (width, width)]
    return nn.Sequential(*(layer for a, b in widths for layer in (nn.Linear(a, b), nn.Tanh())))


def _head(features: int, width: int, classes: int, architecture: Architecture) -> nn.Module:
    if architecture == "small":
        return nn.Sequential(nn.LayerNorm(features), nn.Linear(features, classes))
    hidden = nn.Linear(features, width)
    return nn.Sequential(nn.Dropout(0.5), hidden, nn.Tanh(), nn.Dropout(0.5), nn.Linear(width, classes))
