"""MyPlugin: a network per element, and the mean of its outputs."""

from typing import NamedTuple

import mbcbench
import torch
from torch import Tensor, nn


class State(NamedTuple):
    """Sum of the features so far (`B x d_hat`), and the number of elements (`B x 1`)."""

    total: Tensor
    size: Tensor


class MyPlugin(mbcbench.SetEncoder[State]):
    """Encode sets, `B x n x d`, as vectors, `B x d_hat`."""

    def __init__(self, dim_in: int, *, dim: int = 16) -> None:
        super().__init__()
        self.dim = dim
        self.phi = nn.Sequential(nn.Linear(dim_in, dim), nn.Tanh(), nn.Linear(dim, dim))

    def init_state(self, batch_size: int) -> State:
        like = next(self.parameters())
        return State(like.new_zeros(batch_size, self.dim), like.new_zeros(batch_size, 1))

    def update(self, state: State, x: Tensor, mask: Tensor | None = None) -> State:
        if mask is None:
            mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        present = mask[:, :, None]
        features = self.phi(torch.where(present, x, 0)) * present  # masked elements may hold NaN
        return State(state.total + features.sum(1), state.size + mask.sum(1, keepdim=True))

    def merge(self, a: State, b: State) -> State:
        return State(a.total + b.total, a.size + b.size)

    def readout(self, state: State) -> Tensor:
        return state.total / state.size.clamp(min=1)


SPEC = mbcbench.EncoderSpec(
    name="PLUGIN_NAME",
    factory=MyPlugin,
    summary="a network per element, then the mean",
    claims={"mbc.partition": "sums and sizes do not depend on how the set is cut"},
)
