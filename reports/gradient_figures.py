"""Figure of the gradients of training on partitions."""

from typing import TYPE_CHECKING

import pandas as pd

from mbcbench.reporting import Artefact

from .captions import Measure
from .plots import draw_points
from .selection import label_models, select
from .style import MARKERS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BIAS = Measure("bias", "in units of the full gradient", lower_is_better=True)


def gradient_bias(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the bias of the gradients of training on partitions."""
    rows = select(label_models(frame), {"suite": "gradients", "metric": "gradient_bias"})
    table = rows.assign(x=rows["detail.gradient_size"], model=rows["model"] + ", " + rows["detail.estimator"])
    return table[["model", "x", "seed", "value"]].sort_values(["model", "x", "seed"]).reset_index(drop=True)


def compare_biases(data: pd.DataFrame) -> str:
    """Return the bias of each model at the fewest elements."""
    smallest = data[data["x"].eq(data["x"].min())].groupby("model", sort=False)["value"].mean()
    words = "; ".join(f"{name}: {value:.2g}" for name, value in smallest.items())
    return f"{BIAS.name.capitalize()} ({BIAS.unit}) with a gradient through {data['x'].min():g} elements: {words}"


def draw_gradient_bias(data: pd.DataFrame) -> "Figure":
    """Draw the bias of each model against the number of elements through which a gradient flows."""
    models = list(dict.fromkeys(data["model"]))[: len(MARKERS)]
    positive = data[data["model"].isin(models) & data["value"].gt(0)]
    points = positive.sort_values("x", kind="stable").astype({"x": int})
    labels = ("elements that a gradient is taken through", BIAS.label)
    return draw_points(points, "x", "model", labels=labels, log=True)


GRADIENT_BIAS = Artefact(
    id="gradient-bias",
    title="Gradients of training on partitions",
    caption="Training takes the gradient through a part of each set (partition), or through a part while the rest is "
    "encoded without a gradient (unbiased).",
    data=gradient_bias,
    draw=draw_gradient_bias,
    result=compare_biases,
    make="mbcbench run --suite gradients",
)
