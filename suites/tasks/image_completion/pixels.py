"""Images as sets of pixels: coordinates, contexts, and what a Gaussian fitted to the context alone would score."""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Coordinates = Literal["centred", "unit"]
Order = Literal["random", "rows"]
FLOOR = 0.1  # of the baseline's standard deviation: the decoder's own


class Images(NamedTuple):
    """Images as pixels (`N x P x 3`, uint8, row by row) and where the pixels are (`P x 2`)."""

    pixels: Tensor
    places: Tensor

    def colours(self, which: Tensor) -> Tensor:
        """The pixels of some images in [-1, 1], `B x P x 3`."""
        return self.pixels[which].float() / 127.5 - 1


def as_images(array: Tensor, coordinates: Coordinates) -> Images:
    """Images (`N x 3 x H x W`, uint8) as pixels."""
    height, width = array.shape[2:]
    return Images(array.flatten(2).transpose(1, 2).contiguous(), grid(height, width, coordinates))


def as_bytes(colours: Tensor) -> Tensor:
    """Colours in [-1, 1] as numbers from 0 to 255, uint8."""
    return ((colours + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def grid(height: int, width: int, coordinates: Coordinates) -> Tensor:
    """(row, column) of each pixel, `P x 2`: within [-1, 1] (`centred`), or row/H and column/W as the paper has them."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    unit = torch.stack((rows / height, columns / width), dim=-1).flatten(0, 1)
    if coordinates == "unit":
        return unit
    last = torch.tensor([(height - 1) / height, (width - 1) / width])
    return 2 * unit / last - 1


def shuffled(count: int, pixels: int, generator: torch.Generator) -> Tensor:
    """For each of `count` images a random order of all its pixels, `count x P`."""
    return torch.rand(count, pixels, generator=generator).argsort(dim=1)


def subsets(count: int, pixels: int, size: int, generator: torch.Generator) -> Tensor:
    """For each of `count` images so many of its pixels, `count x size`, in no order."""
    return torch.rand(count, pixels, generator=generator).topk(min(size, pixels), dim=1, sorted=False).indices


def context(colours: Tensor, places: Tensor, chosen: Tensor) -> Tensor:
    """The chosen pixels (`B x n`) of images (`B x P x 3`): coordinates and colours side by side, `B x n x 5`."""
    seen = colours.gather(1, chosen[..., None].expand(-1, -1, 3))
    return torch.cat((places[chosen], seen), dim=-1)


def arranged(chosen: Tensor, order: Order) -> Tensor:
    """The chosen pixels in the order in which a stream shows them: as drawn, or row by row."""
    return chosen if order == "random" else chosen.sort(dim=1).values


def gaussian_nll(mean: Tensor, scale: Tensor, y: Tensor) -> Tensor:
    """-log N(y; mean, scale^2) of each number, in nats."""
    return 0.5 * ((y - mean) / scale).square() + scale.log() + 0.5 * math.log(2 * math.pi)


def baselines(colours: Tensor, chosen: Tensor, *, unit_variance: bool) -> tuple[float, float]:
    """The mean NLL of all pixels under a Gaussian with the mean and deviation of the chosen ones (`B x n`).

    First a Gaussian for each channel of an image, then one for all of its channels alike.
    """
    seen = colours.gather(1, chosen[..., None].expand(-1, -1, 3))
    found = []
    for over in ((1,), (1, 2)):
        scale = seen.std(dim=over, keepdim=True, correction=0).clamp_min(FLOOR)
        scale = torch.ones_like(scale) if unit_variance else scale
        found.append(float(gaussian_nll(seen.mean(dim=over, keepdim=True), scale, colours).mean()))
    return found[0], found[1]
