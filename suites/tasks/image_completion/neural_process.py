"""A Conditional Neural Process (arXiv 1807.01613): a set encoder for the context, a decoder for each target."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from mbcbench.protocol.spec import EncoderSpec

from ..set_embedding import SetEmbedding
from .pixels import gaussian_nll

DecoderKind = Literal["gaussian", "paper"]
WIDTH = 64
DECODERS: dict[DecoderKind, int] = {"gaussian": 64, "paper": 128}


class Prediction(NamedTuple):
    """The mean and the standard deviation of each target's colour, `B x T x 3`."""

    mean: Tensor
    scale: Tensor


def nll(prediction: Prediction, y: Tensor) -> Tensor:
    """The mean of -log N(y; mean, scale^2) over all numbers, in nats."""
    return gaussian_nll(prediction.mean, prediction.scale, y).mean()


class Decoder(nn.Module):
    """Colours at coordinates, given the encoding of the context.

    kind: `gaussian` is that of the authors' code, 64 wide with six outputs, mean and deviation = 0.1 + 0.9 softplus.
    `paper` is Table 4: 128 wide with three outputs. They are read as the mean, the deviation as one; its 128 inputs,
    which no encoding of 64 numbers and two coordinates fill, are read as those 66.
    The first layer is linear in both inputs, and adds their parts up: an encoding is not copied to every target.
    """

    def __init__(self, features: int, kind: DecoderKind) -> None:
        super().__init__()
        self.kind, width = kind, DECODERS[kind]
        self.encoding = nn.Linear(features, width)
        self.place = nn.Linear(2, width, bias=False)
        hidden = [layer for a, b in pairwise([width] * 3) for layer in (nn.Linear(a, b), nn.ReLU())]
        self.layers = nn.Sequential(nn.ReLU(), *hidden, nn.Linear(width, 6 if kind == "gaussian" else 3))

    def forward(self, encoding: Tensor, places: Tensor) -> Prediction:
        """`encoding` is `B x features`, `places` is `T x 2`."""
        out: Tensor = self.layers(self.encoding(encoding)[:, None] + self.place(places))
        if self.kind == "paper":
            return Prediction(out, torch.ones_like(out))
        mean, scale = out.chunk(2, dim=-1)
        return Prediction(mean, 0.1 + 0.9 * softplus(scale))


class NeuralProcess(SetEmbedding):
    """Contexts `B x n x 5` (two coordinates, three colours) and places `T x 2` to predictions.

    Each element goes through Linear, ReLU, Linear, ReLU, Linear, all 64 wide (Table 3). layer_norm: a LayerNorm behind
    the encoding, as in the authors' code; the paper tells of none. Without it a sum, which grows with the context,
    does not reach beyond the size that it was trained on. embedding: see `SetEmbedding`.
    """

    def __init__(
        self,
        spec: EncoderSpec,
        *,
        seed: int,
        decoder: DecoderKind = "gaussian",
        layer_norm: bool = True,
        **embedding: Any,
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            first, second, third = nn.Linear(5, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
            element = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)
            super().__init__(spec, element, dim_in=5, width=WIDTH, seed=seed, **embedding)
            self.norm = nn.LayerNorm(self.features) if layer_norm else nn.Identity()
            self.decoder = Decoder(self.features, decoder)

    def forward(self, inputs: tuple[Tensor, Tensor]) -> Prediction:
        """The prediction for a context in one piece, and places."""
        x, places = inputs
        return self.decode(self.encode(x), places)

    def decode(self, encoding: Tensor, places: Tensor) -> Prediction:
        prediction: Prediction = self.decoder(self.norm(encoding), places)
        return prediction

    def streamed(self, chunks: Sequence[Tensor]) -> Tensor:
        """The encoding of a stream."""
        return list(self.encode_stream(chunks))[-1]
