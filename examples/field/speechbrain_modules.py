"""Poolings of SpeechBrain; `lengths` are fractions of the longest sequence."""

from speechbrain.lobes.models.ECAPA_TDNN import AttentiveStatisticsPooling, SEBlock
from speechbrain.nnet.pooling import AdaptivePool, AttentionPooling, StatisticsPooling
from torch import nn

from mbcbench.adapters import channels_first, select_output, with_lengths


def statistics_pooling(dim_in: int) -> nn.Module:
    return with_lengths(StatisticsPooling(), relative=True)


def statistics_pooling_mean(dim_in: int) -> nn.Module:
    return with_lengths(StatisticsPooling(return_std=False), relative=True)


def attention_pooling(dim_in: int) -> nn.Module:
    return AttentionPooling(dim_in)


def adaptive_pool(dim_in: int) -> nn.Module:
    return AdaptivePool(1)


def attentive_statistics_pooling(dim_in: int) -> nn.Module:
    return with_lengths(channels_first(AttentiveStatisticsPooling(dim_in, 8)), relative=True)


def attentive_statistics_pooling_local(dim_in: int) -> nn.Module:
    pooling = AttentiveStatisticsPooling(dim_in, 8, global_context=False)
    return with_lengths(channels_first(pooling), relative=True)


def squeeze_excitation(dim_in: int) -> nn.Module:
    """`SEBlock`, a layer from sets to sets."""
    block = select_output(channels_first(SEBlock(dim_in, 4, dim_in)), lambda y: y.transpose(1, 2))
    return with_lengths(block, relative=True, layer=True)
