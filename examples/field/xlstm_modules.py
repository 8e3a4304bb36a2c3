"""The mLSTM and sLSTM layers of xlstm: `forward` reads a sequence, `step` one element with a state."""

import torch
from torch import Tensor, nn
from xlstm import mLSTMLayer, mLSTMLayerConfig, sLSTMLayer, sLSTMLayerConfig

from mbcbench.adapters import StepsAdapter, declare


def stream(layer: nn.Module, dim_in: int) -> nn.Module:
    """Adapt a layer whose `step` takes its states by name, and returns them after the output."""

    def steps(module: nn.Module, state: dict[str, object], x: Tensor) -> dict[str, object]:
        for element in x.split(1, dim=1):
            out, memory = module.step(element, **state["memory"])
            state = {"last": out[:, 0], "memory": memory}
        return state

    adapted = StepsAdapter(
        layer,
        init_state=lambda module, size: {"last": torch.zeros(size, dim_in), "memory": {}},
        update=steps,
        readout=lambda module, state: state["last"],
        forward=lambda module, x: module(x)[:, -1],
    )
    return declare(adapted, order_sensitive=True)


def mlstm(dim_in: int) -> nn.Module:
    config = mLSTMLayerConfig(embedding_dim=dim_in, num_heads=2, context_length=4096)
    return stream(mLSTMLayer(config), dim_in)


def slstm(dim_in: int) -> nn.Module:
    config = sLSTMLayerConfig(embedding_dim=dim_in, num_heads=2, backend="vanilla")
    return stream(sLSTMLayer(config), dim_in)
