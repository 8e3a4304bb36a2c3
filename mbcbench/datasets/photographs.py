"""Built in: colour photographs that come with scikit-image and scikit-learn, cut into patches.

The left of each photograph is trained on, the right tested on, with a gap between. Of the stereo pair of the motorcycle
one picture is used: they show the same.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from mbcbench.datasets import cache
from mbcbench.datasets.base import DataSet, Patches, Shipped
from mbcbench.errors import UsageError


def _photograph(name: str, sha256: str) -> Shipped:
    if name in {"china.jpg", "flower.jpg"}:
        return Shipped("scikit-learn", "sklearn", f"datasets/images/{name}", sha256)
    return Shipped("scikit-image", "skimage", f"data/{name}", sha256)


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
SOURCE = "10 photographs as shipped in scikit-image and scikit-learn"
LICENCE = (
    "CC0 or public domain; china, flower: CC BY 2.0; ihc: no known copyright restrictions; motorcycle: Middlebury 2014"
)

TRAIN_SHARE = 0.65  # of a photograph's width; the gap and the tested part follow
GAP = 16  # pixels
REDUCTIONS = (1, 2)  # patches are cut from the photograph as it is and at half its size
TRAIN_COUNT = {32: 8000, 64: 4000}
TEST_COUNT = 320
LEAST_DEVIATION = 0.08 * 255  # of a patch's channels, on average: flatter ones are passed over
SEED = 40

Image = NDArray[np.uint8]  # height x width x 3


class Parts(NamedTuple):
    """The two parts of a photograph."""

    train: Image
    test: Image


def photographs(share: float = TRAIN_SHARE, gap: int = GAP) -> Iterator[Parts]:
    """Each photograph cut at `share` of its width, `gap` pixels left out. Raises UsageError when one is not there."""
    from PIL import Image as Pillow

    for shipped in PHOTOGRAPHS.values():
        with Pillow.open(shipped.verified()) as file:
            pixels = np.asarray(file.convert("RGB"))
        cut = int(pixels.shape[1] * share)
        yield Parts(pixels[:, :cut], pixels[:, cut + gap :])


def patches(size: int = 32) -> Patches:
    """Patches of the photographs, 32 or 64 pixels wide, as many of each: 8,000 or 4,000 to train on, 320 to test on.

    They are the same ones always, in no order of photographs. Raises UsageError for another size.
    """
    if size not in TRAIN_COUNT:
        raise UsageError(f"there are no patches of {size} x {size} pixels; use one of {[*TRAIN_COUNT]}")
    arrays = cache.keep(_key(size), lambda: _cut_all(size))
    return Patches(arrays["train"], arrays["test"], name=DATA.name, source=DATA.source)


def _cut_all(size: int) -> cache.Arrays:
    rng = np.random.default_rng(SEED)
    parts = list(photographs())
    each = len(parts) * len(REDUCTIONS)
    train = [cut(reduced(p.train, r), size, TRAIN_COUNT[size] // each, rng) for p in parts for r in REDUCTIONS]
    test = [cut(reduced(p.test, r), size, TEST_COUNT // each, rng) for p in parts for r in REDUCTIONS]
    return {name: rng.permutation(np.concatenate(part)) for name, part in (("train", train), ("test", test))}


def reduced(image: Image, factor: int) -> Image:
    """The image at one `factor`-th of its size, each pixel a mean."""
    from PIL import Image as Pillow

    return np.asarray(Pillow.fromarray(image).reduce(factor))


def cut(image: Image, size: int, count: int, rng: np.random.Generator) -> Image:
    """`count` different patches of an image (fewer if it has no more that are not flat), as `N x 3 x size x size`."""
    rows, columns = np.nonzero(deviation(image, size) >= LEAST_DEVIATION)
    which = rng.permutation(len(rows))[:count]
    windows: Any = sliding_window_view(image, (size, size), axis=(0, 1))
    return np.ascontiguousarray(windows[rows[which], columns[which]])


def deviation(image: Image, size: int) -> NDArray[np.float64]:
    """The standard deviation of each channel over every window of `size` x `size` pixels, averaged over channels."""
    pixels = image.astype(np.float64)
    mean, mean_square = _window_mean(pixels, size), _window_mean(pixels**2, size)
    spread: NDArray[np.float64] = np.sqrt(np.maximum(mean_square - mean**2, 0)).mean(axis=-1)
    return spread


def _window_mean(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """By differences of running sums, which are whole numbers and exact."""
    sums = np.pad(values, ((1, 0), (1, 0), (0, 0))).cumsum(0).cumsum(1)
    inside = sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
    mean: NDArray[np.float64] = inside / size**2
    return mean


def _key(size: int) -> str:
    return f"photographs-{size}-{cache.digest(DATA.sha256, Path(__file__))[:12]}"


def _verify() -> str:
    for shipped in PHOTOGRAPHS.values():
        shipped.verified()
    return f"{len(PHOTOGRAPHS)} photographs; {cache.verify(DATA.name)}"


DATA = DataSet(
    name="photographs",
    kind="patches",
    paper=False,
    source=SOURCE,
    licence=LICENCE,
    checksums={name: shipped.sha256 for name, shipped in PHOTOGRAPHS.items()},
    load=patches,
    verify=_verify,
    fetch=lambda offline: [patches(size) for size in TRAIN_COUNT],
    where=PHOTOGRAPHS["astronaut.png"].path,
)
