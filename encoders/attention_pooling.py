"""Attention pooling: a weighted mean of element features with learned weights, in one pass over the set.

    h_i = phi(x_i)
    s_i = w^T tanh(V h_i)                            or, gated,  w^T (tanh(V h_i) * sigmoid(U h_i))
    f(X) = sum_i softmax_i(s) h_i

Paper: Ilse, Tomczak and Welling, "Attention-based Deep Multiple Instance Learning", arXiv 1802.04712.

A softmax over the elements of each chunk is not mini-batch consistent; with the state of `nn/softmax.py`, it is.
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
    """Pool element features by a softmax of learned scores: `B x n x d` to `B x dim`.

    An empty set is encoded as zeros.

    Parameters
    ----------
    dim_in : int
        Width d of an element.
    dim : int
        Width of the features, of the scores' hidden layer and of the encoding.
    gated : bool
        Whether to multiply the hidden layer of the scores by sigmoid(U h_i).
    """

    def __init__(self, dim_in: int, *, dim: int = 64, gated: bool = False) -> None:
        super().__init__()
        self.dim = dim
        self.phi = element_network(dim_in, dim)
        self.V = nn.Linear(dim, dim)
        self.U = nn.Linear(dim, dim) if gated else None
        self.w = nn.Linear(dim, 1, bias=False)

    def scores(self, h: Tensor, last: Affine) -> Tensor:
        """Return s, `B x n`, for the features last(h), `B x n x dim`."""
        layers = [self.V] if self.U is None else [self.V, self.U]
        h, maps = compose_or_apply(h, last, *map(as_affine, layers))
        features = maps[0](h).tanh()
        if self.U is not None:
            features = features * maps[1](h).sigmoid()
        out: Tensor = self.w(features).squeeze(2)
        return out

    def init_state(self, batch_size: int) -> SoftmaxState:
        return softmax.empty_state(self.w.weight, batch_size, 1, 1, self.dim)

    def update(self, state: SoftmaxState, x: Tensor, mask: Tensor | None = None) -> SoftmaxState:
        if x.shape[1] == 0:
            return state
        h, last = split_last_layer(self.phi, zero_absent(x, mask))
        chunk = softmax.attend(self.scores(h, last)[:, None, None], h[:, None], mask)
        numerator = last.sum_of_outputs(chunk.numerator, chunk.denominator)
        return self.merge(state, chunk._replace(numerator=numerator))

    def merge(self, a: SoftmaxState, b: SoftmaxState) -> SoftmaxState:
        return softmax.merge(a, b)

    def readout(self, state: SoftmaxState) -> Tensor:
        return softmax.attended_values(state)[:, 0, 0]


def reference(module: nn.Module, x: np.ndarray) -> np.ndarray:
    """Encode `x` (`B x n x d`) element by element in NumPy."""
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
