"""Figures: the same data give the same bytes, nothing is clipped, and pages say in words what they show."""

import io
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mbcbench.reports import cost_figures, style
from mbcbench.reports.captions import Measure
from mbcbench.reports.leaderboard.html import alt_text

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
LABELS = ("number of points, in training and test", Measure("NLL in training", "nats per value", True).label)


def lines() -> Figure:
    figure: Figure = style.draw_lines(SERIES, labels=LABELS, base=10)
    return figure


def categories() -> Figure:
    figure: Figure = style.draw_points(SERIES, "x", "model", labels=LABELS)
    return figure


def cost() -> Figure:
    figure: Figure = cost_figures.draw_accuracy_by_cost(POINTS, "seconds for a million elements")
    return figure


FIGURES = [lines, categories, cost]


def test_of_models_at_one_cost_only_the_best_are_on_the_front() -> None:
    table = pd.DataFrame({"cost": [1, 1, 1, 2, 2, 3], "mean": [0.4, 0.6, 0.6, 0.7, 0.5, 0.7]})
    assert list(cost_figures.pareto_front(table)) == [False, True, True, True, False, False]


@pytest.mark.parametrize("kind", ["svg", "png"])
@pytest.mark.parametrize("draw", FIGURES)
def test_the_same_data_give_the_same_bytes(draw: Callable[[], Figure], kind: str) -> None:
    assert style.image(draw(), kind) == style.image(draw(), kind)


@pytest.mark.parametrize("draw", FIGURES)
def test_a_figure_is_well_formed(draw: Callable[[], Figure]) -> None:
    assert ElementTree.fromstring(style.image(draw(), "svg")).tag.endswith("svg")


@pytest.mark.parametrize("draw", FIGURES)
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
    figure = style.draw_lines(table, labels=LABELS)
    assert figure.get_suptitle() == "2 seeds; 10 photographs; 2,000 steps; hollow: some trainings learnt nothing"
    assert style.draw_lines(SERIES.drop(columns="seed").assign(seed=0), labels=LABELS).get_suptitle() == "1 seed"
