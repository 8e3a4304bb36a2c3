"""Slot Attention: slots compete for elements and are updated T times.

    x = LayerNorm(phi(X)), and in each iteration
    A = softmax over slots of k(x) q(LayerNorm(S))^T / sqrt(dim) + 1e-8
    U = (A / sum of A over elements)^T v(x)
    S = GRU(U, S),  S = S + MLP(LayerNorm(S))

Paper: Locatello et al., "Object-Centric Learning with Slot Attention", arXiv 2006.15055 (Algorithm 1).

Every iteration reads the whole set again, with slots that depend on all of it, so the encoder is not mini-batch
consistent.
"""

import math

import numpy as np
from scipy.special import expit
from torch import Tensor, nn

from mbcbench.protocol.spec import EncoderSpec

from .nn import numpy_layers
from .nn.networks import element_network
from .nn.numpy_layers import layer_norm, linear, to_numpy
from .nn.pooling import zero_absent
from .nn.slots import RandomSlots

_EPSILON = 1e-8


class SlotAttention(nn.Module):
    """Update random slots by attention to the set: `B x n x d` to `B x K x dim`.

    In eval() the initial slots are always the same. For an empty set, U is zero.

    Parameters
    ----------
    dim_in : int
        Width d of an element.
    num_slots : int
        Number of slots K.
    dim : int
        Width of slots, keys and values.
    iterations : int
        Number of iterations T.
    """

    def __init__(self, dim_in: int, *, num_slots: int = 7, dim: int = 64, iterations: int = 3) -> None:
        super().__init__()
        self.num_slots, self.dim, self.iterations = num_slots, dim, iterations
        self.slots = RandomSlots(dim)
        self.phi = element_network(dim_in, dim)
        self.norm_x, self.norm_mlp = nn.LayerNorm(dim), nn.LayerNorm(dim)
        # A bias common to all slots would add the same number to all logits of an element, which a softmax ignores.
        self.norm_slots = nn.LayerNorm(dim, bias=False)
        self.q, self.k, self.v = (nn.Linear(dim, dim, bias=False) for _ in range(3))
        self.gru = nn.GRUCell(dim, dim)
        self.mlp = element_network(dim, dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.norm_x(self.phi(zero_absent(x, mask)))
        k, v = self.k(x), self.v(x)
        S: Tensor = self.slots(x.shape[0], self.num_slots)
        for _ in range(self.iterations):
            A = (k @ self.q(self.norm_slots(S)).transpose(1, 2) / math.sqrt(self.dim)).softmax(2) + _EPSILON
            A = zero_absent(A, mask)
            total = A.sum(1).unsqueeze(2)
            U = A.transpose(1, 2) @ v / total.masked_fill(total == 0, 1)
            S = self.gru(U.flatten(0, 1), S.flatten(0, 1)).unflatten(0, S.shape[:2])
            S = S + self.mlp(self.norm_mlp(S))
        return S


def _gru_step(module: nn.GRUCell, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Apply a GRU to one row."""
    of_x = np.split(to_numpy(module.weight_ih) @ x + to_numpy(module.bias_ih), 3)
    of_h = np.split(to_numpy(module.weight_hh) @ h + to_numpy(module.bias_hh), 3)
    reset, update = expit(of_x[0] + of_h[0]), expit(of_x[1] + of_h[1])
    return np.asarray((1 - update) * np.tanh(of_x[2] + reset * of_h[2]) + update * h)


def reference(module: nn.Module, x: np.ndarray) -> np.ndarray:
    """Encode `x` (`B x n x d`) element by element and slot by slot in NumPy."""
    assert isinstance(module, SlotAttention)
    out = []
    for elements in x:
        rows = [layer_norm(module.norm_x, numpy_layers.element_network(module.phi, e)) for e in elements]
        S = to_numpy(module.slots(1, module.num_slots))[0]
        for _ in range(module.iterations):
            q = linear(module.q, layer_norm(module.norm_slots, S))
            A = [numpy_layers.softmax(q @ linear(module.k, row) / math.sqrt(module.dim)) + _EPSILON for row in rows]
            U = np.sum([np.outer(a, linear(module.v, row)) for a, row in zip(A, rows, strict=True)], axis=0)
            U = U / np.sum(A, axis=0)[:, None]
            S = np.stack([_gru_step(module.gru, u, s) for u, s in zip(U, S, strict=True)])
            S = S + numpy_layers.element_network(module.mlp, layer_norm(module.norm_mlp, S))
        out.append(S)
    return np.stack(out)


SLOT_ATTENTION = EncoderSpec(
    name="slot-attention",
    factory=SlotAttention,
    summary="Slot Attention, three iterations",
    paper="https://arxiv.org/abs/2006.15055",
    claims={"symmetry.permutation": "elements interact through sums over the set only"},
    breaks={
        "mbc.partition": "from the second iteration on, the slots depend on all elements before they attend to them"
    },
    slot_readout="max",
    reference=reference,
)
