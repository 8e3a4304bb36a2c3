"""Linear attention: performer-pytorch, linear-attention-transformer, linformer, nystrom-attention, trim-transformer."""

from linear_attention_transformer.linear_attention_transformer import SelfAttention as LinearSelfAttention
from linformer import LinformerSelfAttention
from nystrom_attention import NystromAttention
from performer_pytorch import SelfAttention
from torch import nn
from trim_transformer.modules import TrimMultiheadAttention

from mbcbench.adapters import MaskAdapter, renamed_mask


def performer(dim_in: int) -> nn.Module:
    return renamed_mask(SelfAttention(dim_in, heads=2, dim_head=8, nb_features=16), "mask")


def performer_efficient(dim_in: int) -> nn.Module:
    """Without a random projection (`no_projection=True`): a softmax over elements of the keys."""
    return renamed_mask(SelfAttention(dim_in, heads=2, dim_head=8, no_projection=True), "mask")


def linear_attention(dim_in: int) -> nn.Module:
    return renamed_mask(LinearSelfAttention(dim_in, 2), "input_mask")


def linformer(dim_in: int) -> nn.Module:
    return LinformerSelfAttention(dim_in, seq_len=64, k=4, heads=2)


def nystrom(dim_in: int) -> nn.Module:
    return NystromAttention(dim_in, dim_head=4, heads=2, num_landmarks=4)


def trim(dim_in: int) -> nn.Module:
    attention = TrimMultiheadAttention(dim_in, 2, batch_first=True)
    return MaskAdapter(attention, lambda module, x, mask: module(x, x, x, src_key_padding_mask=~mask))


def trim_scaled(dim_in: int) -> nn.Module:
    attention = TrimMultiheadAttention(dim_in, 2, batch_first=True, scale=1.0)
    return MaskAdapter(attention, lambda module, x, mask: module(x, x, x, src_key_padding_mask=~mask))
