"""Built in: classes for few-shot learning, each a place in a photograph seen again and again, a little otherwise.

Classes to train on lie in the left of the photographs, those to test on in the right. The views are features of
EfficientNet-Lite0, which was trained on ImageNet.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mbcbench.datasets import cache, embedding
from mbcbench.datasets.base import DataSet, Exemplars
from mbcbench.datasets.photographs import DATA as PHOTOGRAPHS
from mbcbench.datasets.photographs import LEAST_DEVIATION, Image, deviation, photographs
from mbcbench.datasets.progress import track

if TYPE_CHECKING:
    from torch import Tensor

TRAIN_SHARE, GAP = 0.45, 32  # of the photograph's width; pixels
SPACING = 24  # pixels between places: more than two views of one move apart
TRAIN_CLASSES, TRAIN_VIEWS, TRAIN_CAP = 600, 16, 75  # the cap: classes from one photograph
TEST_CLASSES, TEST_VIEWS, TEST_CAP = 1000, 20, 150
SIZE = 64
STRENGTH = 0.5  # of everything below
SHIFT, TURN, ZOOM = 22, 0.6, 0.5  # pixels; radians; the logarithm
CONTRAST, COLOUR, NOISE = 0.6, 0.2, 0.08  # the logarithm; of [0, 1]
BATCH = 128
SEED = 43


def exemplars() -> Exemplars:
    """Features of 600 classes of 16 views to train on and 1,000 classes of 20 views to test on; the same ones always.

    Made once, in minutes. Raises UsageError when the network's packages are missing.
    """
    arrays = cache.keep(_key(), _make)
    return Exemplars(arrays["train"], arrays["test"], name=DATA.name, source=DATA.source)


def _make() -> cache.Arrays:
    network = embedding.efficientnet_lite0()
    rng = np.random.default_rng(SEED)
    parts = list(photographs(TRAIN_SHARE, GAP))
    made = {}
    for name, images, classes, views, cap in (
        ("train", [part.train for part in parts], TRAIN_CLASSES, TRAIN_VIEWS, TRAIN_CAP),
        ("test", [part.test for part in parts], TEST_CLASSES, TEST_VIEWS, TEST_CAP),
    ):
        chosen = choose_places(images, classes, cap, rng)
        seen = track(_batches(images, chosen, views, rng), f"exemplars, {name}", total=classes * views / BATCH)
        made[name] = embedding.features(network, seen).reshape(len(chosen), views, -1)
    return made


def choose_places(images: list[Image], count: int, cap: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of image, row, column: `count` corners of windows that are not flat, at most `cap` in an image."""
    found = []
    for number, image in enumerate(images):
        rows, columns = np.nonzero(deviation(image, SIZE)[::SPACING, ::SPACING] >= LEAST_DEVIATION)
        places = SPACING * np.column_stack((rows, columns))[rng.permutation(len(rows))[:cap]]
        found.append(np.column_stack((np.full(len(places), number), places)))
    every = np.concatenate(found)
    return every[np.sort(rng.permutation(len(every))[:count])]


def _batches(
    images: list[Image], places: NDArray[np.int64], views: int, rng: np.random.Generator
) -> Iterator["Tensor"]:
    """The views of each place in turn, in order of the places."""
    for number, image in enumerate(images):
        corners = np.repeat(places[places[:, 0] == number, 1:], views, axis=0)
        for start in range(0, len(corners), BATCH):
            yield look(image, corners[start : start + BATCH], rng)


def look(image: Image, corners: NDArray[np.int64], rng: np.random.Generator, strength: float = STRENGTH) -> "Tensor":
    """One view (`3 x 64 x 64`, in [0, 1]) of the window at each corner (row, column).

    Moved, turned, zoomed and mirrored, its contrast and colours changed, with noise. Beyond its edge the image is
    mirrored.
    """
    import torch
    from torch.nn.functional import grid_sample

    count = len(corners)
    grid = torch.from_numpy(_grid(image.shape, corners, rng, strength)).float()
    pixels = torch.from_numpy(image / np.float32(255)).permute(2, 0, 1)[None]
    flat = grid.reshape(1, count * SIZE, SIZE, 2)
    seen = grid_sample(pixels, flat, padding_mode="reflection", align_corners=False)
    seen = seen.reshape(3, count, SIZE, SIZE).transpose(0, 1)
    contrast = np.exp(rng.uniform(-CONTRAST, CONTRAST, (count, 1, 1, 1)) * strength)
    colour = rng.uniform(-COLOUR, COLOUR, (count, 3, 1, 1)) * strength
    noise = rng.standard_normal((count, 3, SIZE, SIZE), np.float32) * NOISE * strength
    mean = seen.mean(dim=(1, 2, 3), keepdim=True)
    change = torch.from_numpy(colour.astype(np.float32) + noise)
    return ((seen - mean) * torch.from_numpy(contrast).float() + mean + change).clamp(0, 1)


def _grid(
    shape: tuple[int, ...], corners: NDArray[np.int64], rng: np.random.Generator, strength: float
) -> NDArray[np.float64]:
    """Where each pixel of each view lies in the image, in grid_sample's coordinates (x, y from -1 to 1)."""
    count = len(corners)
    offset = np.arange(SIZE) - (SIZE - 1) / 2
    y, x = np.meshgrid(offset, offset, indexing="ij")
    angle = rng.uniform(-TURN, TURN, (count, 1, 1)) * strength
    zoom = np.exp(rng.uniform(-ZOOM, ZOOM, (count, 1, 1)) * strength)
    mirror = rng.choice((-1, 1), (count, 1, 1))
    move = corners[:, ::-1] + SIZE / 2 + rng.uniform(-SHIFT, SHIFT, (count, 2)) * strength
    across = (mirror * np.cos(angle) * x - np.sin(angle) * y) * zoom + move[:, 0, None, None]
    down = (mirror * np.sin(angle) * x + np.cos(angle) * y) * zoom + move[:, 1, None, None]
    return np.stack((2 * across / shape[1] - 1, 2 * down / shape[0] - 1), axis=-1)


def _key() -> str:
    return f"{DATA.name}-{DATA.sha256[:12]}"


def _verify() -> str:
    embedding.EFFICIENTNET_WEIGHTS.verified()
    return f"1 file of weights; {PHOTOGRAPHS.verify()}; {cache.verify(DATA.name)}"


DATA = DataSet(
    name="photo-exemplars",
    kind="exemplars",
    paper=False,
    source="places in 10 photographs (scikit-image, scikit-learn), as features of EfficientNet-Lite0",
    licence=f"EfficientNet-Lite0's weights: Apache-2.0; photographs: {PHOTOGRAPHS.licence}",
    checksums={
        "efficientnet-lite0-57934424.pth": embedding.EFFICIENTNET_WEIGHTS.sha256,
        "photographs": PHOTOGRAPHS.sha256,
        "recipe": cache.digest(Path(__file__), Path(embedding.__file__)),
    },
    load=exemplars,
    verify=_verify,
    fetch=lambda offline: exemplars(),
    where=embedding.EFFICIENTNET_WEIGHTS.path,
)
