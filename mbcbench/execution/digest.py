"""Digests of the sources and weights that the outcome of a cell depends on."""

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import mbcbench

if TYPE_CHECKING:  # reports compare digests, and need no torch
    from torch import nn

DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
PLUGIN_KINDS = ("encoders", "suites", "reports")
# These parts of mbcbench start cells, keep their records or show them. All others count where a suite imports them, so
# that a new part invalidates too much rather than too little.
OUTSIDE_CELLS = frozenset({"api", "cli", "errors", "execution", "pytest_plugin", "records", "registry", "reporting"})


def harness(sources: Iterable[Path]) -> str:
    """Return a digest of the parts of mbcbench that `sources` use inside a cell, directly or through one another."""
    pending, used = set(_imported_parts(sources)), dict[str, list[Path]]()
    while pending:
        part = pending.pop()
        used[part] = _files_of(part)
        pending |= set(_imported_parts(used[part])) - used.keys()
    return files(path for paths in used.values() for path in paths)


@cache
def installed() -> str:
    """Return a digest of all sources of this distribution that a cell may use."""
    folders = [Path(mbcbench.__file__).parent]
    for kind in ("encoders", "suites"):
        spec = importlib.util.find_spec(f"mbcbench.{kind}")
        folders += [Path(name) for name in spec.submodule_search_locations or ()] if spec is not None else []
    return files(path for folder in folders for path in folder.rglob("*.py"))


def _imported_parts(paths: Iterable[Path]) -> Iterator[str]:
    """Yield the names of the modules and packages directly below `mbcbench` that some files import."""
    for path in paths:
        for module in _imported_modules(path.read_bytes()):
            if module == "mbcbench":
                names = list(_public_names())
            elif module.startswith("mbcbench."):
                names = [module.split(".")[1]]
            else:
                continue
            parts = (_public_names().get(name, name) for name in names)
            yield from (part for part in parts if part not in OUTSIDE_CELLS and part not in PLUGIN_KINDS)


@cache
def _parse(content: bytes) -> ast.Module:
    """Parse a file. Cached, since plug-ins import many files in common."""
    return ast.parse(content)


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield a file's tree and all statements in it, which is faster than `ast.walk`: most nodes are expressions."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        yield node
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            pending += getattr(node, name, ())


@cache
def _public_names() -> dict[str, str]:
    """Return the part of mbcbench that each name of `mbcbench.__all__` comes from."""
    stub = ast.parse(Path(mbcbench.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {name.name: (node.module or name.name).split(".")[0] for node in imports for name in node.names}


@cache
def _imported_modules(content: bytes) -> list[str]:
    """Return the modules that a file may import absolutely; `from a import b` counts as `a.b`."""
    modules: list[str] = []
    for node in _statements(_parse(content)):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            modules += [f"{node.module}.{alias.name}" for alias in node.names]
    return modules


def _files_of(part: str) -> list[Path]:
    """Return the files of a module or package directly below `mbcbench`; none for another name."""
    path = Path(mbcbench.__file__).parent / part
    module = path.with_suffix(".py")
    return [module] if module.is_file() else sorted(path.rglob("*.py"))


def sources(modules: Iterable[str]) -> set[Path]:
    """Return the source files of a plug-in: those of the loaded `modules`, and the loaded files of their package.

    A module that is a package adds all files in its folder. The package of a module is the outermost one; for plug-ins
    of this distribution, it is the package of their kind. For a module outside a package, its folder takes that place.
    """
    loaded = [sys.modules[name] for name in modules if name in sys.modules and not name.startswith("torch.")]
    files = [(module.__name__, Path(module.__file__).resolve()) for module in loaded if module.__file__ is not None]
    return set[Path]().union(*(_sources_of(name, file) for name, file in files))


def _sources_of(name: str, file: Path) -> set[Path]:
    is_package = file.name == "__init__.py"
    in_package = is_package or (file.parent / "__init__.py").exists()
    folder = _package_folder(name, file, is_package) if in_package else file.parent
    beside = {path for path in _loaded_files(folder) if in_package or path.parent == folder}
    return {file} | beside | (set(file.parent.rglob("*.py")) if is_package else set())


def _package_folder(name: str, file: Path, is_package: bool) -> Path:
    """Return the folder of the outermost package of a module, or of its kind of plug-in."""
    depth = len(name.split(".")) - (0 if is_package else 1)  # packages around the file
    inside = 2 if name.startswith(tuple(f"mbcbench.{kind}." for kind in PLUGIN_KINDS)) else 1
    return file.parents[max(depth - inside, 0)]  # a file that is loaded by its path has no dotted name


def _loaded_files(folder: Path) -> set[Path]:
    """Return the files below a folder that are loaded."""
    names = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    candidates = (Path(name) for name in names if name and folder.name in str(name))  # few of thousands: paths are slow
    paths = {path for path in candidates if path.is_relative_to(folder)}
    return {path for path in paths if path.suffix == ".py" and path.is_file() and not _is_index(path)}


def sources_unloaded(module: str) -> set[Path]:
    """Return what `sources` returns for a module of this distribution's plug-ins, without importing it.

    Both agree in a process that loads this module and no other plug-in, if all imports are at the top of files.
    """
    package = ".".join(module.split(".")[:2])
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return set()
    folder = Path(spec.origin).parent
    files: dict[str, Path] = {}
    pending = {module}
    while pending:
        name = pending.pop()
        path = _file_in(folder, name.removeprefix(package))
        if path is not None and name not in files:
            files[name] = path
            parent = name.rpartition(".")[0]
            imported = {parent, *_imports_at_top(path, name if path.name == "__init__.py" else parent)}
            pending |= {other for other in imported if other.startswith(package)}
    whole = files[module].parent.rglob("*.py") if files[module].name == "__init__.py" else ()
    return {path for path in (*files.values(), *whole) if not _is_index(path)}


def _file_in(folder: Path, dotted: str) -> Path | None:
    """Return the file of a module, from its dotted name below a folder, or None."""
    path = folder.joinpath(*dotted.strip(".").split(".")) if dotted else folder
    candidates = (path / "__init__.py", path.with_suffix(".py"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _imports_at_top(path: Path, package: str) -> Iterator[str]:
    """Yield the modules that importing a file may import: of `from a import b`, both `a` and `a.b`.

    package: the package of the file, to which relative imports refer.
    """
    pending = list(_parse(path.read_bytes()).body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - max(node.level - 1, 0)] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (module, *(f"{module}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.If):
            is_for_types = ast.unparse(node.test).endswith("TYPE_CHECKING")
            pending += node.orelse if is_for_types else [*node.body, *node.orelse]
        elif isinstance(node, ast.Try):
            pending += [*node.body, *node.orelse, *(statement for each in node.handlers for statement in each.body)]


def _is_index(path: Path) -> bool:
    """Return True for an index of plug-ins, which every new plug-in changes (see `mbcbench.registry.Index`)."""
    return path.stem == "index" or path.stem.endswith("_index")


def files(paths: Iterable[Path]) -> str:
    """Return a digest of the contents of files, without their paths; comments and docstrings do not count."""
    parts = sorted(_code_digest(path.read_bytes()) for path in paths)
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]


@cache
def _code_digest(content: bytes) -> str:
    try:
        tree = _parse(content)  # loses its docstrings below, which nothing else reads
    except (SyntaxError, ValueError):  # not Python, or not of this version
        return hashlib.sha256(content).hexdigest()
    for node in _statements(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()


def weights(module: "nn.Module") -> str:
    """Return a digest of a module's parameters and buffers."""
    from torch import Tensor

    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        if isinstance(value, Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().double().numpy().tobytes())
    return digest.hexdigest()[:16]
