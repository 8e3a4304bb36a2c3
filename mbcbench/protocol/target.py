"""Targets: a registered name, `package.module:attr`, or `path/to/file.py:attr`, resolved to a spec.

The attribute is an `EncoderSpec`, a module class or factory called with the element width, or an instance.
"""

import copy
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from mbcbench import registry
from mbcbench.errors import BrokenPluginError, UsageError, one_line
from mbcbench.protocol.spec import EncoderSpec


def resolve(target: str) -> EncoderSpec:
    """The spec behind a target.

    Raises UsageError when the target names nothing usable and BrokenPluginError when the plug-in's own code fails.
    """
    return as_spec(find(target), name=target)


def find(target: str) -> object:
    """What a target points to. Raises as `resolve` does."""
    if ":" not in target:
        found = registry.plugin(registry.ENCODERS, target)
        return guarded(found.load, f"plug-in {target!r} ({found.target})")
    return _attribute(module_of(target), target.rpartition(":")[2], target)


def module_of(target: str) -> ModuleType:
    """The module that a target names, imported. Raises as `resolve` does."""
    if ":" not in target:
        return importlib.import_module(registry.plugin(registry.ENCODERS, target).module)
    where = target.rpartition(":")[0]
    return _module_from_path(where) if where.endswith(".py") else _module_from_name(where, target)


def as_spec(found: object, name: str) -> EncoderSpec:
    """A spec for what a target points to. Raises UsageError when it is no encoder."""
    if isinstance(found, EncoderSpec):
        return found
    if isinstance(found, nn.Module):
        return EncoderSpec(name=name, factory=_InstanceFactory(found), summary=_summary(type(found)))
    if inspect.isclass(found) and not issubclass(found, nn.Module):
        raise UsageError(f"{name} is the class {found.__name__}, which is no torch.nn.Module")
    if callable(found):
        return EncoderSpec(name=name, factory=found, summary=_summary(found))
    raise UsageError(
        f"{name} is {_shown(found)}, which is no encoder; "
        "give an EncoderSpec, a torch.nn.Module class or factory (called with the element width), or an instance"
    )


class _InstanceFactory:
    """Builds copies of a given module, so that nothing done to them reaches the original."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, dim_in: int) -> nn.Module:
        return copy.deepcopy(self.module)


def build(spec: EncoderSpec, *, dim_in: int, seed: int = 0, **hyper: Any) -> nn.Module:
    """A module built from `spec` under `seed`, the global random state left as it was.

    Raises BrokenPluginError when the factory fails and UsageError when it gives no module.
    """

    def make() -> object:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return spec.build(dim_in, **hyper)

    module = guarded(make, f"building {spec.name} for elements of width {dim_in}")
    if not isinstance(module, nn.Module):
        raise UsageError(f"{spec.name}: its factory gave {_shown(module)}, which is no torch.nn.Module")
    return module


DIM_IN = 3


def element_width(spec: EncoderSpec) -> int:
    """The width of elements to build `spec` for: any will do for a factory, an instance has one of its own."""
    if not isinstance(spec.factory, _InstanceFactory):
        return DIM_IN
    module = spec.factory.module
    own = getattr(module, "dim_in", None)
    first = next((m.in_features for m in module.modules() if isinstance(m, nn.Linear)), DIM_IN)
    return own if isinstance(own, int) else first


def validate(module: nn.Module, *, dim_in: int, name: str) -> None:
    """One encoding of a small batch. Raises UsageError when its shape is wrong, BrokenPluginError when it fails."""
    x = torch.linspace(-1, 1, 2 * 3 * dim_in, dtype=torch.get_default_dtype()).reshape(2, 3, dim_in)
    first = next(iter(module.parameters()), None)
    if first is not None and first.is_floating_point():
        x = x.to(device=first.device, dtype=first.dtype)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        out = guarded(lambda: module(x), f"{name} on an input of shape {tuple(x.shape)}")
    if not isinstance(out, Tensor):
        raise UsageError(f"{name}: forward gave {_shown(out)}, not a tensor")
    if out.dim() < 2 or out.shape[0] != 2:
        raise UsageError(
            f"{name}: forward gave shape {tuple(out.shape)} for an input of shape {tuple(x.shape)}; "
            "the first dimension must be the batch size (2), and the encoding at least one number wide"
        )


def guarded(action: Callable[[], object], what: str) -> Any:
    """The result of a plug-in's own code; what it raises becomes a BrokenPluginError with one line."""
    try:
        return action()
    except (KeyboardInterrupt, UsageError, BrokenPluginError):
        raise
    except BaseException as error:  # a plug-in may call sys.exit
        raise BrokenPluginError(f"{what}: {one_line(error)}") from error


def _module_from_path(where: str) -> ModuleType:
    path = Path(where).expanduser()
    if not path.is_file():
        raise UsageError(f"no such file: {where}")
    name = f"mbcbench_target_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        guarded(lambda: spec.loader.exec_module(module), f"importing {where}")  # type: ignore[union-attr]
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _module_from_name(where: str, target: str) -> ModuleType:
    try:
        found = importlib.util.find_spec(where)
    except (ModuleNotFoundError, ValueError):
        found = None
    if found is None:
        raise UsageError(f"no module is called {where!r} (target {target}); is it installed, or on PYTHONPATH?")
    module: ModuleType = guarded(lambda: importlib.import_module(where), f"importing {where}")
    return module


def _attribute(module: ModuleType, attribute: str, target: str) -> object:
    try:
        return getattr(module, attribute)
    except AttributeError:
        names = [name for name in vars(module) if not name.startswith("_")]
        near = registry.did_you_mean(attribute, names)
        raise UsageError(f"{target}: the module has no attribute {attribute!r}{near}") from None


def _summary(found: object) -> str:
    doc = inspect.getdoc(found)
    return doc.splitlines()[0] if doc else ""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
