"""Two-dimensional points drawn from images, any number per image."""

from typing import NamedTuple

import torch
from torch import Tensor

PIXELS_PER_UNIT = 6.0  # the points of a digit then have a spread of about one unit in each coordinate


class PointSampler:
    """Draws points from images in proportion to intensity, uniformly within each pixel.

    Coordinates are (right, down) from the image's centre in units of six pixels: within +-2.34 for 28 x 28. They
    depend on the point alone, not on the other points of its set.

    Parameters
    ----------
    images
        `N x H x W`, whole numbers.

    Raises
    ------
    ValueError
        If an image is blank.
    """

    def __init__(self, images: Tensor) -> None:
        self.height, self.width = images.shape[1:]
        self.cumulative = images.flatten(1).float().cumsum(dim=1)  # whole numbers below 2^24, so float32 is exact
        if not bool((self.cumulative[:, -1] > 0).all()):
            raise ValueError("an image is blank: no points can be drawn from it")

    def draw(self, indices: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Draw `n` points from each of the images `indices` (`B`), `B x n x 2`."""
        cumulative = self.cumulative[indices]
        total = cumulative[:, -1:]
        # rand() * total may round up to the total, which is beyond the last pixel
        ink = (torch.rand(len(indices), n, generator=generator) * total).floor().minimum(total - 1)
        pixel = torch.searchsorted(cumulative, ink, right=True)
        corner = torch.stack((pixel % self.width, pixel // self.width), dim=-1)
        place = corner + torch.rand(len(indices), n, 2, generator=generator)
        return (place - torch.tensor([self.width / 2, self.height / 2])) / PIXELS_PER_UNIT


class LabelledClouds(NamedTuple):
    """Sets of points (`N x n x d`) and their labels (`N`)."""

    points: Tensor
    labels: Tensor


def fixed_clouds(images: Tensor, labels: Tensor, n: int, seed: int) -> LabelledClouds:
    """Draw `n` points from each image once; the first m of them are the set of size m."""
    generator = torch.Generator().manual_seed(seed)
    return LabelledClouds(PointSampler(images).draw(torch.arange(len(images)), n, generator), labels)
