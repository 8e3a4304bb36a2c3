"""The Mamba block of mambapy: `forward` reads a sequence, `step` one element with a cache."""

from mambapy.mamba import MambaBlock, MambaConfig
from torch import Tensor, nn

from mbcbench.adapters import StepsAdapter, declare


def mamba(dim_in: int) -> nn.Module:
    config = MambaConfig(d_model=dim_in, n_layers=1, d_state=4)
    inner = config.d_inner

    def steps(block: MambaBlock, state: tuple[Tensor, ...], x: Tensor) -> tuple[Tensor, ...]:
        last, hidden, inputs = state
        for element in x.unbind(1):
            last, (hidden, inputs) = block.step(element, (hidden, inputs))
        return last, hidden, inputs

    def empty(block: MambaBlock, size: int) -> tuple[Tensor, ...]:
        zeros = block.D.new_zeros
        return zeros(size, dim_in), zeros(size, inner, config.d_state), zeros(size, inner, config.d_conv - 1)

    stream = StepsAdapter(
        MambaBlock(config), init_state=empty, update=steps,
        readout=lambda block, state: state[0], forward=lambda block, x: block(x)[:, -1],
    )  # fmt: skip
    return declare(stream, order_sensitive=True)
