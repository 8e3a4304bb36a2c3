"""Perceivers of perceiver-pytorch, whose latents attend to the elements; `mask` is True where one is present."""

import torch
from perceiver_pytorch import Perceiver, PerceiverIO
from torch import Tensor, nn

from mbcbench.adapters import MaskAdapter

SIZES = {
    "num_latents": 2,
    "latent_dim": 8,
    "cross_heads": 1,
    "latent_heads": 1,
    "cross_dim_head": 4,
    "latent_dim_head": 4,
}


def perceiver(dim_in: int) -> nn.Module:
    """`Perceiver` without Fourier encoding of positions."""
    return Perceiver(
        num_freq_bands=2, depth=1, max_freq=2.0, input_channels=dim_in, input_axis=1, num_classes=3,
        fourier_encode_data=False, **SIZES,
    )  # fmt: skip


def perceiver_inverted(dim_in: int) -> nn.Module:
    """`Perceiver` whose attention is normalised over latents (`inverted_cross_attn=True`)."""
    return Perceiver(
        num_freq_bands=2, depth=1, max_freq=2.0, input_channels=dim_in, input_axis=1, num_classes=3,
        fourier_encode_data=False, inverted_cross_attn=True, **SIZES,
    )  # fmt: skip


def perceiver_io(dim_in: int) -> nn.Module:
    """The latents of `PerceiverIO`."""
    return PerceiverIO(depth=1, dim=dim_in, queries_dim=8, **SIZES)


def perceiver_io_queries(dim_in: int) -> nn.Module:
    """`PerceiverIO` that is asked one fixed query."""
    model = PerceiverIO(depth=1, dim=dim_in, queries_dim=8, logits_dim=3, **SIZES)

    def call(module: nn.Module, x: Tensor, mask: Tensor) -> Tensor:
        out: Tensor = module(x, mask=mask, queries=torch.linspace(-1, 1, 8, dtype=x.dtype)[None])
        return out

    return MaskAdapter(model, call)
