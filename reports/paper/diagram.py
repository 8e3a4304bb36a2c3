"""Figure 1: what Mini-Batch Consistency asks for, as a diagram."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from mbcbench.reporting import Artefact

from ..style import INK, canvas, palette, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def nodes(frame: pd.DataFrame) -> pd.DataFrame:
    """The boxes of the diagram, at places in units of the canvas; they rest on no record."""
    both = [("X₁", 0, 8.5), ("X₂", 0, 6.5), ("f", 3, 8.5), ("f", 3, 6.5), ("g", 6, 7.5), ("Z", 9, 7.5)]
    whole = [("X₁ ∪ X₂", 0, 4.5), ("f", 4.5, 4.5), ("Z", 9, 4.5)]
    slots = [("slots", 3, 2.6), ("elements", 0, 0.8), ("sum over\nelements", 6, 0.8), ("encoding", 9, 0.8)]
    slots += [("shares over\nslots", 3, 0.8)]
    return pd.DataFrame([*both, *whole, *slots], columns=["label", "x", "y"])


ARROWS = ((0, 2), (1, 3), (2, 4), (3, 4), (4, 5), (6, 7), (7, 8), (10, 13), (9, 13), (13, 11), (11, 12))


def draw(data: pd.DataFrame) -> "Figure":
    """Chunks encoded apart and aggregated above; the set in one piece; and the Slot Set Encoder below."""
    colours = palette(4)
    of = {"X": colours[0], "f": colours[1], "g": colours[2], "Z": colours[3]}
    with style():
        figure, axes = canvas(4.2)
        axes.set(xlim=(-1.3, 10.3), ylim=(-0.2, 10))
        axes.set_axis_off()
        boxes = [_box(axes, row, of.get(str(row.label)[0], INK)) for row in data.itertuples()]
        for a, b in ARROWS:
            arrow = {"arrowstyle": "-|>", "color": INK, "shrinkA": 3, "shrinkB": 3, "linewidth": 1.2}
            ends = {"patchA": boxes[a].get_bbox_patch(), "patchB": boxes[b].get_bbox_patch()}
            axes.annotate("", xy=boxes[b].get_position(), xytext=boxes[a].get_position(), arrowprops=arrow | ends)
        axes.text(9, 6.0, "the same, for\nany partition", ha="center", va="center", fontsize=9, style="italic")
        for y, told in ((9.8, "chunk by chunk"), (5.4, "in one piece"), (3.7, "the Slot Set Encoder's f")):
            axes.text(-1.2, y, told, fontsize=10, weight="bold", va="center")
        return figure


def _box(axes: "Axes", row: Any, colour: Any) -> Any:
    look = {"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": colour, "linewidth": 1.6}
    return axes.text(row.x, row.y, row.label, ha="center", va="center", fontsize=9, bbox=look, zorder=3)


FIG1 = Artefact(
    id="fig1",
    title="Figure 1: Mini-Batch Consistency",
    caption="Chunks encoded one at a time and aggregated give what the whole set gives. The Slot Set Encoder shares "
    "each element out over the slots, apart from all other elements, and sums.",
    data=nodes,
    draw=draw,
    make="",
)
