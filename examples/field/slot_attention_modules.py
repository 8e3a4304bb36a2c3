"""Slot attention of slot-attention, which draws its slots at each call."""

from slot_attention import MultiHeadSlotAttention, SlotAttention
from torch import nn


def slot_attention(dim_in: int) -> nn.Module:
    return SlotAttention(2, dim_in, hidden_dim=8)


def multi_head_slot_attention(dim_in: int) -> nn.Module:
    return MultiHeadSlotAttention(2, dim_in, heads=2, dim_head=4, hidden_dim=8)
