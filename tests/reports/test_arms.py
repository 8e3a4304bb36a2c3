"""The arms of the reproduction: three settings of one task, which are never mixed."""

from dataclasses import replace

import pytest

from mbcbench.paper import PUBLISHED_ENCODER
from mbcbench.records.record import Record, frame
from mbcbench.reports.selection import label_models, select
from tests.cli.report_records import artefact
from tests.reports.test_comparisons import nll


def record(arm: str, encoder: str, value: float, seed: int) -> Record:
    case = f"patches-32-{arm}" if arm else "patches-32"
    hyper = {} if encoder == "mean" else {"num_slots": 32}
    of_setting = nll(200, 1, seed)
    detail = {**of_setting.detail, "baseline": 0.3}
    params = {"hyper": hyper, "train_size": 200, "arm": arm}
    return replace(of_setting, case=case, encoder=encoder, value=value + 0.001 * seed, params=params, detail=detail)


RECORDS = [
    record(arm, encoder, value, seed)
    for arm, encoder, value in (
        ("", "mean", 0.1),
        ("", "sse-random", 0.05),
        ("paper", "mean", 1.0),
        ("paper", "sse-random", 1.2),
        ("published", "mean", 0.2),
        ("published", PUBLISHED_ENCODER, 0.2),
    )
    for seed in range(6)
]


def test_each_arm_is_compared_with_its_own_baseline() -> None:
    table = artefact("arms").data(frame(RECORDS))
    leads = table.dropna(subset=["NLL less DeepSets'"]).set_index("arm")["NLL less DeepSets'"]
    assert leads.to_dict() == pytest.approx({"as in the text": 0.2, "as published": 0.0, "repaired": -0.05})
    assert set(table["baseline"]) == {0.3}
    text = artefact("arms").result
    assert text is not None
    assert "As published, the NLL less that of DeepSets (mean) is" in text(table)


def test_a_selection_that_names_no_case_leaves_out_the_arms() -> None:
    rows = label_models(frame(RECORDS))
    assert set(select(rows, {"suite": "image-completion"})["case"]) == {"patches-32"}
    assert "DeepSets (mean) as in the text" in set(rows["model"])
