"""Comparisons are like with like: one setting for each claim, one training of each model, and what claims compare."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from mbcbench import registry
from mbcbench.records.record import Record, Status, frame
from mbcbench.reporting import Artefact
from mbcbench.reports.paper.claims import CLAIMS
from mbcbench.reports.paper.claims_table import claims_table
from mbcbench.reports.paper.figures import FIG6
from mbcbench.reports.selection import label_models, select
from tests.cli.report_records import cloud
from tests.reports.test_captions import rendered
from tests.reports.test_independent_seeds import RECORDS

SEEDS = range(6)


def nll(size: int, slots: int, seed: int, steps: int = 1000, train_size: int = 0) -> Record:
    pixels = train_size or size
    detail = {
        "train_size": pixels, "test_size": pixels, "chunk_size": pixels, "mode": "one piece", "order": "random",
        "aggregation": "own", "steps": steps, "data": "photographs", "parameters": 33_700,
    }  # fmt: skip
    return Record(
        suite="image-completion", case="patches-64" if size == 1000 else "patches-32", encoder="sse-random",
        status=Status.OK, seed=seed, metric="nll", value=0.001 * slots + 0.001 * seed, detail=detail,
        params={"hyper": {"num_slots": slots}, "train_size": pixels},
    )  # fmt: skip


def evidence(records: list[Record], claim: str) -> list[str]:
    table = claims_table(label_models(frame(records)), [known for known in CLAIMS if known.id == claim])
    lines: list[str] = table["evidence"].iloc[0].splitlines()
    return lines


def test_all_contrasts_of_a_claim_are_judged_in_one_setting() -> None:
    large = [nll(1000, k, seed) for k in (1, 32) for seed in SEEDS]
    small = [nll(200, k, seed) for k in (1, 32, 64, 128, 256) for seed in SEEDS]
    lines = evidence(large + small, "C17")
    assert len(lines) == 6
    assert all("trained and tested on 200" in line for line in lines)


def test_the_papers_setting_comes_first_where_it_has_as_many_pairs() -> None:
    both = [nll(size, k, seed) for size in (200, 1000) for k in (1, 32, 64, 128, 256) for seed in SEEDS]
    assert all("trained and tested on 1000" in line for line in evidence(both, "C17"))


def test_a_longer_training_of_another_profile_hides_no_record_of_a_setting() -> None:
    quick = [nll(200, 1, seed, steps=400, train_size=100) for seed in SEEDS]
    thorough = [nll(200, 1, seed, steps=2000) for seed in SEEDS]
    rows = label_models(frame([*quick, *thorough]))
    assert select(rows, {"detail.train_size": 100})["detail.steps"].tolist() == [400] * len(SEEDS)
    assert select(rows, {"detail.train_size": 200})["detail.steps"].tolist() == [2000] * len(SEEDS)
    assert select(rows, {})["detail.steps"].tolist() == [2000] * len(SEEDS)
    on_larger_sets = [nll(500, 1, seed, steps=1000) for seed in SEEDS]
    rows = label_models(frame([*thorough, *on_larger_sets]))
    assert sorted(select(rows, {})["detail.steps"]) == [1000] * len(SEEDS) + [2000] * len(SEEDS)


def test_records_of_additional_data_are_selected_only_where_they_are_named() -> None:
    usual = [nll(1000, 1, seed) for seed in SEEDS]
    other = [
        replace(record, case="emoji-images-64", params={**record.params, "data": "emoji-images"}) for record in usual
    ]
    rows = label_models(frame([*usual, *other]))
    assert set(select(rows, {"detail.train_size": 1000})["case"]) == {"patches-64"}
    assert set(select(rows, {"case": "emoji-images-64"})["params.data"]) == {"emoji-images"}
    assert set(select(rows, {"params.data": "emoji-images"})["case"]) == {"emoji-images-64"}
    assert len(artefact("fig3a").data(frame([*usual, *other]))) == len(SEEDS)


def test_a_model_that_was_trained_for_less_than_the_others_of_a_figure_says_so() -> None:
    usual = [cloud("sse-random", 100, seed, 0.8, chunk_size=100, mode="one piece") for seed in SEEDS]
    short = [cloud("max", 100, seed, 0.7, chunk_size=100, steps=200) for seed in SEEDS]
    table = artefact("fig4d").data(frame([*usual, *short]))
    assert set(table["model"]) == {"SSE random K=16", "DeepSets (max) (200 steps)"}


def artefact(name: str) -> Artefact:
    loaded: Artefact = registry.plugin(registry.ARTEFACTS, name).load()
    return loaded


@pytest.mark.parametrize(
    ("name", "deepsets", "slots"),
    [
        ("fig5", "DeepSets (mean) + network", "SSE random (mean) K=128"),
        ("fig6", "DeepSets (mean) + network", "SSE random (mean) K=128"),
        ("fig8", "DeepSets (mean)", "SSE hierarchy K=32-16 g=mean"),
    ],
)
def test_a_figure_draws_what_its_claims_compare_side_by_side(name: str, deepsets: str, slots: str) -> None:
    table = artefact(name).data(frame(RECORDS))
    panels = table.groupby("panel")["series"].unique().map(set).to_dict()
    assert panels["with LayerNorm"] == {deepsets, slots}
    assert panels["without LayerNorm"] == {deepsets, slots, f"{slots} rescaled"}
    draw = artefact(name).draw
    assert draw is not None
    figure: Figure = draw(table)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles.count(titles[0]) == 1
    assert any("with LayerNorm" in title for title in titles)
    assert any("without LayerNorm" in title for title in titles)
    figure.draw_without_rendering()
    assert figure.get_tightbbox().x1 <= figure.get_figwidth() + 0.01


@pytest.mark.parametrize("name", ["fig3a", "fig4b", "fig4d", "fig8"])
def test_a_caption_names_the_parameters_of_every_model(name: str) -> None:
    caption = rendered(name, RECORDS).caption
    table = artefact(name).data(frame(RECORDS))
    hue: Any = "series" if "series" in table else "model"
    assert all(f"{model} 20 k" in caption.parameters for model in set(table[hue]))
    assert f"Parameters: {caption.parameters}." in str(caption)
    assert "**Parameters:**" in caption.markdown()


def test_table_6_is_not_shown_from_records_of_another_model() -> None:
    record = Record(
        suite="architectures", case="table6", encoder="deepsets-mean", status=Status.OK, metric="parameters",
        value=1.0, params={"hyper": {}}, detail={"layers": [["sets.encoder.phi", "Linear", 1]]},
    )  # fmt: skip
    assert artefact("table6").data(frame([record])).empty
    assert isinstance(artefact("table8").data(frame([record])), pd.DataFrame)


def test_a_model_that_stands_alone_is_best_at_nothing() -> None:
    both = pd.DataFrame({"panel": "with LayerNorm", "ways": 5, "x": [1, 1], "series": ["A", "B"], "value": [0.5, 0.7]})
    alone = pd.DataFrame({"panel": "without", "ways": [5, 20], "x": 1, "series": "A", "value": 0.5})
    result = FIG6.result
    assert result is not None
    assert result(pd.concat([both, alone])) == "Highest mean accuracy with LayerNorm: at 5 ways, B at a support of 1"
    assert result(alone) == ""
