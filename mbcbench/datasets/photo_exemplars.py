"""Built in: classes for few-shot learning. A class is a place in a photograph; its examples are distorted views of it.

Training classes are in the left part of the photographs, test classes in the right part. The views are given as
features of EfficientNet-Lite0, which was trained on ImageNet.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from mbcbench.datasets import cache, embedding
from mbcbench.datasets.base import ExemplarDataSet, Exemplars
from mbcbench.datasets.photographs import MIN_DEVIATION, Image, Photographs, iter_photographs, window_deviation
from mbcbench.datasets.progress import track

if TYPE_CHECKING:
    from torch import Tensor

TRAIN_SHARE, GAP = 0.45, 32  # of the photograph's width; pixels
SPACING = 24  # pixels between places: more than the shifts of a place's views
TRAIN_CLASSES, TRAIN_VIEWS, TRAIN_CAP = 600, 16, 75  # the cap: most classes from one photograph
TEST_CLASSES, TEST_VIEWS, TEST_CAP = 1000, 20, 150
SIZE = 64
STRENGTH = 0.5  # factor of all distortions below
SHIFT, TURN, ZOOM = 22, 0.6, 0.5  # pixels; radians; the logarithm
CONTRAST, COLOUR, NOISE = 0.6, 0.2, 0.08  # the logarithm; of [0, 1]
BATCH = 128
SEED = 43


class PhotoExemplars(ExemplarDataSet):
    """600 classes of 16 views to train on and 1,000 classes of 20 views to test on; always the same ones."""

    name = "photo-exemplars"
    paper = False
    source = "places in 10 photographs (scikit-image, scikit-learn), as features of EfficientNet-Lite0"
    licence = f"EfficientNet-Lite0's weights: Apache-2.0; photographs: {Photographs.licence}"
    checksums: ClassVar[Mapping[str, str]] = {
        "efficientnet-lite0-57934424.pth": embedding.EFFICIENTNET_WEIGHTS.sha256,
        "photographs": Photographs().sha256,
        "recipe": cache.digest(Path(__file__), Path(embedding.__file__)),
    }

    def load(self) -> Exemplars:
        """Return the features, computed in minutes. Raises UsageError if the network's packages are missing."""
        arrays = cache.cached_arrays(f"{self.name}-{self.sha256[:12]}", _make_features)
        return Exemplars(arrays["train"], arrays["test"], name=self.name, source=self.source)

    def path(self) -> Path:
        return embedding.EFFICIENTNET_WEIGHTS.path()

    def verify(self) -> str:
        embedding.EFFICIENTNET_WEIGHTS.verified_path()
        return f"1 file of weights; {Photographs().verify()}; {cache.verify_arrays(self.name)}"

    def fetch(self, *, offline: bool = False) -> None:
        self.load()


def _make_features() -> cache.Arrays:
    network = embedding.efficientnet_lite0()
    rng = np.random.default_rng(SEED)
    parts = list(iter_photographs(TRAIN_SHARE, GAP))
    arrays = {}
    for name, images, classes, views, cap in (
        ("train", [part.train for part in parts], TRAIN_CLASSES, TRAIN_VIEWS, TRAIN_CAP),
        ("test", [part.test for part in parts], TEST_CLASSES, TEST_VIEWS, TEST_CAP),
    ):
        places = choose_places(images, classes, cap, rng)
        batches = track(_view_batches(images, places, views, rng), f"exemplars, {name}", total=classes * views / BATCH)
        arrays[name] = embedding.features(network, batches).reshape(len(places), views, -1)
    return arrays


def choose_places(images: list[Image], count: int, cap: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return rows of image, row, column: `count` corners of windows that are not flat, at most `cap` per image."""
    by_image = []
    for number, image in enumerate(images):
        deviation = window_deviation(image, SIZE)[::SPACING, ::SPACING]
        rows, columns = np.nonzero(deviation >= MIN_DEVIATION)
        places = SPACING * np.column_stack((rows, columns))[rng.permutation(len(rows))[:cap]]
        by_image.append(np.column_stack((np.full(len(places), number), places)))
    candidates = np.concatenate(by_image)
    return candidates[np.sort(rng.permutation(len(candidates))[:count])]


def _view_batches(
    images: list[Image], places: NDArray[np.int64], views: int, rng: np.random.Generator
) -> Iterator["Tensor"]:
    """Yield the views of each place in turn, in the order of the places."""
    for number, image in enumerate(images):
        corners = np.repeat(places[places[:, 0] == number, 1:], views, axis=0)
        for start in range(0, len(corners), BATCH):
            yield render_views(image, corners[start : start + BATCH], rng)


def render_views(
    image: Image, corners: NDArray[np.int64], rng: np.random.Generator, strength: float = STRENGTH
) -> "Tensor":
    """Return one view (`3 x 64 x 64`, in [0, 1]) of the window at each corner (row, column).

    A view is shifted, rotated, zoomed and mirrored at random, its contrast and colours are changed, and noise is added.
    The image is reflected at its edges.
    """
    import torch
    from torch.nn.functional import grid_sample

    count = len(corners)
    grid = torch.from_numpy(_sampling_grid(image.shape, corners, rng, strength)).float()
    pixels = torch.from_numpy(image / np.float32(255)).permute(2, 0, 1)[None]
    flat = grid.reshape(1, count * SIZE, SIZE, 2)
    views = grid_sample(pixels, flat, padding_mode="reflection", align_corners=False)
    views = views.reshape(3, count, SIZE, SIZE).transpose(0, 1)
    contrast = np.exp(rng.uniform(-CONTRAST, CONTRAST, (count, 1, 1, 1)) * strength)
    colour = rng.uniform(-COLOUR, COLOUR, (count, 3, 1, 1)) * strength
    noise = rng.standard_normal((count, 3, SIZE, SIZE), np.float32) * NOISE * strength
    mean = views.mean(dim=(1, 2, 3), keepdim=True)
    change = torch.from_numpy(colour.astype(np.float32) + noise)
    return ((views - mean) * torch.from_numpy(contrast).float() + mean + change).clamp(0, 1)


def _sampling_grid(
    shape: tuple[int, ...], corners: NDArray[np.int64], rng: np.random.Generator, strength: float
) -> NDArray[np.float64]:
    """Return the position in the image of each pixel of each view, in the coordinates of grid_sample (-1 to 1)."""
    count = len(corners)
    offset = np.arange(SIZE) - (SIZE - 1) / 2
    y, x = np.meshgrid(offset, offset, indexing="ij")
    angle = rng.uniform(-TURN, TURN, (count, 1, 1)) * strength
    zoom = np.exp(rng.uniform(-ZOOM, ZOOM, (count, 1, 1)) * strength)
    mirror = rng.choice((-1, 1), (count, 1, 1))
    center = corners[:, ::-1] + SIZE / 2 + rng.uniform(-SHIFT, SHIFT, (count, 2)) * strength
    across = (mirror * np.cos(angle) * x - np.sin(angle) * y) * zoom + center[:, 0, None, None]
    down = (mirror * np.sin(angle) * x + np.cos(angle) * y) * zoom + center[:, 1, None, None]
    return np.stack((2 * across / shape[1] - 1, 2 * down / shape[0] - 1), axis=-1)
