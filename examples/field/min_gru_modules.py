"""minGRU and minLSTM of minGRU-pytorch, fed chunk by chunk with `prev_hidden`."""

from minGRU_pytorch.minGRU import minGRU
from minGRU_pytorch.minLSTM import minLSTM
from torch import Tensor, nn

from mbcbench.adapters import StepsAdapter, declare


def stream(layer: nn.Module) -> nn.Module:
    """Adapt a recurrence whose state is its last hidden state, or None before the first element."""

    def step(module: nn.Module, state: Tensor | None, x: Tensor) -> Tensor | None:
        if x.shape[1] == 0:
            return state
        hidden: Tensor = module(x, prev_hidden=state, return_next_prev_hidden=True)[1]
        return hidden

    adapted = StepsAdapter(
        layer,
        init_state=lambda module, batch_size: None,
        update=step,
        readout=lambda module, state: state[:, 0],
        forward=lambda module, x: module(x, return_next_prev_hidden=True)[1][:, 0],
    )
    return declare(adapted, order_sensitive=True)


def min_gru(dim_in: int) -> nn.Module:
    return stream(minGRU(dim_in))


def min_lstm(dim_in: int) -> nn.Module:
    return stream(minLSTM(dim_in))
