"""Figures 2 to 8 of the paper, from the records of its experiments."""

from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mbcbench.paper import DEEPSETS_MAX, DEEPSETS_MEAN, DEEPSETS_MEAN_NETWORK, DEFAULT_HYPER, SSE_1, SSE_32, sse
from mbcbench.reporting import Artefact

from ..captions import ACCURACY, NLL, Measure, compare_series, join_sentences, mean_by_size, name_best
from ..plots import (
    STRIP_HEIGHT,
    Reference,
    draw_lines,
    draw_points,
    draw_strip,
    line_plot,
    move_label_down,
    spread,
)
from ..style import add_facts, finish, legend_below, panels, set_ticks, style
from . import figure_data
from .contrasts import ACCURACY_MARGIN, NLL_MARGIN

Data = Callable[[pd.DataFrame], pd.DataFrame]
Draw = Callable[[pd.DataFrame], Figure]
Result = Callable[[pd.DataFrame], str]

LOST_NLL = Measure("NLL lost to chunks", "nats per value", lower_is_better=True)
TRAINING_NLL = Measure("NLL in training", "nats per value", lower_is_better=True)
PIXELS = "pixels of the context"
SUPPORT = "examples in the support"
STRIP_NOTE = "Below: differences between trainings of the same seed; within the grey band they do not matter."
NORM_NOTE = "The paper has no LayerNorm. Rescaled: the encoding is multiplied by the number of slots."


def along(x: str, reference: Reference, measure: Measure = NLL, *, base: int | None = None) -> Draw:
    """Return a function that draws a line for each model. base: of a logarithmic scale of `x`."""
    return partial(draw_lines, labels=(x, measure.label), base=base, reference=reference)


def against(model: str, margin: float = NLL_MARGIN, column: str = "model") -> Reference:
    """Return a reference for differences to a model."""
    return Reference(column, model, margin, label=model)


def against_setting(label: str, value: str | int, column: str = "x") -> Reference:
    """Return a reference for differences in NLL to a setting of the same model."""
    return Reference(column, value, NLL_MARGIN, label)


def compared(at: str, measure: Measure = NLL, *, hue: str = "model", x: str = "x") -> Result:
    """Return a function that compares the models in words. at: a phrase for values of `x`, such as `{} pixels`."""
    return partial(compare_series, measure=measure, at=at, hue=hue, x=x)


def make(experiment: str) -> str:
    """Return the command that makes the records of an experiment."""
    return f"mbcbench run --suite paper --only {experiment}"


def _final_losses(data: pd.DataFrame) -> str:
    """Compare the models at the last step, with their durations."""
    steps, seconds = (data[data["panel"].eq(panel)] for panel in ("by steps", "by seconds"))
    losses = compare_series(steps[steps["x"].eq(steps["x"].max())], TRAINING_NLL, "step {}")
    times = seconds.groupby("model", sort=False)["x"].max()
    return join_sentences([losses, f"seconds of training: {', '.join(f'{m} {t:,.0f}' for m, t in times.items())}"])


def draw_curves(data: pd.DataFrame) -> Figure:
    """Draw losses by steps and by seconds. The drop in the first tenth of the training may be cut off."""
    names = list(dict.fromkeys(data["series"]))
    late = data[data["x"].gt(0.1 * data.groupby(["panel", "series"])["x"].transform("max"))]["value"]
    with style():
        figure, grid, _ = panels(2, names)
        for axes, (panel, rows) in zip(grid, data.groupby("panel", sort=False), strict=True):
            line_plot(axes, rows, names, "series", dots=False)
            axes.set_title(str(panel), fontsize=9)
            finish(axes, (str(panel).removeprefix("by "), TRAINING_NLL.name))
            axes.set_ylim(late.min() - 0.02, late.max() + 0.02)
        legend_below(figure, grid[0], names)
        add_facts(figure, data)
        return figure


def _compare_supports(data: pd.DataFrame) -> str:
    """Compare the models at each number of ways, in each panel. A model alone is best at nothing, and is left out."""
    sentences = []
    for panel, part in data.groupby("panel", sort=False):
        words = []
        for ways, rows in part.groupby("ways"):
            best = name_best(mean_by_size(rows, "series"), ACCURACY, "a support of {}")
            words += [f"at {ways:,g} ways, {best}"] if best else []
        sentences.append(f"Highest mean accuracy {panel}: {'; '.join(words)}" if words else "")
    return join_sentences(sentences)


def compare_panels(data: pd.DataFrame, at: str, measure: Measure = ACCURACY) -> str:
    """Compare the models in each panel. at: a phrase for values of `x`."""
    parts = []
    for panel, rows in data.groupby("panel", sort=False):
        text = compare_series(rows, measure, at, hue="series")
        parts.append(f"{panel}, {text[0].lower()}{text[1:]}" if text else "")
    return join_sentences(parts)


def draw_panels(
    data: pd.DataFrame,
    x: str,
    reference: Reference,
    by: tuple[str, ...] = ("panel",),
    measure: Measure = ACCURACY,
) -> Figure:
    """Draw values along `x` (logarithmic), in one panel for each value of the columns `by`, and differences below."""
    names = list(dict.fromkeys(data["series"]))
    table = data.assign(place=spread(data, names, "series", is_log=True))
    groups = list(table.groupby(list(by)))
    differences = [reference.differences(rows, ["series", "x"]) for _, rows in groups]
    with style():
        figure, grid, strips = panels(len(groups), names, STRIP_HEIGHT if any(map(len, differences)) else 0.0)
        for place, (values, rows) in enumerate(groups):
            axes = grid[place]
            line_plot(axes, rows.assign(x=rows["place"]), names, "series")
            words = [value if isinstance(value, str) else f"{value:g} ways" for value in values]
            axes.set_title(", ".join(words), fontsize=9)
            finish(axes, (x, measure.name))
            _scale(axes, rows["x"])
            if strips:
                _draw_panel_strip(axes, strips[place], differences[place], names, reference, rows["x"])
        _share_heights([values[:-1] for values, _ in groups], grid)
        legend_below(figure, grid[0], names)
        add_facts(figure, data)
        return figure


def _draw_panel_strip(
    axes: Axes, strip: Axes, differences: pd.DataFrame, names: Sequence[str], reference: Reference, places: pd.Series
) -> None:
    if differences.empty:  # the panel lacks the reference
        strip.set_axis_off()
        return
    draw_strip(strip, differences, names, "series", reference)
    strip.set_title(f"differences to\n{reference.label}", fontsize=8)
    _scale(strip, places)
    strip.set_xlim(axes.get_xlim())
    move_label_down(axes, strip)


def _scale(axes: Axes, places: pd.Series) -> None:
    """Make the axis of `x` logarithmic, with ticks at the places that were measured."""
    axes.set_xscale("log")
    set_ticks(axes, places)
    if places.nunique() == 1:  # the axis would be as narrow as the shift between models
        axes.set_xlim(places.min() / 1.5, places.min() * 1.5)


def _share_heights(rows: Sequence[tuple[object, ...]], grid: Sequence[Axes]) -> None:
    """Give panels of one row the same range of `y`. rows: what the panels of a row have in common, if anything."""
    for row in dict.fromkeys(filter(None, rows)):
        group = [axes for axes, other in zip(grid, rows, strict=False) if other == row]
        limits = [axes.get_ylim() for axes in group]
        for axes in group:
            axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


FIG2 = Artefact(
    id="fig2",
    title="Figure 2: a Set Transformer on mini-batches",
    caption="Chunks of a set are encoded on their own and averaged. Values are differences to the NLL in one piece, "
    "paired by seed; the axis is logarithmic beyond 0.01 nats.",
    data=figure_data.chunked_set_transformer,
    draw=partial(
        draw_points, x="chunk", hue="series", labels=("pixels in a chunk", LOST_NLL.label), linear_within=0.01
    ),
    result=compared("{} (pixels in a chunk)", LOST_NLL, hue="series", x="chunk"),
    claims=("C9",),
    make=make("fig2"),
)
FIG3A = Artefact(
    id="fig3a",
    title="Figure 3a: full sets, by their size",
    caption=f"Models are tested on sets as large as those in training. {STRIP_NOTE}",
    data=partial(figure_data.images_at_train_size, models=figure_data.COMPARED),
    draw=partial(draw_panels, x=PIXELS, measure=NLL, reference=against(DEEPSETS_MEAN.label, column="series")),
    result=partial(compare_panels, at="{} pixels", measure=NLL),
    claims=("C10",),
    make=make("fig3a"),
)
FIG3B = Artefact(
    id="fig3b",
    title="Figure 3b: more pixels stream in",
    caption=f"Models trained on 1,000 pixels read up to 4,000 in chunks of 1,000. {STRIP_NOTE}",
    data=partial(figure_data.streamed_series, chunk=1000),
    draw=along(PIXELS, against(DEEPSETS_MEAN.label)),
    result=compared("{} pixels"),
    claims=("C11",),
    make=make("fig3b"),
)
FIG3C = Artefact(
    id="fig3c",
    title="Figure 3c: fewer pixels stream in",
    caption=f"The models of Figure 3b read 100 to 500 pixels in chunks of 100. {STRIP_NOTE}",
    data=partial(figure_data.streamed_series, chunk=100),
    draw=along(PIXELS, against(DEEPSETS_MEAN.label)),
    result=compared("{} pixels"),
    claims=("C12",),
    make=make("fig3c"),
)
FIG3D = Artefact(
    id="fig3d",
    title="Figure 3d: convergence",
    caption="Models of 1,000 pixels, two of them trained on partitions.",
    data=figure_data.training_curves,
    draw=draw_curves,
    result=_final_losses,
    claims=("C13",),
    make=make("fig3d"),
)
FIG4A = Artefact(
    id="fig4a",
    title="Figure 4a: the aggregation g",
    caption="g aggregates the encodings of chunks after training with the sum, or the model was trained with g. "
    f"{STRIP_NOTE}",
    data=figure_data.aggregations,
    draw=partial(
        draw_points,
        x="g",
        hue="series",
        labels=("aggregation g", NLL.label),
        reference=against_setting("g = sum", "sum", "g"),
    ),
    result=compared("g = {}", hue="series", x="g"),
    claims=("C14",),
    make=make("fig4a"),
)
FIG4B = Artefact(
    id="fig4b",
    title="Figure 4b: random and deterministic slots",
    caption=f"Slots are drawn at random for each set, or learnt. {STRIP_NOTE}",
    data=figure_data.random_and_deterministic,
    draw=partial(
        draw_points,
        x="x",
        hue="model",
        labels=("number of slots K", NLL.label),
        reference=against(figure_data.ablated_label("sse-deterministic", DEFAULT_HYPER, "num_slots")),
    ),
    result=compared("K = {}"),
    claims=("C15",),
    make=make("fig4b"),
)
FIG4C = Artefact(
    id="fig4c",
    title="Figure 4c: levels of a hierarchy",
    caption=f"One level is a single Slot Set Encoder. {STRIP_NOTE}",
    data=figure_data.hierarchy_levels,
    draw=along("levels", against_setting("1 level", 1)),
    result=compared("{} levels"),
    claims=("C16",),
    make=make("fig4c"),
)
FIG4D = Artefact(
    id="fig4d",
    title="Figure 4d: trained on 100 points, tested on more",
    caption="Clouds of 100 points in training, and of up to 500 in the test, in chunks of 100. The paper compares "
    f"DeepSets (max) and the sums over elements; the other models are ours. {STRIP_NOTE}",
    data=figure_data.streamed_clouds,
    draw=along("points in the test", against(DEEPSETS_MAX.label, ACCURACY_MARGIN), ACCURACY),
    result=compared("{} points", ACCURACY),
    claims=("C20",),
    make=make("fig4d"),
)
FIG5 = Artefact(
    id="fig5",
    title="Figure 5: accuracy by ways",
    caption="The nearest of as many centroids as there are classes (ways), each of two examples. "
    f"{STRIP_NOTE} {NORM_NOTE}",
    data=figure_data.exemplars_by_ways,
    draw=partial(draw_panels, x="ways", reference=against(DEEPSETS_MEAN_NETWORK.label, ACCURACY_MARGIN, "series")),
    result=partial(compare_panels, at="{} ways"),
    claims=("C21",),
    make=make("fig5"),
)
FIG6 = Artefact(
    id="fig6",
    title="Figure 6: accuracy by the size of the support",
    caption=f"The support is the set of examples that a centroid encodes. Higher is better. {STRIP_NOTE} {NORM_NOTE}",
    data=figure_data.exemplars_by_support,
    draw=partial(
        draw_panels,
        x=SUPPORT,
        by=("ways", "panel"),
        reference=against(DEEPSETS_MEAN_NETWORK.label, ACCURACY_MARGIN, "series"),
    ),
    result=_compare_supports,
    claims=("C22",),
    make=make("fig5"),
)
FIG7_SLOTS = Artefact(
    id="fig7-slots",
    title="Figure 7: the number of slots",
    caption=f"K varies and the width h of slots is fixed. {STRIP_NOTE}",
    data=partial(figure_data.ablation, parameter="num_slots"),
    draw=along("number of slots K", against_setting("K = 32", 32), base=2),
    result=compared("K = {}"),
    claims=("C17",),
    make=make("fig7-slots"),
)
FIG7_DIM = Artefact(
    id="fig7-dim",
    title="Figure 7: the width of slots",
    caption=f"h varies and the number K of slots is fixed. {STRIP_NOTE}",
    data=partial(figure_data.ablation, parameter="slot_dim"),
    draw=along("width of slots h", against_setting("h = 64", 64), base=2),
    result=compared("h = {}"),
    claims=("C18",),
    make=make("fig7-dim"),
)
FIG7_DETERMINISTIC = Artefact(
    id="fig7-deterministic",
    title="Figure 7: deterministic slots in Figure 3a",
    caption=f"Models are tested on sets as large as those in training. {STRIP_NOTE}",
    data=partial(
        figure_data.images_at_train_size,
        models=(sse("deterministic", 1).label, sse("deterministic", 32).label, SSE_1.label, SSE_32.label),
    ),
    draw=partial(draw_panels, x=PIXELS, measure=NLL, reference=against(SSE_32.label, column="series")),
    result=partial(compare_panels, at="{} pixels", measure=NLL),
    claims=("C15",),
    make=make("fig7-deterministic"),
)
FIG8 = Artefact(
    id="fig8",
    title="Figure 8: digits, by the size of the support",
    caption=f"The nearest of ten centroids of digits. {STRIP_NOTE} {NORM_NOTE}",
    data=figure_data.digits_by_support,
    draw=partial(draw_panels, x=SUPPORT, reference=against(DEEPSETS_MEAN.label, ACCURACY_MARGIN, "series")),
    result=partial(compare_panels, at="{} examples"),
    claims=("C23", "C24"),
    make=make("fig8"),
)
