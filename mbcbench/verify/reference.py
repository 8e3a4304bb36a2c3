"""References: attach an independent implementation to an encoder, for the law reference.equal."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mbcbench.errors import UsageError
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.protocol.target import build_from_spec, load_target, spec_from_object
from mbcbench.verify.subject import Reference

Array = NDArray[np.float64]


def with_reference(spec: EncoderSpec, reference: object, *, dim_in: int) -> EncoderSpec:
    """`spec` with another reference implementation.

    reference: a target, or what a target points to. A function of two arguments is called with the module (float64,
    eval()) and `x` (`B x n x d`) and gives the encoding, as in `EncoderSpec.reference`. Anything else is an encoder:
    it is built for the same element width, given the weights of the encoder under test by its state_dict, and
    encodes `x`; so the names and shapes in both state_dicts must agree (an encoder without any is used as it is).

    Raises UsageError when the reference is neither, or takes other weights.
    """
    name = reference if isinstance(reference, str) else getattr(reference, "__name__", type(reference).__name__)
    found: Any = load_target(reference) if isinstance(reference, str) else reference
    if _takes_module_and_x(found):
        return replace(spec, reference=_checked(found, name))
    other = spec_from_object(found, name)
    _same_weights(build_from_spec(spec, dim_in=dim_in), build_from_spec(other, dim_in=dim_in), spec.name, name)
    return replace(spec, reference=_encoder_reference(other))


def _takes_module_and_x(found: Any) -> bool:
    if not callable(found) or isinstance(found, nn.Module | type):
        return False
    needed = [
        p
        for p in inspect.signature(found).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return len(needed) == 2


def _checked(function: Callable[[nn.Module, Array], Any], name: str) -> Reference:
    def reference(module: nn.Module, x: Array) -> Array:
        out = function(module, x)
        if isinstance(out, torch.Tensor):
            out = out.detach().cpu().numpy()
        if not isinstance(out, np.ndarray):
            raise UsageError(f"the reference {name} gave {type(out).__name__}, not an array")
        return out

    return reference


def _encoder_reference(other: EncoderSpec) -> Reference:
    twins: dict[int, nn.Module] = {}

    def reference(module: nn.Module, x: Array) -> Array:
        width = x.shape[2]
        if width not in twins:
            twins[width] = build_from_spec(other, dim_in=width).double().eval()
        twin = twins[width]
        if twin.state_dict():
            twin.load_state_dict(module.state_dict())
        out: Array = twin(torch.from_numpy(x)).detach().numpy()
        return out

    return reference


def _same_weights(module: nn.Module, twin: nn.Module, name: str, other: str) -> None:
    have, want = _shapes(module), _shapes(twin)
    if not want or have == want:
        return
    odd = sorted(key for key in have.keys() | want.keys() if have.get(key) != want.get(key))
    key = odd[0]
    raise UsageError(
        f"the weights of {name} do not fit its reference {other}: {key} is {have.get(key, 'absent')} there and "
        f"{want.get(key, 'absent')} here{f' (and {len(odd) - 1} more)' if len(odd) > 1 else ''}; "
        "give a function (module, x) -> encoding that reads them itself"
    )


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}
