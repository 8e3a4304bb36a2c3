"""Pooling heads of timm for tokens, `B x n x d`."""

from timm.layers.attention_pool import AttentionPoolLatent, AttentionPoolPrr
from timm.layers.other_pool import LsePlus1d, SimPool1d
from timm.models.naflexvit import global_pool_naflex
from torch import Tensor, nn

from mbcbench.adapters import MaskAdapter


class NaFlex(nn.Module):
    """The global pooling of NaFlexViT; `patch_valid` is True where a patch is present."""

    def __init__(self, pool_type: str) -> None:
        super().__init__()
        self.pool_type = pool_type

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return global_pool_naflex(x, mask, self.pool_type, num_prefix_tokens=0)


def naflex_average(dim_in: int) -> nn.Module:
    return NaFlex("avg")


def naflex_max(dim_in: int) -> nn.Module:
    return NaFlex("max")


def naflex_average_max(dim_in: int) -> nn.Module:
    return NaFlex("avgmax")


def attention_pool_latent(dim_in: int) -> nn.Module:
    """`AttentionPoolLatent`; its `attn_mask` is True where an element takes part."""
    pool = AttentionPoolLatent(dim_in, num_heads=2, mlp_ratio=2)
    return MaskAdapter(pool, lambda module, x, mask: module(x, mask[:, None, None]))


def attention_pool_prr(dim_in: int) -> nn.Module:
    return AttentionPoolPrr(dim_in, num_heads=2, pool_type="avg")


def log_sum_exp_pool(dim_in: int) -> nn.Module:
    return LsePlus1d()


def sim_pool(dim_in: int) -> nn.Module:
    return SimPool1d(dim_in, 2)
