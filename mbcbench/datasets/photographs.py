"""Built in: colour photographs that scikit-image and scikit-learn ship, cut into patches.

One side of each photograph is for training, the other for testing, with a gap between them. Only one picture of the
motorcycle's stereo pair is used, since both show the same.
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
# Three strips of each photograph, with a gap between them: shares of the width, and patches cut from each.
STRIP_SHARES = (0.5, 0.2)  # the last strip is the rest
STRIP_COUNTS = (8000, 320, 640)

Image = NDArray[np.uint8]  # height x width x 3


class Parts(NamedTuple):
    """The two parts of a photograph."""

    train: Image
    test: Image


def iter_photographs(share: float = TRAIN_SHARE, gap: int = GAP) -> Iterator[Parts]:
    """Yield each photograph cut at `share` of its width, without `gap` pixels. Raises UsageError if one is missing."""
    for pixels in _iter_pixels():
        yield cut_in_two(pixels, share, gap)


def cut_in_two(pixels: Image, share: float = TRAIN_SHARE, gap: int = GAP) -> Parts:
    """Cut an image at `share` of its width, and leave out `gap` pixels."""
    cut = int(pixels.shape[1] * share)
    return Parts(pixels[:, :cut], pixels[:, cut + gap :])


def mirrored_at_random(pixels: Image, rng: np.random.Generator) -> Image:
    """Return the image, or its mirror image."""
    return pixels[:, ::-1] if rng.random() < 0.5 else pixels


def _iter_pixels() -> Iterator[Image]:
    """Yield each photograph whole. Raises UsageError if one is missing."""
    require("PIL", "images are read with Pillow")
    from PIL import Image as Pillow

    for photograph in PHOTOGRAPHS.values():
        with Pillow.open(photograph.verified_path()) as file:
            yield np.asarray(file.convert("RGB"))


class Strips(NamedTuple):
    """Patches (`N x 3 x size x size`, uint8) from the three strips of the photographs, none of which overlap."""

    train: NDArray[np.uint8]
    validation: NDArray[np.uint8]
    test: NDArray[np.uint8]


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
    sizes = (*TRAIN_COUNT,)

    def load(self, size: int = 32) -> Patches:
        return self.load_split(size, 0)

    def load_split(self, size: int, split: int) -> Patches:
        """Return patches in random order; `split` decides which side of each photograph is for tests.

        Raises UsageError for another size.
        """
        self.check_size(size)
        key = f"{self.name}-{size}-{split}-{cache.digest(self.sha256, Path(__file__))[:12]}"
        arrays = cache.cached_arrays(key, lambda: _cut_all(size, split))
        return Patches(arrays["train"], arrays["test"], name=self.name, source=self.source)

    def load_strips(self, size: int = 32, seed: int = 0) -> Strips:
        """Return patches for training, validation and tests, from strips of their own.

        `seed` mirrors photographs at random, so that their left or their right part is for tests, and draws the
        patches. Raises UsageError for another size.
        """
        if size != 32:
            raise UsageError(f"strips of {size} x {size} pixels are not available; use 32")
        key = f"{self.name}-strips-{size}-{seed}-{cache.digest(self.sha256, Path(__file__))[:12]}"
        return Strips(**cache.cached_arrays(key, lambda: _cut_strips(size, seed)))

    def path(self) -> Path:
        return PHOTOGRAPHS["astronaut.png"].path()

    def verify(self) -> str:
        for photograph in PHOTOGRAPHS.values():
            photograph.verified_path()
        return f"{len(PHOTOGRAPHS)} photographs; {cache.verify_arrays(self.name)}"

    def fetch(self, *, offline: bool = False) -> None:
        for size in TRAIN_COUNT:
            self.load(size)


def _cut_all(size: int, split: int) -> cache.Arrays:
    """Cut the patches of both sides of all photographs, of which a random half is mirrored."""
    rng = np.random.default_rng(np.random.SeedSequence([SEED, split]))
    parts = [cut_in_two(mirrored_at_random(pixels, rng)) for pixels in _iter_pixels()]
    images = len(parts) * len(REDUCTIONS)
    train = _cut_part([part.train for part in parts], size, TRAIN_COUNT[size] // images, rng)
    test = _cut_part([part.test for part in parts], size, TEST_COUNT // images, rng)
    return {"train": rng.permutation(train), "test": rng.permutation(test)}


def _cut_strips(size: int, seed: int) -> cache.Arrays:
    """Cut the patches of the strips of all photographs, of which a random half is mirrored."""
    rng = np.random.default_rng(np.random.SeedSequence([SEED, seed]))
    strips: list[list[Image]] = [[] for _ in STRIP_COUNTS]
    for pixels in _iter_pixels():
        image = mirrored_at_random(pixels, rng)
        for images, strip in zip(strips, _split_columns(image), strict=True):
            images.append(strip)
    per_image = [count // (len(PHOTOGRAPHS) * len(REDUCTIONS)) for count in STRIP_COUNTS]
    patches = [_cut_part(images, size, count, rng) for images, count in zip(strips, per_image, strict=True)]
    return dict(zip(Strips._fields, map(rng.permutation, patches), strict=True))


def _split_columns(image: Image) -> Iterator[Image]:
    """Yield the strips of an image, from the left to the right, without the gaps between them."""
    start = 0
    for share in STRIP_SHARES:
        end = start + int(image.shape[1] * share)
        yield image[:, start : end - GAP]
        start = end
    yield image[:, start:]


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
