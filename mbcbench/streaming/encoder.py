"""The encoder of a set in a file: built, given trained weights, and called chunk by chunk."""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from mbcbench.errors import STREAMS_GUIDE, BrokenPluginError, UsageError
from mbcbench.protocol.build import build_from_spec, call_plugin, get_spec
from mbcbench.protocol.copying import copy_module
from mbcbench.protocol.customize import BuildOptions
from mbcbench.protocol.encoder import ChunkAggregation, is_streaming
from mbcbench.protocol.weights import load_weights
from mbcbench.types import Encoder, State
from mbcbench.verify.domain import declared_domain
from mbcbench.verify.validate import validate

if TYPE_CHECKING:
    from mbcbench.streaming.encode import EncodeOptions

logger = logging.getLogger(__name__)


class GuardedEncoder:
    """The steps of a streaming encoder, without gradients; an error of the encoder becomes a BrokenPluginError."""

    def __init__(self, module: nn.Module, name: str) -> None:
        self.module: Encoder = module  # its steps are not part of nn.Module's type
        self.name = name

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements: float64 for an encoder with such parameters, else float32."""
        first = next((p.dtype for p in self.module.parameters() if p.is_floating_point()), torch.float32)
        return np.dtype(np.float64 if first == torch.float64 else np.float32)

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return next((p.device for p in self.module.parameters()), torch.device("cpu"))

    @torch.inference_mode()
    def init_state(self, batch_size: int = 1) -> State:
        """Return the state of empty sets."""
        return call_plugin(lambda: self.module.init_state(batch_size), f"{self.name}, init_state")

    @torch.inference_mode()
    def update(self, state: State, chunks: Iterable[Tensor]) -> State:
        """Return the state after all chunks (each `1 x n_c x d`)."""
        for x in chunks:
            state = self._update(state, x)
        return state

    def _update(self, state: State, x: Tensor) -> State:
        return call_plugin(lambda: self.module.update(state, x), f"{self.name}, update on {tuple(x.shape)}")

    @torch.inference_mode()
    def merge(self, a: State, b: State) -> State:
        """Return the state of two streams, one after the other."""
        return call_plugin(lambda: self.module.merge(a, b), f"{self.name}, merge")

    @torch.inference_mode()
    def readout(self, state: State) -> Tensor:
        """Return the encoding of a state."""
        encoding: Tensor = call_plugin(lambda: self.module.readout(state), f"{self.name}, readout")
        return encoding

    @torch.inference_mode()
    def encode(self, x: Tensor) -> Tensor:
        """Return the encodings of whole sets (`B x n x d`)."""
        encoding: Tensor = call_plugin(lambda: self.module(x), f"{self.name} on {tuple(x.shape)}")
        return encoding

    def copy(self) -> "GuardedEncoder":
        """Return a copy for use on another thread: an encoder may keep intermediate results in itself."""
        return GuardedEncoder(copy_module(self.module), self.name)


def build_encoder(options: "EncodeOptions", width: int) -> GuardedEncoder:
    """Build the encoder of `build_module` as a streaming one, on its device.

    Raises UsageError if the elements or the weights do not fit it, or if `g` is missing or superfluous.
    """
    module = as_streaming(build_module(options, width), options)
    return GuardedEncoder(module.to(options.device), options.encoder)


def build_module(options: "EncodeOptions", width: int) -> nn.Module:
    """Build the encoder on the CPU, in eval mode, for elements of `width` numbers, with trained weights if given.

    Raises UsageError if the elements or the weights do not fit it.
    """
    spec = BuildOptions(hyper=options.hyper).apply(get_spec(options.encoder))
    module = build_from_spec(spec, dim_in=width, seed=options.seed).eval()
    if options.weights is not None:
        given = f"elements of {options.path} have the width {width}"
        fix = f"{given}: give the columns (--select) and --hyper of its training"
        place = load_weights(module, options.weights, options.encoder, options.weights_key, fix)
        if place:
            logger.warning(place)
    try:
        validate(module, dim_in=width, name=options.encoder, domain=declared_domain(spec, module, width))
    except BrokenPluginError as error:
        raise UsageError(f"{options.path} holds elements of width {width}, and {error}") from error
    return module


def as_streaming(module: nn.Module, options: "EncodeOptions") -> nn.Module:
    """Return a streaming encoder, or a plain one with its `g`. Raises UsageError if that is missing or superfluous."""
    if is_streaming(module):
        if options.g is not None:
            raise UsageError(f"{options.encoder} is a streaming encoder; leave out --g {options.g}")
        return module
    if options.g is None:
        raise UsageError(
            f"{options.encoder} is a plain module; choose how to aggregate chunk encodings: --g sum, mean, max or min; "
            f"or make it a stream ({STREAMS_GUIDE})"
        )
    return ChunkAggregation(module, options.g)
