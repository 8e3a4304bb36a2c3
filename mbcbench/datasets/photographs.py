"""Built in: colour photographs that scikit-image and scikit-learn ship, cut into patches.

The left part of each photograph is for training, the right part for testing, with a gap between them. Only one picture
of the motorcycle's stereo pair is used, since both show the same.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from mbcbench.datasets import cache
from mbcbench.datasets.base import PackagedFile, PatchDataSet, Patches
from mbcbench.errors import UsageError, require


def _photograph(name: str, sha256: str) -> PackagedFile:
    if name in {"china.jpg", "flower.jpg"}:
        return PackagedFile("scikit-learn", "sklearn", f"datasets/images/{name}", sha256)
    return PackagedFile("scikit-image", "skimage", f"data/{name}", sha256)


PHOTOGRAPHS = {
    name: _photograph(name, sha256)
    for name, sha256 in {
        "astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        "chelsea.png": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        "china.jpg": "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
        "coffee.png": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        "flower.jpg": "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
        "hubble_deep_field.jpg": "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
        "ihc.png": "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
        "motorcycle_left.png": "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
        "retina.jpg": "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
        "rocket.jpg": "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    }.items()
}
TRAIN_SHARE = 0.65  # of a photograph's width; the gap and the test part follow
GAP = 16  # pixels
REDUCTIONS = (1, 2)  # patches are cut from the photograph at full and at half size
TRAIN_COUNT = {32: 8000, 64: 4000}
TEST_COUNT = 320
MIN_DEVIATION = 0.08 * 255  # of a patch's channels, on average: flatter patches are left out
SEED = 40

Image = NDArray[np.uint8]  # height x width x 3


class Parts(NamedTuple):
    """The two parts of a photograph."""

    train: Image
    test: Image


def iter_photographs(share: float = TRAIN_SHARE, gap: int = GAP) -> Iterator[Parts]:
    """Yield each photograph cut at `share` of its width, without `gap` pixels. Raises UsageError if one is missing."""
    require("PIL", "images are read with Pillow")
    from PIL import Image as Pillow

    for photograph in PHOTOGRAPHS.values():
        with Pillow.open(photograph.verified_path()) as file:
            pixels = np.asarray(file.convert("RGB"))
        cut = int(pixels.shape[1] * share)
        yield Parts(pixels[:, :cut], pixels[:, cut + gap :])


class Photographs(PatchDataSet):
    """Patches of 32 or 64 pixels: 8,000 or 4,000 to train on, 320 to test on, the same number from each photograph."""

    name = "photographs"
    paper = False
    source = "10 photographs as shipped in scikit-image and scikit-learn"
    licence = (
        "CC0 or public domain; china, flower: CC BY 2.0; ihc: no known copyright restrictions; "
        "motorcycle: Middlebury 2014"
    )
    checksums: ClassVar[Mapping[str, str]] = {name: photograph.sha256 for name, photograph in PHOTOGRAPHS.items()}

    def load(self, size: int = 32) -> Patches:
        """Return the patches, in random order but always the same. Raises UsageError for another size."""
        if size not in TRAIN_COUNT:
            raise UsageError(f"there are no patches of {size} x {size} pixels; use one of {[*TRAIN_COUNT]}")
        key = f"{self.name}-{size}-{cache.digest(self.sha256, Path(__file__))[:12]}"
        arrays = cache.cached_arrays(key, lambda: _cut_all(size))
        return Patches(arrays["train"], arrays["test"], name=self.name, source=self.source)

    def path(self) -> Path:
        return PHOTOGRAPHS["astronaut.png"].path()

    def verify(self) -> str:
        for photograph in PHOTOGRAPHS.values():
            photograph.verified_path()
        return f"{len(PHOTOGRAPHS)} photographs; {cache.verify_arrays(self.name)}"

    def fetch(self, *, offline: bool = False) -> None:
        for size in TRAIN_COUNT:
            self.load(size)


def _cut_all(size: int) -> cache.Arrays:
    """Cut the patches of all photographs. The order of the draws decides which patches these are."""
    rng = np.random.default_rng(SEED)
    parts = list(iter_photographs())
    images = len(parts) * len(REDUCTIONS)
    train = _cut_part([part.train for part in parts], size, TRAIN_COUNT[size] // images, rng)
    test = _cut_part([part.test for part in parts], size, TEST_COUNT // images, rng)
    return {"train": rng.permutation(train), "test": rng.permutation(test)}


def _cut_part(images: list[Image], size: int, count: int, rng: np.random.Generator) -> Image:
    """Cut `count` patches from each image at each reduction."""
    reduced = (reduce_image(image, factor) for image in images for factor in REDUCTIONS)
    return np.concatenate([cut_patches(image, size, count, rng) for image in reduced])


def reduce_image(image: Image, factor: int) -> Image:
    """Return the image at one `factor`-th of its size; each pixel is a mean."""
    from PIL import Image as Pillow

    return np.asarray(Pillow.fromarray(image).reduce(factor))


def cut_patches(image: Image, size: int, count: int, rng: np.random.Generator) -> Image:
    """Return `count` different patches that are not flat, or all if there are fewer, as `N x 3 x size x size`."""
    rows, columns = np.nonzero(window_deviation(image, size) >= MIN_DEVIATION)
    chosen = rng.permutation(len(rows))[:count]
    windows: Any = sliding_window_view(image, (size, size), axis=(0, 1))
    return np.ascontiguousarray(windows[rows[chosen], columns[chosen]])


def window_deviation(image: Image, size: int) -> NDArray[np.float64]:
    """Return the standard deviation in every window of `size` x `size` pixels, averaged over the channels."""
    pixels = image.astype(np.float64)
    mean, mean_square = _window_mean(pixels, size), _window_mean(pixels**2, size)
    deviation: NDArray[np.float64] = np.sqrt(np.maximum(mean_square - mean**2, 0)).mean(axis=-1)
    return deviation


def _window_mean(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return the mean of every window, from differences of running sums, which are whole numbers and thus exact."""
    sums = np.pad(values, ((1, 0), (1, 0), (0, 0))).cumsum(0).cumsum(1)
    inside = sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
    mean: NDArray[np.float64] = inside / size**2
    return mean
