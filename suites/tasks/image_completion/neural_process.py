"""Conditional Neural Process (arXiv 1807.01613): a set encoder for the context, a decoder for each target."""

from typing import Literal, NamedTuple, Unpack

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from mbcbench.protocol.spec import EncoderSpec

from ..initialization import PartSeeds, seeded
from ..set_embedding import EncoderOptions, SetEmbedding
from .pixels import gaussian_nll

DecoderKind = Literal["gaussian", "paper", "published"]
WIDTH = 64
DECODER_WIDTHS: dict[DecoderKind, int] = {"gaussian": 64, "paper": 128, "published": 64}
# Linear layers before the encoder, and of the decoder.
DEPTHS: dict[DecoderKind, tuple[int, int]] = {"gaussian": (3, 4), "paper": (3, 4), "published": (4, 5)}


class Prediction(NamedTuple):
    """Mean and standard deviation of each target's colour, `B x T x 3`."""

    mean: Tensor
    scale: Tensor


def mean_nll(prediction: Prediction, y: Tensor) -> Tensor:
    """Return -log N(y; mean, scale^2) averaged over all numbers, in nats."""
    return gaussian_nll(prediction.mean, prediction.scale, y).mean()


class Decoder(nn.Module):
    """Predicts colours at coordinates from the encoding of a context.

    Parameters
    ----------
    features
        Width of the encoding.
    kind
        `gaussian`: 64 wide with six outputs: the mean, and the deviation, which is 0.1 + 0.9 softplus.
        `published`: the same with one more layer, as in the authors' code.
        `paper`: as in Table 4, 128 wide with three outputs, read as the mean with deviation 1. Table 4 lists 128
        inputs, but the encoding (64 numbers) and the coordinates (2) are 66, so we use 66.
    """

    def __init__(self, features: int, kind: DecoderKind) -> None:
        super().__init__()
        self.kind, width = kind, DECODER_WIDTHS[kind]
        # The first layer is linear in both inputs. Adding two products avoids a copy of the encoding for each target.
        self.encoding = nn.Linear(features, width)
        self.place = nn.Linear(2, width, bias=False)
        hidden = [layer for _ in range(DEPTHS[kind][1] - 2) for layer in (nn.Linear(width, width), nn.ReLU())]
        self.layers = nn.Sequential(nn.ReLU(), *hidden, nn.Linear(width, 3 if kind == "paper" else 6))

    def forward(self, encoding: Tensor, places: Tensor) -> Prediction:
        """Return the prediction for encodings `B x features` at places `T x 2`."""
        outputs: Tensor = self.layers(self.encoding(encoding)[:, None] + self.place(places))
        if self.kind == "paper":
            return Prediction(outputs, torch.ones_like(outputs))
        mean, scale = outputs.chunk(2, dim=-1)
        return Prediction(mean, 0.1 + 0.9 * softplus(scale))


class NeuralProcess(SetEmbedding):
    """Map contexts `B x n x 5` (two coordinates, three colours) and places `T x 2` to predictions.

    Each element goes through linear layers with ReLU between them, all 64 wide: three as in Table 3, or four.

    Parameters
    ----------
    spec
        The encoder.
    seed
        Seed of all weights.
    decoder
        See `Decoder`; it also decides the depth of the network before the encoder.
    layer_norm
        Put a LayerNorm behind the encoding, as in the authors' code; the paper mentions none. Without it a sum, which
        grows with the context, does not generalize beyond the training size.
    options
        See `SetEmbedding`.
    """

    def __init__(
        self,
        spec: EncoderSpec,
        *,
        seed: int,
        decoder: DecoderKind = "gaussian",
        layer_norm: bool = True,
        **options: Unpack[EncoderOptions],
    ) -> None:
        seeds = PartSeeds.spawn(seed)
        with seeded(seeds.element):
            linear = [nn.Linear(a, WIDTH) for a in (5, *[WIDTH] * (DEPTHS[decoder][0] - 1))]
            element = nn.Sequential(linear[0], *(layer for one in linear[1:] for layer in (nn.ReLU(), one)))
        super().__init__(spec, element, dim_in=5, width=WIDTH, seed=seeds.encoder, **options)
        self.norm = nn.LayerNorm(self.features) if layer_norm else nn.Identity()
        with seeded(seeds.head):
            self.decoder = Decoder(self.features, decoder)

    def forward(self, inputs: tuple[Tensor, Tensor]) -> Prediction:
        """Return the prediction for a context in one piece, and places."""
        x, places = inputs
        return self.decode(self.encode(x), places)

    def decode(self, encoding: Tensor, places: Tensor) -> Prediction:
        """Return the prediction for encodings `B x features` at places `T x 2`."""
        prediction: Prediction = self.decoder(self.norm(encoding), places)
        return prediction
