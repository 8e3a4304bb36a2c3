"""The page of the leaderboard shows the reference results that ship, and says how far they can be trusted."""

import re
from pathlib import Path

import pytest
import torch

from mbcbench import registry
from mbcbench.protocol.build import build_from_spec, get_spec
from mbcbench.records import reference
from mbcbench.records.record import frame
from mbcbench.reports.leaderboard.ranking import Ranking, format_interval, rank_encoders
from mbcbench.reports.selection import tidy
from tools.leaderboard import score, trust

PAGE = (Path(__file__).parents[2] / "docs" / "leaderboard.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def ranking() -> Ranking:
    names = [name for name in registry.plugins(registry.ENCODERS) if not get_spec(name).deliberately_wrong]
    return rank_encoders(tidy(frame(reference.load().records)), names)


def test_every_registered_encoder_has_five_seeds_of_every_task() -> None:
    encoders = set(registry.plugins(registry.ENCODERS))
    for case in ("standard-points", "standard-images", "standard-centroids"):
        seeds = reference.load().seeds(case)
        assert set(seeds) == encoders
        assert all(of_encoder == {0, 1, 2, 3, 4} for of_encoder in seeds.values())


def test_the_page_shows_these_results(ranking: Ranking) -> None:
    shown = {}
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5:
            shown[cells[1].removesuffix("†")] = cells
    unranked = {name for name, cells in shown.items() if cells[0] == "–"}
    assert unranked == set(registry.plugins(registry.ENCODERS)) - set(ranking.table.index)
    for name, row in ranking.table.iterrows():
        cells = shown[str(name)]
        assert cells[0] == f"{row['rank']:g} ({format_interval(row['low'], row['high'])}) {row['group']}"
        assert cells[2:] == [score(task.table.loc[name].to_dict()) for task in ranking.tasks]


def test_the_page_says_how_many_have_converged(ranking: Ranking) -> None:
    trained = frame(reference.load().records)
    for scores in ranking.tasks:
        facts = trust(scores, trained[trained["suite"].eq(scores.task.suite)])
        told = rf"\*\*{facts['title']}\*\*: {facts['converged']} of {facts['count']} encoders have converged"
        assert re.search(told, PAGE)
        assert facts["doubled"] in PAGE


def test_strong_encoders_learn_the_digits(ranking: Ranking) -> None:
    points = ranking.tasks[0].table["one_piece"]
    assert points["set-transformer"] >= 0.92
    assert points["perceiver"] >= 0.93
    assert points["deepsets-max"] >= 0.92


@pytest.mark.parametrize("name", ["deepsets-original", "deepsets-original-mean"])
def test_layers_that_subtract_the_pool_encode_all_sets_of_one_alike(name: str) -> None:
    assert "every set of one has the same encoding" in " ".join(PAGE.split())
    encode = build_from_spec(get_spec(name), dim_in=3, seed=0).eval()
    one = torch.randn(8, 1, 3, generator=torch.Generator().manual_seed(0))
    assert bool((encode(one) == encode(one)[:1]).all())
