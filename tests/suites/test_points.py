"""Drawing points from images."""

import pytest
import torch
from torch import Tensor

from mbcbench.suites.tasks.point_clouds import sampling


def draw_points(image: Tensor, n: int, seed: int = 0) -> Tensor:
    sampler = sampling.PointSampler(image[None])
    points: Tensor = sampler.draw(torch.tensor([0]), n, torch.Generator().manual_seed(seed))[0]
    return points


def test_points_lie_in_the_pixel_that_has_ink() -> None:
    image = torch.zeros(28, 28, dtype=torch.uint8)
    image[3, 20] = 1
    place = draw_points(image, 1000) * sampling.PIXELS_PER_UNIT + 14  # in pixels, (right, down)
    assert ((place >= torch.tensor([20, 3])) & (place <= torch.tensor([21, 4]))).all()
    assert place.std(dim=0).allclose(torch.full((2,), 12**-0.5), rtol=0.1)  # spread evenly within it


def test_points_fall_in_proportion_to_intensity() -> None:
    image = torch.zeros(28, 28, dtype=torch.uint8)
    image[0, 0], image[27, 27] = 50, 150
    right = (draw_points(image, 10_000)[:, 0] > 0).float().mean()
    assert float(right) == pytest.approx(0.75, abs=0.02)


def test_points_of_the_last_pixel_are_drawn_and_none_beyond() -> None:
    image = torch.full((28, 28), 255, dtype=torch.uint8)
    place = draw_points(image, 100_000) * sampling.PIXELS_PER_UNIT + 14
    assert float(place.min()) >= 0
    assert 27.99 < float(place.max()) <= 28


def test_a_blank_image_is_an_error() -> None:
    with pytest.raises(ValueError, match="blank"):
        sampling.PointSampler(torch.zeros(1, 28, 28, dtype=torch.uint8))


def test_each_set_comes_from_its_own_image() -> None:
    images = torch.zeros(2, 28, 28, dtype=torch.uint8)
    images[0, 0, 0], images[1, 27, 27] = 9, 9
    clouds = sampling.fixed_clouds(images, torch.tensor([4, 7]), 50, seed=0)
    assert clouds.points.shape == (2, 50, 2)
    assert (clouds.points[0] < 0).all()
    assert (clouds.points[1] > 0).all()
    assert clouds.labels.tolist() == [4, 7]


def test_fixed_clouds_are_the_same_every_time() -> None:
    images = torch.full((3, 28, 28), 9, dtype=torch.uint8)
    one, two = (sampling.fixed_clouds(images, torch.arange(3), 20, seed=5) for _ in range(2))
    other = sampling.fixed_clouds(images, torch.arange(3), 20, seed=6)
    assert torch.equal(one.points, two.points)
    assert not torch.equal(one.points, other.points)
