"""The paper's ImageNet, in class folders as torchvision expects them, as features of ResNet-50.

`imagenet/{train,val}/<wnid>/*.JPEG`, and next to them the weights of the network.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from mbcbench.datasets import cache, download, embedding, images
from mbcbench.datasets.base import ExemplarDataSet, Exemplars
from mbcbench.datasets.parts import Work, compute_in_parts, in_blocks
from mbcbench.datasets.progress import track
from mbcbench.errors import UsageError
from mbcbench.types import JsonObject

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "resnet50-0676ba61.pth"
WEIGHTS_SHA256 = "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a"
MIRRORS = ("https://download.pytorch.org/models/",)
VIEWS = 50  # images per class: as many as ImageNet's validation part has
SHORT_SIDE, SIZE = 256, 224  # pixels: of the resized image, and of the square in its middle
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 64
IMAGES_OF_PART = 8 * BATCH  # computed by one core in a row, which is what an interruption loses
PARTS = ("train", "val")

ClassFiles = list[list[Path]]  # the same number of images for each class


class ImageNet(ExemplarDataSet):
    """50 training images per class to train on, and as many validation images to test on."""

    name = "imagenet"
    paper = True
    source = "ImageNet (ILSVRC2012), as features of ResNet-50"
    licence = "non-commercial research and education only, by agreement with ImageNet; weights: BSD-3-Clause"
    checksums: ClassVar[Mapping[str, str]] = {
        "ILSVRC2012_img_train.tar": "md5:1d675b47d978889d74fa0da5fadfb00e",
        "ILSVRC2012_img_val.tar": "md5:29b22e2961454d5413ddabcf34fc5622",
        WEIGHTS: WEIGHTS_SHA256,
    }

    def path(self) -> Path:
        return cache.data_folder() / "imagenet"

    def load(self) -> Exemplars:
        files = {part: self._files(part) for part in PARTS}
        sizes = [(path.name, path.stat().st_size) for part in PARTS for row in files[part] for path in row]
        digest = cache.digest(sizes, WEIGHTS_SHA256, Path(__file__), Path(embedding.__file__))
        key = f"{self.name}-{digest[:12]}"
        arrays = cache.cached_arrays(key, lambda: self._make_features(key, files))
        return Exemplars(arrays["train"], arrays["val"], name=self.name, source=self.source)

    def verify(self) -> str:
        """Decode every image, including those that are not used."""
        self._fetch_weights(offline=True)
        paths = sorted(path for part in PARTS for path in (self.path() / part).glob("*/*.JPEG"))
        for part in PARTS:
            self._files(part)
        for path in track(paths, "ImageNet"):
            images.read_image(path, self._remedy())
        return f"{WEIGHTS}, {len(paths)} images; {cache.verify_arrays(self.name)}"

    def fetch(self, *, offline: bool = False) -> None:
        if not self.path().is_dir():
            raise UsageError(f"ImageNet needs its licence: {self._remedy()}")
        for part in PARTS:
            self._files(part)
        self._fetch_weights(offline=offline)

    def prepare(self, loader: str, arguments: JsonObject) -> None:
        self._fetch_weights(offline=False)
        super().prepare(loader, arguments)

    def _files(self, part: str) -> ClassFiles:
        """Return the same number of images for each class, evenly spread over the sorted names."""
        folders = sorted(path for path in (self.path() / part).glob("*") if path.is_dir())
        rows = [sorted(folder.glob("*.JPEG")) for folder in folders]
        for folder, row in zip(folders, rows, strict=True):
            if not row:
                raise UsageError(f"there are no JPEG files in {folder}; {self._remedy()}")
        if not rows:
            raise UsageError(f"there are no class folders in {self.path() / part}; {self._remedy()}")
        count = min(VIEWS, *(len(row) for row in rows))
        return [[row[i * len(row) // count] for i in range(count)] for row in rows]

    def _make_features(self, key: str, files: dict[str, ClassFiles]) -> cache.Arrays:
        """Compute the features of some classes at a time; a class is a row of files."""
        network = embedding.resnet50(self._fetch_weights(offline=True))
        train, val = ([path for row in files[part] for path in row] for part in PARTS)
        work = Work(self.name, len(train) + len(val), "images")
        with embedding.one_thread_each():
            features = compute_in_parts(
                key,
                in_blocks([*train, *val], IMAGES_OF_PART),
                lambda paths: embedding.features(network, self._batches(paths)),
                work,
            )
        return {
            part: array.reshape(len(files[part]), len(files[part][0]), -1)
            for part, array in zip(PARTS, np.split(features, [len(train)]), strict=True)
        }

    def _batches(self, paths: Sequence[Path]) -> Iterator["Tensor"]:
        import torch

        for start in range(0, len(paths), BATCH):
            pixels = [self._read_pixels(path) for path in paths[start : start + BATCH]]
            yield torch.from_numpy(np.stack(pixels))

    def _read_pixels(self, path: Path) -> NDArray[np.float32]:
        """Return the central square of an image, normalised as the network expects it."""
        image = images.read_image(path, self._remedy())
        crop = round(min(image.size) * SIZE / SHORT_SIDE)
        scaled = images.crop_and_resize(image, crop, SIZE).astype(np.float32) / 255
        normalised = (scaled - np.array(MEAN)[:, None, None]) / np.array(DEVIATION)[:, None, None]
        return np.asarray(normalised, np.float32)

    def _fetch_weights(self, *, offline: bool) -> Path:
        urls = [mirror + WEIGHTS for mirror in MIRRORS]
        return download.fetch_file(urls, self.path() / WEIGHTS, WEIGHTS_SHA256, offline=offline)

    def _remedy(self) -> str:
        return (
            f"get ILSVRC2012 from https://image-net.org (its licence must be agreed to) and put the images into "
            f"{self.path()}/train/<wnid>/ and {self.path()}/val/<wnid>/"
        )
