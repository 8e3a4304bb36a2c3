"""Slots: where the queries of slot encoders come from (eq. 2 of the Slot Set Encoder paper)."""

import torch
from torch import Tensor, nn

_EVAL_SEED = 2107


class RandomSlots(nn.Module):
    """`S ~ N(mu, diag(sigma))`, reparametrised as `mu + std * noise`, so that mu and sigma are trained.

    mu and sigma are shared by all slots, whose number may then be changed at any time; with `num_slots` each slot has
    its own. In train() every set of a batch gets its own draw from the global generator; in eval() all sets get the
    same slots, drawn from a fixed seed of their own, so that an encoding is reproducible and depends neither on its
    neighbours nor on the batch size.
    sigma, a variance, is kept positive as `exp(2 log_std)`.
    """

    def __init__(self, slot_dim: int, num_slots: int | None = None) -> None:
        super().__init__()
        shape = (slot_dim,) if num_slots is None else (num_slots, slot_dim)
        self.mu = nn.Parameter(torch.rand(shape))
        self.log_std = nn.Parameter(torch.rand(shape))

    def forward(self, batch_size: int, num_slots: int) -> Tensor:
        """Slots, `B x K x h`."""
        shape = (num_slots, self.mu.shape[-1])
        if self.training:
            noise = torch.randn(batch_size, *shape, dtype=self.mu.dtype, device=self.mu.device)
        else:
            generator = torch.Generator().manual_seed(_EVAL_SEED)
            # Drawn in float64 on the CPU: the same slots whatever the dtype and device.
            noise = torch.randn(shape, generator=generator, dtype=torch.float64).to(self.mu).expand(batch_size, *shape)
        return self.mu + self.log_std.exp() * noise


class DeterministicSlots(nn.Module):
    """K slots that are parameters themselves."""

    def __init__(self, num_slots: int, slot_dim: int) -> None:
        super().__init__()
        self.slots = nn.Parameter(torch.randn(num_slots, slot_dim))

    def forward(self, batch_size: int, num_slots: int) -> Tensor:
        """Slots, `B x K x h`. Raises ValueError when K is not the number of parameters."""
        if num_slots != len(self.slots):
            raise ValueError(
                f"num_slots={num_slots}, but these slots are {len(self.slots)} trained parameters; "
                "slots='random' lets their number change"
            )
        return self.slots.expand(batch_size, -1, -1)
