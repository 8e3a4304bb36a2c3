"""Figures 9 and 10 of the paper: queries and centroids of digits in the plane, by t-SNE."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from mbcbench.paper import DIGIT_EMBEDDINGS
from mbcbench.reporting import Artefact
from mbcbench.types import JsonObject

from ..selection import NO_NORM, RESCALED, label_models, select
from ..style import FAINT, WIDTH, markers, palette, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = ["model", "kind", "size", "class", "x", "y"]
PERPLEXITY = 30.0


def embed_in_plane(frame: pd.DataFrame) -> pd.DataFrame:
    """Return positions in the plane: one row per query and centroid; t-SNE runs once per model."""
    records = select(label_models(frame), DIGIT_EMBEDDINGS)
    records = records.sort_values(["seed", "model"]).drop_duplicates("model")
    records = records[~records["model"].str.endswith((NO_NORM, RESCALED))]
    parts = [
        _place(record["model"], record["detail.queries"], record["detail.centroids"])
        for record in records.to_dict("records")
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)


def _place(model: str, queries: npt.ArrayLike, centroids: JsonObject) -> pd.DataFrame:
    """Compute the positions for one model. queries: `C x Q x d`. centroids: size of the support -> `C x d`."""
    sizes = sorted(map(int, centroids))
    points = np.asarray(queries, float)
    centres = np.asarray([centroids[str(size)] for size in sizes], float)
    classes, count, dim = points.shape
    xy = _tsne(np.concatenate([points.reshape(-1, dim), centres.reshape(-1, dim)]))
    return pd.DataFrame(
        {
            "model": model,
            "kind": ["query"] * (classes * count) + ["centroid"] * (len(sizes) * classes),
            "size": [0] * (classes * count) + list(np.repeat(sizes, classes)),
            "class": [*np.repeat(range(classes), count), *np.tile(range(classes), len(sizes))],
            "x": xy[:, 0],
            "y": xy[:, 1],
        }
    )[COLUMNS]


def _tsne(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(PERPLEXITY, (len(points) - 1) / 3)
    # Threads that wait for busy cores take fifty times as long, and change the order of sums.
    with threadpool_limits(1):
        xy = TSNE(perplexity=perplexity, init="pca", random_state=0, n_jobs=1).fit_transform(points)
    return np.asarray(xy, dtype=float)


def count_well_placed(data: pd.DataFrame) -> str:
    """Return the numbers of centroids of the smallest and the largest support that are nearest to their own class."""
    sizes = sorted(set(data["size"]) - {0})
    parts = []
    for model, rows in data.groupby("model", sort=False):
        first, last = (_well_placed(rows, size) for size in (sizes[0], sizes[-1]))
        parts.append(f"{model} {first} and {last} of {rows['class'].nunique()}")
    supports = f"{sizes[0]} and of {sizes[-1]} examples"
    return f"Centroids of {supports} that lie nearest to the queries of their own class: {', '.join(parts)}"


def _well_placed(rows: pd.DataFrame, size: int) -> int:
    means = rows[rows["kind"].eq("query")].groupby("class")[["x", "y"]].mean()
    centroids = rows[rows["size"].eq(size)].set_index("class")[["x", "y"]]
    distances = np.linalg.norm(centroids.to_numpy()[:, None] - means.to_numpy()[None], axis=-1)
    return int((means.index.to_numpy()[distances.argmin(axis=1)] == centroids.index.to_numpy()).sum())


def draw_extreme_supports(data: pd.DataFrame) -> "Figure":
    """Draw one column for the smallest support and one for the largest, and a row for each model."""
    sizes = sorted(set(data["size"]) - {0})
    return _draw_grid(data, [sizes[0], sizes[-1]])


def draw_growing_supports(data: pd.DataFrame) -> "Figure":
    """Draw three sizes of the support, growing from left to right."""
    sizes = sorted(set(data["size"]) - {0})
    places = np.linspace(0, len(sizes) - 1, min(3, len(sizes)))
    return _draw_grid(data, sorted({sizes[round(place)] for place in places}))


def _draw_grid(data: pd.DataFrame, sizes: Sequence[int]) -> "Figure":
    from matplotlib.figure import Figure

    models = list(dict.fromkeys(data["model"]))
    with style():
        figure = Figure(figsize=(WIDTH, 0.5 + 5.2 / len(sizes) * len(models)), layout="constrained")
        grid = figure.subplots(len(models), len(sizes), squeeze=False)
        for panels, model in zip(grid, models, strict=True):
            rows = data[data["model"].eq(model)]
            for axes, size in zip(panels, sizes, strict=True):
                _draw_panel(axes, rows[rows["kind"].eq("query")], rows[rows["size"].eq(size)])
                axes.set_title(f"support of {size}", color=FAINT, fontsize=9)
            panels[0].set_ylabel(model.replace(" g=", "\ng="), fontsize=8)
        _name_classes(figure, sorted(set(data["class"].astype(int))))
        return figure


def _name_classes(figure: "Figure", classes: Sequence[int]) -> None:
    """Add a legend with the colour and the marker of each class."""
    from matplotlib.lines import Line2D

    looks = list(zip(palette(max(classes) + 1), markers(max(classes) + 1), strict=True))
    handles = []
    for number in classes:
        colour, marker = looks[number]
        handles.append(Line2D([], [], color=colour, marker=marker, linestyle="none", markersize=5, label=str(number)))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, handletextpad=0.1,
        columnspacing=1.0, handlelength=1.2,
    )  # fmt: skip


def _draw_panel(axes: "Axes", queries: pd.DataFrame, centroids: pd.DataFrame) -> None:
    import seaborn as sns

    count = int(queries["class"].max()) + 1
    shared = {"x": "x", "y": "y", "hue": "class", "palette": palette(count), "legend": False, "ax": axes}
    by_class = dict(enumerate(markers(count)))
    sns.scatterplot(queries, style="class", markers=by_class, s=12, alpha=0.6, linewidth=0, **shared)
    sns.scatterplot(centroids, marker="*", s=90, edgecolor="black", linewidth=0.8, **shared)
    axes.set(xticks=[], yticks=[], xlabel="", ylabel="")


def _artefact(name: str, title: str, caption: str, draw: "Callable[[pd.DataFrame], Figure]") -> Artefact:
    return Artefact(
        id=name,
        title=title,
        caption=f"{caption} t-SNE keeps neighbours together; its axes have no unit.",
        data=embed_in_plane,
        draw=draw,
        result=count_well_placed,
        claims=("C24",),
        make="mbcbench run --suite paper --only fig9 --profile thorough",
    )


FIG9 = _artefact(
    "fig9",
    "Figure 9: queries (dots) and centroids (stars)",
    "Queries and centroids of the smallest support (left) and of the largest (right), coloured by class.",
    draw_extreme_supports,
)
FIG10 = _artefact(
    "fig10",
    "Figure 10: centroids of growing supports",
    "Queries (dots) and centroids (stars) as the support grows from left to right.",
    draw_growing_supports,
)
