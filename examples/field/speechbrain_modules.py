"""Poolings of SpeechBrain; `lengths` are fractions of the longest sequence."""

from speechbrain.lobes.models.ECAPA_TDNN import AttentiveStatisticsPooling, SEBlock
from speechbrain.nnet.pooling import AdaptivePool, AttentionPooling, StatisticsPooling
from torch import Tensor, nn

from mbcbench.adapters import MaskAdapter, with_lengths


class Relative(nn.Module):
    """Turns numbers of elements into relative lengths."""

    def __init__(self, module: nn.Module, channels_first: bool = False) -> None:
        super().__init__()
        self.module, self.channels_first = module, channels_first

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        relative = lengths / x.shape[1]
        if not self.channels_first:
            return self.module(x, relative)
        return self.module(x.transpose(1, 2), relative).transpose(1, 2)


def statistics_pooling(dim_in: int) -> nn.Module:
    return with_lengths(Relative(StatisticsPooling()))


def statistics_pooling_mean(dim_in: int) -> nn.Module:
    return with_lengths(Relative(StatisticsPooling(return_std=False)))


def attention_pooling(dim_in: int) -> nn.Module:
    return AttentionPooling(dim_in)


def adaptive_pool(dim_in: int) -> nn.Module:
    return AdaptivePool(1)


def attentive_statistics_pooling(dim_in: int) -> nn.Module:
    return with_lengths(Relative(AttentiveStatisticsPooling(dim_in, 8), channels_first=True))


def attentive_statistics_pooling_local(dim_in: int) -> nn.Module:
    pooling = AttentiveStatisticsPooling(dim_in, 8, global_context=False)
    return with_lengths(Relative(pooling, channels_first=True))


def squeeze_excitation(dim_in: int) -> nn.Module:
    """`SEBlock`, a layer from sets to sets."""
    return with_lengths(Relative(SEBlock(dim_in, 4, dim_in), channels_first=True))
