"""Element width of an encoder, and a first call that shows whether it encodes sets."""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mbcbench.adapters.advice import TOKENS, argument_advice, layout_advice, output_advice
from mbcbench.errors import ADAPTERS_GUIDE, BrokenPluginError, UsageError, is_out_of_memory, one_line, user_frame
from mbcbench.protocol.adapter import declared_int
from mbcbench.protocol.build import build_from_spec, shorten
from mbcbench.protocol.copying import copy_module
from mbcbench.protocol.factory import FixedWidthFactory, InstanceFactory
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.verify.domain import Domain

DEFAULT_DIM_IN = 3
FOREIGN = (
    "it computes with parameters that are not its own: keep layers in nn.ModuleList or nn.ModuleDict, not in a list or "
    "dict; or an object refers to the original of this copy: refer to the module by `self`, in its methods"
)
BATCH_SIZE = 2
WIDTHS = ("in_features", "in_channels", "embed_dim", "input_size", "d_model")  # attributes of layers
# Parts of messages of PyTorch, and what they mean for an encoder.
WRONG_DTYPE = ("dtype", "scalar type", "Input type")
WRONG_DEVICE = ("same device", "CUDA", "NVIDIA", "meta tensor", "device meta")
BOOLEAN_MASK = "with a bool tensor is not supported"  # `1 - mask`
# An embedding of numbers, or of numbers that were turned into integers.
READS_TOKENS = ("argument #1 'indices'", "index out of range in self")
WRONG_WIDTH = ("shapes cannot be multiplied", "normalized_shape", "size of tensor", "input.size(-1)", "channels")


def element_width(spec: EncoderSpec) -> int:
    """Return an element width that `spec` can be built for (see `why_width`)."""
    return _width_and_reason(spec)[0]


def why_width(spec: EncoderSpec) -> str:
    """Return the reason for a width that the target does not declare, or an empty string."""
    return _width_and_reason(spec)[1]


def _width_and_reason(spec: EncoderSpec) -> tuple[int, str]:
    """Return an element width that `spec` can be built for, and the reason if the target does not declare it.

    A target may declare its width as the attribute `dim_in`. Otherwise, a factory that takes the width fits any width.
    An instance, and the module of a factory that does not take the width, has the width of its first layer for which it
    encodes a set.
    """
    factory = _innermost(spec.factory)
    target = factory.module if isinstance(factory, InstanceFactory) else inspect.unwrap(factory)
    declared = declared_int(target, "dim_in")
    if declared is not None:
        return declared, ""
    if isinstance(factory, InstanceFactory):
        return _fitting_width(factory.module)
    if type(factory) is FixedWidthFactory:
        with contextlib.suppress(BrokenPluginError, UsageError):  # building it later will report the error
            return _fitting_width(build_from_spec(spec, dim_in=DEFAULT_DIM_IN))
    return DEFAULT_DIM_IN, ""


def _innermost(factory: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """Return the factory of the target, inside those that add weights or a device."""
    while inspect.isfunction(factory) and hasattr(factory, "__wrapped__"):
        factory = factory.__wrapped__
    return factory


def _fitting_width(module: nn.Module) -> tuple[int, str]:
    """Return the first width of a layer for which a module encodes a set, and how that was found."""
    layers = {width: layer for layer, width in reversed(list(_layer_widths(module)))}
    widths = [*reversed(layers), *([] if DEFAULT_DIM_IN in layers else [DEFAULT_DIM_IN])]
    fitting = next((width for width in widths if _encodes(module, width)), None)
    width = widths[0] if fitting is None else fitting
    source = f"that of its layer {layers[width]}" if width in layers else "the default"
    return width, source if fitting is not None else f"{source}, since no width fits"


def _layer_widths(module: nn.Module) -> Iterator[tuple[str, int]]:
    for path, layer in module.named_modules():
        for name in WIDTHS:
            width = getattr(layer, name, None)
            if isinstance(width, int) and width > 0:
                yield f"{path} ({type(layer).__name__})".strip(), width


def _encodes(module: nn.Module, dim_in: int) -> bool:
    module = copy_module(module).eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            out = module(_probe_input(module, dim_in, Domain(vocabulary=declared_int(module, "vocabulary") or 0)))
    except Exception:  # a layer may raise anything for an unexpected width
        return False
    return isinstance(out, Tensor)


def _probe_input(module: nn.Module, dim_in: int, domain: Domain) -> Tensor:
    """Return a batch whose number of elements differs from its width and its size, so that axes are not confused."""
    least = max(3, domain.min_size)
    n = least if least != dim_in else least + 1
    x = torch.linspace(-1, 1, BATCH_SIZE * n * dim_in, dtype=torch.get_default_dtype()).reshape(BATCH_SIZE, n, dim_in)
    first = next(iter(module.parameters()), None)
    if first is not None and first.is_floating_point():
        x = x.to(device=first.device, dtype=first.dtype)
    return domain.admit(x)


def validate(module: nn.Module, *, dim_in: int, name: str, domain: Domain) -> None:
    """Encode a small batch; raise BrokenPluginError if forward fails or its output is not an encoding.

    The message is one line with the encoder, the error and, if there is one, the adapter to use.
    """
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        x = _probe_input(module, dim_in, domain)
        try:
            out: object = module(x)
        except (KeyboardInterrupt, UsageError, BrokenPluginError):
            raise
        except BaseException as error:  # a plug-in may call sys.exit
            what = f"{name} cannot be called with x of shape {tuple(x.shape)}"
            advice = _call_advice(module, error, x)
            raise BrokenPluginError(_join(f"{what}: {one_line(error)}{user_frame(error)}", advice)) from error
        fault = _output_fault(module, out, x)
    if fault:
        raise BrokenPluginError(f"{name}: forward returned {fault}")


def _call_advice(module: nn.Module, error: BaseException, x: Tensor) -> str:
    """Return advice for an encoder that raised when it was called with `x`, or an empty string."""
    advice = argument_advice(module) or _error_advice(error)
    if advice or is_out_of_memory(error) or not isinstance(error, Exception):  # which no other layout would prevent
        return advice
    return layout_advice(module, x) or _width_advice(error, x)


def _output_fault(module: nn.Module, out: object, x: Tensor) -> str:
    """Return the fault of the output for `x` and the adapter to use, or an empty string for an encoding."""
    if not isinstance(out, Tensor):
        kind = "a tuple" if isinstance(out, tuple) else "a dict" if isinstance(out, dict) else shorten(out)
        return _join(f"{kind}, not a tensor", output_advice(module, out, x))
    if out.is_complex():
        fix = "return its real and imaginary parts, torch.view_as_real(encoding).flatten(1)"
        return f"a tensor of {out.dtype}; an encoding is a floating-point tensor: {fix}"
    if not out.is_floating_point():
        return f"a tensor of {out.dtype}; an encoding is a floating-point tensor"
    if out.dim() < 2 or out.shape[0] != BATCH_SIZE:
        what = (
            f"shape {tuple(out.shape)} for x of shape {tuple(x.shape)}, B x n x d; "
            f"the first dimension must be the batch size {BATCH_SIZE}, with at least one more"
        )
        return _join(what, layout_advice(module, x))
    return ""


def validate_in_float64(module: nn.Module, *, dim_in: int, name: str, domain: Domain) -> None:
    """Encode a small batch in float64 on the CPU, as laws do; raise BrokenPluginError if that fails."""
    x = _probe_input(module, dim_in, domain)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            module(x)
    except Exception as error:  # raised by the module
        what = f"{name} cannot be called in float64, in which laws are decided: {one_line(error)}{user_frame(error)}"
        advice = FOREIGN if _uses_foreign_parameters(module, x) else _error_advice(error)
        raise BrokenPluginError(_join(what, advice)) from error


def _uses_foreign_parameters(module: nn.Module, x: Tensor) -> bool:
    """Return True if a call that fails computes with parameters that the module does not have, nor can convert."""
    watch = _ParameterWatch(module)
    with contextlib.suppress(Exception), torch.no_grad(), torch.random.fork_rng(devices=[]), watch:
        module(x)
    return watch.is_foreign


class _ParameterWatch(TorchFunctionMode):
    """Watches for operations on parameters that a module does not have."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._parameters = {id(parameter) for parameter in module.parameters()}
        self.is_foreign = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for value in (*args, *(kwargs or {}).values()):
            self.is_foreign |= isinstance(value, nn.Parameter) and id(value) not in self._parameters
        return func(*args, **(kwargs or {}))


def _error_advice(error: BaseException) -> str:
    """Return advice for an error about types or devices, or an empty string."""
    text = str(error)
    if any(words in text for words in READS_TOKENS):
        return TOKENS
    if BOOLEAN_MASK in text:
        return (
            "a mask that is computed with is given as numbers: "
            f"mbcbench.adapters.renamed_mask(module, NAME, dtype=torch.int64) ({ADAPTERS_GUIDE})"
        )
    if any(words in text for words in WRONG_DEVICE):
        return "laws run on the CPU: create tensors with x.new_zeros(...) or device=x.device, without .cuda()"
    if any(words in text for words in WRONG_DTYPE):
        return "write x.to(self.weight.dtype) in place of x.float(), and x.new_zeros(...) in place of torch.zeros(...)"
    return ""


def _width_advice(error: BaseException, x: Tensor) -> str:
    if not any(words in str(error) for words in WRONG_WIDTH):
        return ""
    return f"elements had width {x.shape[2]}: give another with --dim-in N, or set dim_in on the target"


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
