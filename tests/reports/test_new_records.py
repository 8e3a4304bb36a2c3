"""Claims and figures of other numbers of slots, of training on partitions, and of completed images."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from mbcbench import registry
from mbcbench.records.record import Record, Status, frame

SHARED = {"mode": "one piece", "order": "random", "aggregation": "own", "steps": 1000, "plateau": False, "data": "p"}


def data(name: str, records: list[Record]) -> pd.DataFrame:
    table: pd.DataFrame = registry.plugin(registry.ARTEFACTS, name).load().data(frame(records))
    return table


def verdicts(records: list[Record]) -> dict[tuple[str, str], str]:
    rows = data("claims", records)
    return {(row["id"], row["reading"]): row["verdict"] for row in rows.to_dict("records")}


def nll(size: int, value: float, seed: int, slots: int = 32, estimator: str = "full", **detail: Any) -> Record:
    values = {**SHARED, "train_size": size, "test_size": size, "chunk_size": size, **detail}
    return Record(
        suite="image-completion", case="patches-64" if size == 1000 else "patches-32", encoder="sse-random",
        status=Status.OK, seed=seed, metric="nll", value=value, higher_is_better=False, detail=values,
        params={"hyper": {"num_slots": slots}, "estimator": estimator},
    )  # fmt: skip


def with_slots(tested: dict[int, float]) -> list[Record]:
    """Return records of a model with 32 slots. tested: number of slots in the test -> increase of the NLL."""
    noise = np.random.default_rng(0)
    usual = [nll(200, 0.001 * noise.normal(), seed) for seed in range(6)]
    other = [
        nll(200, lost + 0.001 * noise.normal(), seed, num_slots=k) for k, lost in tested.items() for seed in range(6)
    ]
    return usual + other


def test_other_slots_at_test_time_are_judged_by_what_they_lose() -> None:
    assert verdicts(with_slots({16: 0.005, 64: 0.005}))["C7", "half and double"] == "confirmed"
    by_reading = verdicts(with_slots({16: 0.005, 64: 0.4, 2: 0.5, 8: 0.5, 128: 0.5}))
    assert by_reading["C7", "half and double"] == "refuted"
    assert by_reading["C7", "a sixteenth to fourfold"] == "refuted"


def test_a_test_with_other_slots_is_not_taken_for_one_as_trained() -> None:
    table = data("fig3a", with_slots({16: 9.0, 64: 9.0}))
    assert table["value"].max() < 1.0


def test_of_a_short_and_a_long_training_the_long_one_is_shown() -> None:
    short = [nll(100, 3.0, seed, steps=400) for seed in range(6)]
    table = data("fig3a", [*short, *with_slots({})])
    assert table["x"].unique().tolist() == [200]
    assert table["value"].max() < 1.0


def trained(partition: float, at_first: float, seconds: float) -> list[Record]:
    """Return records of training on full sets, and on partitions. at_first: the loss of the latter after 100 steps."""
    noise = np.random.default_rng(0)

    def records(value: float, loss: float, seconds: float, estimator: str) -> list[Record]:
        return [
            nll(1000, value + 0.001 * noise.normal(), seed, estimator=estimator, train_seconds=seconds + seed,
                curve=[[100, loss + 0.001 * noise.normal()], [200, 0.1]])
            for seed in range(3)
        ]  # fmt: skip

    return [*records(0.0, 0.5, 60.0, "full"), *records(partition, at_first, seconds, "partition")]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [((0.0, 0.3, 20.0), ("confirmed",) * 3), ((0.3, 0.7, 200.0), ("refuted",) * 3)],
)
def test_training_on_partitions_is_judged_by_its_losses_its_seconds_and_by_full_sets(
    arguments: tuple[float, float, float], expected: tuple[str, ...]
) -> None:
    by_reading = verdicts(trained(*arguments))
    readings = ("faster per step", "faster per second", "generalises")
    assert tuple(by_reading["C13", f"partition: {reading}"] for reading in readings) == expected
    assert by_reading["C13", "unbiased: faster per step"] == "undecided"


def test_models_trained_on_partitions_have_a_line_of_their_own() -> None:
    table = data("fig3d", trained(0.0, 0.3, 20.0))
    assert set(table["model"]) == {"SSE random K=32", "SSE random K=32 partition"}
    assert set(data("fig3a", trained(9.0, 0.3, 20.0))["value"]) != {9.0}
    assert data("fig3a", trained(9.0, 0.3, 20.0))["value"].max() < 1.0


def completed() -> Record:
    pixels = np.arange(2 * 4 * 3).reshape(2, 4, 3)
    detail = {
        "images": pixels.tolist(),
        "order": [[3, 2, 1, 0], [0, 1, 2, 3]],
        "completions": {"1": (pixels + 1).tolist(), "3": (pixels + 2).tolist()},
    }
    return Record(
        suite="image-completion", case="patches-32", encoder="e", status=Status.OK, metric="completions", value=1.0,
        detail=detail,
    )  # fmt: skip


def test_the_strip_shows_the_pixels_given_what_was_made_of_them_and_the_image() -> None:
    table = data("completions", [completed()])
    given = table[table["what"].eq("context") & table["image"].eq(0) & table["size"].eq(3)]
    assert given["pixel"].tolist() == [3, 2, 1]
    assert given[["red", "green", "blue"]].to_numpy().tolist() == [[9, 10, 11], [6, 7, 8], [3, 4, 5]]
    completed_pixels = table[table["what"].eq("e") & table["image"].eq(1) & table["size"].eq(1)]
    assert completed_pixels["red"].tolist() == [13, 16, 19, 22]
    assert table[table["what"].eq("image")]["blue"].tolist() == [2, 5, 8, 11, 14, 17, 20, 23]


def test_the_strip_is_drawn() -> None:
    artefact = registry.plugin(registry.ARTEFACTS, "completions").load()
    figure = artefact.draw(artefact.data(frame([completed()])))
    assert len(figure.axes) == 2 * 2 * 3  # two images, a row of contexts and one of the model; two sizes and the image


def gap(kind: str, size: int, value: float, draw: int) -> Record:
    detail = {"order": kind, "chunk_size": size, "aggregation": "streamed", "draw": draw}
    return Record(
        suite="consistency", case="chunks", encoder="e", status=Status.OK, metric="relative_gap", value=value,
        detail=detail,
    )  # fmt: skip


def test_the_consistency_error_is_the_worst_of_all_draws() -> None:
    records = [gap("random", 4, value, draw) for draw, value in enumerate((1e-3, 3e-3, 2e-3))]
    table = data("consistency", [*records, gap("uneven", 1, 0.0, 0)])
    assert table[["kind", "size", "value"]].to_numpy().tolist() == [["random", 4, 3e-3], ["uneven", 1, 0.0]]


def test_gradients_of_partitions_are_shown_by_encoder_and_estimator() -> None:
    records = [
        Record(suite="gradients", case="patches-32", encoder="e", status=Status.OK, metric="gradient_bias", value=1 / n,
               detail={"estimator": "partition", "gradient_size": n})
        for n in (10, 50)
    ]  # fmt: skip
    skipped = Record(suite="gradients", case="patches-32", encoder="f", status=Status.SKIP, metric="gradient_bias")
    table = data("gradient-bias", [*records, skipped])
    assert table[["model", "x", "value"]].to_numpy().tolist() == [["e, partition", 10, 0.1], ["e, partition", 50, 0.02]]


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_strip_has_the_same_bytes_for_the_same_records(kind: str) -> None:
    writer = registry.plugin(registry.REPORTS, "leaderboard").load()
    artefacts = [registry.plugin(registry.ARTEFACTS, "completions").load()]
    first, second = (writer.write(artefacts, frame([completed()]), {}, [kind])[0] for _ in range(2))
    assert first == second
