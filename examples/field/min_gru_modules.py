"""minGRU and minLSTM of minGRU-pytorch, fed chunk by chunk with `prev_hidden`."""

from minGRU_pytorch.minGRU import minGRU
from minGRU_pytorch.minLSTM import minLSTM
from torch import Tensor, nn

from mbcbench.adapters import RecurrentAdapter, declare


def stream(layer: nn.Module) -> nn.Module:
    """Adapt a recurrence that returns its last hidden state, and takes it as `prev_hidden`."""

    def step(module: nn.Module, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        hidden: Tensor = module(x, prev_hidden=state, return_next_prev_hidden=True)[1]
        return hidden[:, 0], hidden

    adapted = RecurrentAdapter(layer, step, forward=lambda module, x: step(module, x, None)[0])
    return declare(adapted, order_sensitive=True)


def min_gru(dim_in: int) -> nn.Module:
    return stream(minGRU(dim_in))


def min_lstm(dim_in: int) -> nn.Module:
    return stream(minLSTM(dim_in))
