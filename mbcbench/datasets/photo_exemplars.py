"""Built in: classes for few-shot learning. A class is a place in a photograph; its examples are distorted views of it.

Training classes are in the left part of the photographs, test classes in the right part. The views are given as
features of EfficientNet-Lite0, which was trained on ImageNet.
"""

import copy
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mbcbench.datasets import cache, embedding
from mbcbench.datasets.base import ExemplarDataSet, Exemplars
from mbcbench.datasets.parts import Work, compute_in_parts
from mbcbench.datasets.photographs import MIN_DEVIATION, Image, Photographs, iter_photographs, window_deviation

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
BATCH = 128  # views of one photograph that are drawn at the same time
BATCHES_OF_PART = 8  # about two seconds of one core, which is what an interruption loses
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
        """Return the features, computed in a minute. Raises UsageError if the network's packages are missing."""
        key = f"{self.name}-{self.sha256[:12]}"
        arrays = cache.cached_arrays(key, lambda: _make_features(key))
        return Exemplars(arrays["train"], arrays["test"], name=self.name, source=self.source)

    def path(self) -> Path:
        return embedding.EFFICIENTNET_WEIGHTS.path()

    def verify(self) -> str:
        embedding.EFFICIENTNET_WEIGHTS.verified_path()
        return f"1 file of weights; {Photographs().verify()}; {cache.verify_arrays(self.name)}"

    def fetch(self, *, offline: bool = False) -> None:
        self.load()


class _Batch(NamedTuple):
    """Views that are drawn at the same time: a photograph, and a corner of a window for each view."""

    pixels: "Tensor"
    corners: NDArray[np.int64]


class _Task(NamedTuple):
    """Batches of views whose features are one part, and the random state before their distortions are drawn."""

    batches: tuple[_Batch, ...]
    rng: np.random.Generator


def _make_features(key: str) -> cache.Arrays:
    """Compute the features of all views in parts.

    All distortions are drawn from one stream, so that the views do not depend on the parts.
    """
    network = embedding.efficientnet_lite0()

    def compute(task: _Task) -> NDArray[Any]:
        return embedding.features(network, (render_views(*batch, task.rng) for batch in task.batches))

    train, test = TRAIN_CLASSES * TRAIN_VIEWS, TEST_CLASSES * TEST_VIEWS
    with embedding.one_thread_each():
        features = compute_in_parts(key, _tasks(), compute, Work("photo-exemplars", train + test, "views"))
    return {
        "train": features[:train].reshape(-1, TRAIN_VIEWS, features.shape[1]),
        "test": features[train:].reshape(-1, TEST_VIEWS, features.shape[1]),
    }


def _tasks() -> Iterator[tuple[int, _Task]]:
    """Yield the tasks with their numbers of views."""
    rng = np.random.default_rng(SEED)
    parts = list(iter_photographs(TRAIN_SHARE, GAP))
    for images, classes, views, cap in (
        ([part.train for part in parts], TRAIN_CLASSES, TRAIN_VIEWS, TRAIN_CAP),
        ([part.test for part in parts], TEST_CLASSES, TEST_VIEWS, TEST_CAP),
    ):
        places = choose_places(images, classes, cap, rng)
        all_batches = _view_batches(images, places, views)
        while batches := tuple(islice(all_batches, BATCHES_OF_PART)):
            yield sum(len(batch.corners) for batch in batches), _Task(batches, copy.deepcopy(rng))
            for batch in batches:
                draw_distortions(len(batch.corners), rng)


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


def _view_batches(images: list[Image], places: NDArray[np.int64], views: int) -> Iterator[_Batch]:
    """Yield the views of each place in turn, in the order of the places."""
    for number, image in enumerate(images):
        pixels = as_pixels(image)
        corners = np.repeat(places[places[:, 0] == number, 1:], views, axis=0)
        for start in range(0, len(corners), BATCH):
            yield _Batch(pixels, corners[start : start + BATCH])


class Distortions(NamedTuple):
    """Random numbers of one view each, all in units of `STRENGTH`; noise is that of each pixel."""

    turn: NDArray[np.float64]
    zoom: NDArray[np.float64]
    mirror: NDArray[np.int64]
    shift: NDArray[np.float64]
    contrast: NDArray[np.float64]
    colour: NDArray[np.float64]
    noise: NDArray[np.float32]


def draw_distortions(count: int, rng: np.random.Generator) -> Distortions:
    """Draw the distortions of `count` views. The order of the draws decides which these are."""
    return Distortions(
        turn=rng.uniform(-TURN, TURN, (count, 1, 1)),
        zoom=rng.uniform(-ZOOM, ZOOM, (count, 1, 1)),
        mirror=rng.choice((-1, 1), (count, 1, 1)),
        shift=rng.uniform(-SHIFT, SHIFT, (count, 2)),
        contrast=rng.uniform(-CONTRAST, CONTRAST, (count, 1, 1, 1)),
        colour=rng.uniform(-COLOUR, COLOUR, (count, 3, 1, 1)),
        noise=rng.standard_normal((count, 3, SIZE, SIZE), np.float32),
    )


def as_pixels(image: Image) -> "Tensor":
    """Return an image (`H x W x 3`) in [0, 1], as `1 x 3 x H x W`."""
    import torch

    return torch.from_numpy(image / np.float32(255)).permute(2, 0, 1)[None]


def render_views(
    pixels: "Tensor", corners: NDArray[np.int64], rng: np.random.Generator, strength: float = STRENGTH
) -> "Tensor":
    """Return one view (`3 x 64 x 64`, in [0, 1]) of the window at each corner (row, column).

    A view is shifted, rotated, zoomed and mirrored at random, its contrast and colours are changed, and noise is added.
    The image (`1 x 3 x H x W`) is reflected at its edges.
    """
    import torch
    from torch.nn.functional import grid_sample

    count = len(corners)
    drawn = draw_distortions(count, rng)
    grid = torch.from_numpy(_sampling_grid(pixels.shape[2:], corners, drawn, strength)).float()
    flat = grid.reshape(1, count * SIZE, SIZE, 2)
    sampled = grid_sample(pixels, flat, padding_mode="reflection", align_corners=False)
    views = sampled.reshape(3, count, SIZE, SIZE).transpose(0, 1).contiguous()
    mean = views.mean(dim=(1, 2, 3), keepdim=True)
    contrast = torch.from_numpy(np.exp(drawn.contrast * strength)).float()
    change = (
        torch.from_numpy(drawn.noise).mul_(NOISE).mul_(strength).add_(torch.from_numpy(drawn.colour * strength).float())
    )
    return views.sub_(mean).mul_(contrast).add_(mean).add_(change).clamp_(0, 1)


def _sampling_grid(
    shape: tuple[int, ...], corners: NDArray[np.int64], drawn: Distortions, strength: float
) -> NDArray[np.float64]:
    """Return the position in the image of each pixel of each view, in the coordinates of grid_sample (-1 to 1)."""
    height, width = shape
    offset = np.arange(SIZE) - (SIZE - 1) / 2
    y, x = np.meshgrid(offset, offset, indexing="ij")
    angle, zoom = drawn.turn * strength, np.exp(drawn.zoom * strength)
    center = corners[:, ::-1] + SIZE / 2 + drawn.shift * strength
    across = (drawn.mirror * np.cos(angle) * x - np.sin(angle) * y) * zoom + center[:, 0, None, None]
    down = (drawn.mirror * np.sin(angle) * x + np.cos(angle) * y) * zoom + center[:, 1, None, None]
    return np.stack((2 * across / width - 1, 2 * down / height - 1), axis=-1)
