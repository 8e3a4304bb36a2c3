"""The one ranking, against plain arithmetic on synthetic records of known strengths."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mbcbench.records.record import Record, frame
from mbcbench.reports.cost_figures import accuracy_by_cost
from mbcbench.reports.leaderboard.families import family_of
from mbcbench.reports.leaderboard.ranking import (
    APART,
    NOT_STANDARD,
    Ranking,
    format_interval,
    group_letters,
    rank_encoders,
)
from mbcbench.reports.leaderboard.standard import ANY_ORDER
from mbcbench.reports.leaderboard.standing import profile_rows, ranking_table, standing_table
from mbcbench.reports.leaderboard.table import NOTHING_RANKED, leaderboard_table, notes
from mbcbench.reports.selection import tidy
from tests.reports.standard_records import CONSISTENT, ENCODERS, SEEDS, TASKS, Encoder, records_of, standard_frame


def ranking_of(table: pd.DataFrame) -> Ranking:
    rows = tidy(table)
    return rank_encoders(rows, list(dict.fromkeys(rows["encoder"])))


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return standard_frame()


@pytest.fixture(scope="module")
def ranking(table: pd.DataFrame) -> Ranking:
    return ranking_of(table)


def worst_by_hand(table: pd.DataFrame, encoder: str, case: str) -> "pd.Series[float]":
    """Return the worst value of each seed, on sets as large as in training."""
    tests = table[table["encoder"].eq(encoder) & table["case"].eq(case) & table["params.role"].eq("final")]
    tests = tests[tests["detail.test_size"].eq(tests["detail.train_size"])]
    by_seed = tests["value"].astype(float).groupby(tests["seed"])
    return by_seed.max() if tests["metric"].iloc[0] == "nll" else by_seed.min()


@pytest.mark.parametrize("encoder", ["sse-random", "set-transformer", "slot-attention"])
def test_a_score_is_the_worst_over_one_piece_and_all_orders(
    table: pd.DataFrame, ranking: Ranking, encoder: str
) -> None:
    for scores, setting in zip(ranking.tasks, TASKS, strict=True):
        by_hand = worst_by_hand(table, encoder, setting.case)
        assert scores.table.at[encoder, "score"] == pytest.approx(by_hand.mean())
        assert (scores.losses.loc[encoder] * scores.task.sign).to_list() == pytest.approx(by_hand.to_list())


def test_the_rank_is_by_the_mean_over_tasks_of_the_rank(table: pd.DataFrame, ranking: Ranking) -> None:
    names = ranking.table.index[ranking.table["rank"].notna()]
    ranks = []
    for setting in TASKS:
        means = pd.Series({name: worst_by_hand(table, name, setting.case).mean() for name in names})
        ranks.append(means.rank(ascending=setting.metric == "nll"))
    mean_rank = pd.concat(ranks, axis=1).mean(axis=1)
    pd.testing.assert_series_equal(ranking.table.loc[names, "mean_rank"], mean_rank, check_names=False)
    by_mean = mean_rank.rank(method="min")
    pd.testing.assert_series_equal(ranking.table.loc[names, "rank"], by_mean, check_names=False)


def test_consistent_encoders_are_ranked_by_their_strengths_and_those_that_collapse_behind_them(
    ranking: Ranking,
) -> None:
    ranks = ranking.table["rank"]
    places = ranks[list(CONSISTENT)]
    assert np.corrcoef(places, np.arange(len(places)))[0, 1] > 0.97
    assert ranks["set-transformer"] > places.max()
    assert ranks["fspool"] > places.max()


def test_the_worst_order_is_named(ranking: Ranking) -> None:
    points = ranking.tasks[0].table["worst_order"]
    assert points["set-transformer"] == "single elements"
    assert points["fspool"] == "sorted chunks"
    assert points["sse-random"] == ANY_ORDER


def test_a_second_size_is_the_largest_that_was_tested(ranking: Ranking) -> None:
    assert [scores.sizes for scores in ranking.tasks] == [(100, 500), (200, 800), (10, 100)]


def test_deliberately_wrong_encoders_stand_apart_and_move_nobody(table: pd.DataFrame, ranking: Ranking) -> None:
    wrong = "sse-mean-of-chunk-means"
    assert ranking.table.at[wrong, "reason"] == APART
    assert np.isnan(ranking.table.at[wrong, "rank"])
    assert ranking.order[-1] == wrong
    without = ranking_of(table[table["encoder"].ne(wrong)])
    pd.testing.assert_frame_equal(without.table, ranking.table.drop(wrong))


def test_an_encoder_that_lacks_a_seed_is_not_ranked_and_the_reason_is_in_words(ranking: Ranking) -> None:
    assert np.isnan(ranking.table.at["isab-pma", "rank"])
    assert ranking.table.at["isab-pma", "reason"] == "lacks seed 3 on image completion"
    images = ranking.tasks[1].table.loc["isab-pma"]
    assert images["seeds"] == len(SEEDS) - 1
    assert np.isfinite(images["score"])


def test_an_encoder_that_lacks_an_order_or_a_task_is_not_ranked(table: pd.DataFrame) -> None:
    is_points, is_nll = table["suite"].eq("point-clouds"), table["suite"].eq("image-completion")
    order = table["encoder"].eq("pma") & is_points & table["detail.order"].eq("sorted") & table["seed"].eq(2)
    reasons = ranking_of(table[~order & ~(table["encoder"].eq("umbc") & is_nll)]).table["reason"]
    assert reasons["pma"] == "lacks sorted chunks of seed 2 on point clouds"
    assert reasons["umbc"] == "not trained on image completion"
    assert reasons["sse-random"] == ""


def test_an_encoder_without_any_training_is_not_ranked(table: pd.DataFrame) -> None:
    rows = tidy(table)
    ranking = rank_encoders(rows, ["sse-random", "absent"])
    assert ranking.table.at["absent", "reason"] == NOT_STANDARD


def test_seeds_of_the_search_and_more_seeds_of_one_encoder_count_for_nobody(
    table: pd.DataFrame, ranking: Ranking
) -> None:
    more = table[table["encoder"].eq("pma") & table["params.role"].eq("final") & table["seed"].eq(0)]
    both = ranking_of(pd.concat([table, more.assign(seed=7, value=0.99)]))
    pd.testing.assert_frame_equal(both.table, ranking.table)


def test_a_task_that_few_encoders_have_does_not_count(table: pd.DataFrame) -> None:
    few = table["suite"].eq("centroids") & ~table["encoder"].isin(["sse-random", "mean"])
    ranking = ranking_of(table[~few])
    assert [scores.task.key for scores in ranking.tasks] == ["points", "images"]
    assert ranking.table["rank"].notna().sum() == len(ENCODERS) - 2


def test_intervals_hold_the_rank_and_are_those_of_equal_encoders(ranking: Ranking) -> None:
    ranked = ranking.table.dropna(subset=["rank"])
    for prefix in ("", "points.", "images.", "centroids."):
        assert (ranked[f"{prefix}low"] <= ranked[f"{prefix}rank"]).all()
        assert (ranked[f"{prefix}rank"] <= ranked[f"{prefix}high"]).all()
    assert ranked.at["set-transformer", "low"] > ranked.at["sse-random", "high"]


def test_encoders_of_equal_strength_share_a_group_and_wide_intervals() -> None:
    equal = [Encoder(f"e{place}", 0.0) for place in range(8)]
    ranked = ranking_of(standard_frame(equal)).table
    assert set(ranked["group"]) == {"A"}
    assert (ranked["high"] - ranked["low"]).mean() > 3


def test_encoders_of_very_different_strengths_have_groups_of_their_own() -> None:
    steps = [Encoder(f"e{place}", 6.0 * place) for place in range(4)]
    assert list(ranking_of(standard_frame(steps)).table["group"]) == ["A", "B", "C", "D"]


def test_a_group_ends_before_the_first_encoder_that_can_be_told_apart() -> None:
    rng = np.random.default_rng(0)
    mean_rank = np.array([3.0, 1.0, 2.0])
    resampled = mean_rank + rng.normal(scale=[0.1, 0.6, 0.6], size=(2000, 3))
    assert list(group_letters(mean_rank, resampled)) == ["B", "A", "A"]


def test_groups_follow_z_by_aa() -> None:
    mean_rank = np.arange(28.0)
    letters = group_letters(mean_rank, np.tile(mean_rank, (2000, 1)))
    assert list(letters[[0, 25, 26, 27]]) == ["A", "Z", "AA", "AB"]


def test_one_seed_without_outcomes_gives_ranks_without_intervals(table: pd.DataFrame) -> None:
    one = table[table["seed"].isin([0, 1000])].drop(columns="detail.outcomes")
    ranked = ranking_of(one).table.dropna(subset=["rank"])
    assert len(ranked) == len(ENCODERS) - 1
    assert ranked[["low", "high"]].isna().all(axis=None)
    assert set(ranked["group"]) == {""}


def test_outcomes_of_test_items_give_one_seed_an_interval(table: pd.DataFrame) -> None:
    ranked = ranking_of(table[table["seed"].isin([0, 1000])]).table.dropna(subset=["rank"])
    assert ranked[["low", "high"]].notna().all(axis=None)


def test_ranks_are_the_same_in_any_order_of_the_records(table: pd.DataFrame, ranking: Ranking) -> None:
    shuffled = ranking_of(table.sample(frac=1, random_state=0))
    pd.testing.assert_frame_equal(shuffled.table.loc[ranking.table.index], ranking.table)


def test_convergence_and_chance_are_remarks_and_remove_nothing(ranking: Ranking) -> None:
    for scores in ranking.tasks:
        assert set(scores.table.index[scores.table["unconverged"]]) == {"slot-attention"}
        assert scores.table.at["slot-attention", "gain"] == pytest.approx(0.04)
        assert scores.table["unlearnt"].to_dict()["janossy"] == len(SEEDS)
    assert ranking.table.loc[["slot-attention", "janossy"], "rank"].notna().all()


def test_every_table_and_figure_has_the_same_ranks(table: pd.DataFrame, ranking: Ranking) -> None:
    expected = ranking.table.loc[ranking.order, "rank"]
    for data in (standing_table(table), ranking_table(table), leaderboard_table(table)):
        pd.testing.assert_series_equal(data.set_index("encoder")["rank"], expected)
    ranked = list(expected.dropna().index)
    assert list(dict.fromkeys(profile_rows(table)["encoder"])) == ranked
    costs = accuracy_by_cost(table, "throughput").set_index("encoder")
    assert set(costs.index) == set(ranked)
    assert costs.at["set-transformer", "mean"] == ranking.tasks[0].table.at["set-transformer", "score"]


def test_a_profile_is_the_distance_to_the_best_in_units_of_its_lead_over_the_median(
    table: pd.DataFrame, ranking: Ranking
) -> None:
    rows = profile_rows(table)
    behind = rows[rows["task"].eq("images") & rows["seed"].eq(0)].set_index("encoder")["behind"]
    losses = ranking.tasks[1].losses.loc[behind.index, 0]
    expected = (losses - losses.min()) / (losses.median() - losses.min())
    assert behind.to_list() == pytest.approx(expected.to_list())


def without_standard() -> pd.DataFrame:
    """Return trainings of another profile."""
    records = [record for encoder in ENCODERS[:3] for record in records_of(encoder) if record.suite == "point-clouds"]
    short = [
        Record(**{**vars(r), "case": "mnist-points", "params": {"hyper": {}, "profile": "quick"}}) for r in records
    ]
    return frame(short)


def test_trainings_of_other_profiles_are_shown_and_not_ranked() -> None:
    short = without_standard()
    table = leaderboard_table(short)
    assert table["rank"].isna().all()
    assert table["accuracy"].notna().all()
    assert NOTHING_RANKED in notes(short, {"run": "x"}, table)
    assert standing_table(short).empty
    assert profile_rows(short).empty
    assert accuracy_by_cost(short, "throughput").empty


def test_trainings_of_other_profiles_do_not_change_the_ranking(table: pd.DataFrame, ranking: Ranking) -> None:
    both = pd.concat([table, without_standard()])
    pd.testing.assert_frame_equal(ranking_of(both).table, ranking.table)
    assert "accuracy" not in leaderboard_table(both)


def test_without_any_score_there_is_no_standing() -> None:
    assert standing_table(frame([])).empty
    assert profile_rows(frame([])).empty


def test_the_reasons_are_in_the_notes(table: pd.DataFrame) -> None:
    lines = notes(table, {"run": "x"}, leaderboard_table(table))
    assert "Not ranked (lacks seed 3 on image completion): isab-pma." in lines
    assert "Deliberately wrong, shown apart and never ranked: sse-mean-of-chunk-means." in lines


def test_two_equal_encoders_share_a_rank() -> None:
    twins = [Encoder("a", 0.0), Encoder("c", 9.0)]
    records = [record for encoder in twins for record in records_of(encoder)]
    records += [replace(record, encoder="b") for record in records_of(twins[0])]
    ranks = ranking_of(frame(records)).table["rank"]
    assert ranks.to_dict() == {"a": 1.0, "b": 1.0, "c": 3.0}


@pytest.mark.parametrize(
    ("encoder", "family"),
    [("sse-random-max", "sse"), ("mean", "plain pooling"), ("a/my_net.py:Net", "my net"), ("package.sub:Net", "sub")],
)
def test_a_family_is_the_module_of_an_encoder(encoder: str, family: str) -> None:
    assert family_of(encoder) == family


@pytest.mark.parametrize(("ends", "text"), [((2.0, 5.0), "2–5"), ((3.0, 3.0), "3"), ((np.nan, np.nan), "")])
def test_an_interval_of_one_rank_is_that_rank(ends: tuple[float, float], text: str) -> None:
    assert format_interval(*ends) == text
