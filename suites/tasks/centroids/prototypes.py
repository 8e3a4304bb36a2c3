"""Prototypical networks (arXiv 1703.05175) with a set encoder in place of the mean of each class."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mbcbench.protocol.spec import EncoderSpec

from ..set_embedding import SetEmbedding

Scale = float | Literal["slots"]


def conv_net(channels: Sequence[int]) -> nn.Module:
    """Images `N x 1 x H x W` to `N x channels[-1]`: Conv, BatchNorm, LeakyReLU and a pool, thrice (Tables 5 and 6).

    The last pool averages all that is left of the image.
    """
    layers: list[nn.Module] = []
    for a, b in pairwise([1, *channels]):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.LeakyReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers[:-1], nn.AdaptiveAvgPool2d(1), nn.Flatten())


def negative_squared_distances(queries: Tensor, centroids: Tensor) -> Tensor:
    """-|q - c|^2 for each query (`N x d`) and centroid (`C x d`), `N x C`."""
    lengths = queries.square().sum(1, keepdim=True) + centroids.square().sum(1)
    return 2 * queries @ centroids.T - lengths


class PrototypicalNetwork(nn.Module):
    """Scores of queries against the centroids that a set encoder gives of each class's support set.

    A query is encoded as the set of itself alone. backbone: the network that gives each example's features (`dim`
    numbers); its BatchNorm couples examples in training, and stands outside the set encoder.
    scale: what an encoding is multiplied by, or `slots`: by the number of slots it has. The Slot Set Encoder shares
    each element out over its slots, so that distances vanish as their number squared.
    embedding: see `SetEmbedding`.
    layer_norm: a LayerNorm behind the encoding (the paper has none): a sum's centroid of many examples is else as far
    from its queries as it is long.
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
        **embedding: Any,
    ) -> None:
        super().__init__()
        self.backbone, self.support = backbone, support
        self.sets = SetEmbedding(spec, nn.Identity(), dim_in=dim, width=dim, seed=seed, **embedding)
        self.scale = float(self._slots(dim) if scale == "slots" else scale)
        self.norm = nn.LayerNorm(self.sets.features) if layer_norm else nn.Identity()

    @torch.no_grad()
    def _slots(self, dim: int) -> int:
        encoding = self.sets.encoder(torch.zeros(1, 2, dim))
        return int(encoding.shape[1]) if encoding.dim() == 3 else 1

    def forward(self, episode: Tensor) -> Tensor:
        """Examples `ways x (support + queries) x ...` to the scores of the queries, `(ways queries) x ways`."""
        features = self.features_of(episode)
        centroids = self.encode(features[:, : self.support])
        queries = features[:, self.support :].flatten(0, 1)
        return negative_squared_distances(self.encode(queries[:, None]), centroids)

    def features_of(self, examples: Tensor) -> Tensor:
        """Examples `C x V x ...` to features `C x V x dim`."""
        features: Tensor = self.backbone(examples.flatten(0, 1))
        return features.reshape(*examples.shape[:2], -1)

    def encode(self, features: Tensor) -> Tensor:
        """Sets of features `B x n x dim` to centroids `B x d`."""
        return self._finished(self.sets.encode(features))

    def encode_stream(self, features: Tensor, chunk: int) -> Tensor:
        """The centroids of sets that come in chunks."""
        return self._finished(list(self.sets.encode_stream(torch.split(features, chunk, dim=1)))[-1])

    def _finished(self, vector: Tensor) -> Tensor:
        out: Tensor = self.norm(self.scale * vector)
        return out
