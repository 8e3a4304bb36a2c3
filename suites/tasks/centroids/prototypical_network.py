"""Prototypical networks (arXiv 1703.05175) with a set encoder in place of the mean of each class."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, Unpack

import torch
from torch import Tensor, nn

from mbcbench.protocol.spec import EncoderSpec

from ..set_embedding import EncoderOptions, SetEmbedding

Scale = float | Literal["slots"]


def conv_net(channels: Sequence[int]) -> nn.Module:
    """Return a network from images `N x 1 x H x W` to features `N x channels[-1]` (Tables 5 and 6).

    Each block is a convolution, BatchNorm, LeakyReLU and a pool; the last pool averages over all pixels.
    """
    return nn.Sequential(*conv_blocks(channels), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def conv_blocks(channels: Sequence[int]) -> list[nn.Module]:
    """Return the layers of `conv_net` before its last pool."""
    layers: list[nn.Module] = []
    for a, b in pairwise([1, *channels]):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.LeakyReLU(), nn.MaxPool2d(2)]
    return layers[:-1]


def negative_squared_distances(queries: Tensor, centroids: Tensor) -> Tensor:
    """Return -|q - c|^2 for each query (`N x d`) and centroid (`C x d`), `N x C`."""
    squared_norms = queries.square().sum(1, keepdim=True) + centroids.square().sum(1)
    return 2 * queries @ centroids.T - squared_norms


class PrototypicalNetwork(nn.Module):
    """Scores queries by their distance to centroids: the encodings of the support set of each class.

    A query is encoded as a set of one example.

    Parameters
    ----------
    spec
        The encoder.
    backbone
        Network from examples to features. Its BatchNorm couples examples in training, outside the set encoder.
    dim
        Width of the features.
    support
        Number of examples per class that form its support; the others in an episode are queries.
    seed
        Seed of the encoder's weights.
    scale
        Factor of encodings, or `slots`: their number of slots. A Slot Set Encoder divides each element among its K
        slots, so squared distances shrink roughly as 1/K^2, and with them the differences between scores.
    layer_norm
        Put a LayerNorm behind the encoding (the paper has none). Without it, the sum over a large support is far from
        every query, merely because its norm is large.
    options
        See `SetEmbedding`.
    """

    def __init__(
        self,
        spec: EncoderSpec,
        backbone: nn.Module,
        *,
        dim: int,
        support: int,
        seed: int,
        scale: Scale = 1.0,
        layer_norm: bool = False,
        **options: Unpack[EncoderOptions],
    ) -> None:
        super().__init__()
        self.backbone, self.support = backbone, support
        self.sets = SetEmbedding(spec, nn.Identity(), dim_in=dim, width=dim, seed=seed, **options)
        self.scale = float(self._num_slots(dim) if scale == "slots" else scale)
        self.norm = nn.LayerNorm(self.sets.features) if layer_norm else nn.Identity()

    @torch.no_grad()
    def _num_slots(self, dim: int) -> int:
        encoding = self.sets.encoder(torch.zeros(1, 2, dim))
        return int(encoding.shape[1]) if encoding.dim() == 3 else 1

    def forward(self, episode: Tensor) -> Tensor:
        """Return the scores of queries, `(ways queries) x ways`, for examples `ways x (support + queries) x ...`."""
        features = self.features_of(episode)
        centroids = self.encode(features[:, : self.support])
        queries = features[:, self.support :].flatten(0, 1)
        return negative_squared_distances(self.encode(queries[:, None]), centroids)

    def features_of(self, examples: Tensor) -> Tensor:
        """Return the features `C x V x dim` of examples `C x V x ...`."""
        features: Tensor = self.backbone(examples.flatten(0, 1))
        return features.reshape(*examples.shape[:2], -1)

    def encode(self, features: Tensor) -> Tensor:
        """Return the centroids `B x d` of sets of features `B x n x dim`."""
        return self._normalize(self.sets.encode(features))

    def encode_stream(self, features: Tensor, chunk_size: int) -> Tensor:
        """Return the centroids of sets that are streamed in chunks."""
        return self._normalize(self.sets.encode_last(torch.split(features, chunk_size, dim=1)))

    def _normalize(self, vector: Tensor) -> Tensor:
        centroid: Tensor = self.norm(self.scale * vector)
        return centroid
