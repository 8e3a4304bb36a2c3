"""A classifier of sets: per-element MLP, set encoder, slot read-out, LayerNorm, linear head."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mbcbench.encoder import Pair, is_streaming
from mbcbench.specs import EncoderSpec, SlotReadout
from mbcbench.target import build


def slot_vector(encoding: Tensor, readout: SlotReadout) -> Tensor:
    """An encoding `B x d` as it is, `B x K x d` reduced over its slots (`concat`: laid side by side)."""
    if readout == "concat" or encoding.dim() == 2:
        return encoding.flatten(1)
    if readout == "max":
        return encoding.amax(dim=1)
    return encoding.mean(dim=1) if readout == "mean" else encoding.sum(dim=1)


class SetClassifier(nn.Module):
    """Scores of `classes` classes for sets `B x n x dim_in`, in one piece or streamed.

    A plain encoder is streamed as the pair (f, mean): the unweighted mean of its chunk encodings. The LayerNorm keeps
    the scale of the encoding (a sum grows with the set) from the head.
    """

    encoder: Any  # streaming: its steps are no part of nn.Module's type

    def __init__(self, spec: EncoderSpec, *, dim_in: int, width: int, classes: int, seed: int) -> None:
        super().__init__()
        self.readout = spec.slot_readout
        encoder = build(spec, dim_in=width, seed=seed)
        self.encoder = encoder if is_streaming(encoder) else Pair(encoder, "mean")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.element = nn.Sequential(nn.Linear(dim_in, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
            with torch.no_grad():
                encoding = self.encoder(self.element(torch.zeros(2, 16, dim_in)))
            features = slot_vector(encoding, self.readout).shape[1]
            self.head = nn.Sequential(nn.LayerNorm(features), nn.Linear(features, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self._scores(self.encoder(self.element(x)))

    def stream(self, chunks: Sequence[Tensor]) -> Iterator[Tensor]:
        """The scores after each chunk of one stream."""
        state = self.encoder.init_state(chunks[0].shape[0])
        for chunk in chunks:
            state = self.encoder.update(state, self.element(chunk))
            yield self._scores(self.encoder.readout(state))

    def _scores(self, encoding: Tensor) -> Tensor:
        scores: Tensor = self.head(slot_vector(encoding, self.readout))
        return scores
