"""Figures 9 and 10: queries and centroids of digits in the plane, by t-SNE."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mbcbench.reporting import Artefact

from ..statistics import labelled, pick
from ..style import DOTS, FAINT, palette, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ["model", "kind", "size", "class", "x", "y"]


def planar(frame: pd.DataFrame) -> pd.DataFrame:
    """Places in the plane: one row a query and a centroid, all of one model placed together."""
    found = pick(labelled(frame), {"suite": "centroids", "metric": "embeddings"})
    found = found.sort_values(["seed", "model"]).drop_duplicates("model")
    found = found[~found["model"].str.endswith(("no norm", "rescaled"))]
    parts = [_placed(row["model"], row["detail.queries"], row["detail.centroids"]) for row in found.to_dict("records")]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)


def _placed(model: str, queries: Any, centroids: dict[str, Any]) -> pd.DataFrame:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    sizes = sorted(map(int, centroids))
    points, stars = np.asarray(queries, float), np.asarray([centroids[str(size)] for size in sizes], float)
    classes, shown, dim = points.shape
    every = np.concatenate([points.reshape(-1, dim), stars.reshape(-1, dim)])
    near = min(30.0, (len(every) - 1) / 3)
    with threadpool_limits(1):  # threads that wait for busy cores take fifty times as long, and sum in another order
        xy = TSNE(perplexity=near, init="pca", random_state=0, n_jobs=1).fit_transform(every)
    table = pd.DataFrame(xy.astype(float), columns=["x", "y"])
    table["model"] = model
    table["kind"] = ["query"] * (classes * shown) + ["centroid"] * (len(sizes) * classes)
    table["size"] = [0] * (classes * shown) + list(np.repeat(sizes, classes))
    table["class"] = [*np.repeat(range(classes), shown), *np.tile(range(classes), len(sizes))]
    return table[COLUMNS]


def draw_fig9(data: pd.DataFrame) -> "Figure":
    """One column for the smallest support, one for the largest; a row for each model."""
    sizes = sorted(set(data["size"]) - {0})
    return _panels(data, [sizes[0], sizes[-1]])


def draw_fig10(data: pd.DataFrame) -> "Figure":
    """The support grows from left to right."""
    sizes = sorted(set(data["size"]) - {0})
    kept = sorted({sizes[round(at)] for at in np.linspace(0, len(sizes) - 1, min(3, len(sizes)))})
    return _panels(data, kept)


def _panels(data: pd.DataFrame, sizes: Sequence[int]) -> "Figure":
    import seaborn as sns
    from matplotlib.figure import Figure

    models = list(dict.fromkeys(data["model"]))
    with style():
        figure = Figure(figsize=(5.4, 0.5 + 5.2 / len(sizes) * len(models)), layout="constrained")
        grid = figure.subplots(len(models), len(sizes), squeeze=False)
        for row, model in zip(grid, models, strict=True):
            for axes, size in zip(row, sizes, strict=True):
                own = data[data["model"].eq(model)]
                _panel(sns, axes, own[own["kind"].eq("query")], own[own["size"].eq(size)])
                axes.set_title(f"support of {size}", color=FAINT, fontsize=9)
            row[0].set_ylabel(model.replace(" g=", "\ng="), fontsize=8)
        return figure


def _panel(sns: Any, axes: Any, queries: pd.DataFrame, stars: pd.DataFrame) -> None:
    count = int(queries["class"].max()) + 1
    shared = {"x": "x", "y": "y", "hue": "class", "palette": palette(count), "legend": False, "ax": axes}
    marks = {at: DOTS[at % len(DOTS)] for at in range(count)}
    sns.scatterplot(queries, style="class", markers=marks, s=12, alpha=0.6, linewidth=0, **shared)
    sns.scatterplot(stars, marker="*", s=90, edgecolor="black", linewidth=0.8, **shared)
    axes.set(xticks=[], yticks=[], xlabel="", ylabel="")


def _artefact(name: str, title: str, caption: str, draw: Any) -> Artefact:
    return Artefact(id=name, title=title, caption=caption, data=planar, draw=draw, claims=("C24",),
                    make="mbcbench run --suite paper --only fig9 --profile thorough")  # fmt: skip


FIG9 = _artefact(
    "fig9",
    "Figure 9: queries (dots) and centroids (stars)",
    "Centroids of the whole support stand within their classes; those of one example need not.",
    draw_fig9,
)
FIG10 = _artefact(
    "fig10",
    "Figure 10: centroids of growing supports",
    "The more of a set is encoded, the more accurate its centroid.",
    draw_fig10,
)
