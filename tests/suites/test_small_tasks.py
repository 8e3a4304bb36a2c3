"""The largest of a set, and mixtures of Gaussians."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm

from mbcbench.records.record import Status
from mbcbench.suites.tasks.small import max_of_set, mixtures
from tests.suites.helpers import run_cells, sample_cells


def test_the_answer_is_the_largest_number_of_each_set() -> None:
    x, y = max_of_set.draw_sets(50, 7, torch.Generator().manual_seed(0))
    assert x.shape == (50, 7, 1)
    assert torch.equal(y[:, 0], x.squeeze(2).max(dim=1).values)
    numbers = (100 * x).round()
    assert 1 <= int(numbers.min()) < int(numbers.max()) <= 99


def test_a_model_learns_the_largest_number() -> None:
    records = run_cells(sample_cells("max-of-set", "Range", steps=400, batch_size=64, test_sets=200, test_sizes=(10,)))
    value = records[0].value
    assert value is not None
    assert value < records[0].detail["baseline"]
    assert (records[0].metric, records[0].higher_is_better) == ("mae", False)


@pytest.mark.parametrize("name", ["max-of-set", "mixture-of-gaussians"])
def test_a_sum_scores_the_same_in_one_piece_and_in_every_stream(name: str) -> None:
    records = run_cells(sample_cells(name, "SumEncoder"))
    by_size: dict[Any, list[float]] = {}
    for record in records:
        assert record.status is Status.OK
        by_size.setdefault(record.detail["test_size"], []).append(record.value or 0.0)
    for values in by_size.values():
        assert values == pytest.approx([values[0]] * len(values), rel=1e-3)


@pytest.mark.parametrize("name", ["max-of-set", "mixture-of-gaussians"])
def test_the_same_seed_gives_the_same_records(name: str) -> None:
    one, two = (run_cells(sample_cells(name, "SumEncoder")) for _ in range(2))
    assert [r.value for r in one] == [r.value for r in two]


def test_the_mixture_density_is_the_sum_of_its_components() -> None:
    outputs, x = torch.randn(1, mixtures.OUTPUTS, dtype=torch.float64), torch.randn(1, 5, 2, dtype=torch.float64)
    weight = outputs[0, :4].softmax(dim=0)
    means, scales = mixtures.SPREAD * outputs[0, 4:12].reshape(4, 2), outputs[0, 12:].reshape(4, 2).exp()
    density = np.sum([float(weight[k]) * norm.pdf(x[0], means[k], scales[k]).prod(axis=1) for k in range(4)], axis=0)
    assert float(mixtures.mixture_nll(outputs, x)) == pytest.approx(-float(np.log(density).mean()))


def test_all_orders_hold_the_same_points() -> None:
    points = mixtures.draw_points(2, 100, torch.Generator().manual_seed(0))
    streams = mixtures.streams(points)
    assert len(streams) == 4
    for chunks in streams.values():
        assert torch.equal(torch.cat(chunks, dim=1).sort(dim=1).values, points.x.sort(dim=1).values)


def test_streams_have_the_order_of_their_name() -> None:
    component = torch.tensor([[0, 1, 0, 2, 3, 1, 2, 3]])
    points = mixtures.Points(component[..., None].expand(-1, -1, 2).float(), component)
    streams = mixtures.streams(points)
    assert [int(row[0]) for row in streams["component by component"][0][0]] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [sorted(int(row[0]) for row in c[0]) for c in streams["one of each component"]] == [[0, 1, 2, 3]] * 2
    assert [c.shape[1] for c in streams["single points"]] == [1] * 8


def test_the_baseline_is_one_gaussian() -> None:
    x = torch.randn(1, 20_000, 2, generator=torch.Generator().manual_seed(0))
    assert mixtures.single_gaussian_nll(x) == pytest.approx(1 + math.log(2 * math.pi), abs=0.02)
