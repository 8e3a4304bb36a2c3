"""The paper's CelebA: aligned faces and the file that says which are trained on, as the archive lays them out.

`celeba/img_align_celeba/*.jpg` and `celeba/list_eval_partition.txt`, as torchvision expects them.
"""

from pathlib import Path

import numpy as np

from mbcbench.datasets import cache, images
from mbcbench.datasets.base import DataSet, Patches
from mbcbench.datasets.progress import track
from mbcbench.errors import UsageError

CROP = 178  # pixels in the middle: faces are 178 wide and 218 high
TRAIN, VALID, TEST = 0, 1, 2  # the partition file's words
PARTITION, IMAGES = "list_eval_partition.txt", "img_align_celeba"


def folder() -> Path:
    """Where the files belong."""
    return cache.folder() / "celeba"


def celeba(size: int = 32) -> Patches:
    """The middle of each face, resized to `size`, trained on and tested on as CelebA says; validation is left out.

    Raises UsageError with the name of a file that is missing or damaged.
    """
    parts = partition()
    key = f"celeba-{size}-{cache.digest(Path(__file__), cache.sha256(folder() / PARTITION))[:12]}"
    arrays = cache.keep(key, lambda: {"train": _read(parts[TRAIN], size), "test": _read(parts[TEST], size)})
    return Patches(arrays["train"], arrays["test"], name=DATA.name, source=DATA.source)


def partition() -> dict[int, list[str]]:
    """The names of the images of each part, from lines of a name and 0, 1 or 2."""
    path = folder() / PARTITION
    if not path.is_file():
        raise UsageError(f"there is no {path}; {_remedy()}")
    parts: dict[int, list[str]] = {TRAIN: [], VALID: [], TEST: []}
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        name, _, part = line.strip().partition(" ")
        if name and part.strip() not in {"0", "1", "2"}:
            raise UsageError(f"{path} line {number} is not a name and 0, 1 or 2: {line[:40]!r}; {_remedy()}")
        if name:
            parts[int(part)].append(name)
    if not parts[TRAIN] or not parts[TEST]:
        raise UsageError(f"{path} names no images to train on or none to test on; {_remedy()}")
    return parts


def _read(names: list[str], size: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    faces = np.empty((len(names), 3, size, size), np.uint8)
    for i, name in enumerate(track(names, "CelebA")):
        faces[i] = images.square(images.read(folder() / IMAGES / name, _remedy()), CROP, size)
    return faces


def _remedy() -> str:
    return (
        f"get CelebA's aligned images from its authors and put {IMAGES}/ (unpacked) and {PARTITION} into {folder()}: "
        "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
    )


def _verify() -> str:
    names = [name for part in partition().values() for name in part]
    for name in track(names, "CelebA"):
        images.read(folder() / IMAGES / name, _remedy())
    return f"{PARTITION}, {len(names)} images; {cache.verify(DATA.name)}"


def _fetch(offline: bool) -> None:
    if not folder().is_dir():
        raise UsageError(f"CelebA needs its authors' licence: {_remedy()}")
    partition()


DATA = DataSet(
    name="celeba",
    kind="patches",
    paper=True,
    source="CelebA, Z. Liu, P. Luo, X. Wang, X. Tang",
    licence="non-commercial research only, by agreement with the authors",
    checksums={
        "img_align_celeba.zip": "md5:00d2c5bc6d35e252742224ab0c1e8fcb",
        PARTITION: "md5:d32c9cbf5e040fd4025c592c306e6668",
    },
    load=celeba,
    verify=_verify,
    fetch=_fetch,
    where=folder,
)
