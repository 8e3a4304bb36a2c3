"""Intervals are over seeds: several records of one seed are one observation."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from mbcbench import registry
from mbcbench.paper import CENTROID_WIDTH
from mbcbench.records.record import Record, Status, frame
from mbcbench.reports import plots
from mbcbench.reports.paper.claims_table import claims_table
from mbcbench.reports.selection import label_models
from mbcbench.reports.stats import Estimate, summarise_by

SEEDS = (0, 1, 2)
NOISE = np.random.default_rng(0)
FIGURES = ("fig2", "fig3a", "fig3b", "fig3c", "fig4a", "fig4b", "fig4c", "fig4d", "fig5", "fig6", "fig7-slots", "fig8")


def scores(
    suite: str, case: str, encoder: str, hyper: dict[str, Any], params: Any = None, **detail: Any
) -> list[Record]:
    """Return the records of one test of a model under all seeds."""
    metric = "nll" if suite == "image-completion" else "accuracy"
    common = {"mode": "one piece", "steps": 1000, "data": "d", "parameters": 20_000}
    return [
        Record(
            suite=suite, case=case, encoder=encoder, status=Status.OK, seed=seed, metric=metric, value=NOISE.random(),
            params={"hyper": hyper, **(params or {})}, detail={**common, **detail},
        )
        for seed in SEEDS
    ]  # fmt: skip


def images(encoder: str, size: int, test: int, chunk: int, hyper: dict[str, Any], g: str = "own") -> list[Record]:
    mode = "one piece" if test == chunk else "streamed"
    return scores(
        "image-completion", "patches-64" if size == 1000 else "patches-32", encoder, hyper,
        train_size=size, test_size=test, chunk_size=chunk, mode=mode, order="random", aggregation=g,
    )  # fmt: skip


def clouds(encoder: str, hyper: dict[str, Any]) -> Iterator[Record]:
    for test in (100, 200, 500):
        for chunk in (100, test)[: 1 if test == 100 else 2]:
            mode = "one piece" if test == chunk else "streamed"
            settings = {"train_size": 100, "test_size": test, "chunk_size": chunk, "mode": mode}
            yield from scores("point-clouds", "cad-points", encoder, hyper, **settings)


def centroids(case: str, encoder: str, hyper: dict[str, Any], **params: Any) -> Iterator[Record]:
    for ways in (10, 20):
        for support in (1, 2, 100):
            yield from scores("centroids", case, encoder, hyper, params, ways=ways, test_size=support)


def all_records() -> Iterator[Record]:
    for encoder, hyper in (("mean", {}), ("sse-random", {"num_slots": 1}), ("sse-random", {"num_slots": 32})):
        for size, test, chunk in ((1000, 1000, 1000), (1000, 2000, 1000), (1000, 100, 100), (1000, 500, 100)):
            yield from images(encoder, size, test, chunk, hyper)
    for g in ("sum", "mean", "max", "min"):
        yield from images("sse-random", 1000, 4000, 1000, {"num_slots": 32}, g)
    for k in (1, 32, 64):
        yield from images("sse-deterministic", 1000, 1000, 1000, {"num_slots": k})
    yield from images("sse-hierarchical", 1000, 1000, 1000, {"num_slots": [1, 1]})
    yield from images("isab-pma", 200, 200, 200, {})
    yield from images("isab-pma", 200, 200, 50, {}, "mean")
    for encoder in ("max", "deepsets-original", "sse-random", "sse-deterministic"):
        yield from clouds(encoder, {"num_slots": 16} if encoder.startswith("sse") else {})
    stack = {"num_slots": [32, 16], "aggregate": "mean"}
    for layer_norm, scale in ((True, 1.0), (False, 1.0), (False, 512.0)):
        yield from centroids("mnist-centroids", "sse-hierarchical", stack, layer_norm=layer_norm, scale=scale)
        yield from centroids(
            "exemplar-centroids", "sse-random-mean", {"num_slots": 128}, layer_norm=layer_norm, scale=scale
        )
        if scale == 1:
            yield from centroids("mnist-centroids", "mean", {}, layer_norm=layer_norm, scale=scale)
            deepsets = {"dim": CENTROID_WIDTH}
            yield from centroids("exemplar-centroids", "deepsets-mean", deepsets, layer_norm=layer_norm, scale=scale)


RECORDS = list(all_records())


def doubled(records: Sequence[Record]) -> list[Record]:
    """Return two records for each, with the same mean."""
    pairs = [(record.value or 0.0, record) for record in records]
    return [replace(record, value=value + offset) for value, record in pairs for offset in (-0.1, 0.1)]


def data(name: str, records: Sequence[Record]) -> pd.DataFrame:
    table: pd.DataFrame = registry.plugin(registry.ARTEFACTS, name).load().data(frame(records))
    return table


@pytest.mark.parametrize("name", FIGURES)
def test_an_interval_over_seeds_does_not_shrink_when_the_records_of_each_seed_are_doubled(name: str) -> None:
    single, twice = data(name, RECORDS), data(name, doubled(RECORDS))
    keys = [column for column in single.columns if column not in ("value", "data", "parameters")]
    assert len(single)
    assert not single.duplicated(keys).any()
    assert twice[keys].to_numpy().tolist() == single[keys].to_numpy().tolist()
    assert twice["value"].to_numpy() == pytest.approx(single["value"].to_numpy())


@pytest.mark.slow
def test_no_claim_changes_when_the_records_of_each_seed_are_doubled() -> None:
    single, twice = (claims_table(label_models(frame(records))) for records in (RECORDS, doubled(RECORDS)))
    assert single["evidence"].str.contains("3 seeds").sum() > 15
    assert list(twice["evidence"]) == list(single["evidence"])


def test_a_summary_counts_seeds() -> None:
    rows = pd.DataFrame({"model": "a", "seed": [0, 1, 2], "value": [0.1, 0.2, 0.4]})
    (expected,), (summary,) = (summarise_by(t, ["model"]).to_dict("records") for t in (rows, pd.concat([rows, rows])))
    assert summary == pytest.approx(expected)
    assert expected["half"] == pytest.approx(Estimate.of(rows["value"]).half)


def bars(axes: Axes) -> list[float]:
    """Return the heights of the error bars of a panel."""
    segments = [segment for collection in axes.collections for segment in getattr(collection, "get_segments", list)()]
    lines = [line.get_xydata() for line in axes.lines]
    points = [np.asarray(part)[:, 1] for part in (*segments, *lines) if len(part)]
    return sorted(float(np.ptp(y[np.isfinite(y)])) for y in points)


@pytest.mark.parametrize("kind", ["lines", "points"])
def test_an_error_bar_is_over_seeds(kind: str) -> None:
    rows = pd.DataFrame({"model": "a", "x": [1, 1, 1, 2, 2, 2], "seed": [0, 1, 2] * 2, "value": [1, 2, 4, 2, 3, 7]})
    heights = []
    for table in (rows, pd.concat([rows, rows])):
        if kind == "lines":
            figure = plots.draw_lines(table, labels=("x", "y"))
        else:
            figure = plots.draw_points(table, "x", "model", labels=("x", "y"))
        heights.append(bars(figure.axes[0]))
    assert heights[0] == pytest.approx(heights[1])
    assert max(heights[0]) > 0


def test_figure_4d_shows_streams_in_chunks_of_100() -> None:
    table = data("fig4d", RECORDS).set_index(["model", "x", "seed"])["value"]
    rows = frame(RECORDS)
    original = rows[rows["encoder"].eq("deepsets-original") & rows["detail.test_size"].eq(500) & rows["seed"].eq(1)]
    streamed = original[original["detail.mode"].eq("streamed")]["value"].item()
    assert len(original) == 2
    assert table["DeepSets (original)", 500, 1] == streamed
