"""The paper's ModelNet40: meshes of forty classes, as the archive lays them out.

`ModelNet40/<class>/{train,test}/*.off`; points are drawn from the surfaces, uniformly by area.
"""

import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mbcbench.datasets import cache, download, off
from mbcbench.datasets.base import Clouds, DataSet
from mbcbench.datasets.cad import POINTS
from mbcbench.datasets.progress import track
from mbcbench.datasets.shapes import surface
from mbcbench.errors import UsageError

ARCHIVE = "ModelNet40.zip"
CHECKSUM = "42dc3e656932e387f554e25a4eb2cc0e1a1bd3ab54606e2a9eae444c60e536ac"
MIRRORS = ("https://modelnet.cs.princeton.edu/", "http://modelnet.cs.princeton.edu/")
SEED = 42
PARTS = ("train", "test")


def folder() -> Path:
    """Where the classes lie."""
    return cache.folder() / "ModelNet40"


def modelnet40(points: int = POINTS) -> Clouds:
    """`points` points of each object, drawn once. Raises UsageError: a file is missing or damaged."""
    files = _files()
    sizes = [(path.name, path.stat().st_size) for part in PARTS for _, path in files[part]]
    key = f"modelnet40-{points}-{cache.digest(sizes, Path(__file__), Path(surface.__file__))[:12]}"
    arrays = cache.keep(key, lambda: _make(files, points))
    return Clouds(**arrays, classes=_classes(), name=DATA.name, source=DATA.source)


def _make(files: dict[str, list[tuple[int, Path]]], points: int) -> cache.Arrays:
    made: dict[str, NDArray[Any]] = {}
    for number, part in enumerate(PARTS):
        clouds = np.empty((len(files[part]), points, 3), np.float32)
        for i, (_, path) in enumerate(track(files[part], f"ModelNet40 {part}")):
            clouds[i] = _cloud(path, points, np.random.default_rng((SEED, number, i)))
        made |= {part: clouds, f"{part}_labels": np.array([label for label, _ in files[part]])}
    return made


def _classes() -> list[str]:
    classes = sorted(path.name for path in folder().glob("*") if path.is_dir())
    if not classes:
        raise UsageError(f"there are no classes in {folder()}; {_remedy()}")
    return classes


def _files() -> dict[str, list[tuple[int, Path]]]:
    """The label and the file of every object in both parts."""
    files: dict[str, list[tuple[int, Path]]] = {part: [] for part in PARTS}
    for label, name in enumerate(_classes()):
        for part in PARTS:
            found = sorted((folder() / name / part).glob("*.off"))
            if not found:
                raise UsageError(f"there are no OFF files in {folder() / name / part}; {_remedy()}")
            files[part] += [(label, path) for path in found]
    return files


def _cloud(path: Path, points: int, rng: np.random.Generator) -> NDArray[np.float32]:
    try:
        return surface.normalised(surface.sample(off.read(path), points, rng))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is damaged ({error}); {_remedy()}") from error


def _remedy() -> str:
    return f"delete {folder()} and get it again: mbcbench data fetch modelnet40"


def _verify() -> str:
    files, rng = _files(), np.random.default_rng(SEED)
    for _, path in track([file for part in PARTS for file in files[part]], "ModelNet40"):
        _cloud(path, 2, rng)
    meshes = f"{len(files['train'])} + {len(files['test'])} meshes of {len(_classes())} classes"
    return f"{meshes}; {cache.verify(DATA.name)}"


def _fetch(offline: bool) -> None:
    if folder().is_dir():
        _files()
        return
    root = cache.folder()
    archive = download.fetch([m + ARCHIVE for m in MIRRORS], root / ARCHIVE, CHECKSUM, offline=offline)
    unpack(archive, root)
    archive.unlink()


def unpack(archive: Path, root: Path) -> None:
    """The folder ModelNet40 of the archive, into `root`; whole or not at all."""
    try:
        with tempfile.TemporaryDirectory(dir=root, prefix=".") as aside, zipfile.ZipFile(archive) as file:
            names = [name for name in file.namelist() if name.startswith("ModelNet40/") and name.endswith(".off")]
            file.extractall(aside, names)
            os.replace(Path(aside) / "ModelNet40", root / "ModelNet40")
    except (OSError, zipfile.BadZipFile) as error:
        raise UsageError(
            f"cannot unpack {archive} ({error}); delete it and get it again: mbcbench data fetch modelnet40"
        ) from error


DATA = DataSet(
    name="modelnet40",
    kind="clouds",
    paper=True,
    source="ModelNet40, Z. Wu et al., Princeton",
    licence="academic research only; the models' copyright is their authors'",
    checksums={ARCHIVE: CHECKSUM},
    load=modelnet40,
    verify=_verify,
    fetch=_fetch,
    where=folder,
)
