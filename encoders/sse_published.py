"""The Slot Set Encoder as its authors published it, where their code differs from the paper.

    S ~ N(mu, exp(sigma)), drawn anew for each chunk; no gradient reaches mu and sigma
    f(X) = sum_j S_hat_j, the sum over the slots

The weights of an element sum to one over the slots, so f(X) = sum_i v(x_i) for any slots, any number of slots and
any width: the trained model is a linear layer and a sum. (In the code the sum is the default of an aggregation over
slots. Its other values depend on slots that are drawn for each chunk, and are not mini-batch consistent.)

This encoder is an arm of the experiment `arms`. It is not registered.

Paper: Bruno, Willette, Lee and Hwang, "Mini-Batch Consistent Slot Set Encoder for Scalable Set Encoding", arXiv
2103.01615. Code: github.com/AnonymousRepo1111/SSE at b870ffc.
"""

import torch
from torch import Tensor

from mbcbench.protocol.spec import EncoderSpec

from .nn.slots import RandomSlots
from .sse import SlotSetEncoder, SlotState


class PublishedSlotSetEncoder(SlotSetEncoder):
    """Encode a set by slots that are drawn again for each chunk, and summed: `B x n x d` to `B x d_hat`.

    Parameters
    ----------
    dim_in : int
        Width d of an element.
    num_slots, slot_dim, dim : int
        Number K and width h of the slots, and width d_hat of the encoding.
    """

    def __init__(self, dim_in: int, *, num_slots: int = 1, slot_dim: int = 64, dim: int = 64) -> None:
        super().__init__(dim_in, num_slots=num_slots, slot_dim=slot_dim, dim=dim)
        self.slots.requires_grad_(False)

    def update(self, state: SlotState, x: Tensor, mask: Tensor | None = None) -> SlotState:
        assert isinstance(self.slots, RandomSlots)
        noise = torch.randn_like(state.slots)  # in eval() too, from the global generator
        slots = self.slots.mu + self.slots.log_std.exp() * noise
        return super().update(state._replace(slots=slots), x, mask)

    def readout(self, state: SlotState) -> Tensor:
        return super().readout(state).sum(1)


SSE_PUBLISHED = EncoderSpec(
    name="sse-published",
    factory=PublishedSlotSetEncoder,
    summary="Slot Set Encoder as in the published code: slots drawn for each chunk, then summed",
    paper="https://arxiv.org/abs/2103.01615",
)
