"""The look of every figure: one palette that all colour vision tells apart, intervals drawn, and the same bytes for the
same records."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 5.4  # inches: at 390 pixels of a phone, text of 10 points is still read
SALT = "mbcbench"
INK, FAINT = "#24292f", "#8c959f"
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
DOTS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")


@contextmanager
def style() -> Iterator[None]:
    """The style, for as long as a figure is drawn."""
    import matplotlib as mpl
    import seaborn as sns

    with mpl.rc_context(), sns.axes_style("whitegrid"), sns.plotting_context("paper"), mpl.rc_context(RC):
        yield


def palette(count: int) -> list[Any]:
    """So many colours: seaborn's for the colour-blind, without its yellow, which paper does not show."""
    import seaborn as sns

    colours = [c for i, c in enumerate(sns.color_palette("colorblind")) if i != 8]
    return [colours[i % len(colours)] for i in range(count)]


def interval(values: pd.Series) -> tuple[float, float]:
    """The 95% t interval of a mean, for seaborn; nothing for one value."""
    found = Estimate.of(values.dropna())
    return (found.mean, found.mean) if np.isnan(found.half) else (found.low, found.high)


def canvas(height: float = 3.6, width: float = WIDTH) -> "tuple[Figure, Axes]":
    """An empty figure of one panel."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def lines(
    data: pd.DataFrame, x: str, hue: str = "model", *, labels: Sequence[str], log: bool = False, dots: bool = True
) -> "Figure":
    """Means over seeds with their intervals along `x`, one line a `hue`. labels: of the two axes."""
    import seaborn as sns

    with style():
        names = list(dict.fromkeys(data[hue]))
        figure, axes = canvas(3.1 + 0.19 * rows_of(names))
        marks = {"markers": list(DOTS[: len(names)])} if dots and len(names) <= len(DOTS) else {"markers": False}
        sns.lineplot(
            data, x=x, y="value", hue=hue, style=hue, hue_order=names, style_order=names, palette=palette(len(names)),
            dashes=False, errorbar=interval, err_style="bars" if dots else "band", ax=axes, **marks,
        )  # fmt: skip
        finish(axes, names, labels)
        if log:
            axes.set_xscale("log")
        if dots:
            ticks(axes, sorted(data[x].unique()))
        return figure


def points(data: pd.DataFrame, x: str, hue: str, *, labels: Sequence[str], log: bool = False) -> "Figure":
    """Means over seeds with their intervals, side by side in the order of the categories `x`.

    log: both of the values' logarithms, on a logarithmic axis.
    """
    import seaborn as sns

    with style():
        names = list(dict.fromkeys(data[hue]))
        figure, axes = canvas(3.1 + 0.19 * rows_of(names))
        sns.pointplot(
            data.assign(**{x: data[x].astype(str)}), x=x, y="value", hue=hue, hue_order=names,
            dodge=0.4 if len(names) > 1 else False,
            order=list(dict.fromkeys(data[x].astype(str))), palette=palette(len(names)), errorbar=interval,
            markers=[DOTS[i % len(DOTS)] for i in range(len(names))], ax=axes, linewidth=1.4,
            log_scale=log or None,
        )  # fmt: skip
        finish(axes, names, labels)
        return figure


def finish(axes: "Axes", names: Sequence[str], labels: Sequence[str], *, legend: bool = True) -> None:
    """Label the axes, and put the legend below them, where it hides nothing."""
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.spines[["top", "right"]].set_visible(False)
    if labels[1] == "accuracy":  # an interval of two seeds may be wider than there are accuracies
        low, high = axes.get_ylim()
        axes.set_ylim(max(0.0, low), min(1.02, high))
    handles, told = axes.get_legend_handles_labels()
    if axes.get_legend() is not None:
        axes.get_legend().remove()  # type: ignore[union-attr]
    figure: Any = axes.figure
    kept = [at for at, name in enumerate(told) if name not in ("encoder", "mode")]  # seaborn's headings
    handles, told = [handles[at] for at in kept], [told[at] for at in kept]
    if told and legend:
        figure.legend(handles, told, loc="outside lower center", ncols=_across(names), frameon=False, handlelength=1.6)


def _across(names: Sequence[str]) -> int:
    """How many names stand beside each other: as the longest allows."""
    return max(1, min(3, 78 // (max(map(len, names), default=1) + 8)))


def rows_of(names: Sequence[str]) -> int:
    """How many lines a legend takes."""
    return -(-len(names) // _across(names))


def ticks(axes: "Axes", values: Sequence[Any]) -> None:
    """Ticks where something was measured, as far as there is room."""
    from matplotlib.ticker import NullLocator

    axes.set_xticks(values, [thousands(value) for value in values])
    axes.xaxis.set_minor_locator(NullLocator())
    if len(values) > 8:
        axes.tick_params(axis="x", labelrotation=45)


def thousands(value: float) -> str:
    """`2k` for 2000, and `1M`."""
    for unit, sign in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{sign}"
    return f"{value:g}"


def image(figure: "Figure", kind: str) -> bytes:
    """The figure as bytes of `svg` or `png`, the same for the same figure: no date, ids from a fixed salt."""
    import matplotlib as mpl

    out = io.BytesIO()
    metadata: dict[str, Any] = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    with mpl.rc_context(RC):
        figure.savefig(out, format=kind, metadata=metadata, dpi=200)
    return out.getvalue()
