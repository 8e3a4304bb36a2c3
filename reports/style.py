"""Style of all figures: one colour-blind-safe palette, 95 % intervals, and the same bytes for the same records."""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from mbcbench.errors import plural

from .stats import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 5.4  # inches: text of 10 points stays legible on a phone of 390 pixels
DPI = 160
SALT = "mbcbench"
INK, FAINT, FACTS = "#24292f", "#8c959f", "#57606a"
DETAILS = r" as |, | \(| with "  # the rest of the name of a data set is left out in a picture
RC: Any = {
    "svg.hashsalt": SALT,
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": 10,
    "axes.titlesize": 10,
    "legend.fontsize": 9,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "figure.dpi": 100,
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
PANEL_HEIGHT = 2.3  # inches
DODGE = 0.4  # from the first to the last mark of a category; categories are 1 apart
MAX_SERIES = 8  # that one figure can distinguish
YELLOW = 8  # of seaborn's palette: hardly visible on white
LEGEND_CHARACTERS = 78  # that fit below a figure
SEABORN_HEADINGS = ("encoder", "mode", "model", "series")  # entries of a legend that name its columns


@contextmanager
def style() -> Iterator[None]:
    """Set the style while a figure is drawn."""
    import matplotlib as mpl
    import seaborn as sns

    with mpl.rc_context(), sns.axes_style("whitegrid"), sns.plotting_context("paper"), mpl.rc_context(RC):
        yield


def palette(count: int) -> list[Any]:
    """Return `count` colours; they repeat after ten."""
    import seaborn as sns

    colours = [INK if index == YELLOW else colour for index, colour in enumerate(sns.color_palette("colorblind"))]
    return [colours[index % len(colours)] for index in range(count)]


def markers(count: int) -> list[str]:
    """Return `count` markers; they repeat after twelve."""
    return [MARKERS[index % len(MARKERS)] for index in range(count)]


def interval(values: pd.Series) -> tuple[float, float]:
    """Return the 95 % t interval of a mean, for seaborn; of one value, the value itself."""
    estimate = Estimate.of(values.dropna())
    return (estimate.mean, estimate.mean) if np.isnan(estimate.half) else (estimate.low, estimate.high)


def canvas(height: float = 3.6, width: float = WIDTH) -> "tuple[Figure, Axes]":
    """Return an empty figure with one panel."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def panels(count: int, names: Sequence[str], strip: float = 0.0) -> "tuple[Figure, list[Axes], list[Axes]]":
    """Return a figure with panels in two columns, and room below for a legend of `names`.

    strip: height of a strip below each panel, in inches. The strips come last; 0 means none.
    """
    from matplotlib.figure import Figure

    rows = -(-count // 2)
    heights = [PANEL_HEIGHT, strip] if strip else [PANEL_HEIGHT]
    figure = Figure(figsize=(WIDTH, sum(heights) * rows + legend_height(names)), layout="constrained")
    grid = figure.subplots(len(heights) * rows, 2, squeeze=False, height_ratios=heights * rows)
    above = list(grid[:: len(heights)].flatten())
    below = list(grid[1::2].flatten()) if strip else []
    for axes in (*above[count:], *below[count:]):
        axes.set_axis_off()
    return figure, above, below


def add_facts(figure: "Figure", data: pd.DataFrame) -> None:
    """Write the seeds, the data and the steps of the numbers above a figure, and the meaning of hollow markers."""
    figure.suptitle("; ".join(_facts(data)), fontsize=7.5, color=FACTS)


def _facts(data: pd.DataFrame) -> Iterator[str]:
    if "seed" in data and data["seed"].notna().any():
        yield plural(data["seed"].nunique(), "seed")
    if "data" in data:
        yield from sorted({re.split(DETAILS, str(name))[0] for name in data["data"].dropna()})
    steps = pd.to_numeric(data["steps"]).dropna() if "steps" in data else pd.Series(dtype=float)
    if len(steps):
        low, high = int(steps.min()), int(steps.max())
        yield f"{high:,} steps" if low == high else f"{low:,} to {high:,} steps"
    if "has learnt" in data and not data["has learnt"].all():
        yield "hollow: some trainings learnt nothing"


def finish(axes: "Axes", labels: tuple[str, str]) -> None:
    """Label the axes of a panel."""
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.spines[["top", "right"]].set_visible(False)
    if "accuracy" in labels[1]:  # an interval of two seeds may be wider than the range of accuracies
        low, high = axes.get_ylim()
        axes.set_ylim(max(0.0, low), min(1.02, high))


def legend_below(figure: "Figure", axes: "Axes", names: Sequence[str]) -> None:
    """Move the legend of a panel below the figure, where it hides nothing."""
    entries = list(zip(*axes.get_legend_handles_labels(), strict=True))
    entries = [(handle, label) for handle, label in entries if label not in SEABORN_HEADINGS]
    for panel in figure.axes:
        legend = panel.get_legend()
        if legend is not None:
            legend.remove()
    if entries:
        handles, labels = zip(*entries, strict=True)
        figure.legend(
            handles, labels, loc="outside lower center", ncols=_legend_columns(names), frameon=False, handlelength=1.6
        )


def legend_height(names: Sequence[str]) -> float:
    """Return the inches that a legend of `names` takes."""
    return 0.19 * -(-len(names) // _legend_columns(names))


def _legend_columns(names: Sequence[str]) -> int:
    longest = max(map(len, names), default=1)
    return max(1, min(3, LEGEND_CHARACTERS // (longest + 8)))


def set_ticks(axes: "Axes", values: Iterable[float]) -> None:
    """Set ticks at the values that were measured."""
    from matplotlib.ticker import NullLocator

    ticks = sorted(set(values))
    axes.set_xticks(ticks, [format_tick(value) for value in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    if len(ticks) > 8:
        axes.tick_params(axis="x", labelrotation=45)


def set_log_ticks(axes: "Axes") -> None:
    """Scale `x` logarithmically, with ticks at 1, 2 and 5 times powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 1000 else (1.0,)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_tick(value)))


def format_tick(value: float) -> str:
    """Return `2k` for 2000, and `1M`."""
    for unit, suffix in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{suffix}"
    return f"{value:g}"


def image(figure: "Figure", kind: Literal["svg", "png"] | str) -> bytes:
    """Return the figure as bytes of `svg` or `png`: without a date, and with ids from a fixed salt.

    A PNG has a palette of 256 colours, which makes it three times smaller.
    """
    import matplotlib as mpl

    out = io.BytesIO()
    with mpl.rc_context(RC):
        if kind == "svg":
            figure.savefig(out, format=kind, metadata={"Date": None, "Creator": None})
            return out.getvalue()
        figure.savefig(out, format=kind, metadata={"Software": None}, dpi=DPI)
    return _with_palette(out)


def _with_palette(png: io.BytesIO) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    picture = Image.open(png).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(out, format="png", optimize=True)
    return out.getvalue()
