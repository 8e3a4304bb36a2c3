"""Figures of laws: laws that each encoder keeps, and changes of an encoding by chunks."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mbcbench.reporting import Artefact

from .aggregation import law_matrix
from .captions import list_names
from .leaderboard.columns import encoders_of
from .selection import label_models, select
from .style import FAINT, WIDTH, canvas, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LAW_WORDS = {
    "pass": "holds",
    "ok": "classified",
    "xfail": "broken, as claimed",
    "fail": "broken",
    "xpass": "broken",
    "undecided": "undecided",
    "skip": "does not apply",
    "missing": "no record",
}
LAW_COLOURS = {
    "holds": "#56b4e9",
    "classified": "#b9a7d6",
    "broken, as claimed": "#e69f00",
    "broken": "#a50f15",
    "undecided": "#999999",
    "does not apply": "#f4f4f4",
    "no record": "#ffffff",
    "other": "#000000",
}
EXACT = 1e-12  # relative error of an encoding that differs by rounding alone


def law_statuses(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the worst status of each law (columns) for each encoder (rows)."""
    laws = frame[frame["suite"].eq("laws")]
    return law_matrix(laws, sorted(encoders_of(laws, {}))).reset_index() if len(laws) else pd.DataFrame()


def count_law_abiding(data: pd.DataFrame) -> str:
    """Return the number of encoders that keep all laws, and the encoders that break a law that they claim to keep."""
    statuses = data.set_index("encoder")
    keeps = statuses.isin(["pass", "ok", "skip"]).all(axis=1)
    unexpected = statuses.index[statuses.isin(["fail", "xpass"]).any(axis=1)]
    as_claimed = statuses.isin(["xfail"]).any(axis=1).sum()
    words = [
        f"{keeps.sum()} of {len(statuses)} encoders keep every law that applies to them",
        f"{as_claimed} break a law, as their authors say",
        f"unexpected: {list_names(list(unexpected))}" if len(unexpected) else "",
    ]
    return "; ".join(word for word in words if word)


def draw_law_statuses(data: pd.DataFrame) -> "Figure":
    """Draw one tile for each law and encoder. Laws are rows, so that all of them fit on a phone."""
    import seaborn as sns
    from matplotlib.patches import Patch

    words = data.set_index("encoder").T.map(lambda status: LAW_WORDS.get(status, "other"))
    words.columns = words.columns.str.rpartition(":").get_level_values(2)  # `Encoder` of `my.module:Encoder`
    names = list(LAW_COLOURS)
    present = [name for name in names if (words == name).to_numpy().any()]
    with style():
        names_height = 0.075 * max(map(len, words.columns))  # names below the tiles are upright
        figure, axes = canvas(0.8 + names_height + 0.19 * len(words), max(WIDTH, 2.0 + 0.24 * len(words.columns)))
        sns.heatmap(
            words.map(names.index), cmap=list(LAW_COLOURS.values()), vmin=-0.5, vmax=len(names) - 0.5, cbar=False,
            linewidths=0.8, linecolor="white", ax=axes, xticklabels=True, yticklabels=True,
        )  # fmt: skip
        axes.tick_params(axis="x", labelrotation=90, labelsize=8)
        axes.tick_params(axis="y", labelrotation=0, labelsize=8)
        axes.set(xlabel="", ylabel="")
        patches = [Patch(facecolor=LAW_COLOURS[name], edgecolor=FAINT, label=name) for name in present]
        figure.legend(handles=patches, loc="outside lower center", ncols=3, frameon=False)
        return figure


def consistency_errors(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the largest difference between chunks and the whole set, relative to the whole in max-norm."""
    rows = select(label_models(frame), {"suite": "consistency", "metric": "relative_gap"})
    names = {"detail.order": "kind", "detail.chunk_size": "size", "detail.aggregation": "encoded"}
    keys = ["encoder", "encoded", "kind", "size"]
    return rows.rename(columns=names).groupby(keys)["value"].max().reset_index()


def compare_consistency(data: pd.DataFrame) -> str:
    """Return the number of encoders that differ by rounding alone, and the largest difference."""
    worst = data.groupby("encoder")["value"].max().sort_values(ascending=False)
    exact = int((worst < EXACT).sum())
    return (
        f"Chunks change the encoding of {exact} of {len(worst)} encoders by rounding alone (less than {EXACT:g}), "
        f"and that of {worst.index[0]} most, by {worst.iloc[0]:.2g} times its size"
    )


def draw_consistency(data: pd.DataFrame) -> "Figure":
    """Draw a row for each encoder, the worst on top, and a column for each chunk size, in panels by kind of chunk."""
    import seaborn as sns
    from matplotlib.figure import Figure

    table = data.assign(value=np.log10(data["value"].clip(lower=np.finfo(float).eps)))
    order = table.groupby("encoder")["value"].max().sort_values(ascending=False, kind="stable").index
    kinds = list(dict.fromkeys(data["kind"]))
    with style():
        figure = Figure(figsize=(WIDTH, 1.5 + 0.16 * len(order)), layout="constrained")
        panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
        for axes, kind in zip(panels, kinds, strict=True):
            grid = table[table["kind"].eq(kind)].pivot(index="encoder", columns="size", values="value").reindex(order)
            grid = grid[grid.columns[::-1]]
            sns.heatmap(
                grid, vmin=-16, vmax=0, cmap="cividis", cbar=axes is panels[-1], ax=axes, linewidths=0.5,
                xticklabels=[f"{size:g}" for size in grid.columns], yticklabels=True,
                cbar_kws={"label": "log10 of the relative difference (lower is better)", "fraction": 0.1},
            )  # fmt: skip
            axes.set(title=kind, xlabel="", ylabel="")
            axes.tick_params(labelsize=8)
            axes.tick_params(axis="x", labelrotation=90)
        figure.supxlabel("elements in a chunk", fontsize=9)
        return figure


LAW_MATRIX = Artefact(
    id="law-matrix",
    title="Encoders and laws",
    caption="Each tile is the outcome of one law (rows) for one encoder (columns).",
    data=law_statuses,
    draw=draw_law_statuses,
    result=count_law_abiding,
    make="mbcbench run --suite laws",
)
CONSISTENCY = Artefact(
    id="consistency",
    title="Consistency error by chunk size",
    caption="The largest relative difference between a stream of chunks and the whole set, in float64. Encoders "
    "without a state are the mean of the encodings of their chunks. Uneven: one element, then chunks of this size.",
    data=consistency_errors,
    draw=draw_consistency,
    result=compare_consistency,
    make="mbcbench run --suite consistency",
)
