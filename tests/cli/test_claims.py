"""Tables and claims from synthetic records, as functions of a frame."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from mbcbench.records.record import Record, Status, frame
from mbcbench.reports.paper.claims import CLAIMS
from mbcbench.reports.paper.claims_table import claims_table
from mbcbench.reports.selection import label_models
from tests.cli.report_records import CAD_SIZES, artefact, cloud, clouds


def law(encoder: str, status: Status, law_id: str = "mbc.partition") -> Record:
    broken = {"counterexample": {"n": 2, "sizes": [1, 1]}} if status in (Status.FAIL, Status.XFAIL) else {}
    return Record(
        suite="laws", case=law_id, encoder=encoder, status=status, value=0.5, detail={"examples": 9, **broken}
    )


def verdict(records: Sequence[Record], claim: str, reading: str = "") -> pd.Series:
    readings = [known for known in CLAIMS if (known.id, known.reading) == (claim, reading)]
    table: pd.DataFrame = claims_table(label_models(frame(records)), readings)
    (row,) = [row for _, row in table.iterrows()]
    return row


def test_table_1_is_the_mean_and_deviation_over_seeds() -> None:
    rows = frame(clouds())
    table = artefact("table1").data(rows).set_index(["model", "points"])
    scores = rows[rows["encoder"].eq("sse-random") & rows["detail.test_size"].eq(200)]["value"].astype(float)
    at: Any = table.loc[("SSE random K=16", 200)]
    assert at["ours"] == scores.mean()
    assert at["ours std"] == pytest.approx(scores.std())
    assert (at["paper"], at["seeds"]) == (0.8667, 6)
    assert at["ours - paper"] == pytest.approx(scores.mean() - 0.8667)
    assert at["data"] == "shapes (stand-in)"


def test_table_1_is_printed_as_the_paper_lays_it_out() -> None:
    table = artefact("table1")
    assert table.layout is not None
    cells = table.layout(table.data(frame([*clouds(0.013), cloud("sse-random-max", 100, 0, 0.9)])))
    printed: Any = cells.set_index("model")
    assert list(printed.columns) == ["parameters", "100", "200", "500", "1,000"]
    assert list(printed.index)[:4] == [
        "DS: DeepSets (max)",
        "ST: Set Transformer",
        "SSE(D): SSE deterministic K=16",
        "SSE(R): SSE random K=16",
    ]
    assert re.fullmatch(r"0\.853 / 0\.81\d ± 0\.00\d", printed.at["SSE(R): SSE random K=16", "100"])
    assert re.fullmatch(r"\+0\.013 / \+0\.01\d ± 0\.00\d, inside", printed.at["SSE(D) - DS", "100"])
    assert printed.at["ST - DS", "100"].endswith(", outside")
    assert (printed.at["SSE random (max) K=16", "100"], printed.at["SSE random (max) K=16", "200"]) == (
        "- / 0.900 ± -",
        "",
    )


def test_a_difference_is_paired_by_seed() -> None:
    records = [cloud("max", 100, s, 0.1 * s) for s in (1, 2, 3)]
    records += [cloud("sse-random", 100, s, 0.1 * s + 0.01) for s in (2, 3, 4)]
    table = artefact("table1").data(frame(records)).set_index("model")
    assert table.at["SSE random K=16", "less DeepSets (max)"] == pytest.approx(0.01)


def test_a_verdict_turns_with_the_numbers() -> None:
    assert verdict(clouds(0.05), "C19", "below 5000")["verdict"] == "confirmed"
    assert verdict(clouds(-0.05), "C19", "below 5000")["verdict"] == "refuted"
    assert verdict(clouds(0.0), "C19", "below 5000")["verdict"] == "no difference"


def test_fewer_than_six_seeds_leave_a_claim_undecided() -> None:
    row = verdict(clouds(seeds=5), "C19", "below 5000")
    assert row["verdict"] == "undecided"
    assert "a verdict takes 6 seeds" in row["why"]


def test_one_size_that_is_missing_leaves_a_claim_undecided() -> None:
    without_500 = [record for record in clouds() if record.detail["test_size"] != 500]
    assert verdict(without_500, "C19", "below 5000")["verdict"] == "undecided"


def test_one_seed_decides_nothing() -> None:
    assert verdict(clouds(seeds=1), "C19", "below 5000")["verdict"] == "undecided"


def test_what_was_hardly_trained_decides_nothing() -> None:
    row = verdict(clouds(steps=5), "C19", "below 5000")
    assert row["verdict"] == "undecided"
    assert "trained for 5 steps" in row["why"]


def test_a_model_that_has_not_learnt_under_some_seeds_is_compared_with_a_remark() -> None:
    records = [*clouds(), *(cloud("max", 100, seed, 0.8, plateau=True) for seed in range(2))]
    stuck = {(record.encoder, record.seed) for record in records[-2:]}
    kept = [r for r in records[:-2] if (r.encoder, r.seed) not in stuck or r.detail["test_size"] != 100]
    row = verdict([*kept, *records[-2:]], "C19", "below 5000")
    assert row["verdict"] == "confirmed"
    assert "remark: 2 of 12 trainings ended at the loss of the baseline" in row["evidence"]


def test_a_model_that_has_never_learnt_decides_nothing() -> None:
    row = verdict(clouds(plateau=True), "C19", "below 5000")
    assert row["verdict"] == "undecided"
    assert "no training of DeepSets (max) got below the loss of the baseline" in row["evidence"]


def test_whether_a_model_has_learnt_is_decided_by_its_losses_in_training() -> None:
    learnt = verdict(clouds(plateau=True, train_loss=0.1, train_baseline=0.2), "C19", "below 5000")
    assert "remark" not in learnt["why"]
    stuck = verdict(clouds(plateau=False, train_loss=0.2, train_baseline=0.2), "C19", "below 5000")
    assert "remark" in stuck["why"]


def test_the_deeper_baselines_do_not_stand_in_for_the_papers() -> None:
    names = {"max": "deepsets-max", "isab-pma": "set-transformer"}
    deep = [replace(record, encoder=names.get(record.encoder, record.encoder)) for record in clouds()]
    row = verdict(deep, "C19", "below 5000")
    assert row["verdict"] == "undecided"
    assert "no records of DeepSets (max)" in row["why"]
    assert "no records of Set Transformer" in row["evidence"]


def test_models_that_were_trained_for_different_numbers_of_steps_are_not_compared() -> None:
    short = [cloud("max", size, seed, 0.5, steps=500) for size in CAD_SIZES for seed in range(6)]
    row = verdict([*short, *(record for record in clouds() if record.encoder != "max")], "C19", "below 5000")
    assert row["verdict"] == "undecided"
    assert "trained for different numbers of steps, 500 and 1,000" in row["why"]


def test_a_comparison_names_the_parameters_of_both_models() -> None:
    assert "; 21 k and 21 k parameters)" in verdict(clouds(parameters=20_600), "C19", "below 5000")["why"]
    assert set(artefact("table1").data(frame(clouds(parameters=20_600)))["parameters"]) == {20_600}


def test_a_verdict_says_that_it_rests_on_stand_in_data() -> None:
    assert verdict(clouds(), "C19", "below 5000")["data"] == "shapes (stand-in)"


def test_one_counterexample_refutes_that_a_law_holds() -> None:
    names = ("sse-random", "sse-literal-mean", "sse-literal-max", "sse-literal-min")
    passes = [law(name, Status.PASS) for name in names]
    assert verdict(passes, "C1", "as written")["verdict"] == "confirmed"
    row = verdict([*passes[:3], law(names[3], Status.XFAIL)], "C1", "as written")
    assert row["verdict"] == "refuted"
    assert "n = 2 in chunks 1 + 1, off by 0.5" in row["why"]


def test_that_a_law_breaks_is_refuted_if_no_counterexample_is_found() -> None:
    assert verdict([law("sse-softmax-slots", Status.PASS)], "C3")["verdict"] == "refuted"
    assert verdict([law("sse-softmax-slots", Status.XFAIL)], "C3")["verdict"] == "confirmed"
    assert verdict([law("sse-softmax-slots", Status.ERROR)], "C3")["verdict"] == "undecided"


def test_table_2_shows_the_counterexample() -> None:
    table = artefact("table2").data(frame([law("fspool", Status.XFAIL), law("set-transformer", Status.PASS)]))
    rows = table.set_index("encoder")[["ours", "counterexample"]].to_dict("index")
    assert rows["fspool"] == {"ours": "fails", "counterexample": "n = 2 in chunks 1 + 1, off by 0.5"}
    assert rows["set-transformer"]["ours"] == "no counterexample"


def test_the_encoder_of_a_user_is_a_row_of_both_tables() -> None:
    failing = artefact("table2").data(frame([law("fspool", Status.XFAIL), law("my.py:Mine", Status.PASS)]))
    assert failing[["model", "paper", "ours"]].to_numpy().tolist() == [
        ["FSPool", "fails", "fails"],
        ["my.py:Mine", "", "no counterexample"],
    ]
    scores = artefact("table1").data(frame([*clouds(), *(cloud("my.py:Mine", 100, seed, 0.7) for seed in range(6))]))
    assert scores.set_index("model").at["my.py:Mine", "less DeepSets (max)"] == pytest.approx(-0.1, abs=0.01)


def test_every_claim_of_the_paper_is_in_the_table() -> None:
    assert set(artefact("claims").data(frame([]))["id"]) == {f"C{n}" for n in range(1, 25)}


def test_without_records_every_claim_is_undecided_and_says_what_would_decide_it() -> None:
    book = artefact("claims").data(frame([]))
    assert set(book["verdict"]) == {"undecided"}
    assert book["would decide"].str.len().min() > 0
