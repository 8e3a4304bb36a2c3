"""Procedural shapes and points on surfaces."""

import numpy as np
import pytest

from mbcbench.datasets import cad
from mbcbench.datasets.shapes import solids, surface
from mbcbench.datasets.shapes.classes import SHAPES
from mbcbench.datasets.shapes.random_choices import Shape
from mbcbench.datasets.shapes.solids import Mesh

# A checksum of 20 points of each shape that tolerates the rounding of other processors.
WEIGHTED_SUMS = [
    -10.4058, -6.9644, 3.0150, 2.6742, 10.6240, -4.3001, -2.1407, 0.4664, 2.1529, -4.6969, 4.1913, -8.3303, 4.5017,
    5.8684, -14.0697, -2.4042, -10.6123, -3.4021, 1.2110, -0.8682, -9.0713, -10.0280, 1.3124, -5.8274, -3.8741, -4.4145,
    3.0537, -0.4213, -2.0156, -4.3009, 7.9025, 6.4772, 2.4651, 5.5257, -10.7842, -0.0170, -8.9101, 0.0350, -3.5210,
    6.7129,
]  # fmt: skip


def test_there_are_forty_classes_in_modelnet40s_order() -> None:
    assert len(SHAPES) == 40
    assert list(SHAPES) == sorted(SHAPES)
    assert {"airplane", "cone", "range_hood", "xbox"} <= set(SHAPES)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_points_of_a_shape_have_mean_0_and_deviation_1(shape: Shape) -> None:
    for seed in range(3):
        points = cad.make_cloud(shape, 500, np.random.default_rng(seed))
        assert points.shape == (500, 3)
        assert points.dtype == np.float32
        assert np.abs(points.mean(axis=0)).max() < 1e-5
        assert points.std() == pytest.approx(1, abs=1e-5)


def test_the_shapes_are_those_of_earlier_versions() -> None:
    weights = np.cos(np.arange(60)).reshape(20, 3)
    sums = [float((cad.make_cloud(s, 20, np.random.default_rng(0)) * weights).sum()) for s in SHAPES.values()]
    assert sums == pytest.approx(WEIGHTED_SUMS, abs=1e-3)


def test_two_shapes_of_a_class_differ() -> None:
    a, b = (cad.make_cloud(SHAPES["chair"], 500, np.random.default_rng(seed)) for seed in (0, 1))
    assert np.abs(np.ptp(a, axis=0) - np.ptp(b, axis=0)).max() > 0.05


def test_clouds_have_their_labels_and_are_the_same_when_made_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setattr(cad, "TRAIN_PER_CLASS", 2)
    monkeypatch.setattr(cad, "TEST_PER_CLASS", 1)
    clouds = cad.CAD40().load(points=50)
    assert (clouds.train.shape, clouds.test.shape) == ((80, 50, 3), (40, 50, 3))
    assert clouds.train_labels.tolist() == [label for label in range(40) for _ in range(2)]
    assert clouds.test_labels.tolist() == list(range(40))
    monkeypatch.setenv("MBCBENCH_DATA", str(tmp_path_factory.mktemp("again")))
    assert np.array_equal(cad.CAD40().load(points=50).train, clouds.train)
    assert not np.array_equal(cad.CAD40().load_split(points=50, split=1).train, clouds.train)


def test_without_variation_a_mesh_keeps_its_proportions() -> None:
    bent = cad.deform(solids.box((1, 2, 4)), 0, np.random.default_rng(0))
    lengths = np.linalg.norm(bent.vertices[bent.faces[:, 0]] - bent.vertices[bent.faces[:, 1]], axis=1)
    assert {0.5, 1.0} <= set(np.round(lengths, 6).tolist())


def test_points_are_drawn_in_proportion_to_area() -> None:
    vertices = np.array([[0, 0, 0], [3, 0, 0], [0, 1, 0], [0, 0, 5], [1, 0, 5], [0, 1, 5.0]])
    points = surface.sample_surface(Mesh(vertices, np.array([[0, 1, 2], [3, 4, 5]])), 8000, np.random.default_rng(0))
    assert (points[:, 2] == 0).mean() == pytest.approx(0.75, abs=0.02)
    low = points[points[:, 2] == 0]
    assert (low[:, 0] / 3 + low[:, 1]).max() <= 1
    assert low[:, :2].mean(axis=0) == pytest.approx([1, 1 / 3], abs=0.03)


def test_a_mesh_without_area_has_no_points() -> None:
    flat = Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]]))
    with pytest.raises(ValueError, match="without area"):
        surface.sample_surface(flat, 5, np.random.default_rng(0))


def test_solids_rotate_around_the_given_axis() -> None:
    upright = solids.cylinder(0.1, 2)
    assert np.ptp(solids.rotate(upright, np.pi / 2, "x").vertices, axis=0)[1] == pytest.approx(2)
    assert np.ptp(solids.cylinder(0.1, 2, axis="x").vertices, axis=0)[0] == pytest.approx(2)
