"""The centroid task."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mbcbench.datasets import Split
from mbcbench.execution.suite import Request
from mbcbench.protocol.build import get_spec
from mbcbench.records import outcomes
from mbcbench.records.cell import Cell
from mbcbench.records.record import Status
from mbcbench.suites.tasks.centroids import episodes, prototypical_network, settings
from mbcbench.suites.tasks.centroids import suite as centroids
from tests.suites.helpers import load_suite, run_cells, sample_cells, sample_target

NAME = "centroids"

pytestmark = pytest.mark.usefixtures("fake_data")


def exemplar_cells(encoder: str = "SumEncoder", **params: Any) -> list[Cell]:
    options = {"seeds": 1, "steps": 30, "pool": 10, "ways": (5, 25), **params}
    request = Request(encoders=[sample_target(encoder)], profile="smoke")
    cells: list[Cell] = centroids.exemplar_cells(request, settings.ExemplarCentroidSettings(**options))
    return cells


def network(encoder: str = "SumEncoder", **options: Any) -> Any:
    spec = get_spec(sample_target(encoder))
    return prototypical_network.PrototypicalNetwork(spec, nn.Identity(), dim=3, support=2, seed=0, **options)


def test_every_number_of_ways_and_support_is_a_record() -> None:
    records = run_cells(sample_cells(NAME, "SumEncoder"))
    tests = [(r.detail["ways"], r.detail["test_size"], r.detail["mode"]) for r in records]
    assert tests == [
        *((ways, 1, "one piece") for ways in (5, 10)),
        *((ways, 10, mode) for mode in ("one piece", "streamed") for ways in (5, 10)),
    ]
    for record in records:
        assert record.status is Status.OK
        assert (record.metric, record.higher_is_better) == ("accuracy", True)
        assert 0.1 < record.detail["baseline"] < 1


def test_a_record_of_all_classes_keeps_how_often_each_query_is_right() -> None:
    records = run_cells(sample_cells(NAME, "SumEncoder"))
    of_all = [record for record in records if record.detail["ways"] == 10]
    for record in of_all:
        shares = outcomes.unpack(record.detail["outcomes"])
        assert shares.mean() == pytest.approx(record.value, abs=1e-3)
        assert len(shares) == 1000
    assert not any("outcomes" in record.detail for record in records if record not in of_all)


def test_a_model_learns_and_more_ways_are_harder() -> None:
    records = run_cells(exemplar_cells(supports=(2,)))
    by_ways = {r.detail["ways"]: r.value or 0.0 for r in records if r.detail["mode"] == "one piece"}
    assert by_ways[25] > 0.5  # chance is 0.04
    assert by_ways[5] >= by_ways[25]


def test_a_streaming_encoder_scores_the_same_in_one_piece_and_streamed() -> None:
    records = run_cells(exemplar_cells(supports=(10,), repeats=1, ways=(25,)))
    assert records[0].value == records[1].value
    assert records[1].detail["chunk_size"] == 2


def test_the_baseline_is_the_mean_of_raw_examples() -> None:
    records = run_cells(exemplar_cells(supports=(5,), ways=(25,)))
    assert records[0].detail["baseline"] > 0.9  # views lie close to their class's centre
    assert records[0].detail["baseline_name"] == "mean of raw examples"


def test_the_same_seed_gives_the_same_records() -> None:
    one, two = (run_cells(sample_cells(NAME, "SumEncoder")) for _ in range(2))
    assert [r.value for r in one] == [r.value for r in two]


def test_scores_are_negative_squared_distances() -> None:
    queries, classes = torch.randn(5, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    scores = prototypical_network.negative_squared_distances(queries, classes)
    assert torch.allclose(scores, -torch.cdist(queries, classes).square())


def test_a_query_is_encoded_as_a_set_of_one() -> None:
    model = network()
    episode = torch.randn(4, 5, 3)
    scores = model(episode)
    assert scores.shape == (4 * 3, 4)
    query, centroid = model.encode(episode[1:2, 3:4]), model.encode(episode[2:3, :2])
    assert float(scores[4, 2].detach()) == pytest.approx(-float((query - centroid).square().sum().detach()), rel=1e-4)


def test_a_support_has_different_examples_of_its_own_class() -> None:
    pool = torch.arange(12.0).reshape(3, 4, 1)
    support = episodes.draw_examples(pool, 4, torch.Generator().manual_seed(0))
    assert torch.equal(support.sort(dim=1).values, pool)


def test_the_queries_of_an_episode_are_labelled_by_class() -> None:
    train = torch.arange(20.0).reshape(5, 4, 1)
    generator = torch.Generator().manual_seed(0)
    ((episode, labels),) = episodes.episodes(train, ways=3, size=4, steps=1, generator=generator)
    assert episode.shape == (3, 4, 1)
    assert labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert len({int(row[0, 0]) // 4 for row in episode}) == 3


def test_encodings_can_be_multiplied_by_their_number_of_slots() -> None:
    features = torch.randn(2, 4, 3)
    plain, slots, fixed = (network("SLOTS_MAX", scale=scale).encode(features) for scale in (1.0, "slots", 48.0))
    assert torch.allclose(slots, 3 * plain)
    assert torch.allclose(fixed, 48 * plain)
    assert network("SumEncoder", scale="slots").scale == 1


def test_a_layer_norm_removes_the_scale_of_encodings() -> None:
    features = torch.randn(2, 4, 3)
    one, many = (network(scale=scale, layer_norm=True).encode(features) for scale in (1.0, 1000.0))
    assert torch.allclose(one, many, atol=1e-4)


def test_embeddings_are_recorded_under_the_first_seed_only_and_are_small() -> None:
    options = settings.DigitCentroidSettings(seeds=2, steps=2, channels=(4, 8, 16), supports=(1, 10), embeddings=True)
    request = Request(encoders=[sample_target("SumEncoder")], profile="smoke", seed=7)
    first, second = (run_cells([cell]) for cell in centroids.digit_cells(request, options))
    embeddings = [r for r in first if r.metric == "embeddings"]
    assert len(embeddings) == 1
    assert not [r for r in second if r.metric == "embeddings"]
    detail = embeddings[0].detail
    assert [len(detail["queries"]), len(detail["queries"][0]), len(detail["queries"][0][0])] == [10, 20, 16]
    assert set(detail["centroids"]) == {"1", "10"}
    assert len(embeddings[0].to_json()) < 100_000


def test_all_classes_have_as_many_images_as_the_smallest() -> None:
    labels = np.array([0, 0, 0, 1, 1])
    assert episodes.by_class(Split(np.zeros((5, 2, 2), dtype=np.uint8), labels)).shape == (2, 2, 1, 2, 2)


def test_the_width_of_the_features_is_the_last_number_of_channels() -> None:
    images = torch.rand(6, 1, 28, 28)
    assert prototypical_network.conv_net((4, 8, 16))(images).shape == (6, 16)


def test_smoke_leaves_out_exemplars() -> None:
    smoke, thorough = (
        {cell.case for cell in load_suite(NAME).cells(Request(encoders=["a"], profile=profile))}
        for profile in ("smoke", "thorough")
    )
    assert smoke == {"mnist-centroids"}
    assert thorough == {"mnist-centroids", "exemplar-centroids"}
