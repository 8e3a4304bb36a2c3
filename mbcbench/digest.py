"""Digests of what can change a cell's outcome: sources and weights."""

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path

from torch import Tensor, nn

import mbcbench

# Modules of mbcbench that start, store and show the work of cells, and have no part in it.
OUTSIDE_CELLS = frozenset(
    {
        "asv_results", "checked", "checking", "checkpoint", "cli", "cli_compare", "cli_data", "cli_encode", "commands",
        "compare", "display", "drawing", "encode", "machine", "orchestra", "parametrize", "pytest_plugin", "report",
        "reproduce", "runner", "scaffold", "sources", "store", "tables",
    }
)  # fmt: skip


def harness() -> str:
    """A digest of the harness: every module of mbcbench's own that works inside a cell."""
    folder = Path(mbcbench.__file__).parent
    modules = (path for path in folder.glob("*.py") if path.stem not in OUTSIDE_CELLS)
    return files([*modules, *(folder / "data").glob("*.py")])


def code_around(file: Path) -> set[Path]:
    """The source files that a plug-in's module is made of.

    A package is all that lies in its folder. A module of a package is itself and what is loaded of that package;
    a file on its own is itself and what is loaded from beside it.
    """
    file = file.resolve()
    if file.name == "__init__.py":
        return set(file.parent.rglob("*.py"))
    in_package = (file.parent / "__init__.py").exists()
    loaded = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    paths = {Path(name) for name in loaded if name and Path(name).is_absolute()}  # torch has modules without a file
    near = {p for p in paths if p.parent == file.parent or (in_package and p.is_relative_to(file.parent))}
    return {file} | {p for p in near if p.suffix == ".py" and p.is_file()}


def files(paths: Iterable[Path]) -> str:
    """A digest of the contents of some files, wherever they lie."""
    parts = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]


def weights(module: nn.Module) -> str:
    """A digest of a module's parameters and buffers."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        if isinstance(value, Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().double().numpy().tobytes())
    return digest.hexdigest()[:16]
