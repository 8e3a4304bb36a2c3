"""Ranks over several tasks, against plain arithmetic."""

import numpy as np
import pandas as pd
import pytest

from mbcbench.records.record import Record, Status, frame
from mbcbench.reports.leaderboard.ranking import profile_rows, standing_table

SCORES = {"a": (0.9, 0.2), "b": (0.8, 0.1), "c": (0.7, 0.3), "d": (0.6, 0.4)}  # accuracy, and NLL


def score(encoder: str, suite: str, metric: str, value: float, seed: int) -> Record:
    detail = {"test_size": 100, "train_size": 100, "mode": "one piece", "order": "random", "aggregation": "own"}
    return Record(
        suite=suite, case="c", encoder=encoder, status=Status.OK, metric=metric, value=value, seed=seed,
        params={"hyper": {}}, detail=detail,
    )  # fmt: skip


def records() -> list[Record]:
    tasks = (("point-clouds", "accuracy"), ("image-completion", "nll"))
    return [
        score(encoder, suite, metric, value, seed)
        for encoder, values in SCORES.items()
        for (suite, metric), value in zip(tasks, values, strict=True)
        for seed in (0, 1)
    ]


def test_ranks_are_means_over_tasks_and_borda_counts_the_encoders_that_are_beaten() -> None:
    table = standing_table(frame(records())).set_index("encoder")
    assert table["mean_rank"].to_dict() == {"a": 1.5, "b": 1.5, "c": 3.0, "d": 4.0}
    assert table["rank"].to_dict() == {"a": 1.0, "b": 1.0, "c": 3.0, "d": 4.0}
    assert table["borda"].to_dict() == {"a": 3 + 2, "b": 2 + 3, "c": 1 + 1, "d": 0}
    assert table["nll"].to_dict() == pytest.approx({name: nll for name, (_, nll) in SCORES.items()})
    assert table["accuracy"].to_dict() == pytest.approx({name: accuracy for name, (accuracy, _) in SCORES.items()})


def test_a_draw_counts_half() -> None:
    scores = [score(name, "point-clouds", "accuracy", value, 0) for name, value in (("a", 0.5), ("b", 0.5), ("c", 0.1))]
    table = standing_table(frame(scores)).set_index("encoder")
    assert table["borda"].to_dict() == {"a": 1.5, "b": 1.5, "c": 0.0}


def test_an_encoder_that_lacks_a_score_has_no_rank_and_moves_nobody_elses() -> None:
    best = [score("e", "point-clouds", "accuracy", 0.99, seed) for seed in (0, 1)]
    table = standing_table(frame([*records(), *best])).set_index("encoder")
    assert np.isnan(table.at["e", "rank"])
    assert np.isnan(table.at["e", "nll"])
    assert table.at["a", "mean_rank"] == 1.5


def test_the_papers_variants_do_not_take_the_place_of_the_registered_encoder() -> None:
    other = score("d", "point-clouds", "accuracy", 0.99, 0)
    variant = Record(**{**vars(other), "params": {"hyper": {"num_slots": 32}}})
    table = standing_table(frame([*records(), variant])).set_index("encoder")
    assert table.at["d", "accuracy"] == pytest.approx(0.6)


def test_a_profile_is_the_distance_to_the_best_in_units_of_its_lead_over_the_median() -> None:
    rows = profile_rows(frame(records()))
    by_task = rows[rows["seed"].eq(0)].pivot(index="encoder", columns="task", values="behind")
    losses = pd.Series({name: nll for name, (_, nll) in SCORES.items()})
    expected = (losses - losses.min()) / (losses.median() - losses.min())
    assert by_task["nll"].to_dict() == pytest.approx(expected.to_dict())
    assert by_task.at["a", "accuracy"] == 0.0


def test_without_any_score_there_is_no_standing() -> None:
    assert standing_table(frame([])).empty
    assert profile_rows(frame([])).empty
