"""Figure 1 of the paper: Mini-Batch Consistency, as a diagram."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from mbcbench.reporting import Artefact
from mbcbench.types import JsonDict

from ..columns import Row
from ..style import INK, canvas, palette, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation, Text

CHUNKED = [("X₁", 0, 8.5), ("X₂", 0, 6.5), ("f", 3, 8.5), ("f", 3, 6.5), ("g", 6, 7.5), ("Z", 9, 7.5)]
WHOLE = [("X₁ ∪ X₂", 0, 4.5), ("f", 4.5, 4.5), ("Z", 9, 4.5)]
ENCODER = [
    ("slots", 3, 2.6),
    ("elements", 0, 0.8),
    ("sum over\nelements", 6, 0.8),
    ("encoding", 9, 0.8),
    ("shares over\nslots", 3, 0.8),
]
# Pairs of boxes, by their places in the table of boxes.
ARROWS = ((0, 2), (1, 3), (2, 4), (3, 4), (4, 5), (6, 7), (7, 8), (10, 13), (9, 13), (13, 11), (11, 12))
HEADINGS = ((9.8, "chunk by chunk"), (5.4, "in one piece"), (3.7, "the Slot Set Encoder's f"))


def boxes(_: pd.DataFrame) -> pd.DataFrame:
    """Return the boxes of the diagram, with places in units of the canvas. No record is needed."""
    return pd.DataFrame([*CHUNKED, *WHOLE, *ENCODER], columns=["label", "x", "y"])


def draw(data: pd.DataFrame) -> "Figure":
    """Draw chunks encoded apart and aggregated above, the set in one piece, and the Slot Set Encoder below."""
    colours = dict(zip("XfgZ", palette(4), strict=True))
    with style():
        figure, axes = canvas(4.2)
        axes.set(xlim=(-1.3, 10.3), ylim=(-0.2, 10))
        axes.set_axis_off()
        texts = [_draw_box(axes, row, colours.get(str(row["label"])[0], INK)) for row in data.to_dict("records")]
        for start, end in ARROWS:
            _draw_arrow(axes, texts[start], texts[end])
        axes.text(9, 6.0, "the same, for\nany partition", ha="center", va="center", fontsize=9, style="italic")
        for y, heading in HEADINGS:
            axes.text(-1.2, y, heading, fontsize=10, weight="bold", va="center")
        return figure


def _draw_box(axes: "Axes", row: Row, colour: Any) -> "Text":
    look = {"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": colour, "linewidth": 1.6}
    return axes.text(row["x"], row["y"], row["label"], ha="center", va="center", fontsize=9, bbox=look, zorder=3)


def _draw_arrow(axes: "Axes", start: "Text", end: "Text") -> "Annotation":
    properties: JsonDict = {
        "arrowstyle": "-|>",
        "color": INK,
        "shrinkA": 3,
        "shrinkB": 3,
        "linewidth": 1.2,
        "patchA": start.get_bbox_patch(),
        "patchB": end.get_bbox_patch(),
    }
    return axes.annotate("", xy=end.get_position(), xytext=start.get_position(), arrowprops=properties)


FIG1 = Artefact(
    id="fig1",
    title="Figure 1: Mini-Batch Consistency",
    caption="An encoder is mini-batch consistent if chunks that are encoded one at a time and aggregated give the same "
    "encoding as the whole set. The Slot Set Encoder shares each element out over the slots, without looking at other "
    "elements, and sums.",
    data=boxes,
    draw=draw,
    make="",
)
