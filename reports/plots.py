"""Plots of means over seeds, and of the differences between models below them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .stats import one_per_seed, summarise_by
from .style import (
    DODGE,
    FAINT,
    MARKERS,
    WIDTH,
    add_facts,
    canvas,
    finish,
    interval,
    legend_below,
    legend_height,
    markers,
    palette,
    set_ticks,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLOT_HEIGHT, STRIP_HEIGHT = 3.1, 1.3  # inches, with the labels of their axes
NEIGHBOUR_RATIO = 1.025  # of the positions of two adjacent series with the same x, on a logarithmic axis
NEIGHBOUR_SHARE = 0.012  # of a linear axis that lies between them
FAR = 10  # margins from zero at which the axis of differences becomes logarithmic


@dataclass(frozen=True)
class Reference:
    """Model or setting with which the other values of a figure are compared, seed by seed.

    value: of the column. margin: differences within it do not matter. label: name of the reference in the figure.
    """

    column: str
    value: str | int
    margin: float
    label: str

    def differences(self, data: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
        """Return the differences to the values of the reference that have the same seed and the same other keys.

        keys: columns that identify a mean of the figure.
        """
        if "seed" not in data:
            return data.head(0)
        table, others = one_per_seed(data, keys), [key for key in (*keys, "seed") if key != self.column]
        is_reference = table[self.column].eq(self.value)
        values = table[is_reference][[*others, "value"]].rename(columns={"value": "reference"})
        rows = table[~is_reference].merge(values, on=others)
        return rows.assign(value=rows["value"] - rows["reference"]).drop(columns="reference")


def draw_lines(
    data: pd.DataFrame,
    hue: str = "model",
    *,
    labels: tuple[str, str],
    base: int | None = None,
    reference: Reference | None = None,
) -> "Figure":
    """Draw the mean over seeds of `value` along `x`, with intervals, and one line for each `hue`.

    labels: of the two axes. base: of a logarithmic scale of `x`. reference: of the differences below the lines.
    """
    names = list(dict.fromkeys(data[hue]))
    table = data.assign(place=spread(data, names, hue, is_log=base is not None))
    differences = reference.differences(table, [hue, "x"]) if reference else table.head(0)
    with style():
        figure, axes, strip = _with_strip(names, has_strip=len(differences) > 0)
        line_plot(axes, table.assign(x=table["place"]), names, hue)
        finish(axes, labels)
        if base:
            axes.set_xscale("log", base=base)
        set_ticks(axes, data["x"])
        if reference and strip:
            draw_strip(strip, differences, names, hue, reference)
            move_label_down(axes, strip)
        legend_below(figure, axes, names)
        add_facts(figure, data)
        return figure


def _with_strip(names: Sequence[str], *, has_strip: bool) -> "tuple[Figure, Axes, Axes | None]":
    """Return a figure with a panel, the panel, and one for differences below it, with the same `x`."""
    if not has_strip:
        return (*canvas(PLOT_HEIGHT + legend_height(names)), None)
    from matplotlib.figure import Figure

    height = PLOT_HEIGHT + STRIP_HEIGHT + legend_height(names)
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes, strip = figure.subplots(2, 1, sharex=True, height_ratios=[PLOT_HEIGHT, STRIP_HEIGHT])
    return figure, axes, strip


def spread(rows: pd.DataFrame, names: Sequence[str], hue: str, *, is_log: bool) -> pd.Series:
    """Return `x` with each series shifted a little, so that intervals do not overlap."""
    x = rows["x"].astype(float)
    places = rows[hue].map(list(names).index).astype(float) - (len(names) - 1) / 2
    return x * NEIGHBOUR_RATIO**places if is_log else x + places * NEIGHBOUR_SHARE * (x.max() - x.min())


def draw_strip(axes: "Axes", differences: pd.DataFrame, names: Sequence[str], hue: str, reference: Reference) -> None:
    """Draw mean differences with intervals at the column `place`, and the margin in grey."""
    axes.axhspan(-reference.margin, reference.margin, color=FAINT, alpha=0.2, linewidth=0)
    axes.axhline(0.0, color=FAINT, linewidth=0.8)
    means = summarise_by(differences, [hue, "place"])
    for name, colour, marker in zip(names, palette(len(names)), markers(len(names)), strict=True):
        rows = means[means[hue].eq(name)]
        axes.errorbar(
            rows["place"], rows["mean"], yerr=rows["half"].fillna(0.0),
            color=colour, marker=marker, markersize=4, linewidth=1.4, linestyle="none",
        )  # fmt: skip
    if means["mean"].abs().max() > FAR * reference.margin:
        axes.set_yscale("symlog", linthresh=reference.margin)
    axes.set_title(f"differences to {reference.label}, paired by seed", fontsize=8)
    axes.tick_params(axis="y", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def move_label_down(axes: "Axes", strip: "Axes") -> None:
    """Move the label and the ticks of `x` from a panel to the strip below it."""
    strip.set_xlabel(axes.get_xlabel())
    axes.set_xlabel("")
    axes.tick_params(axis="x", labelbottom=False)


def line_plot(axes: "Axes", data: pd.DataFrame, names: Sequence[str], hue: str = "model", *, dots: bool = True) -> None:
    """Draw one line for each of `names` into a panel.

    dots: mark the measured points; without them, intervals are bands.
    """
    import seaborn as sns

    table = one_per_seed(data, [hue, "x"])
    sns.lineplot(
        table, x="x", y="value", hue=hue, style=hue, hue_order=names, style_order=names,
        palette=palette(len(names)),
        markers=markers(len(names)) if dots and len(names) <= len(MARKERS) else False, dashes=False,
        errorbar=interval, err_style="bars" if dots else "band", ax=axes,
    )  # fmt: skip
    if dots:
        _hollow(axes, table, names, hue, table["x"])


def _hollow(axes: "Axes", table: pd.DataFrame, names: Sequence[str], hue: str, places: pd.Series) -> None:
    """Draw the mark of a mean hollow if some of its trainings learnt nothing. places: of each row, along the axis."""
    if "has learnt" not in table or table["has learnt"].all():
        return
    by = [hue, "place"]
    means = (
        table.assign(place=places)
        .groupby(by, sort=False, as_index=False)
        .agg(value=("value", "mean"), has_learnt=("has learnt", "all"))
    )
    for row in means[~means["has_learnt"].astype(bool)].to_dict("records"):
        number = list(names).index(row[hue])
        axes.plot(
            row["place"], row["value"], marker=markers(number + 1)[-1], markeredgecolor=palette(number + 1)[-1],
            markerfacecolor="white", markeredgewidth=1.4, linestyle="none", zorder=5, label="_hollow",
        )  # fmt: skip


def draw_points(
    data: pd.DataFrame,
    x: str,
    hue: str,
    *,
    labels: tuple[str, str],
    log: bool = False,
    linear_within: float = 0.0,
    reference: Reference | None = None,
) -> "Figure":
    """Draw means over seeds with intervals, side by side in the order of the categories `x`.

    log: average logarithms, on a logarithmic axis. linear_within: the axis is logarithmic beyond this distance from
    zero, on both sides. reference: of the differences below the points.
    """
    import seaborn as sns

    names = list(dict.fromkeys(data[hue]))
    table = one_per_seed(data.assign(**{x: data[x].astype(str)}), [hue, x])
    table = table.assign(place=_dodged(table, x, hue, names))
    differences = reference.differences(table, [hue, x]) if reference else table.head(0)
    with style():
        figure, axes, strip = _with_strip(names, has_strip=len(differences) > 0)
        sns.pointplot(
            table, x=x, y="value", hue=hue, hue_order=names, order=list(dict.fromkeys(table[x])),
            dodge=DODGE if len(names) > 1 else False, palette=palette(len(names)), markers=markers(len(names)),
            errorbar=interval, linestyle="none", linewidth=1.4, log_scale=log or None, ax=axes,
        )  # fmt: skip
        if linear_within:
            axes.set_yscale("symlog", linthresh=linear_within)
            axes.autoscale(axis="y")
            axes.axhline(0.0, color=FAINT, linewidth=0.8)
        _hollow(axes, table, names, hue, table["place"])
        finish(axes, labels)
        if reference and strip:
            draw_strip(strip, differences, names, hue, reference)
            strip.set_xlim(-0.5, table[x].nunique() - 0.5)
            move_label_down(axes, strip)
        legend_below(figure, axes, names)
        add_facts(figure, data)
        return figure


def _dodged(table: pd.DataFrame, x: str, hue: str, names: Sequence[str]) -> pd.Series:
    """Return the position at which `draw_points` draws each row: side by side around the position of its category."""
    offsets = np.linspace(-DODGE / 2, DODGE / 2, len(names)) if len(names) > 1 else np.zeros(1)
    categories = list(dict.fromkeys(table[x]))
    return table[x].map(categories.index) + table[hue].map(dict(zip(names, offsets, strict=True)))
