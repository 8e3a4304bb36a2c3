"""Targets: the ways to name an encoder, resolved to a spec and built.

A target string is a registered name, `package.module:attr` or `path/to/file.py:attr`. The attribute, or an object that
is passed in its place, is an `EncoderSpec`, a module class or factory (called with the element width), or a module.
"""

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
from torch import nn

from mbcbench import registry
from mbcbench.errors import ADAPTERS_GUIDE, EXTRAS, BrokenPluginError, UsageError, install_hint, one_line, user_frame
from mbcbench.protocol.encoder import with_forward
from mbcbench.protocol.factory import FUNCTION_FIX, InstanceFactory, argument_advice, factory_of, width_advice
from mbcbench.protocol.spec import EncoderSpec

NAMES_SHOWN = 8  # names of a module that a message lists


def get_spec(name: str) -> EncoderSpec:
    """Return the spec of an encoder.

    Parameters
    ----------
    name
        A registered name, `package.module:attr` or `path/to/file.py:attr`.

    Returns
    -------
    EncoderSpec
        The spec itself, or one made for a class, factory or module.

    Raises
    ------
    UsageError
        If the name does not lead to an encoder.
    BrokenPluginError
        If importing it fails.
    """
    return spec_from_object(load_target(name), name=name)


def build(name: str, *, dim_in: int, seed: int = 0, **hyper: Any) -> nn.Module:
    """Build an encoder.

    Parameters
    ----------
    name
        A registered name, `package.module:attr` or `path/to/file.py:attr`.
    dim_in
        Element width `d`.
    seed
        Seed of the parameters. The global random state is left unchanged.
    **hyper
        Hyper-parameters that override the defaults of the spec.

    Returns
    -------
    torch.nn.Module
        An encoder for sets of shape `B x n x d`.

    Raises
    ------
    UsageError
        If the name does not lead to an encoder.
    BrokenPluginError
        If importing or building it fails.
    """
    return build_from_spec(get_spec(name), dim_in=dim_in, seed=seed, **hyper)


def build_from_spec(spec: EncoderSpec, *, dim_in: int, seed: int = 0, **hyper: Any) -> nn.Module:
    """Build an encoder; raise BrokenPluginError if its factory fails, UsageError if it returns something else."""

    def make() -> object:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return spec.build(dim_in, **hyper)

    try:
        module = call_plugin(make, f"building {spec.name} for elements of width {dim_in}")
    except BrokenPluginError as error:
        hypers = {**spec.hyper, **hyper}
        advice = argument_advice(spec.factory, error.__cause__, hypers) or width_advice(spec.factory, error.__cause__)
        raise BrokenPluginError(f"{error}{advice}") from error.__cause__
    if not isinstance(module, nn.Module):
        what = f"{spec.name}: its factory returned {shorten(module)}, which is not a torch.nn.Module"
        raise UsageError(f"{what}{FUNCTION_FIX}")
    return with_forward(module)


def load_target(target: str) -> object:
    """Return the object that a target string points to. Raises like `get_spec`."""
    if ":" not in target:
        plugin = registry.plugin(registry.ENCODERS, target)
        return call_plugin(plugin.load, f"plug-in {target!r} ({plugin.target})")
    return _attribute(import_target_module(target), target.rpartition(":")[2], target)


def import_target_module(target: str) -> ModuleType:
    """Import the module that a target string names. Raises like `get_spec`."""
    if ":" not in target:
        return importlib.import_module(registry.plugin(registry.ENCODERS, target).module)
    where = target.rpartition(":")[0]
    return _module_from_path(where) if where.endswith(".py") else _module_from_name(where, target)


def resolve_target(target: object) -> EncoderSpec:
    """Return the spec of a target string or object. Raises like `get_spec`."""
    return get_spec(target) if isinstance(target, str) else spec_from_object(target, target_name(target))


def spec_from_object(target: object, name: str) -> EncoderSpec:
    """Return `target` as a spec called `name`; raise UsageError if it is not an encoder."""
    if isinstance(target, EncoderSpec):
        return target
    if isinstance(target, nn.Module):
        return EncoderSpec(name=name, factory=InstanceFactory(target), summary=_summary(type(target)))
    if inspect.isclass(target) and not issubclass(target, nn.Module):
        raise UsageError(
            f"{name} is the class {target.__name__}, which is not a torch.nn.Module; if it keeps a stream in its "
            f"attributes, wrap it: mbcbench.adapters.StatefulAdapter(object, fields) ({ADAPTERS_GUIDE})"
        )
    if callable(target):
        return EncoderSpec(name=name, factory=factory_of(target), summary=_summary(target))
    raise UsageError(
        f"{name} is {shorten(target)}, which is not an encoder; "
        "give an EncoderSpec, a torch.nn.Module class or factory (called with the element width), or an instance"
    )


def target_name(target: Any) -> str:
    """Return a stable name: the target string if there is one, else the name of the spec, class or function."""
    name = target if isinstance(target, str) else target_string(target)
    if name is not None:
        return name
    if isinstance(target, EncoderSpec):
        return target.name
    underlying = target
    while hasattr(underlying, "func"):  # functools.partial
        underlying = underlying.func
    return str(getattr(underlying, "__name__", type(underlying).__name__))


def target_string(target: Any) -> str | None:
    """Return the target string that leads to a live object, or None if it cannot be reached by name."""
    if isinstance(target, EncoderSpec):
        return target.name if _is_registered(target) else None
    if isinstance(target, nn.Module) or not hasattr(target, "__qualname__"):
        return None
    module, attribute = target.__module__, target.__qualname__
    is_importable = module != "__main__" and getattr(sys.modules.get(module), attribute, None) is target
    return f"{module}:{attribute}" if is_importable else None


def _is_registered(spec: EncoderSpec) -> bool:
    plugin = registry.plugins(registry.ENCODERS).get(spec.name)
    if plugin is None:
        return False
    module = sys.modules.get(plugin.module)
    return module is not None and getattr(module, plugin.attribute, None) is spec


def call_plugin(action: Callable[[], object], what: str) -> Any:
    """Call a plug-in's code and return its result; turn whatever it raises into a BrokenPluginError of one line."""
    try:
        return action()
    except (KeyboardInterrupt, UsageError, BrokenPluginError):
        raise
    except BaseException as error:  # a plug-in may call sys.exit
        raise BrokenPluginError(f"{what}: {one_line(error)}{user_frame(error)}") from error


def _module_from_path(where: str) -> ModuleType:
    path = Path(where).expanduser()
    if not path.is_file():
        raise UsageError(f"no such file: {where}")
    _append_to_path(path.resolve().parent)  # as for a script: the file may import its neighbours
    name = f"mbcbench_target_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        call_plugin(lambda: spec.loader.exec_module(module), f"importing {where}")  # type: ignore[union-attr]
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _append_to_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
        importlib.invalidate_caches()


def _module_from_name(where: str, target: str) -> ModuleType:
    _append_to_path(Path.cwd())  # as for `python -m`
    if not _is_found(where):
        library = where.partition(".")[0]
        hint = install_hint(library) if library in EXTRAS else "is it installed, or on PYTHONPATH?"
        raise UsageError(f"no module is called {where!r} (target {target}); {hint}")
    module: ModuleType = call_plugin(lambda: importlib.import_module(where), f"importing {where}")
    return module


def _is_found(where: str) -> bool:
    """Return True if there is a module of this name. Its parents are imported; an error in one is reported as such."""
    parent = where.rpartition(".")[0]
    if parent and not _is_found(parent):
        return False
    if parent:
        call_plugin(lambda: importlib.import_module(parent), f"importing {parent}")
    try:
        return importlib.util.find_spec(where) is not None
    except (ModuleNotFoundError, ValueError):  # the parent is not a package, or the module in memory has no spec
        return False


def _attribute(module: ModuleType, attribute: str, target: str) -> object:
    try:
        return getattr(module, attribute)
    except AttributeError:
        names = [name for name in vars(module) if not name.startswith("_")]
        own = [name for name in names if getattr(vars(module)[name], "__module__", "") == module.__name__]
        defined = f"; it defines {', '.join(own[:NAMES_SHOWN])}" if own else ""
        suggestion = registry.did_you_mean(attribute, names) or defined
        raise UsageError(f"{target}: the module has no attribute {attribute!r}{suggestion}") from None


def _summary(target: object) -> str:
    """Return the first line of a target's own docstring; an inherited one says nothing about it."""
    if inspect.isclass(target):
        doc = vars(target).get("__doc__")
    else:
        doc = target.__doc__ if inspect.isroutine(target) else None
    return inspect.cleandoc(doc).partition("\n")[0] if doc else ""


def shorten(value: object) -> str:
    """Return the repr of a value, cut to 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
