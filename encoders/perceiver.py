"""The Perceiver's encoder without positions: latents attend to the set, then to one another.

Blocks are pre-normalised. With a, b the LayerNorms of the queries Q and of the keys K:

    O = Q + Linear(concat over heads of softmax(q(a) k(b)^T / sqrt(dim / heads)) v(b))
    block(Q, K) = O + MLP(LayerNorm(O))

Paper: Jaegle et al., "Perceiver: General Perception with Iterative Attention", arXiv 2103.03206.

Only the first block reads the set, and only once, so its softmax state makes the encoder mini-batch consistent.
"""

import math
from functools import reduce

import numpy as np
import torch
from scipy.special import ndtr
from torch import Tensor, nn

from mbcbench.protocol.encoder import SetEncoder
from mbcbench.protocol.spec import EncoderSpec

from .nn import numpy_layers, softmax
from .nn.mab import join_heads, split_heads
from .nn.networks import as_affine, element_network
from .nn.numpy_layers import layer_norm, linear
from .nn.pooling import zero_absent
from .nn.softmax import SoftmaxState


class AttentionBlock(nn.Module):
    """Let queries (`B x m x dim`) attend to keys (`B x n x dim`) that may come in chunks.

    Parameters
    ----------
    dim : int
        Width of queries, keys and result.
    heads : int
        Number of heads; must divide `dim`.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim={dim} is not a multiple of heads={heads}")
        self.dim, self.heads = dim, heads
        self.norm_q, self.norm_k, self.norm_o = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.q, self.k = nn.Linear(dim, dim), nn.Linear(dim, dim, bias=False)
        self.v, self.o = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def init_state(self, Q: Tensor) -> SoftmaxState:
        """Return the state of no keys for the queries `Q`."""
        return softmax.empty_state(self.q.weight, Q.shape[0], self.heads, Q.shape[1], self.dim // self.heads)

    def update(self, state: SoftmaxState, Q: Tensor, K: Tensor, mask: Tensor | None = None) -> SoftmaxState:
        """Add a chunk of keys to the state."""
        if K.shape[1] == 0:
            return state
        q = split_heads(self.q(self.norm_q(Q)), self.heads)
        scale = 1 / math.sqrt(q.shape[3])
        k, v = as_affine(self.k), as_affine(self.v)
        return softmax.merge(state, softmax.attend_linear(q, k, v, self.norm_k(K), scale, mask))

    def readout(self, state: SoftmaxState, Q: Tensor) -> Tensor:
        """Return the result for the queries `Q`, `B x m x dim`."""
        O = Q + self.o(join_heads(softmax.attended_values(state)))  # noqa: E741 (the symbol of the equation)
        out: Tensor = O + self.down(nn.functional.gelu(self.up(self.norm_o(O))))
        return out

    def forward(self, Q: Tensor) -> Tensor:
        """Let the queries attend to one another."""
        return self.readout(self.update(self.init_state(Q), Q, Q), Q)


class Perceiver(SetEncoder[SoftmaxState]):
    """Encode a set by latents that attend to it and to one another: `B x n x d` to `B x latents x dim`.

    An empty set adds nothing: its encoding depends on the latents alone.

    Parameters
    ----------
    dim_in : int
        Width d of an element.
    dim : int
        Width of the latents and of the network per element.
    heads : int
        Heads of all blocks; must divide `dim`.
    latents : int
        Number of latents.
    layers : int
        Number of self-attention blocks among the latents.
    """

    def __init__(self, dim_in: int, *, dim: int = 64, heads: int = 4, latents: int = 16, layers: int = 1) -> None:
        super().__init__()
        self.phi = element_network(dim_in, dim)
        self.latents = nn.Parameter(0.02 * torch.randn(1, latents, dim))
        self.cross = AttentionBlock(dim, heads)
        self.layers = nn.ModuleList(AttentionBlock(dim, heads) for _ in range(layers))

    def init_state(self, batch_size: int) -> SoftmaxState:
        return self.cross.init_state(self.latents.expand(batch_size, -1, -1))

    def update(self, state: SoftmaxState, x: Tensor, mask: Tensor | None = None) -> SoftmaxState:
        return self.cross.update(state, self.latents.expand(x.shape[0], -1, -1), self.phi(zero_absent(x, mask)), mask)

    def merge(self, a: SoftmaxState, b: SoftmaxState) -> SoftmaxState:
        return softmax.merge(a, b)

    def readout(self, state: SoftmaxState) -> Tensor:
        out = self.cross.readout(state, self.latents.expand(len(state.denominator), -1, -1))
        for layer in self.layers:
            out = layer(out)
        return out


def _block(module: nn.Module, Q: np.ndarray, K: np.ndarray) -> np.ndarray:
    assert isinstance(module, AttentionBlock)
    a, b = layer_norm(module.norm_q, Q), layer_norm(module.norm_k, K)
    q, k, v = linear(module.q, a), linear(module.k, b), linear(module.v, b)
    width = module.dim // module.heads
    attended = np.zeros_like(q)
    for head in range(module.heads):
        columns = slice(head * width, (head + 1) * width)
        for i in range(len(q)):
            weights = numpy_layers.softmax(k[:, columns] @ q[i, columns] / math.sqrt(width))
            attended[i, columns] = sum(w * row for w, row in zip(weights, v[:, columns], strict=True))
    out = Q + linear(module.o, attended)
    hidden = linear(module.up, layer_norm(module.norm_o, out))
    return np.asarray(out + linear(module.down, hidden * ndtr(hidden)))


def reference(module: nn.Module, x: np.ndarray) -> np.ndarray:
    """Encode `x` (`B x n x d`) query by query in NumPy."""
    assert isinstance(module, Perceiver)
    latents = numpy_layers.to_numpy(module.latents)[0]
    out = []
    for elements in x:
        rows = _block(module.cross, latents, numpy_layers.element_network(module.phi, elements))
        out.append(reduce(lambda rows, layer: _block(layer, rows, rows), module.layers, rows))
    return np.stack(out)


PERCEIVER = EncoderSpec(
    name="perceiver",
    factory=Perceiver,
    summary="Perceiver encoder without positions: latents read the set once, then attend to one another",
    paper="https://arxiv.org/abs/2103.03206",
    claims=softmax.CLAIMS,
    reference=reference,
)
