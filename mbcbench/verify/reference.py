"""References: attach an independent implementation to an encoder, for the law `reference.equal`."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mbcbench.errors import UsageError
from mbcbench.protocol.build import build_from_spec, load_target, spec_from_object, target_string
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.verify.subject import Reference

Array = NDArray[np.float64]


def reference_param(reference: object) -> dict[str, str]:
    """Return what a record says of a reference: its target string, "" if no such string leads to it."""
    if reference is None:
        return {}
    return {"reference": reference if isinstance(reference, str) else target_string(reference) or ""}


def with_reference(spec: EncoderSpec, reference: object, *, dim_in: int) -> EncoderSpec:
    """Return `spec` with another reference implementation.

    Parameters
    ----------
    spec
        Spec of the encoder under test.
    reference
        A target string, or the object that it names. A function of two arguments is called with the module (float64,
        eval mode) and `x` (`B x n x d`, a NumPy array) and returns the encoding, like `EncoderSpec.reference`. Another
        object is an encoder: it is built for the same element width and loads the `state_dict` of the encoder under
        test, so the names and shapes in both must agree (an encoder without weights is used as it is).
    dim_in
        Element width `d`.

    Returns
    -------
    EncoderSpec
        A copy of `spec` with the reference.

    Raises
    ------
    UsageError
        If the reference is neither such a function nor an encoder, or if its weights have other names or shapes.
    """
    name = reference if isinstance(reference, str) else getattr(reference, "__name__", type(reference).__name__)
    implementation: Any = load_target(reference) if isinstance(reference, str) else reference
    if _takes_module_and_x(implementation):
        return replace(spec, reference=_function_reference(implementation, name))
    other = spec_from_object(implementation, name)
    module, twin = build_from_spec(spec, dim_in=dim_in), build_from_spec(other, dim_in=dim_in)
    _require_same_weights(module, twin, spec.name, name)
    return replace(spec, reference=_encoder_reference(other))


def _takes_module_and_x(implementation: Any) -> bool:
    if not callable(implementation) or isinstance(implementation, nn.Module | type):
        return False
    parameters = inspect.signature(implementation).parameters.values()
    required = [
        p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return len(required) == 2


def _function_reference(function: Callable[[nn.Module, Array], Any], name: str) -> Reference:
    def reference(module: nn.Module, x: Array) -> Array:
        out = function(module, x)
        if isinstance(out, torch.Tensor):
            out = out.detach().cpu().numpy()
        if not isinstance(out, np.ndarray):
            raise UsageError(f"the reference {name} returned {type(out).__name__}, not an array")
        return out

    return reference


def _encoder_reference(spec: EncoderSpec) -> Reference:
    twins: dict[int, nn.Module] = {}  # by element width

    def reference(module: nn.Module, x: Array) -> Array:
        width = x.shape[2]
        if width not in twins:
            twins[width] = build_from_spec(spec, dim_in=width).double().eval()
        twin = twins[width]
        if twin.state_dict():
            twin.load_state_dict(module.state_dict())
        out: Array = twin(torch.from_numpy(x)).detach().numpy()
        return out

    return reference


def _require_same_weights(module: nn.Module, twin: nn.Module, name: str, twin_name: str) -> None:
    shapes, twin_shapes = _shapes(module), _shapes(twin)
    if not twin_shapes or shapes == twin_shapes:
        return
    keys = sorted(shapes.keys() | twin_shapes.keys())
    differing = [key for key in keys if shapes.get(key) != twin_shapes.get(key)]
    key = differing[0]
    more = f" (and {len(differing) - 1} more)" if len(differing) > 1 else ""
    raise UsageError(
        f"the weights of {name} do not fit its reference {twin_name}: {key} is {shapes.get(key, 'absent')} in {name} "
        f"and {twin_shapes.get(key, 'absent')} in {twin_name}{more}; "
        "give a function (module, x) -> encoding that reads them itself"
    )


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}
