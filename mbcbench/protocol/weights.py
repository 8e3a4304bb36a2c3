"""Trained weights of an encoder, from a state_dict or a checkpoint of a training loop.

A checkpoint holds the names of the encoder behind some prefix, such as `model.` (Lightning), `module.`
(DistributedDataParallel) or `_orig_mod.` (torch.compile), possibly in a dict under some key and next to other weights.
"""

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from mbcbench.errors import UsageError, one_line, plural
from mbcbench.protocol.adapter import Adapter

FIX = "give the width (--dim-in) and the --hyper of its training"
MAX_DICTS = 100_000  # searched for weights; an optimizer has one for each parameter
ARCHIVE = b"PK\x03\x04"  # how a ZIP archive begins
_EXTRA_STATE = "_extra_state"  # name of what `Module.get_extra_state` returns, often not a tensor
NAMES_SHOWN = 3  # of missing or unexpected weights


@dataclass(frozen=True)
class Weights:
    """Weights by their names in the encoder, and their place in the file: a key and a prefix."""

    tensors: Mapping[str, Any]
    key: str
    prefix: str
    others: int = 0

    @property
    def place(self) -> str:
        """Key of the weights, as `--weights-key` takes it; empty for a plain state_dict."""
        return f"{self.key}.{self.prefix}".strip(".")


def load_weights(module: nn.Module, file: Path, name: str, key: str = "", fix: str = FIX) -> str:
    """Load trained weights into `module`, possibly inside adapters.

    Return a note on their place in the file, or an empty string for a plain state_dict.

    key: the dict of the file, or the prefix of its names, that holds them; by default the only one that fits.
    fix: advice if their shapes differ from those of the encoder.
    Raises UsageError if the file cannot be read or its weights do not fit.
    """
    while isinstance(module, Adapter):  # an adapter has no weights of its own
        module = module.module
    content = _read(file)
    weights = _find(content, module.state_dict(), file, name, key)
    try:
        module.load_state_dict(dict(weights.tensors))
    except RuntimeError as error:  # shapes
        reason = _shapes(weights.tensors, module.state_dict()) or one_line(error)
        raise UsageError(f"{file} does not fit {name}: {reason}; {fix}") from error
    others = f", ignored {plural(weights.others, 'other tensor')}" if weights.others else ""
    return f"{file}: took the weights under {weights.place!r}{others}" if weights.place else ""


def _read(file: Path) -> Mapping[str, Any]:
    if not file.is_file():
        raise UsageError(f"no such file: {file}")
    try:
        if file.suffix == ".safetensors":
            return safetensors.torch.load_file(file)
        content: object = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many types
        if isinstance(error, pickle.UnpicklingError) and _is_archive(file):
            fix = f"torch.save(torch.load({str(file)!r}, weights_only=False).state_dict(), 'weights.pt')"
            raise UsageError(f"{file} holds Python objects, not only tensors; if you trust it: {fix}") from error
        raise UsageError(f"{file} is not a file of weights that torch or safetensors saved") from error
    if not isinstance(content, Mapping):
        raise UsageError(f"{file} holds a {type(content).__name__}, not a state_dict")
    if any(number >= MAX_DICTS for number, _ in enumerate(_dicts(content))):  # dicts may hold one another many times
        raise UsageError(f"{file} holds more than {MAX_DICTS:,} dicts; save the state_dict alone")
    return content


def _is_archive(file: Path) -> bool:
    """Return True if a file begins like those of torch.save, which are ZIP archives."""
    with file.open("rb") as content:
        return content.read(len(ARCHIVE)) == ARCHIVE


def _find(content: Mapping[str, Any], names: Mapping[str, Any], file: Path, name: str, key: str) -> Weights:
    """Return the weights under a key, or the only ones that have all `names`."""
    fitting = [weights for weights in _candidates(content, names) if not key or weights.place == key]
    plain = [weights for weights in fitting if not weights.place]
    if len(fitting) == 1 or plain:
        return (plain or fitting)[0]
    if fitting:
        raise UsageError(
            f"{file} holds several weights for {name}; choose one with --weights-key: "
            f"{', '.join(weights.place for weights in fitting)}"
        )
    if key and (places := [weights.place for weights in _candidates(content, names)]):
        raise UsageError(f"{file} has no weights for {name} under {key!r}, but under {', '.join(map(repr, places))}")
    raise UsageError(f"{file} does not fit {name}: {_difference(content, names)}")


def _candidates(content: Mapping[str, Any], names: Mapping[str, Any]) -> Iterator[Weights]:
    """Yield the groups of tensors, in a dict and the dicts inside it, that have all `names` behind one prefix."""
    first = next(iter(names), None)
    for key, tensors in _dicts(content):
        keys = [str(k) for k, value in tensors.items() if isinstance(value, Tensor) or str(k).endswith(_EXTRA_STATE)]
        for prefix in dict.fromkeys(k.removesuffix(first) for k in keys if first is not None and k.endswith(first)):
            behind = {k for k in keys if k.startswith(prefix)}
            if (not prefix or prefix.endswith(".")) and behind == {prefix + name for name in names}:
                weights = {name: tensors[prefix + name] for name in names}
                yield Weights(weights, key, prefix, len(keys) - len(behind))


def _dicts(content: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield a dict and all dicts inside it with their keys, but no dict inside itself: a file may have cycles."""
    pending: list[tuple[str, Mapping[str, Any], frozenset[int]]] = [("", content, frozenset())]
    while pending:
        key, outer, around = pending.pop()
        yield key, outer
        inside = around | {id(outer)}
        for inner, value in reversed(list(outer.items())):
            if isinstance(value, Mapping) and id(value) not in inside:
                pending.append((f"{key}.{inner}".strip("."), value, inside))


def _difference(content: Mapping[str, Any], names: Mapping[str, Any]) -> str:
    """Return the missing and the unexpected names in the dict that is most similar to a state_dict."""
    dicts = [content, *(value for value in content.values() if isinstance(value, Mapping))]
    keys = max(dicts, key=lambda d: sum(isinstance(value, Tensor) for value in d.values())).keys()
    missing, unexpected = [n for n in names if n not in keys], [str(k) for k in keys if k not in names]
    parts = [f"it lacks {_some(missing)}"] if missing else []
    return " and ".join([*parts, *([f"has {_some(unexpected)}"] if unexpected else [])]) or "some values are no tensors"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more


def _shapes(tensors: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """Return the first name whose shapes differ, with both shapes."""
    pairs = ((name, tuple(tensors[name].shape), tuple(tensor.shape)) for name, tensor in expected.items())
    differing = ((name, shape, own) for name, shape, own in pairs if shape != own)
    return next((f"{name} is {shape} in the file and {own} in the encoder" for name, shape, own in differing), "")
