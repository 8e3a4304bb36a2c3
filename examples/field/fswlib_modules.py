"""The Fourier sliced-Wasserstein embedding of fswlib; a weight of 0 leaves an element out."""

from fswlib import FSWEmbedding
from torch import nn

from mbcbench.adapters import MaskAdapter, declare


def weighted(module: FSWEmbedding) -> nn.Module:
    """Adapt the embedding; its documentation admits no NaN."""
    adapted = MaskAdapter(module, lambda embedding, x, mask: embedding(x, mask.to(x.dtype)))
    return declare(adapted, finite_only=True)


def embedding(dim_in: int) -> nn.Module:
    return weighted(FSWEmbedding(dim_in, 8))


def embedding_of_mass(dim_in: int) -> nn.Module:
    """With the total mass, so that the empty set has an encoding."""
    return weighted(FSWEmbedding(dim_in, 8, encode_total_mass=True))
