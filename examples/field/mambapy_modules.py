"""The Mamba block of mambapy: `forward` reads a sequence, `step` one element with a cache."""

from mambapy.mamba import MambaBlock, MambaConfig
from torch import Tensor, nn

from mbcbench.adapters import RecurrentAdapter, declare


def mamba(dim_in: int) -> nn.Module:
    config = MambaConfig(d_model=dim_in, n_layers=1, d_state=4)

    def step(block: MambaBlock, x: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        zeros = x.new_zeros
        first = zeros(len(x), config.d_inner, config.d_state), zeros(len(x), config.d_inner, config.d_conv - 1)
        return block.step(x[:, 0], state or first)

    stream = RecurrentAdapter(MambaBlock(config), step, one_by_one=True, forward=lambda block, x: block(x)[:, -1])
    return declare(stream, order_sensitive=True)
