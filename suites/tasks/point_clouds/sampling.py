"""Two-dimensional points drawn from images, any number from each, as often as asked."""

from typing import NamedTuple

import torch
from torch import Tensor

SCALE = 6.0  # pixels per unit: digits then spread by about one unit in each coordinate


class PointSampler:
    """Draws points from images (`N x H x W`, no image blank), in proportion to intensity.

    A point lies uniformly within its pixel. Coordinates are (right, down) from the image's centre, in units of six
    pixels: within +-2.34 for 28 x 28. The map is fixed, so that a point's place depends on no other point of its set.
    """

    def __init__(self, images: Tensor) -> None:
        self.height, self.width = images.shape[1:]
        self.cumulative = images.flatten(1).float().cumsum(dim=1)  # whole numbers below 2^24: exact
        if not bool((self.cumulative[:, -1] > 0).all()):
            raise ValueError("a blank image holds no points")

    def draw(self, which: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """`n` points from each image in `which` (`B`, indices), as `B x n x 2`."""
        cumulative = self.cumulative[which]
        total = cumulative[:, -1:]
        ink = (torch.rand(len(which), n, generator=generator) * total).floor().minimum(total - 1)
        pixel = torch.searchsorted(cumulative, ink, right=True)
        corner = torch.stack((pixel % self.width, pixel // self.width), dim=-1)
        place = corner + torch.rand(len(which), n, 2, generator=generator)
        return (place - torch.tensor([self.width / 2, self.height / 2])) / SCALE


class Clouds(NamedTuple):
    """Sets of points (`N x n x 2`) and their labels (`N`)."""

    points: Tensor
    labels: Tensor


def fixed_clouds(images: Tensor, labels: Tensor, n: int, seed: int) -> Clouds:
    """`n` points from each image, drawn once; the first m of them are the set of size m."""
    generator = torch.Generator().manual_seed(seed)
    return Clouds(PointSampler(images).draw(torch.arange(len(images)), n, generator), labels)
