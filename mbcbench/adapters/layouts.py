"""Adapters for encoders whose inputs or outputs have another layout."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mbcbench.adapters.masks import MaskAdapter
from mbcbench.adapters.stream import keep_steps
from mbcbench.errors import UsageError
from mbcbench.protocol.adapter import Adapter
from mbcbench.protocol.encoder import with_forward
from mbcbench.types import Encoder, State

DECLARATIONS = ("dim_in", "min_size", "vocabulary", "finite_only", "order_sensitive")


class InputAdapter(Adapter):
    """Adapter that changes the layout of the elements.

    Its own input has the usual layout, so a mask adapter wraps this adapter and not the other way round.

    Parameters
    ----------
    module
        The encoder, or another adapter.
    change
        Function from the sets (`B x n x d`) to the input of the encoder.

    Raises
    ------
    UsageError
        If `module` is a mask adapter.
    """

    def __init__(self, module: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__(with_forward(module))
        if isinstance(module, MaskAdapter):
            raise UsageError("a mask adapter goes around one of layout: inverted_mask(channels_first(module), ...)")
        self._change = change
        keep_steps(self, update=InputAdapter._update)

    def forward(self, x: Tensor, **arguments: Tensor) -> Tensor:
        """Return the encoding of the sets `x` (`B x n x d`); other arguments, such as a mask, are passed on."""
        out: Tensor = self.module(self._change(x), **arguments)
        return out

    def _update(self, state: State, x: Tensor, **arguments: Tensor) -> State:
        return self.module.update(state, self._change(x), **arguments)


class OutputAdapter(Adapter):
    """Adapter that selects one of the outputs of an encoder.

    Parameters
    ----------
    module
        The encoder, or another adapter.
    select
        Function from the output of the encoder to the encoding (`B x ...`).
    """

    def __init__(self, module: nn.Module, select: Callable[[Encoder], Tensor]) -> None:
        super().__init__(with_forward(module))
        self._select = select
        keep_steps(self, readout=OutputAdapter._readout)

    def forward(self, x: Tensor, **arguments: Tensor) -> Tensor:
        """Return the encoding of the sets `x` (`B x n x d`); other arguments, such as a mask, are passed on."""
        return self._select(self.module(x, **arguments))

    def _readout(self, state: State) -> Tensor:
        return self._select(self.module.readout(state))


class TokenAdapter(InputAdapter):
    """Adapter for an encoder of tokens; see `tokens`."""

    dim_in = 1
    finite_only = True

    def __init__(self, module: nn.Module, vocabulary: int) -> None:
        super().__init__(module, self._to_tokens)
        self.vocabulary = vocabulary

    def _to_tokens(self, x: Tensor) -> Tensor:
        if x.shape[-1] != 1:
            raise UsageError(
                f"a token is one number, not {x.shape[-1]}: give --dim-in 1, or set dim_in = 1 on the factory"
            )
        return x[..., 0].round().clamp(0, self.vocabulary - 1).to(torch.int64)


def channels_first(module: nn.Module) -> InputAdapter:
    """Adapt an encoder that reads `B x d x n`, as convolutions do.

    Parameters
    ----------
    module
        The encoder, or another adapter.

    Returns
    -------
    InputAdapter
        An encoder of sets `B x n x d`.
    """
    return InputAdapter(module, lambda x: x.transpose(-1, -2))


def sequence_first(module: nn.Module) -> InputAdapter:
    """Adapt an encoder that reads `n x B x d`, as recurrent layers and attention do without `batch_first`.

    Its output must be `B x ...`; `select_output` takes the last step of a sequence, for example.

    Parameters
    ----------
    module
        The encoder, or another adapter.

    Returns
    -------
    InputAdapter
        An encoder of sets `B x n x d`.
    """
    return InputAdapter(module, lambda x: x.transpose(0, 1))


def tokens(module: nn.Module, vocabulary: int) -> TokenAdapter:
    """Adapt an encoder that reads integer tokens, `B x n`.

    The elements have width 1. They are rounded, and those outside of the vocabulary become its first or last token.
    The encoder raises UsageError for elements of another width.

    Parameters
    ----------
    module
        The encoder, or another adapter.
    vocabulary
        Number of tokens `V`; a token is an integer from 0 to `V - 1`.

    Returns
    -------
    TokenAdapter
        An encoder of sets `B x n x 1`. Laws try it on tokens.
    """
    return TokenAdapter(module, vocabulary)


def declare(module: nn.Module, **attributes: int | bool) -> nn.Module:
    """Declare which inputs an encoder admits, if its class does not: `declare(module, order_sensitive=True)`.

    Parameters
    ----------
    module
        The encoder, or an adapter. It is modified in place.
    **attributes
        Any of `dim_in`, `min_size`, `vocabulary` (numbers), `finite_only` and `order_sensitive` (True or False).

    Returns
    -------
    torch.nn.Module
        The module itself.

    Raises
    ------
    UsageError
        If an attribute is none of these.
    """
    for name, value in attributes.items():
        if name not in DECLARATIONS:
            raise UsageError(f"declare({name}={value!r}): expected one of {', '.join(DECLARATIONS)}")
        setattr(module, name, value)
    return module


def select_output(module: nn.Module, key: int | str | Callable[[Encoder], Tensor]) -> OutputAdapter:
    """Adapt an encoder that returns a tuple, a dict or an object with several outputs.

    Parameters
    ----------
    module
        The encoder, or another adapter.
    key
        Position in a tuple, key of a dict, name of an attribute, or a function of the output.

    Returns
    -------
    OutputAdapter
        An encoder that returns one tensor.
    """

    def select(output: Encoder) -> Tensor:
        if callable(key):
            return key(output)
        is_attribute = isinstance(key, str) and not isinstance(output, Mapping)
        selected: Tensor = getattr(output, str(key)) if is_attribute else output[key]
        return selected

    return OutputAdapter(module, select)
