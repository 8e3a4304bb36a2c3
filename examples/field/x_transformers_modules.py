"""Attention of x-transformers; `mask` is True where an element is present."""

from torch import nn
from x_transformers import Encoder
from x_transformers.x_transformers import AttentionPool


def attention_pool(dim_in: int) -> nn.Module:
    return AttentionPool(dim_in, num_pooled_tokens=2, heads=2, dim_head=4)


def attention_pool_deep(dim_in: int) -> nn.Module:
    return AttentionPool(dim_in, num_pooled_tokens=2, heads=2, dim_head=4, depth=2)


def encoder(dim_in: int) -> nn.Module:
    """`Encoder` without positions, a layer from sets to sets."""
    return Encoder(dim=dim_in, depth=1, heads=2, attn_dim_head=4)
