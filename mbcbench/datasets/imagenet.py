"""The paper's ImageNet, in class folders as torchvision expects them, as features of ResNet-50.

`imagenet/{train,val}/<wnid>/*.JPEG`, and beside them the weights of the network.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mbcbench.datasets import cache, download, embedding, images
from mbcbench.datasets.base import DataSet, Exemplars
from mbcbench.datasets.progress import track
from mbcbench.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "resnet50-0676ba61.pth"
WEIGHTS_SHA256 = "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a"
MIRRORS = ("https://download.pytorch.org/models/",)
VIEWS = 50  # images of a class, as many as ImageNet's validation part has
SHORT_SIDE, SIZE = 256, 224  # pixels: of the image, of the square in its middle
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 64
PARTS = ("train", "val")


def folder() -> Path:
    """Where the files belong."""
    return cache.folder() / "imagenet"


def imagenet() -> Exemplars:
    """50 images of each class to train on, and of the validation part's images to test on.

    Raises UsageError with the name of what is missing or damaged.
    """
    files = {part: _files(part) for part in PARTS}
    told = [(path.name, path.stat().st_size) for part in PARTS for row in files[part] for path in row]
    key = f"imagenet-{cache.digest(told, WEIGHTS_SHA256, Path(__file__), Path(embedding.__file__))[:12]}"
    arrays = cache.keep(key, lambda: _make(files))
    return Exemplars(arrays["train"], arrays["val"], name=DATA.name, source=DATA.source)


def _make(files: dict[str, list[list[Path]]]) -> cache.Arrays:
    network = embedding.resnet50(_weights(offline=True))
    made = {}
    for part, rows in files.items():
        seen = track(_batches([path for row in rows for path in row]), f"ImageNet {part}")
        made[part] = embedding.features(network, seen).reshape(len(rows), len(rows[0]), -1)
    return made


def _files(part: str) -> list[list[Path]]:
    """The same number of images of each class, evenly spread over the names."""
    classes = sorted(path for path in (folder() / part).glob("*") if path.is_dir())
    rows = [sorted(path.glob("*.JPEG")) for path in classes]
    for path, row in zip(classes, rows, strict=True):
        if not row:
            raise UsageError(f"there are no JPEG files in {path}; {_remedy()}")
    if not rows:
        raise UsageError(f"there are no class folders in {folder() / part}; {_remedy()}")
    count = min(VIEWS, *(len(row) for row in rows))
    return [[row[i * len(row) // count] for i in range(count)] for row in rows]


def _batches(paths: list[Path]) -> Iterator["Tensor"]:
    import torch

    for start in range(0, len(paths), BATCH):
        yield torch.from_numpy(np.stack([_pixels(path) for path in paths[start : start + BATCH]]))


def _pixels(path: Path) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    image = images.read(path, _remedy())
    crop = round(min(image.size) * SIZE / SHORT_SIDE)
    scaled = images.square(image, crop, SIZE).astype(np.float32) / 255
    normal = (scaled - np.array(MEAN)[:, None, None]) / np.array(DEVIATION)[:, None, None]
    return np.asarray(normal, np.float32)


def _weights(*, offline: bool) -> Path:
    return download.fetch([m + WEIGHTS for m in MIRRORS], folder() / WEIGHTS, WEIGHTS_SHA256, offline=offline)


def _remedy() -> str:
    return (
        f"get ILSVRC2012 from https://image-net.org (its licence must be agreed to) and put the images into "
        f"{folder()}/train/<wnid>/ and {folder()}/val/<wnid>/"
    )


def _verify() -> str:
    """Every image is decoded, those too that are not used."""
    _weights(offline=True)
    paths = sorted(path for part in PARTS for path in (folder() / part).glob("*/*.JPEG"))
    for part in PARTS:
        _files(part)
    for path in track(paths, "ImageNet"):
        images.read(path, _remedy())
    return f"{WEIGHTS}, {len(paths)} images; {cache.verify(DATA.name)}"


def _fetch(offline: bool) -> None:
    if not folder().is_dir():
        raise UsageError(f"ImageNet needs its licence: {_remedy()}")
    for part in PARTS:
        _files(part)
    _weights(offline=offline)


DATA = DataSet(
    name="imagenet",
    kind="exemplars",
    paper=True,
    source="ImageNet (ILSVRC2012), as features of ResNet-50",
    licence="non-commercial research and education only, by agreement with ImageNet; weights: BSD-3-Clause",
    checksums={
        "ILSVRC2012_img_train.tar": "md5:1d675b47d978889d74fa0da5fadfb00e",
        "ILSVRC2012_img_val.tar": "md5:29b22e2961454d5413ddabcf34fc5622",
        WEIGHTS: WEIGHTS_SHA256,
    },
    load=imagenet,
    verify=_verify,
    fetch=_fetch,
    where=folder,
)
