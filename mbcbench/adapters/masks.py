"""Adapters for encoders with another mask convention."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from mbcbench.adapters.stream import keep_steps
from mbcbench.protocol.adapter import Adapter
from mbcbench.protocol.encoder import has_own_forward, is_streaming, with_forward
from mbcbench.types import Encoder, State


class MaskAdapter(Adapter):
    """Adapter for an encoder with another mask convention: an inverted mask, lengths, or none.

    Parameters
    ----------
    module
        The encoder.
    call
        `(module, x, mask) -> Tensor`: the encoding of the elements of `x` (`B x n x d`) for which `mask` (`B x n`,
        boolean) is True.
    keeps_steps
        True if a streaming module shall stay one: `call` is then used for chunks too, with `update` of the module for a
        state as its first argument, and must return what that returns.
    """

    def __init__(
        self, module: nn.Module, call: Callable[[Encoder, Tensor, Tensor], Tensor], *, keeps_steps: bool = False
    ) -> None:
        super().__init__(with_forward(module))
        self._call = call
        if keeps_steps:
            keep_steps(self, update=MaskAdapter._update)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the encoding of the elements of `x` (`B x n x d`) that `mask` (`B x n`) marks as present."""
        if is_streaming(self) and not has_own_forward(self.module):
            out: Tensor = self.module.readout(self._update(self.module.init_state(len(x)), x, mask))
            return out
        return self._call(self.module, x, _present(x, mask))

    def _update(self, state: State, x: Tensor, mask: Tensor | None = None) -> State:
        return self._call(partial(self.module.update, state), x, _present(x, mask))


def _present(x: Tensor, mask: Tensor | None) -> Tensor:
    return torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask


def renamed_mask(module: nn.Module, name: str, *, dtype: torch.dtype = torch.bool) -> MaskAdapter:
    """Adapt an encoder whose mask has another name, and is True or 1 where an element is present.

    Parameters
    ----------
    module
        The encoder.
    name
        Name of the argument, for example `attention_mask`.
    dtype
        Type of the mask, for encoders that compute with it (`1 - mask`).

    Returns
    -------
    MaskAdapter
        An encoder with an argument `mask` that is True where an element is present.
    """
    return MaskAdapter(module, lambda encoder, x, mask: encoder(x, **{name: mask.to(dtype)}), keeps_steps=True)


def inverted_mask(module: nn.Module, name: str = "mask") -> MaskAdapter:
    """Adapt an encoder whose mask is True where an element is absent, as `key_padding_mask` of PyTorch is.

    Parameters
    ----------
    module
        The encoder.
    name
        Name of the argument.

    Returns
    -------
    MaskAdapter
        An encoder with an argument `mask` that is True where an element is present.
    """
    return MaskAdapter(module, lambda encoder, x, mask: encoder(x, **{name: ~mask}), keeps_steps=True)


def additive_mask(module: nn.Module, name: str = "mask") -> MaskAdapter:
    """Adapt an encoder that adds its mask to logits: 0 where an element is present, -inf where it is absent.

    Parameters
    ----------
    module
        The encoder.
    name
        Name of the argument.

    Returns
    -------
    MaskAdapter
        An encoder with an argument `mask` that is True where an element is present.
    """

    def call(encoder: Encoder, x: Tensor, mask: Tensor) -> Tensor:
        bias = torch.zeros(mask.shape, dtype=x.dtype, device=x.device).masked_fill(~mask, -torch.inf)
        out: Tensor = encoder(x, **{name: bias})
        return out

    return MaskAdapter(module, call, keeps_steps=True)


def compacted(module: nn.Module, *, layer: bool = False) -> MaskAdapter:
    """Adapt an encoder that takes a `mask`, but only of sets whose present elements come first.

    The elements keep their order.

    Parameters
    ----------
    module
        An encoder with an argument `mask`, possibly through another adapter.
    layer
        True for a layer from sets to sets; its outputs are moved back to the positions of their elements.

    Returns
    -------
    MaskAdapter
        An encoder with an argument `mask`, whose True entries may be anywhere.
    """

    def call(encoder: Encoder, x: Tensor, mask: Tensor) -> Tensor:
        order = _present_first(mask)
        out: Tensor = encoder(_in_order(x, order), mask=mask.gather(1, order))
        return _in_order(out, order.argsort(dim=1)) if layer else out

    return MaskAdapter(module, call, keeps_steps=not layer)


def with_lengths(
    module: nn.Module, name: str = "lengths", *, relative: bool = False, layer: bool = False
) -> MaskAdapter:
    """Adapt an encoder of padded sets that takes the number of present elements, which come first in each set.

    Parameters
    ----------
    module
        The encoder.
    name
        Name of the argument with the numbers of elements (`B`, int64).
    relative
        True if the argument is a fraction of the padded length, as in SpeechBrain (`B`, of the type of the elements).
    layer
        True for a layer from sets to sets; its outputs are moved back to the positions of their elements.

    Returns
    -------
    MaskAdapter
        An encoder with an argument `mask` that is True where an element is present.
    """

    def call(encoder: Encoder, x: Tensor, mask: Tensor) -> Tensor:
        order, lengths = _present_first(mask), mask.sum(1)
        argument = lengths.to(x.dtype) / x.shape[1] if relative else lengths
        out: Tensor = encoder(_in_order(x, order), **{name: argument})
        return _in_order(out, order.argsort(dim=1)) if layer else out

    return MaskAdapter(module, call, keeps_steps=not layer)


def _present_first(mask: Tensor) -> Tensor:
    """Return the positions of the elements, `B x n`: present ones first, otherwise in order."""
    return (~mask).to(torch.int8).argsort(dim=1, stable=True)


def _in_order(x: Tensor, order: Tensor) -> Tensor:
    """Return the elements (`B x n x d`) in another order for each set."""
    return x.gather(1, order[..., None].expand_as(x))
