"""Poolings and layers of PyTorch as set encoders, each with the adapter that its documentation asks for."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from mbcbench.adapters import (
    MaskAdapter,
    StepsAdapter,
    channels_first,
    declare,
    inverted_mask,
    select_output,
    sequence_first,
    tokens,
    with_lengths,
)

VOCABULARY = 20


def embedding_bag_sum(dim_in: int) -> nn.Module:
    """`EmbeddingBag` with `mode="sum"`: `per_sample_weights` of 0 leave a token out."""
    bag = nn.EmbeddingBag(VOCABULARY, 4, mode="sum")
    return MaskAdapter(tokens(bag, VOCABULARY), lambda module, x, mask: module(x, per_sample_weights=mask.to(x.dtype)))


def embedding_bag_mean(dim_in: int) -> nn.Module:
    """`EmbeddingBag` with `mode="mean"`."""
    return tokens(nn.EmbeddingBag(VOCABULARY, 4, mode="mean"), VOCABULARY)


def embedding_bag_max(dim_in: int) -> nn.Module:
    """`EmbeddingBag` with `mode="max"`."""
    return tokens(nn.EmbeddingBag(VOCABULARY, 4, mode="max"), VOCABULARY)


def embedding_bag_offsets(dim_in: int) -> nn.Module:
    """`EmbeddingBag` that reads one list of tokens, and where each bag begins in it."""

    def call(bag: nn.EmbeddingBag, x: Tensor, mask: Tensor) -> Tensor:
        sizes = mask.sum(1)
        words = x[mask][:, 0].round().clamp(0, VOCABULARY - 1).long()
        return bag(words, sizes.cumsum(0) - sizes)

    adapted = MaskAdapter(nn.EmbeddingBag(VOCABULARY, 4, mode="mean"), call)
    return declare(adapted, dim_in=1, vocabulary=VOCABULARY, finite_only=True)


def embedding_bag_padding(dim_in: int) -> nn.Module:
    """`EmbeddingBag` with a `padding_idx`, which is given in place of absent tokens."""
    bag = nn.EmbeddingBag(VOCABULARY + 1, 4, mode="max", padding_idx=VOCABULARY)
    bags = tokens(bag, VOCABULARY + 1)
    adapted = MaskAdapter(bags, lambda module, x, mask: module(x.masked_fill(~mask[..., None], VOCABULARY)))
    return declare(adapted, vocabulary=VOCABULARY)


class Queries(nn.Module):
    """Learnt queries that attend to the elements with `MultiheadAttention`."""

    def __init__(self, dim: int, **options: bool) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(1, 2, dim))
        self.attention = nn.MultiheadAttention(dim, 2, batch_first=True, **options)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        pooled: Tensor = self.attention(self.queries.expand(len(x), -1, -1), x, x, key_padding_mask)[0]
        return pooled


def attention_pooling(dim_in: int) -> nn.Module:
    """`MultiheadAttention` of two queries; `key_padding_mask` is True where an element is absent."""
    return inverted_mask(Queries(dim_in), "key_padding_mask")


def attention_pooling_with_zero(dim_in: int) -> nn.Module:
    """The same with `add_zero_attn=True`: one more key and value of zeros, so that no set is empty."""
    return inverted_mask(Queries(dim_in, add_zero_attn=True), "key_padding_mask")


def self_attention(dim_in: int) -> nn.Module:
    """`MultiheadAttention` among the elements, a layer from sets to sets."""
    attention = nn.MultiheadAttention(dim_in, 2, batch_first=True)
    return MaskAdapter(attention, lambda module, x, mask: module(x, x, x, ~mask, need_weights=False)[0])


def transformer_layer(dim_in: int) -> nn.Module:
    """`TransformerEncoderLayer`."""
    return inverted_mask(nn.TransformerEncoderLayer(dim_in, 2, 8, batch_first=True), "src_key_padding_mask")


def transformer(dim_in: int) -> nn.Module:
    """`TransformerEncoder` of one layer."""
    layer = nn.TransformerEncoderLayer(dim_in, 2, 8, batch_first=True)
    return inverted_mask(nn.TransformerEncoder(layer, 1), "src_key_padding_mask")


def transformer_padded(dim_in: int) -> nn.Module:
    """`TransformerEncoder` with `enable_nested_tensor=False`."""
    layer = nn.TransformerEncoderLayer(dim_in, 2, 8, batch_first=True)
    return inverted_mask(nn.TransformerEncoder(layer, 1, enable_nested_tensor=False), "src_key_padding_mask")


def adaptive_max_pool(dim_in: int) -> nn.Module:
    """`AdaptiveMaxPool1d(1)`."""
    return channels_first(nn.Sequential(nn.AdaptiveMaxPool1d(1), nn.Flatten()))


def adaptive_average_pool(dim_in: int) -> nn.Module:
    """`AdaptiveAvgPool1d(1)`."""
    return channels_first(nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten()))


def instance_norm(dim_in: int) -> nn.Module:
    """`InstanceNorm1d` over the elements of each set, a layer from sets to sets."""
    return select_output(channels_first(nn.InstanceNorm1d(dim_in)), lambda y: y.transpose(1, 2))


class LastState(nn.Module):
    """The last hidden state of a `GRU` over packed sequences."""

    order_sensitive = True

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gru = nn.GRU(dim, 4, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        last: Tensor = self.gru(packed)[1]
        return last[0]


def packed_gru(dim_in: int) -> nn.Module:
    """`GRU` over `pack_padded_sequence`."""
    return with_lengths(LastState(dim_in))


def lstm_stream(dim_in: int) -> nn.Module:
    """`LSTM` whose hidden state and cell are the state of a stream."""
    stream = StepsAdapter(
        nn.LSTM(dim_in, 4, batch_first=True),
        init_state=lambda lstm, batch_size: tuple(lstm.weight_hh_l0.new_zeros(2, 1, batch_size, 4)),
        update=lambda lstm, state, x: lstm(x, state)[1] if x.shape[1] else state,
        readout=lambda lstm, state: state[0][0],
    )
    return declare(stream, order_sensitive=True)


def rnn_last(dim_in: int) -> nn.Module:
    """`RNN` that reads `n x B x d`; its output at the last element."""
    last = select_output(sequence_first(nn.RNN(dim_in, 4)), lambda out: out[0][-1])
    return declare(last, order_sensitive=True)


class Segments(nn.Module):
    """`torch.segment_reduce` over all elements of a batch."""

    def __init__(self, reduce: str) -> None:
        super().__init__()
        self.reduce = reduce

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return torch.segment_reduce(x, self.reduce, lengths=lengths)


def segment_mean(dim_in: int) -> nn.Module:
    """`torch.segment_reduce` with `reduce="mean"`."""
    return MaskAdapter(Segments("mean"), lambda module, x, mask: module(x[mask], mask.sum(1)))


def segment_max(dim_in: int) -> nn.Module:
    """`torch.segment_reduce` with `reduce="max"`."""
    return MaskAdapter(Segments("max"), lambda module, x, mask: module(x[mask], mask.sum(1)))
