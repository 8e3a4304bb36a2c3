"""Element width of an encoder, and a first call that shows whether it encodes sets."""

import inspect
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from mbcbench.errors import BrokenPluginError, UsageError, one_line, user_frame
from mbcbench.protocol.adapter import declared_int
from mbcbench.protocol.build import InstanceFactory, shorten
from mbcbench.protocol.copying import copy_module
from mbcbench.protocol.encoder import is_streaming
from mbcbench.protocol.spec import EncoderSpec

DEFAULT_DIM_IN = 3
BATCH_SIZE = 2
PAGE = "see docs/adapters.md"
WIDTHS = ("in_features", "in_channels", "embed_dim", "input_size", "d_model")  # attributes of layers


def element_width(spec: EncoderSpec) -> int:
    """Return an element width that `spec` can be built for.

    A factory or an instance that has an attribute `dim_in` says so itself. A factory fits any width otherwise, and an
    instance has that of the first of its layers for which it encodes a set.
    """
    target = spec.factory.module if isinstance(spec.factory, InstanceFactory) else spec.factory
    declared = declared_int(target, "dim_in")
    if declared is not None:
        return declared
    if not isinstance(spec.factory, InstanceFactory):
        return DEFAULT_DIM_IN
    widths = list(dict.fromkeys([*_layer_widths(spec.factory.module), DEFAULT_DIM_IN]))
    return next((width for width in widths if _encodes(spec.factory.module, width)), widths[0])


def is_width_guessed(spec: EncoderSpec) -> bool:
    """Return True if `element_width` derives the width of an instance from its layers."""
    return isinstance(spec.factory, InstanceFactory) and declared_int(spec.factory.module, "dim_in") is None


def _layer_widths(module: nn.Module) -> Iterator[int]:
    for layer in module.modules():
        for name in WIDTHS:
            width = getattr(layer, name, None)
            if isinstance(width, int) and width > 0:
                yield width


def _encodes(module: nn.Module, dim_in: int) -> bool:
    module = copy_module(module).eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            out = module(_probe_input(module, dim_in))
    except Exception:  # whatever a layer says to a width that it does not know
        return False
    return isinstance(out, Tensor)


def _probe_input(module: nn.Module, dim_in: int, min_size: int = 1) -> Tensor:
    """Return a batch whose number of elements differs from its width and size, so that no two can be confused."""
    least = max(3, min_size)
    n = least if least != dim_in else least + 1
    x = torch.linspace(-1, 1, BATCH_SIZE * n * dim_in, dtype=torch.get_default_dtype()).reshape(BATCH_SIZE, n, dim_in)
    first = next(iter(module.parameters()), None)
    if first is not None and first.is_floating_point():
        x = x.to(device=first.device, dtype=first.dtype)
    return x


def validate(module: nn.Module, *, dim_in: int, name: str, min_size: int = 1) -> None:
    """Encode a small batch; raise UsageError if the output is not an encoding, BrokenPluginError if forward fails."""
    x = _probe_input(module, dim_in, min_size)
    what = f"{name} on an input of shape {tuple(x.shape)}"
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            out: object = module(x)
    except (KeyboardInterrupt, UsageError, BrokenPluginError):
        raise
    except BaseException as error:  # a plug-in may call sys.exit
        raise BrokenPluginError(
            f"{what}: {one_line(error)}{user_frame(error)}{_advice(module, error, dim_in)}"
        ) from error
    if not isinstance(out, Tensor):
        kind = "a tuple" if isinstance(out, tuple) else "a dict" if isinstance(out, dict) else shorten(out)
        hint = "; wrap it in a module whose forward returns the encoding alone"
        raise UsageError(f"{name}: forward returned {kind}, not a tensor{hint if kind[:2] == 'a ' else ''}")
    if out.dim() < 2 or out.shape[0] != BATCH_SIZE:
        raise UsageError(
            f"{name}: forward returned shape {tuple(out.shape)} for an input of shape {tuple(x.shape)}; "
            f"the first dimension must be the batch size ({BATCH_SIZE}), and the encoding at least one number wide"
            f"{_layout_hint(out)}"
        )


def _layout_hint(out: Tensor) -> str:
    if out.dim() >= 1 and out.shape[0] not in (BATCH_SIZE, 0, 1):
        return "; wrap a module with another layout in one whose forward takes B x n x d"
    return ""


def _advice(module: nn.Module, error: BaseException, dim_in: int) -> str:
    """Return what the reader can do about an error of the first call, or nothing."""
    text = str(error)
    missing = _required_arguments(module)
    if len(missing) > 1:
        names = ", ".join(missing)
        return f"; forward takes {names}, and the laws call forward(x[, mask]): wrap it in an adapter ({PAGE})"
    if "channels" in text or "Expected 2D" in text or "expected 2D" in text:
        return "; wrap a module for B x d x n in one whose forward transposes x: self.module(x.transpose(1, 2))"
    if "shapes cannot be multiplied" in text or "normalized_shape" in text or "size of tensor" in text:
        return f"; elements had width {dim_in}: give another with --dim-in N, or set dim_in on the target"
    return ""


def _required_arguments(module: nn.Module) -> list[str]:
    if is_streaming(module):
        return []
    parameters = inspect.signature(module.forward).parameters.values()
    return [
        p.name for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
