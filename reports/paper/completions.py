"""Images, completed from more and more of their pixels."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from mbcbench.reporting import Artefact

from ..columns import Row
from ..selection import label_models, select
from ..style import FAINT, WIDTH, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ["red", "green", "blue"]
COLUMNS = ["what", "image", "size", "pixel", *COLOURS]
CONTEXT, IMAGE = "context", "image"  # in the column `what`, next to the models: the given pixels, and all pixels
MAX_IMAGES = 2
GREY = 208  # colour of pixels outside of the context


def completions(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per pixel.

    Columns are `what` (the context, the image, or a model), the image, the size of the context, the pixel, and its
    colours from 0 to 255.
    """
    records = select(label_models(frame), {"suite": "image-completion", "metric": "completions"})
    rows = records.sort_values(["model", "seed"], kind="stable").drop_duplicates("model").to_dict("records")
    if not rows:
        return pd.DataFrame(columns=COLUMNS)
    parts = list(_given_pixels(rows[0]))
    for row in rows:
        for size, images in row["detail.completions"].items():
            parts.append(_pixels(row["model"], int(size), images))
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def _given_pixels(row: Row) -> Iterator[pd.DataFrame]:
    """Yield the images, and the pixels of each context."""
    images, order = np.asarray(row["detail.images"]), np.asarray(row["detail.order"])
    yield _pixels(IMAGE, images.shape[1], images)
    for size in map(int, row["detail.completions"]):
        for index, (image, places) in enumerate(zip(images[:MAX_IMAGES], order[:MAX_IMAGES, :size], strict=True)):
            given = pd.DataFrame(image[places], columns=COLOURS)
            yield given.assign(what=CONTEXT, image=index, size=size, pixel=places)


def _pixels(what: str, size: int, images: npt.ArrayLike) -> pd.DataFrame:
    """Return the pixels of images, `N x P x 3`, one row each."""
    first_images = np.asarray(images)[:MAX_IMAGES]
    count, pixels, _ = first_images.shape
    table = pd.DataFrame(first_images.reshape(-1, 3), columns=COLOURS)
    return table.assign(
        what=what, image=np.repeat(range(count), pixels), size=size, pixel=np.tile(range(pixels), count)
    )


def compare_errors(data: pd.DataFrame) -> str:
    """Return the mean error of each model with the smallest and the largest context."""
    keys = ["image", "pixel"]
    truth = data[data["what"].eq(IMAGE)].set_index(keys)[COLOURS].add_prefix("true ")
    models = data[~data["what"].isin([IMAGE, CONTEXT])].join(truth, on=keys)
    difference = models[COLOURS].to_numpy(float) - models[list(truth.columns)].to_numpy(float)
    errors = models.assign(error=np.abs(difference).mean(axis=1)).groupby(["what", "size"])["error"].mean().unstack()
    words = [f"{name} {row.iloc[0]:.0f} to {row.iloc[-1]:.0f}" for name, row in errors.iterrows()]
    first, last = errors.columns[0], errors.columns[-1]
    return (
        f"From {first:,} to {last:,} pixels of context, the mean absolute error of a colour (0 to 255, lower is "
        f"better) goes from {', '.join(words)}"
    )


def draw(data: pd.DataFrame) -> "Figure":
    """Draw the contexts of each image, and below them the completions of each model; the last column is the image."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    images = sorted(set(data["image"]))
    rows = [what for what in dict.fromkeys(data["what"]) if what != IMAGE]
    sizes = sorted(set(data.loc[data["what"].eq(CONTEXT), "size"]))
    whole = data[data["what"].eq(IMAGE)]
    side = round((whole["pixel"].max() + 1) ** 0.5)
    with style():
        layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.0, hspace=0.0)
        height = 0.3 + 4.24 / (len(sizes) + 1) * len(images) * len(rows)
        figure = Figure(figsize=(WIDTH, height), layout=layout)
        grid = figure.subplots(len(images) * len(rows), len(sizes) + 1, squeeze=False)
        for place, panels in enumerate(grid):
            image, what = images[place // len(rows)], rows[place % len(rows)]
            pixels = data[data["image"].eq(image) & data["what"].eq(what)]
            for axes, size in zip(panels, sizes, strict=False):
                _draw_panel(axes, pixels[pixels["size"].eq(size)], side)
            _draw_panel(panels[-1], whole[whole["image"].eq(image)] if what == CONTEXT else None, side)
            panels[0].set_ylabel(what.replace(" ", "\n"), fontsize=8)
        _set_titles(grid[0], sizes)
        return figure


def _set_titles(panels: "Sequence[Axes]", sizes: Sequence[int]) -> None:
    for axes, title in zip(panels, [*(f"{size} pixels" for size in sizes), "all"], strict=True):
        axes.set_title(title, fontsize=9)


def _draw_panel(axes: "Axes", pixels: pd.DataFrame | None, side: int) -> None:
    """Draw an image of the given pixels; draw nothing if there are none."""
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
    caption="The mean that a model predicts for every pixel. The encoding of every context has the same size.",
    data=completions,
    draw=draw,
    result=compare_errors,
    make="mbcbench run --suite paper --only fig3a --profile thorough",
)
