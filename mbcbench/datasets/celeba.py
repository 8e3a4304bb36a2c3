"""The paper's CelebA: aligned faces, and the file that assigns them to parts, as in the archive.

`celeba/img_align_celeba/*.jpg` and `celeba/list_eval_partition.txt`, as torchvision expects them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mbcbench.datasets import cache, images
from mbcbench.datasets.base import PatchDataSet, Patches
from mbcbench.datasets.parts import Work, compute_in_parts, in_blocks
from mbcbench.datasets.progress import track
from mbcbench.errors import UsageError

CROP = 178  # pixels of the central square: a face is 178 wide and 218 high
TRAIN, VALID, TEST = 0, 1, 2  # codes in the partition file
IMAGES_OF_PART = 2000  # read by one core in a row: a few seconds, which is what an interruption loses
PARTITION, IMAGES = "list_eval_partition.txt", "img_align_celeba"


class CelebA(PatchDataSet):
    """The central square of each face, resized; split as CelebA says, without its validation part."""

    name = "celeba"
    paper = True
    source = "CelebA, Z. Liu, P. Luo, X. Wang, X. Tang"
    licence = "non-commercial research only, by agreement with the authors"
    checksums: ClassVar[Mapping[str, str]] = {
        "img_align_celeba.zip": "md5:00d2c5bc6d35e252742224ab0c1e8fcb",
        PARTITION: "md5:d32c9cbf5e040fd4025c592c306e6668",
    }

    def path(self) -> Path:
        return cache.data_folder() / "celeba"

    def load(self, size: int = 32) -> Patches:
        parts = self._partition()
        key = f"{self.name}-{size}-{cache.digest(Path(__file__), cache.sha256(self.path() / PARTITION))[:12]}"
        arrays = cache.cached_arrays(key, lambda: self._read_all(key, parts, size))
        return Patches(arrays["train"], arrays["test"], name=self.name, source=self.source)

    def verify(self) -> str:
        names = [name for part in self._partition().values() for name in part]
        for name in track(names, "CelebA"):
            images.read_image(self.path() / IMAGES / name, self._remedy())
        return f"{PARTITION}, {len(names)} images; {cache.verify_arrays(self.name)}"

    def fetch(self, *, offline: bool = False) -> None:
        if not self.path().is_dir():
            raise UsageError(f"CelebA needs its authors' licence: {self._remedy()}")
        self._partition()

    def _partition(self) -> dict[int, list[str]]:
        """Return the names of the images of each part, read from lines of a name and 0, 1 or 2."""
        path = self.path() / PARTITION
        if not path.is_file():
            raise UsageError(f"there is no {path}; {self._remedy()}")
        parts: dict[int, list[str]] = {TRAIN: [], VALID: [], TEST: []}
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            name, _, part = line.strip().partition(" ")
            if name and part.strip() not in {"0", "1", "2"}:
                raise UsageError(f"{path} line {number} is not a name and 0, 1 or 2: {line[:40]!r}; {self._remedy()}")
            if Path(name).name != name:
                raise UsageError(f"{path} line {number}: {name[:40]!r} is not the name of a file; {self._remedy()}")
            if name:
                parts[int(part)].append(name)
        if not parts[TRAIN] or not parts[TEST]:
            raise UsageError(f"{path} has no images to train on or none to test on; {self._remedy()}")
        return parts

    def _read_all(self, key: str, parts: dict[int, list[str]], size: int) -> cache.Arrays:
        names = [*parts[TRAIN], *parts[TEST]]
        work = Work(self.name, len(names), "images")
        blocks = in_blocks(names, IMAGES_OF_PART)
        faces = compute_in_parts(key, blocks, lambda block: self._read_faces(block, size), work)
        train, test = np.split(faces, [len(parts[TRAIN])])
        return {"train": train, "test": test}

    def _read_faces(self, names: Sequence[str], size: int) -> NDArray[np.uint8]:
        faces = np.empty((len(names), 3, size, size), np.uint8)
        for i, name in enumerate(names):
            face = images.read_image(self.path() / IMAGES / name, self._remedy())
            faces[i] = images.crop_and_resize(face, CROP, size)
        return faces

    def _remedy(self) -> str:
        return (
            f"get CelebA's aligned images from its authors and put {IMAGES}/ (unpacked) and {PARTITION} into "
            f"{self.path()}: https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
        )
