"""Poolings of sentence-transformers, which read and return a dict of features."""

from sentence_transformers.sentence_transformer.modules import Pooling
from sentence_transformers.sparse_encoder.modules import SpladePooling
from torch import Tensor, nn

from mbcbench.adapters import MaskAdapter, declare


def features(module: nn.Module, output: str = "sentence_embedding") -> nn.Module:
    """Adapt a module that reads `token_embeddings` and `attention_mask`."""

    def call(pooling: nn.Module, x: Tensor, mask: Tensor) -> Tensor:
        out: dict[str, Tensor] = pooling({"token_embeddings": x, "attention_mask": mask.long()})
        return out[output]

    return MaskAdapter(module, call)


def pooling_mean(dim_in: int) -> nn.Module:
    return features(Pooling(dim_in, "mean"))


def pooling_max(dim_in: int) -> nn.Module:
    return features(Pooling(dim_in, "max"))


def pooling_mean_sqrt_len(dim_in: int) -> nn.Module:
    return features(Pooling(dim_in, "mean_sqrt_len_tokens"))


def in_order(module: nn.Module) -> nn.Module:
    return declare(features(module), order_sensitive=True)


def pooling_cls(dim_in: int) -> nn.Module:
    return in_order(Pooling(dim_in, "cls"))


def pooling_last_token(dim_in: int) -> nn.Module:
    return in_order(Pooling(dim_in, "lasttoken"))


def pooling_weighted_mean(dim_in: int) -> nn.Module:
    return in_order(Pooling(dim_in, "weightedmean"))


def splade(strategy: str) -> nn.Module:
    """Adapt `SpladePooling`, which pools the logits of a masked language model."""
    return features(SpladePooling(strategy))


def splade_max(dim_in: int) -> nn.Module:
    return splade("max")


def splade_sum(dim_in: int) -> nn.Module:
    return splade("sum")
