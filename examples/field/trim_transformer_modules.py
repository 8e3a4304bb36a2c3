"""Causal linear attention of trim-transformer with its cache of keys and values: the output at the last element."""

from torch import Tensor, nn
from trim_transformer.modules import TrimMultiheadAttention

from mbcbench.adapters import StatefulAdapter


class Stream(nn.Module):
    order_sensitive = True

    def __init__(self, dim: int, scale: float | None) -> None:
        super().__init__()
        self.attention = TrimMultiheadAttention(dim, 2, batch_first=True, scale=scale)

    def reset(self, batch_size: int) -> None:
        self.attention.clear_kv_cache()
        self.cache, self.last = None, self.attention.out_proj.bias.expand(batch_size, -1)

    def update(self, x: Tensor) -> None:
        self.attention.kv_cache = self.cache
        if x.shape[1]:
            out = self.attention(x, x, x, is_causal=True, use_kv_cache=True, update_kv_cache=True)
            self.cache, self.last = self.attention.kv_cache, out[:, -1]


def stream(module: Stream) -> nn.Module:
    return StatefulAdapter(module, ["cache", "last"], reset=lambda s, size: s.reset(size), readout=lambda s: s.last)


def cached(dim_in: int) -> nn.Module:
    return stream(Stream(dim_in, scale=None))


def cached_scaled(dim_in: int) -> nn.Module:
    return stream(Stream(dim_in, scale=1.0))
