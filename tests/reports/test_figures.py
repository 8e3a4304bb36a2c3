"""Figures: the same data give the same bytes, nothing is clipped, and pages say in words what they show."""

import io
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mbcbench.paper import PUBLISHED_ENCODER
from mbcbench.reports import cost_figures, law_figures, plots, style
from mbcbench.reports.captions import Measure
from mbcbench.reports.leaderboard.columns import encoders_of
from mbcbench.reports.leaderboard.html import alt_text
from mbcbench.reports.paper import embeddings

SERIES = pd.DataFrame(
    {
        "model": ["sse-mean-of-chunk-means K=32 partition"] * 4 + ["<b>"] * 4,
        "x": [50, 50, 100_000, 100_000] * 2,
        "seed": [0, 1] * 4,
        "value": np.linspace(0.1, 0.9, 8),
    }
)
POINTS = pd.DataFrame(
    {
        "encoder": ["<b>", "second"],
        "model": ["<b>", "second"],
        "cost": [5.0, 0.3],
        "mean": [0.9, 0.8],
        "half": [0.01, float("nan")],
        "consistent": [True, False],
        "pareto": [True, True],
    }
)
SECOND = plots.Reference("model", "<b>", margin=0.01, label="<b>")
LABELS = ("number of points, in training and test", Measure("NLL in training", "nats per value", True).label)


def lines() -> Figure:
    figure: Figure = plots.draw_lines(SERIES, labels=LABELS, base=10)
    return figure


def categories() -> Figure:
    figure: Figure = plots.draw_points(SERIES, "x", "model", labels=LABELS)
    return figure


def cost() -> Figure:
    figure: Figure = cost_figures.draw_accuracy_by_cost(POINTS, "seconds for a million elements")
    return figure


def lines_and_differences() -> Figure:
    figure: Figure = plots.draw_lines(SERIES, labels=LABELS, base=10, reference=SECOND)
    return figure


def categories_and_differences() -> Figure:
    figure: Figure = plots.draw_points(SERIES, "x", "model", labels=LABELS, reference=SECOND)
    return figure


def laws_of_long_names() -> Figure:
    statuses = pd.DataFrame({"encoder": ["my_module:Encoder", "a" * 40], "mbc.partition": ["pass", "fail"]})
    figure: Figure = law_figures.draw_law_statuses(statuses)
    return figure


def centroids_of_ten_classes() -> Figure:
    sizes = [("query", 0), ("centroid", 1), ("centroid", 400)]
    rows = [
        {"model": "mean", "kind": kind, "size": size, "class": number, "x": number, "y": size}
        for kind, size in sizes
        for number in range(10)
    ]
    figure: Figure = embeddings.draw_extreme_supports(pd.DataFrame(rows))
    return figure


FIGURES = [lines, categories, cost]
WITH_DIFFERENCES = [lines_and_differences, categories_and_differences]
ALL = [*FIGURES, *WITH_DIFFERENCES, laws_of_long_names, centroids_of_ten_classes]


def test_of_models_at_one_cost_only_the_best_are_on_the_front() -> None:
    table = pd.DataFrame({"cost": [1, 1, 1, 2, 2, 3], "mean": [0.4, 0.6, 0.6, 0.7, 0.5, 0.7]})
    assert list(cost_figures.pareto_front(table)) == [False, True, True, True, False, False]


@pytest.mark.parametrize("kind", ["svg", "png"])
@pytest.mark.parametrize("draw", ALL)
def test_the_same_data_give_the_same_bytes(draw: Callable[[], Figure], kind: str) -> None:
    assert style.image(draw(), kind) == style.image(draw(), kind)


@pytest.mark.parametrize("draw", ALL)
def test_a_figure_is_well_formed(draw: Callable[[], Figure]) -> None:
    assert ElementTree.fromstring(style.image(draw(), "svg")).tag.endswith("svg")


@pytest.mark.parametrize("draw", ALL)
def test_no_label_is_clipped(draw: Callable[[], Figure]) -> None:
    figure = draw()
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert box.x0 >= -0.01
    assert box.y0 >= -0.01
    assert box.x1 <= width + 0.01
    assert box.y1 <= height + 0.01


def test_every_axis_has_a_label_and_the_legend_every_name() -> None:
    for draw in FIGURES:
        figure = draw()
        (axes,) = figure.axes
        assert axes.get_xlabel()
        assert "is better" in axes.get_ylabel()
        names = {text.get_text() for text in figure.legends[0].get_texts()}
        assert names == set(POINTS["model"] if draw is cost else SERIES["model"])


@pytest.mark.parametrize("draw", WITH_DIFFERENCES)
def test_a_strip_shows_the_differences_that_are_paired_by_seed(draw: Callable[[], Figure]) -> None:
    axes, strip = draw().axes
    assert strip.get_title() == "differences to <b>, paired by seed"
    assert strip.get_xlabel() == LABELS[0]
    assert not axes.get_xlabel()
    means = SERIES.groupby(["model", "x"], sort=False)["value"].mean()
    heights = [
        float(y) for line in strip.get_lines() for y in np.asarray(line.get_ydata()) if line.get_marker() != "None"
    ]
    assert heights == pytest.approx(list(means.iloc[:2] - means.iloc[2:].to_numpy()))


def test_a_difference_lies_below_the_mean_that_it_belongs_to() -> None:
    to_first_size = plots.Reference("x", 50, margin=1.0, label="50")
    table = pd.concat([SERIES, SERIES[SERIES["x"].ne(50)].assign(x=200_000)])
    axes, strip = plots.draw_lines(table, labels=LABELS, reference=to_first_size).axes
    above = {float(x) for line in axes.get_lines() for x in np.asarray(line.get_xdata())}
    marks = [np.asarray(line.get_xdata()) for line in strip.get_lines() if line.get_marker() != "None"]
    assert [len(places) for places in marks] == [2, 2]
    assert {float(x) for places in marks for x in places} < above


def test_differences_are_of_the_same_seed_alone() -> None:
    table = SERIES[~(SERIES["model"].eq("<b>") & SERIES["seed"].eq(1))]
    differences = SECOND.differences(table, ["model", "x"])
    assert list(differences["seed"]) == [0, 0]
    assert SECOND.differences(SERIES[SERIES["model"].ne("<b>")], ["model", "x"]).empty
    assert SECOND.differences(SERIES.drop(columns="seed"), ["model", "x"]).empty


def test_differences_far_beyond_the_margin_have_a_logarithmic_axis() -> None:
    assert lines_and_differences().axes[1].get_yscale() == "symlog"
    wide = plots.Reference("model", "<b>", margin=0.1, label="<b>")
    assert plots.draw_lines(SERIES, labels=LABELS, reference=wide).axes[1].get_yscale() == "linear"


def test_a_figure_without_the_reference_has_no_strip() -> None:
    alone = SERIES[SERIES["model"].ne("<b>")]
    assert len(plots.draw_lines(alone, labels=LABELS, reference=SECOND).axes) == 1


def test_a_tile_names_a_plug_in_by_its_class() -> None:
    names = [label.get_text() for label in laws_of_long_names().axes[0].get_xticklabels()]
    assert names == ["Encoder", "a" * 40]


def test_a_png_has_a_palette() -> None:
    picture = Image.open(io.BytesIO(style.image(lines(), "png")))
    assert picture.mode == "P"
    assert picture.width == round(style.WIDTH * style.DPI)


def test_the_figure_of_cost_says_in_words_what_it_shows() -> None:
    words = "Accuracy against seconds for a million elements: <b>: 5 s, 0.900; second: 0.3 s, 0.800."
    assert alt_text(POINTS) == words


@pytest.mark.parametrize(("value", "text"), [(0.5, "0.5"), (200, "200"), (2000, "2k"), (1500, "1.5k"), (1e6, "1M")])
def test_ticks_are_short(value: float, text: str) -> None:
    assert style.format_tick(value) == text


@pytest.mark.parametrize("draw", [lines, categories])
def test_a_mean_of_trainings_that_learnt_nothing_is_hollow(
    draw: Callable[[], Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt = SERIES.assign(**{"has learnt": SERIES["x"].ne(50).tolist()})
    monkeypatch.setattr(f"{__name__}.SERIES", learnt)
    hollow = [line for line in draw().axes[0].get_lines() if line.get_markerfacecolor() == "white"]
    means = learnt[~learnt["has learnt"]].groupby("model", sort=False)["value"].mean()
    assert sorted(float(np.asarray(line.get_ydata())[0]) for line in hollow) == pytest.approx(sorted(means))


def test_a_figure_says_on_what_its_numbers_rest() -> None:
    table = SERIES.assign(data="10 photographs as shipped in a package", steps=2000)
    table["has learnt"] = table["seed"].eq(0)
    figure = plots.draw_lines(table, labels=LABELS)
    assert figure.get_suptitle() == "2 seeds; 10 photographs; 2,000 steps; hollow: some trainings learnt nothing"
    assert plots.draw_lines(SERIES.drop(columns="seed").assign(seed=0), labels=LABELS).get_suptitle() == "1 seed"


def test_the_encoder_of_the_published_code_is_no_column_beside_others() -> None:
    names = ["sse-random", PUBLISHED_ENCODER]
    records = pd.DataFrame({"suite": "laws", "encoder": names, "case": "substance.slots", "status": "pass"})
    assert list(law_figures.law_statuses(records)["encoder"]) == ["sse-random"]
    assert list(law_figures.law_statuses(records[1:])["encoder"]) == [PUBLISHED_ENCODER]
    assert encoders_of(records, {"encoders": [PUBLISHED_ENCODER]}) == [PUBLISHED_ENCODER, "sse-random"]
