"""Digests of the sources and weights that a cell's outcome depends on."""

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from torch import Tensor, nn

import mbcbench

PLUGINS = ("mbcbench.encoders", "mbcbench.suites", "mbcbench.reports")
# The packages of mbcbench that compute inside a cell. The others start cells, keep their records or show them.
IN_CELLS = ("protocol", "verify", "datasets")


def harness(sources: Iterable[Path]) -> str:
    """Return a digest of the packages of mbcbench that `sources` use inside a cell, directly or through one another."""
    root = Path(mbcbench.__file__).parent
    pending, used = set(_packages(sources)), set[str]()
    while pending:
        package = pending.pop()
        used.add(package)
        pending |= set(_packages((root / package).rglob("*.py"))) - used
    return files(path for package in used for path in (root / package).rglob("*.py"))


def _packages(sources: Iterable[Path]) -> Iterator[str]:
    """Yield the packages among `IN_CELLS` that some files import."""
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            parts = (name.split(".") for name in names)
            yield from (p[1] for p in parts if p[0] == "mbcbench" and len(p) > 1 and p[1] in IN_CELLS)


def sources(modules: Iterable[str]) -> set[Path]:
    """Return the source files of a plug-in's loaded modules, and of all that they have loaded of their own package.

    A package stands for everything in its folder. A file on its own stands for itself and what is loaded from the same
    folder.
    """
    own = (sys.modules[name] for name in modules if name in sys.modules and not name.startswith("torch."))
    return set[Path]().union(*(_around(m.__name__, Path(m.__file__)) for m in own if m.__file__ is not None))


def _around(name: str, file: Path) -> set[Path]:
    file = file.resolve()
    if file.name == "__init__.py":
        return set(file.parent.rglob("*.py"))
    in_package = (file.parent / "__init__.py").exists()
    folder = _package_folder(name, file) if in_package else file.parent
    loaded = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    paths = {Path(name) for name in loaded if name and Path(name).is_absolute()}  # torch has modules without a file
    near = {p for p in paths if p.parent == folder or (in_package and p.is_relative_to(folder))}
    return {file} | {p for p in near if p.suffix == ".py" and p.is_file()}


def _package_folder(name: str, file: Path) -> Path:
    """Return the folder of the outermost package of a module; of our own plug-ins that is the kind of plug-in."""
    inside = next((len(kind.split(".")) for kind in PLUGINS if name.startswith(f"{kind}.")), 1)
    return file.parents[len(name.split(".")) - inside - 1]


def files(paths: Iterable[Path]) -> str:
    """Return a digest of the contents of some files, wherever they lie."""
    parts = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]


def weights(module: nn.Module) -> str:
    """Return a digest of a module's parameters and buffers."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        if isinstance(value, Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().double().numpy().tobytes())
    return digest.hexdigest()[:16]
