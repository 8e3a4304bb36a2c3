import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mbcbench.reports import aggregation
from mbcbench.reports.leaderboard.html import context
from mbcbench.reports.leaderboard.table import leaderboard_table
from mbcbench.reports.selection import tidy


def test_the_interval_is_the_t_interval_of_the_seeds(records: pd.DataFrame) -> None:
    table = leaderboard_table(records).set_index("encoder")
    at = records[(records["detail.test_size"] == 100) & (records["detail.mode"] == "one piece")]
    values = at.loc[at["encoder"] == "sse-random", "value"].astype(float)
    low, high = stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values))
    row = table.loc["sse-random"]
    assert row["accuracy"] == pytest.approx(values.mean())
    assert row["accuracy"] - row["accuracy.half"] == pytest.approx(low)
    assert row["accuracy"] + row["accuracy.half"] == pytest.approx(high)


def test_one_seed_has_a_mean_and_no_interval(records: pd.DataFrame) -> None:
    row = leaderboard_table(records[records["seed"] == 0]).set_index("encoder").loc["leaky"]
    assert 0 < row["accuracy"] < 1
    assert np.isnan(row["accuracy.half"])


def test_a_broken_cell_speaks_for_every_size_and_mode(records: pd.DataFrame) -> None:
    rows = tidy(records[records["suite"] == "point-clouds"])
    for size, mode in ((50, "one piece"), (1000, "streamed")):
        at = {"detail.test_size": size, "detail.mode": mode}
        table = aggregation.outcomes(rows, "accuracy", at, ["hanging"])
        assert list(table["status"]) == ["ok", "ok", "timeout"]


def test_a_value_that_is_not_finite_is_not_averaged(records: pd.DataFrame) -> None:
    spoilt = records.copy()
    of_one_seed = spoilt["encoder"].eq("leaky") & spoilt["seed"].eq(1) & spoilt["suite"].eq("point-clouds")
    spoilt.loc[of_one_seed, "value"] = float("nan")
    row = leaderboard_table(spoilt).set_index("encoder").loc["leaky"]
    assert (row["accuracy.seeds"], row["accuracy.lost"]) == (2, "1 nan")
    assert np.isnan(row["rank"])


def test_a_law_checked_twice_shows_its_worst_status(records: pd.DataFrame) -> None:
    again = records[(records["encoder"] == "leaky") & (records["suite"] == "laws")].assign(status="pass")
    matrix = aggregation.law_matrix(pd.concat([records, again]), ["leaky"])
    assert matrix.at["leaky", "mbc.partition"] == "fail"


def test_an_encoder_is_judged_with_other_hyper_parameters_only_if_it_was_not_with_its_own(
    records: pd.DataFrame,
) -> None:
    usual = records[records["encoder"].eq("sse-random")]
    law = usual[usual["case"].eq("mbc.partition")]
    one_slot = law.assign(status="xfail")
    one_slot["params.hyper"] = pd.Series([{"num_slots": 1}] * len(law), index=law.index)
    both = pd.concat([usual, one_slot], ignore_index=True)
    assert aggregation.law_matrix(both, ["sse-random"]).at["sse-random", "mbc.partition"] == "pass"
    assert aggregation.law_matrix(one_slot, ["sse-random"]).at["sse-random", "mbc.partition"] == "xfail"
    failing = pd.concat([usual, one_slot.assign(status="fail")], ignore_index=True)
    assert context(failing, {})["summary"] == context(usual, {})["summary"]


def test_a_status_of_a_later_version_is_the_worst() -> None:
    assert aggregation.worst(["pass", "crash", "melted"]) == "melted"


def test_laws_stand_in_their_groups_whatever_the_order_of_the_records(records: pd.DataFrame) -> None:
    shuffled = records.sample(frac=1, random_state=0)
    groups = [aggregation.law_group(law) for law in aggregation.law_matrix(shuffled, ["leaky"]).columns]
    assert groups == ["mbc"] * 4 + ["symmetry"] * 3 + ["hygiene"] * 2


def test_badges_count_the_laws_that_hold_of_those_that_apply(records: pd.DataFrame) -> None:
    table = leaderboard_table(records).set_index("encoder")
    laws = records[records["suite"] == "laws"]
    for group in ("mbc", "symmetry", "hygiene"):
        in_group = laws[laws["case"].str.startswith(f"{group}.")]
        hold = in_group["status"].eq("pass").groupby(in_group["encoder"]).sum()
        apply = in_group["status"].ne("skip").groupby(in_group["encoder"]).sum()
        for name in ("sse-random", "deepsets-mean", "set-transformer", "leaky", "crashing"):
            assert table.at[name, f"laws.{group}"] == f"{hold[name]}/{apply[name]}"
    assert list(table.loc[["set-transformer", "leaky", "crashing", "hanging"], "laws.mbc.status"]) == [
        "xfail", "fail", "crash", "timeout",
    ]  # fmt: skip
    assert table.at["leaky", "laws.symmetry.status"] == "xpass"
    assert table.at["hanging", "laws.hygiene"] == "1/2"
    assert table.at["hanging", "laws.hygiene.status"] == "missing"
