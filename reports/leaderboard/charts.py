"""Figures as inline SVG: text stays text, follows the page's colours, and the same data give the same bytes."""

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .columns import ONE_PIECE, STREAMED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE = "#0072b2", "#d55e00"  # Okabe and Ito, told apart by every kind of colour vision
INK, FAINT = "#010203", "#010204"
# What is drawn with the first takes the page's own colour, which a dark page changes.
COLOURS = {
    INK: "currentColor",
    FAINT: "var(--faint, #8c959f)",
    BLUE: f"var(--one, {BLUE})",
    ORANGE: f"var(--streamed, {ORANGE})",
}
SETTINGS: Any = {"svg.fonttype": "none", "font.size": 10, "font.family": "sans-serif", "path.simplify": False}


def svg(figure: "Figure", name: str, label: str) -> str:
    """The figure as an `<svg>` element, its ids beginning with `name`; `label` says in words what it shows."""
    import matplotlib as mpl

    out = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({**SETTINGS, "svg.hashsalt": name}):
        figure.savefig(out, format="svg", metadata=nothing, transparent=True)
    text = out.getvalue()[out.getvalue().index("<svg") :]
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{name}-", text)
    text = re.sub(r'<style type="text/css">.*?</style>', "", text, flags=re.DOTALL)
    for stand_in, colour in COLOURS.items():
        text = text.replace(stand_in, colour)
    width, height = (float(side) * 72 for side in figure.get_size_inches())
    opening = f'<svg role="img" aria-label="{_attribute(label)}" viewBox="0 0 {width:g} {height:g}"'
    opening += ' xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    return re.sub(r"^<svg[^>]*>", lambda _: opening, text).strip()


def _attribute(text: str) -> str:
    import html

    return html.escape(text, quote=True)


def _axes(width: float, height: float, left: float, right: float) -> "tuple[Figure, Axes]":
    """Bare axes: no frame but the two lines that are read."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((left, 0.46 / height, 1 - left - right, 1 - 0.56 / height))
    axes.spines[["top", "right"]].set_visible(False)
    for spine in axes.spines.values():
        spine.set_color(FAINT)
    axes.tick_params(colors=INK, which="both", labelsize=9, color=FAINT)
    axes.grid(visible=True, axis="y", color=FAINT, linewidth=0.5, alpha=0.35)
    axes.set_axisbelow(True)
    return figure, axes


def accuracy_by_size(means: pd.DataFrame, name: str, limits: tuple[float, float], trained: float | None) -> str:
    """Accuracy of one encoder against the number of test points, in one piece and streamed, with 95% intervals.

    means: columns test_size, mode, mean, half; limits: of the vertical axis, the same for every encoder that is
    compared; trained: the size trained on, marked by a line.
    """
    import matplotlib as mpl

    with mpl.rc_context(SETTINGS):
        figure, axes = _axes(2.4, 1.75, 0.18, 0.06)
        for mode, colour, line, width in ((ONE_PIECE, BLUE, "-", 3.0), (STREAMED, ORANGE, "--", 1.5)):
            part = means[means["mode"] == mode].sort_values("test_size")
            x, y, half = (part[column].to_numpy(dtype=float) for column in ("test_size", "mean", "half"))
            axes.plot(x, y, line, color=colour, linewidth=width, marker="o", markersize=width + 0.5)
            axes.fill_between(x, y - half, y + half, color=colour, alpha=0.18, linewidth=0)
        if trained is not None:
            axes.axvline(trained, color=FAINT, linewidth=1, linestyle=":")
        sizes = sorted({float(size) for size in means["test_size"]})
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
        axes.minorticks_off()
        axes.set_ylim(*limits)
        axes.set_xlabel("test points", color=INK, labelpad=2)
        return svg(figure, name, f"accuracy against the number of test points: {_words(means)}")


def _words(means: pd.DataFrame) -> str:
    return "; ".join(f"{row.mode} {row.test_size:g}: {row.mean:.3f}" for row in means.itertuples())


def cost_by_size(costs: pd.DataFrame, name: str, label: str) -> str:
    """A cost of one encoder against the size of the set. costs: columns n, mode and value; label: of the value."""
    import matplotlib as mpl

    with mpl.rc_context(SETTINGS):
        figure, axes = _axes(2.4, 1.75, 0.2, 0.06)
        for mode, colour, line in ((ONE_PIECE, BLUE, "o-"), (STREAMED, ORANGE, "s--")):
            part = costs[costs["mode"] == mode].groupby("n")["value"].mean()
            axes.plot(part.index.to_numpy(float), part.to_numpy(float), line, color=colour, markersize=4)
        axes.set_xscale("log")
        if (costs["value"] > 0).all():
            axes.set_yscale("log")
        axes.minorticks_off()
        axes.set_xlabel(f"n, {label}", color=INK, labelpad=2)
        told = "; ".join(f"{row.mode} {row.n:g}: {row.value:.3g}" for row in costs.itertuples())
        return svg(figure, name, f"{label} against the number of elements: {told}")


def accuracy_against_throughput(points: pd.DataFrame, name: str) -> str:
    """Accuracy against throughput, one named point an encoder.

    points: columns encoder, throughput, accuracy, half (of the interval, may be NaN) and consistent (bool).
    """
    import matplotlib as mpl

    with mpl.rc_context(SETTINGS):
        height = max(3.0, 0.22 * len(points) + 1.0)
        figure, axes = _axes(5.4, height, 0.1, 0.34)
        points = points.sort_values("accuracy", ascending=False)
        for consistent, colour, marker in ((True, BLUE, "o"), (False, ORANGE, "X")):
            part = points[points["consistent"] == consistent]
            axes.errorbar(
                part["throughput"], part["accuracy"], yerr=part["half"].fillna(0.0), fmt=marker, color=colour,
                markersize=8, linewidth=1.2, zorder=3,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.margins(0.08, 0.1)
        axes.set_ylim(bottom=max(0.0, axes.get_ylim()[0]))
        axes.set_xlabel("elements per second", color=INK, labelpad=2)
        _thousands(axes)
        _name_points(axes, points, gap=0.22 / (height - 0.56))
        told = "; ".join(f"{p.encoder}: {p.throughput:.3g}/s, {p.accuracy:.3f}" for p in points.itertuples())
        return svg(figure, name, f"accuracy against throughput: {told}")


def _thousands(axes: "Axes") -> None:
    """Ticks at 1, 2 and 5 of each power of ten, few enough to be read, as 500k and 2M."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 1000 else (1.0,)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def _name_points(axes: "Axes", points: pd.DataFrame, gap: float) -> None:
    """The names in a column at the right, in the order of the points' heights, a thin line from each to its point."""
    low, high = axes.get_ylim()
    heights = spread([(y - low) / (high - low) for y in points["accuracy"]], gap)
    for point, height in zip(points.itertuples(), heights, strict=True):
        axes.annotate(
            str(point.encoder), (float(point.throughput), float(point.accuracy)), (1.04, height),  # type: ignore[arg-type]
            textcoords="axes fraction", va="center", color=INK, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.7, "shrinkB": 5, "relpos": (0, 0.5)},
        )  # fmt: skip


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Heights that fall, moved as little as keeps them `gap` apart and, where there is room, between 0 and 1."""
    from scipy.optimize import isotonic_regression

    steps = gap * np.arange(len(heights))
    placed = isotonic_regression(np.asarray(heights) + steps, increasing=False).x - steps
    return [float(height) for height in np.maximum(np.minimum(placed, 1 - steps), steps[::-1])]
