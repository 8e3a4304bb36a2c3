"""Attention pooling of multiple-instance learning (arXiv 1802.04712), plain and gated, in one pass.

    h_i = phi(x_i),  s_i = w^T tanh(V h_i)  or, gated,  w^T (tanh(V h_i) * sigmoid(U h_i)),
    f(X) = sum_i softmax_i(s) h_i

A softmax over elements run per chunk is not consistent; with the state of `softmax.py` it is.
"""

import numpy as np
from scipy.special import expit
from torch import Tensor, nn

from mbcbench.protocol.encoder import SetEncoder
from mbcbench.protocol.spec import EncoderSpec

from .nn import numpy_layers, softmax
from .nn.networks import Affine, as_affine, compose_or_apply, element_network, split_last_layer
from .nn.numpy_layers import linear
from .nn.pooling import zero_absent
from .nn.softmax import SoftmaxState


class AttentionPooling(SetEncoder[SoftmaxState]):
    """`B x n x d` to `B x dim`; an empty set encodes as zeros."""

    def __init__(self, dim_in: int, *, dim: int = 64, gated: bool = False) -> None:
        super().__init__()
        self.dim = dim
        self.phi = element_network(dim_in, dim)
        self.V = nn.Linear(dim, dim)
        self.U = nn.Linear(dim, dim) if gated else None
        self.w = nn.Linear(dim, 1, bias=False)

    def scores(self, h: Tensor, last: Affine) -> Tensor:
        """s, `B x n`, of the features last(h)."""
        h, (V, *U) = compose_or_apply(h, last, *(as_affine(layer) for layer in (self.V, self.U) if layer is not None))
        features = V(h).tanh()
        for gate in U:
            features = features * gate(h).sigmoid()
        out: Tensor = self.w(features).squeeze(2)
        return out

    def init_state(self, batch_size: int) -> SoftmaxState:
        return softmax.empty_state(self.w.weight, batch_size, 1, 1, self.dim)

    def update(self, state: SoftmaxState, x: Tensor, mask: Tensor | None = None) -> SoftmaxState:
        if x.shape[1] == 0:
            return state
        h, last = split_last_layer(self.phi, zero_absent(x, mask))
        peak, num, den = softmax.attend(self.scores(h, last)[:, None, None], h[:, None], mask)
        return self.merge(state, SoftmaxState(peak, last.sum_of_outputs(num, den), den))

    def merge(self, a: SoftmaxState, b: SoftmaxState) -> SoftmaxState:
        return softmax.merge(a, b)

    def readout(self, state: SoftmaxState) -> Tensor:
        return softmax.attended_values(state)[:, 0, 0]


def reference(module: nn.Module, x: np.ndarray) -> np.ndarray:
    """The encoding of `x` (`B x n x d`), element by element, in NumPy."""
    assert isinstance(module, AttentionPooling)
    out = np.zeros((len(x), module.dim))
    for b, elements in enumerate(x):
        features, scores = [], []
        for element in elements:
            h = numpy_layers.element_network(module.phi, element)
            hidden = np.tanh(linear(module.V, h))
            if module.U is not None:
                hidden = hidden * expit(linear(module.U, h))
            features.append(h)
            scores.append(linear(module.w, hidden)[0])
        if features:
            out[b] = numpy_layers.softmax(np.array(scores)) @ np.array(features)
    return out


def _spec(name: str, kind: str, gated: bool) -> EncoderSpec:
    return EncoderSpec(
        name=name,
        factory=AttentionPooling,
        summary=f"{kind} of a network per element, softmax over elements in one pass",
        paper="https://arxiv.org/abs/1802.04712",
        hyper={"gated": gated},
        claims=softmax.CLAIMS,
        reference=reference,
    )


ATTENTION_POOLING = _spec("attention-pooling", "Attention pooling", False)
ATTENTION_POOLING_GATED = _spec("attention-pooling-gated", "Gated attention pooling", True)
