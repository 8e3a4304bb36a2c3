"""Images as sets of pixels: coordinates, contexts, and the likelihood under a Gaussian fitted to a context."""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Coordinates = Literal["centred", "unit"]
PixelOrder = Literal["random", "rows"]
MIN_SCALE = 0.1  # lower bound of the baseline's standard deviation, as in the decoder


class Images(NamedTuple):
    """Pixels of images (`N x P x 3`, uint8, row by row) and their coordinates (`P x 2`)."""

    pixels: Tensor
    places: Tensor

    def colours(self, indices: Tensor) -> Tensor:
        """Return the pixels of the images `indices` (`B`) in [-1, 1], `B x P x 3`."""
        return self.pixels[indices].float() / 127.5 - 1


def as_images(array: Tensor, coordinates: Coordinates) -> Images:
    """Return images `N x 3 x H x W` (uint8) as pixels."""
    height, width = array.shape[2:]
    return Images(array.flatten(2).transpose(1, 2).contiguous(), grid(height, width, coordinates))


def as_bytes(colours: Tensor) -> Tensor:
    """Return colours in [-1, 1] as numbers from 0 to 255, uint8."""
    return ((colours + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def grid(height: int, width: int, coordinates: Coordinates) -> Tensor:
    """Return (row, column) of each pixel, `P x 2`.

    `centred` coordinates are in [-1, 1]; `unit` ones are row/H and column/W, as in the paper.
    """
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    unit = torch.stack((rows / height, columns / width), dim=-1).flatten(0, 1)
    if coordinates == "unit":
        return unit
    last = torch.tensor([(height - 1) / height, (width - 1) / width])
    return 2 * unit / last - 1


def random_orders(count: int, pixels: int, generator: torch.Generator) -> Tensor:
    """Draw a random order of all pixels for each of `count` images, `count x pixels`."""
    return torch.rand(count, pixels, generator=generator).argsort(dim=1)


def random_subsets(count: int, pixels: int, size: int, generator: torch.Generator) -> Tensor:
    """Draw `size` pixels of each of `count` images, `count x size`, in no particular order."""
    return torch.rand(count, pixels, generator=generator).topk(min(size, pixels), dim=1, sorted=False).indices


def make_context(colours: Tensor, places: Tensor, pixels: Tensor) -> Tensor:
    """Return coordinates and colours (`B x n x 5`) of some `pixels` (`B x n`) of images (`B x P x 3`)."""
    return torch.cat((places[pixels], _gather(colours, pixels)), dim=-1)


def _gather(colours: Tensor, pixels: Tensor) -> Tensor:
    """Return the colours of some pixels, `B x n x 3`."""
    return colours.gather(1, pixels[..., None].expand(-1, -1, 3))


def arrange(pixels: Tensor, order: PixelOrder) -> Tensor:
    """Return the pixels of a context in the order of a stream: as drawn, or row by row."""
    return pixels if order == "random" else pixels.sort(dim=1).values


def gaussian_nll(mean: Tensor, scale: Tensor, y: Tensor) -> Tensor:
    """Return -log N(y; mean, scale^2) of each number, in nats."""
    return 0.5 * ((y - mean) / scale).square() + scale.log() + 0.5 * math.log(2 * math.pi)


def baseline_nlls(colours: Tensor, pixels: Tensor, *, unit_variance: bool) -> tuple[float, float]:
    """Return the mean NLL of all pixels under a Gaussian with the mean and deviation of the context.

    The first value is for one Gaussian per channel of an image, the second for one Gaussian for all its channels.
    """
    context = _gather(colours, pixels)
    nlls = []
    for dims in ((1,), (1, 2)):
        scale = context.std(dim=dims, keepdim=True, correction=0).clamp_min(MIN_SCALE)
        scale = torch.ones_like(scale) if unit_variance else scale
        nlls.append(float(gaussian_nll(context.mean(dim=dims, keepdim=True), scale, colours).mean()))
    return nlls[0], nlls[1]
