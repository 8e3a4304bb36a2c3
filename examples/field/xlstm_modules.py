"""The mLSTM and sLSTM layers of xlstm: `forward` reads a sequence, `step` one element with a state."""

from torch import Tensor, nn
from xlstm import mLSTMLayer, mLSTMLayerConfig, sLSTMLayer, sLSTMLayerConfig

from mbcbench.adapters import RecurrentAdapter, declare


def stream(layer: nn.Module) -> nn.Module:
    """Adapt a layer whose `step` takes its states by name, and returns them after the output."""

    def step(module: nn.Module, x: Tensor, state: dict[str, Tensor] | None) -> tuple[Tensor, dict[str, Tensor]]:
        out, memory = module.step(x, **(state or {}))
        return out[:, 0], memory

    adapted = RecurrentAdapter(layer, step, one_by_one=True, forward=lambda module, x: module(x)[:, -1])
    return declare(adapted, order_sensitive=True)


def mlstm(dim_in: int) -> nn.Module:
    config = mLSTMLayerConfig(embedding_dim=dim_in, num_heads=2, context_length=8192)
    return stream(mLSTMLayer(config))


def slstm(dim_in: int) -> nn.Module:
    config = sLSTMLayerConfig(embedding_dim=dim_in, num_heads=2, backend="vanilla")
    return stream(sLSTMLayer(config))
