"""Images as they are completed from more and more of their pixels."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mbcbench.reporting import Artefact

from ..statistics import labelled, pick
from ..style import FAINT, WIDTH, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ["red", "green", "blue"]
GIVEN, WHOLE = "context", "image"  # beside the models: the pixels that they were given, and all
SHOWN = 2  # images of a figure
GREY = 208  # of pixels that were not given


def completions(frame: pd.DataFrame) -> pd.DataFrame:
    """A row a pixel: what (the context, the image, or the model that completed it), image, size of the context, pixel,
    and the colours from 0 to 255."""
    found = pick(labelled(frame), {"suite": "image-completion", "metric": "completions"})
    rows = found.sort_values(["model", "seed"], kind="stable").drop_duplicates("model").to_dict("records")
    parts = [part for row in rows[:1] for part in _images(row)]
    for row in rows:
        parts += [_pixels(row["model"], int(size), held) for size, held in row["detail.completions"].items()]
    columns = ["what", "image", "size", "pixel", *COLOURS]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _images(row: Mapping[Any, Any]) -> Iterator[pd.DataFrame]:
    """The images, and the pixels of each context."""
    images, order = np.asarray(row["detail.images"]), np.asarray(row["detail.order"])
    yield _pixels(WHOLE, images.shape[1], images)
    for size in map(int, row["detail.completions"]):
        for at, (image, chosen) in enumerate(zip(images, order[:, :size], strict=True)):
            given = pd.DataFrame(image[chosen], columns=COLOURS)
            yield given.assign(what=GIVEN, image=at, size=size, pixel=chosen)


def _pixels(what: str, size: int, images: Any) -> pd.DataFrame:
    """Images, `N x P x 3`, a row a pixel."""
    held = np.asarray(images)
    count, pixels, _ = held.shape
    table = pd.DataFrame(held.reshape(-1, 3), columns=COLOURS)
    return table.assign(
        what=what, image=np.repeat(range(count), pixels), size=size, pixel=np.tile(range(pixels), count)
    )


def draw(data: pd.DataFrame) -> "Figure":
    """For each image its contexts, and below them what each model made of them; the last column is the image."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    images, models = sorted(set(data["image"]))[:SHOWN], [w for w in dict.fromkeys(data["what"]) if w != WHOLE]
    sizes = sorted(set(data.loc[data["what"].eq(GIVEN), "size"]))
    whole = data[data["what"].eq(WHOLE)]
    side = round((whole["pixel"].max() + 1) ** 0.5)
    with style():
        count, height = len(images) * len(models), 4.24 / (len(sizes) + 1)
        layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.0, hspace=0.0)
        figure = Figure(figsize=(WIDTH, 0.3 + height * count), layout=layout)
        grid = figure.subplots(count, len(sizes) + 1, squeeze=False)
        for at, row in enumerate(grid):
            image, model = images[at // len(models)], models[at % len(models)]
            own = data[data["image"].eq(image) & data["what"].eq(model)]
            _row(row, [own[own["size"].eq(size)] for size in sizes], side, model)
            _panel(row[-1], whole[whole["image"].eq(image)] if model == GIVEN else None, side)
        for axes, told in zip(grid[0], [*(f"{size} pixels" for size in sizes), "all"], strict=True):
            axes.set_title(told, fontsize=9)
        return figure


def _row(row: Sequence["Axes"], parts: Sequence[pd.DataFrame], side: int, name: str) -> None:
    for axes, pixels in zip(row, parts, strict=False):
        _panel(axes, pixels, side)
    row[0].set_ylabel(name.replace(" ", "\n"), fontsize=8)


def _panel(axes: "Axes", pixels: pd.DataFrame | None, side: int) -> None:
    """An image of the pixels that there are; without any, nothing."""
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set(color=FAINT, visible=pixels is not None)
    if pixels is not None:
        image = np.full((side * side, 3), GREY, dtype=np.uint8)
        image[pixels["pixel"]] = pixels[COLOURS].to_numpy(dtype=np.uint8)
        axes.imshow(image.reshape(side, side, 3), interpolation="nearest")


COMPLETIONS = Artefact(
    id="completions",
    title="Images completed as their context grows",
    caption="The mean that a model predicts for every pixel. One encoding of the same size holds every context.",
    data=completions,
    draw=draw,
    make="mbcbench run --suite paper --only fig3a --profile thorough",
)
