import re
from itertools import pairwise
from types import ModuleType
from xml.etree import ElementTree

import pandas as pd
import pytest

from mbcbench.reports import extra_figures

MEANS = pd.DataFrame(
    {
        "test_size": [50, 50, 100, 100],
        "mode": ["one piece", "streamed"] * 2,
        "mean": [0.5, 0.4, 0.9, 0.6],
        "half": [0.01, float("nan"), 0.02, 0.02],
    }
)
POINTS = pd.DataFrame(
    {
        "encoder": ["<b>", "second"],
        "throughput": [2e5, 3e6],
        "accuracy": [0.9, 0.8],
        "half": [0.01, float("nan")],
        "consistent": [True, False],
    }
)


def test_of_models_at_one_cost_only_the_best_are_on_the_front() -> None:
    table = pd.DataFrame({"cost": [1, 1, 1, 2, 2, 3], "mean": [0.4, 0.6, 0.6, 0.7, 0.5, 0.7]})
    assert list(extra_figures.front(table)) == [False, True, True, True, False, False]


def drawn(figures: ModuleType, name: str) -> str:
    by_size = figures.accuracy_by_size(MEANS, name, (0.0, 1.0), 100.0)
    return f"{by_size}{figures.accuracy_against_throughput(POINTS, f'{name}-cost')}"


def test_the_same_data_give_the_same_bytes(figures: ModuleType) -> None:
    assert drawn(figures, "a") == drawn(figures, "a")


def test_ids_are_unique_across_the_figures_of_a_page(figures: ModuleType) -> None:
    ids = re.findall(r'\bid="([^"]+)"', drawn(figures, "a") + drawn(figures, "b"))
    assert ids
    assert len(ids) == len(set(ids))


def test_what_a_figure_refers_to_is_in_it(figures: ModuleType) -> None:
    text = drawn(figures, "a")
    wanted = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    assert wanted
    assert wanted <= set(re.findall(r'\bid="([^"]+)"', text))


def test_a_figure_is_well_formed_and_says_in_words_what_it_shows(figures: ModuleType) -> None:
    root = ElementTree.fromstring(figures.accuracy_against_throughput(POINTS, "a"))
    assert root.get("role") == "img"
    assert root.get("aria-label") == "accuracy against throughput: <b>: 2e+05/s, 0.900; second: 3e+06/s, 0.800"


def test_text_stays_text_in_the_colour_of_the_page(figures: ModuleType) -> None:
    text = figures.accuracy_by_size(MEANS, "a", (0.0, 1.0), None)
    assert "test points</text>" in text
    assert "currentColor" in text
    assert "<style" not in text


def test_names_keep_apart_and_in_order(figures: ModuleType) -> None:
    placed = figures.spread([0.9, 0.89, 0.88, 0.2, 0.01, 0.0], gap=0.1)
    assert all(above - below >= 0.1 - 1e-12 for above, below in pairwise(placed))
    assert min(placed) >= 0
    assert placed[3] == pytest.approx(0.2)
    assert sum(placed[:3]) / 3 == pytest.approx(0.89)


def test_names_that_are_apart_stay_where_they_are(figures: ModuleType) -> None:
    assert figures.spread([0.9, 0.5, 0.1], gap=0.1) == pytest.approx([0.9, 0.5, 0.1])
