"""Slots: the queries of slot encoders (arXiv 2103.01615, eq. 2)."""

import torch
from torch import Tensor, nn

_EVAL_SEED = 2107


def distinct_slots(slots: Tensor) -> Tensor:
    """Return slots `B x K x h` as `1 x K x h` if all sets share one draw, repeated with stride 0."""
    return slots[:1] if len(slots) > 1 and slots.stride(0) == 0 else slots


class RandomSlots(nn.Module):
    """Slots drawn from a normal distribution with learned parameters.

    S ~ N(mu, diag(sigma)), computed as mu + std * noise so that mu and sigma receive gradients. The variance sigma is
    kept positive as exp(2 log_std).

    In train() every set of a batch gets its own draw from the global generator. In eval() all sets get the same slots,
    drawn with a fixed seed, so that an encoding is reproducible and depends neither on its neighbours nor on the batch
    size.

    Parameters
    ----------
    slot_dim : int
        Width h of a slot.
    num_slots : int, optional
        Number of slots with a mu and sigma of their own. By default all slots share them, as in the paper, and their
        number may change at any time.
    """

    def __init__(self, slot_dim: int, num_slots: int | None = None) -> None:
        super().__init__()
        shape = (slot_dim,) if num_slots is None else (num_slots, slot_dim)
        self.mu = nn.Parameter(torch.rand(shape))
        self.log_std = nn.Parameter(torch.rand(shape))

    def forward(self, batch_size: int, num_slots: int) -> Tensor:
        """Return slots, `B x K x h`."""
        shape = (num_slots, self.mu.shape[-1])
        if self.training:
            noise = torch.randn(batch_size, *shape, dtype=self.mu.dtype, device=self.mu.device)
        else:
            generator = torch.Generator().manual_seed(_EVAL_SEED)
            # Draw in float64 on the CPU: the same slots for every dtype and device.
            noise = torch.randn(shape, generator=generator, dtype=torch.float64).to(self.mu).expand(batch_size, *shape)
        return self.mu + self.log_std.exp() * noise


class DeterministicSlots(nn.Module):
    """Slots that are parameters themselves (Section 2.3 of the paper).

    Parameters
    ----------
    num_slots : int
        Number of slots K.
    slot_dim : int
        Width h of a slot.
    """

    def __init__(self, num_slots: int, slot_dim: int) -> None:
        super().__init__()
        self.slots = nn.Parameter(torch.randn(num_slots, slot_dim))

    def forward(self, batch_size: int, num_slots: int) -> Tensor:
        """Return slots, `B x K x h`.

        Raises
        ------
        ValueError
            If `num_slots` differs from the number of parameters.
        """
        if num_slots != len(self.slots):
            raise ValueError(
                f"num_slots={num_slots}, but these slots are {len(self.slots)} trained parameters; "
                "use slots='random' to change their number"
            )
        return self.slots.expand(batch_size, -1, -1)
