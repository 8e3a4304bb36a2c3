"""Encoders on a device, for laws whose data are on the CPU."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mbcbench.errors import UsageError
from mbcbench.protocol.encoder import is_streaming, takes_mask, with_forward
from mbcbench.types import State


def check_device(device: str) -> None:
    """Raise UsageError if torch cannot run anything on `device`, cpu or cuda."""
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda, but torch sees no CUDA device here; use --device cpu")


class OnDevice(nn.Module):
    """An encoder that computes on a device, takes elements from the CPU and returns encodings to it.

    Parameters
    ----------
    module
        The encoder.
    device
        Device of the encoder. It stays there, even if this module is moved.
    """

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        super().__init__()
        self.module: Any = module.to(device)
        self._device = device

    def forward(self, x: Tensor) -> Tensor:
        """Return the encoding of `x` (`B x n x d`)."""
        out: Tensor = _to_cpu(self.module(x.to(self._device)))
        return out

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        return super()._apply(lambda tensor: fn(tensor).to(self._device), recurse)  # type: ignore[no-untyped-call]

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the encoder, for example `merge` or `min_size`, if this module has none."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("module"), name)


class MaskedOnDevice(OnDevice):
    """A plain encoder that takes a mask, on a device."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the encoding of the elements of `x` (`B x n x d`) whose `mask` (`B x n`) is True."""
        mask = None if mask is None else mask.to(self._device)
        out: Tensor = _to_cpu(self.module(x.to(self._device), mask=mask))
        return out


class StreamOnDevice(OnDevice):
    """A streaming encoder on a device. Its states are on the same device."""

    def init_state(self, batch_size: int) -> State:
        """Return the state of empty streams."""
        return self.module.init_state(batch_size)

    def update(self, state: State, x: Tensor) -> State:
        """Return the state after the chunk `x` (`B x n_c x d`)."""
        return self.module.update(state, x.to(self._device))

    def readout(self, state: State) -> Tensor:
        """Return the encoding of a state."""
        out: Tensor = _to_cpu(self.module.readout(state))
        return out


class MaskedStreamOnDevice(StreamOnDevice, MaskedOnDevice):
    """A streaming encoder that takes a mask, on a device."""

    def update(self, state: State, x: Tensor, mask: Tensor | None = None) -> State:
        """Return the state after the elements of `x` (`B x n_c x d`) whose `mask` (`B x n_c`) is True."""
        if mask is None:
            return super().update(state, x)
        return self.module.update(state, x.to(self._device), mask=mask.to(self._device))


def on_device(module: nn.Module, device: str) -> OnDevice:
    """Return `module` on a device; the result streams or takes a mask if `module` does."""
    module = with_forward(module)
    streams, masked = is_streaming(module), takes_mask(module)
    if streams:
        return (MaskedStreamOnDevice if masked else StreamOnDevice)(module, torch.device(device))
    return (MaskedOnDevice if masked else OnDevice)(module, torch.device(device))


def _to_cpu(encoding: Any) -> Any:
    return encoding.cpu() if isinstance(encoding, Tensor) else encoding
