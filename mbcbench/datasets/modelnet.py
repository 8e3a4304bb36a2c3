"""The paper's ModelNet40: meshes of forty classes, as in the archive.

`ModelNet40/<class>/{train,test}/*.off`; points are drawn from the surfaces, uniformly by area.
"""

import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mbcbench.datasets import cache, download, off
from mbcbench.datasets.base import CloudDataSet, Clouds
from mbcbench.datasets.parts import Work, compute_in_parts, in_blocks
from mbcbench.datasets.progress import track
from mbcbench.datasets.shapes import surface
from mbcbench.errors import UsageError

ARCHIVE = "ModelNet40.zip"
CHECKSUM = "42dc3e656932e387f554e25a4eb2cc0e1a1bd3ab54606e2a9eae444c60e536ac"
MIRRORS = ("https://modelnet.cs.princeton.edu/", "http://modelnet.cs.princeton.edu/")
SEED = 42
PARTS = ("train", "test")
MESHES_OF_PART = 100  # read by one core in a row: a few seconds, which is what an interruption loses


class LabelledFile(NamedTuple):
    """The mesh of one object, and the index of its class."""

    label: int
    path: Path


class ModelNet40(CloudDataSet):
    """Points on the surfaces of ModelNet40's objects, drawn once."""

    name = "modelnet40"
    paper = True
    source = "ModelNet40, Z. Wu et al., Princeton"
    licence = "academic research only; the models' copyright is their authors'"
    checksums: ClassVar[Mapping[str, str]] = {ARCHIVE: CHECKSUM}

    def path(self) -> Path:
        return cache.data_folder() / "ModelNet40"

    def load(self, points: int = 2000) -> Clouds:
        files = self._files()
        sizes = [(file.path.name, file.path.stat().st_size) for part in PARTS for file in files[part]]
        key = f"{self.name}-{points}-{cache.digest(sizes, Path(__file__), Path(surface.__file__))[:12]}"
        arrays = cache.cached_arrays(key, lambda: self._make_clouds(key, files, points))
        return Clouds(**arrays, classes=self._classes(), name=self.name, source=self.source)

    def verify(self) -> str:
        files, rng = self._files(), np.random.default_rng(SEED)
        for file in track([file for part in PARTS for file in files[part]], "ModelNet40"):
            self._make_cloud(file.path, 2, rng)
        meshes = f"{len(files['train'])} + {len(files['test'])} meshes of {len(self._classes())} classes"
        return f"{meshes}; {cache.verify_arrays(self.name)}"

    def fetch(self, *, offline: bool = False) -> None:
        if self.path().is_dir():
            self._files()
            return
        root = cache.data_folder()
        urls = [mirror + ARCHIVE for mirror in MIRRORS]
        archive = download.fetch_file(urls, root / ARCHIVE, CHECKSUM, offline=offline)
        unpack(archive, root)
        archive.unlink()

    def _classes(self) -> list[str]:
        classes = sorted(path.name for path in self.path().glob("*") if path.is_dir())
        if not classes:
            raise UsageError(f"there are no classes in {self.path()}; {self._remedy()}")
        return classes

    def _files(self) -> dict[str, list[LabelledFile]]:
        """Return the file and label of every object in both parts."""
        files: dict[str, list[LabelledFile]] = {part: [] for part in PARTS}
        for label, name in enumerate(self._classes()):
            for part in PARTS:
                folder = self.path() / name / part
                meshes = sorted(folder.glob("*.off"))
                if not meshes:
                    raise UsageError(f"there are no OFF files in {folder}; {self._remedy()}")
                files[part] += [LabelledFile(label, path) for path in meshes]
        return files

    def _make_clouds(self, key: str, files: dict[str, list[LabelledFile]], points: int) -> cache.Arrays:
        seeded = [(file.path, (SEED, n, i)) for n, part in enumerate(PARTS) for i, file in enumerate(files[part])]

        def compute(block: Sequence[tuple[Path, tuple[int, ...]]]) -> NDArray[np.float32]:
            clouds = [self._make_cloud(path, points, np.random.default_rng(seed)) for path, seed in block]
            return np.stack(clouds)

        work = Work(self.name, len(seeded), "meshes")
        clouds = compute_in_parts(key, in_blocks(seeded, MESHES_OF_PART), compute, work)
        arrays: dict[str, NDArray[Any]] = dict(zip(PARTS, np.split(clouds, [len(files["train"])]), strict=True))
        labels = {f"{part}_labels": np.array([file.label for file in files[part]]) for part in PARTS}
        return arrays | labels

    def _make_cloud(self, path: Path, points: int, rng: np.random.Generator) -> NDArray[np.float32]:
        try:
            return surface.normalize(surface.sample_surface(off.read_mesh(path), points, rng))
        except (OSError, ValueError) as error:
            raise UsageError(f"{path} is damaged ({error}); {self._remedy()}") from error

    def _remedy(self) -> str:
        return f"delete {self.path()} and get it again: mbcbench data fetch modelnet40"


def unpack(archive: Path, root: Path) -> None:
    """Unpack the folder ModelNet40 of the archive into `root`, completely or not at all."""
    try:
        with tempfile.TemporaryDirectory(dir=root, prefix=".") as temporary, zipfile.ZipFile(archive) as file:
            names = [name for name in file.namelist() if name.startswith("ModelNet40/") and name.endswith(".off")]
            file.extractall(temporary, names)
            os.replace(Path(temporary) / "ModelNet40", root / "ModelNet40")
    except (OSError, zipfile.BadZipFile) as error:
        raise UsageError(
            f"cannot unpack {archive} ({error}); delete it and get it again: mbcbench data fetch modelnet40"
        ) from error
