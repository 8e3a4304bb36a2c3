"""The UMBC set encoder: slots attend to the set in one pass, and to one another in the read-out.

    S_k ~ N(mu_k, diag(sigma_k))
    L = Linear_q(S) Linear_k(phi(X))^T / sqrt(dim / heads), per head
    num_k = sum_i a_ki v_i,    den_k = sum_i a_ki
    f(X) = SAB(LayerNorm(Linear_q(S) + num / den))

a is exp(L) (a softmax over elements), sigmoid(L), or sigmoid(L) normalised over slots.

Paper: Willette et al., "Scalable Set Encoding with Universal Mini-Batch Consistency and Unbiased Full Set Gradient
Approximation", arXiv 2208.12401.

num and den are sums over elements, so they are mini-batch consistent. Layers after num / den may mix slots, because
they run once, in the read-out. num and den are stored relative to the largest log a, so that nothing overflows or
vanishes and no epsilon is needed.
"""

import math
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import log_expit, logsumexp
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from mbcbench.protocol.encoder import SetEncoder
from mbcbench.protocol.spec import EncoderSpec

from .nn import numpy_layers, softmax
from .nn.mab import SAB, join_heads, split_heads
from .nn.networks import as_affine, compose_or_apply, element_network, split_last_layer
from .nn.numpy_layers import layer_norm, linear, to_numpy
from .nn.numpy_mab import attention_block
from .nn.pooling import check_choice, zero_absent
from .nn.slots import DeterministicSlots, RandomSlots
from .nn.softmax import SoftmaxState


class UMBCState(NamedTuple):
    """State of a stream.

    Attributes
    ----------
    slots : Tensor
        Slots of the stream, `B x K x dim`.
    attended : SoftmaxState
        num and den of the elements seen so far.
    """

    slots: Tensor
    attended: SoftmaxState


class UMBCEncoder(SetEncoder[UMBCState]):
    """Encode a set by slots that attend to it and to one another: `B x n x d` to `B x K x dim`.

    An empty set adds nothing: its encoding depends on the slots alone.

    Parameters
    ----------
    dim_in : int
        Width d of an element.
    num_slots : int
        Number of slots K.
    dim : int
        Width of slots, features and encoding.
    heads : int
        Heads of all attention; must divide `dim`.
    slots : {"random", "deterministic"}
        Slots drawn once per stream, each with a mean and variance of its own, or parameters.
    attention : {"softmax", "sigmoid", "slot-sigmoid"}
        Weights a, in the order of the equations above.
    """

    def __init__(
        self,
        dim_in: int,
        *,
        num_slots: int = 16,
        dim: int = 64,
        heads: int = 4,
        slots: Literal["random", "deterministic"] = "random",
        attention: Literal["softmax", "sigmoid", "slot-sigmoid"] = "slot-sigmoid",
    ) -> None:
        super().__init__()
        check_choice("slots", slots, ("random", "deterministic"))
        check_choice("attention", attention, ("softmax", "sigmoid", "slot-sigmoid"))
        if dim % heads:
            raise ValueError(f"dim={dim} is not a multiple of heads={heads}")
        self.num_slots, self.heads, self.attention = num_slots, heads, attention
        self.slots = RandomSlots(dim, num_slots) if slots == "random" else DeterministicSlots(num_slots, dim)
        self.phi = element_network(dim_in, dim)
        self.q, self.k, self.v = nn.Linear(dim, dim), nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.sab = SAB(dim, dim, heads, layer_norm=True)

    def init_state(self, batch_size: int) -> UMBCState:
        slots: Tensor = self.slots(batch_size, self.num_slots)
        width = slots.shape[2] // self.heads
        return UMBCState(slots, softmax.empty_state(slots.detach(), batch_size, self.heads, self.num_slots, width))

    def update(self, state: UMBCState, x: Tensor, mask: Tensor | None = None) -> UMBCState:
        if x.shape[1] == 0:
            return state
        h, last = split_last_layer(self.phi, zero_absent(x, mask))
        h, (k, v) = compose_or_apply(h, last, as_affine(self.k), as_affine(self.v))
        q = split_heads(self.q(state.slots), self.heads)
        scale = 1 / math.sqrt(q.shape[3])
        chunk = softmax.attend_linear(q, k, v, h, scale, mask, self.log_attention)
        return UMBCState(state.slots, softmax.merge(state.attended, chunk))

    def log_attention(self, L: Tensor) -> Tensor:
        """Return log a of the logits `L`, `B x H x K x n`."""
        if self.attention == "softmax":
            return L
        # log(sigmoid_k / sum_l sigmoid_l) is a log-softmax of log-sigmoids over slots.
        return logsigmoid(L) if self.attention == "sigmoid" else logsigmoid(L).log_softmax(2)

    def merge(self, a: UMBCState, b: UMBCState) -> UMBCState:
        return UMBCState(a.slots, softmax.merge(a.attended, b.attended))

    def readout(self, state: UMBCState) -> Tensor:
        attended = join_heads(softmax.attended_values(state.attended))
        out: Tensor = self.sab(self.norm(self.q(state.slots) + attended))
        return out


def reference(module: nn.Module, x: np.ndarray) -> np.ndarray:
    """Encode `x` (`B x n x d`) element by element and head by head in NumPy."""
    assert isinstance(module, UMBCEncoder)
    q = linear(module.q, to_numpy(module.init_state(1).slots[0]))
    width = q.shape[1] // module.heads
    out = []
    for elements in x:
        features = [numpy_layers.element_network(module.phi, element) for element in elements]
        attended = q.copy()
        for head in range(module.heads):
            columns = slice(head * width, (head + 1) * width)
            logs = [q[:, columns] @ linear(module.k, h)[columns] / math.sqrt(width) for h in features]
            if module.attention != "softmax":
                logs = [log_expit(L) for L in logs]
            if module.attention == "slot-sigmoid":
                logs = [L - logsumexp(L) for L in logs]
            for slot in range(len(q)):
                weights = numpy_layers.softmax(np.array([L[slot] for L in logs]))
                values = [linear(module.v, h)[columns] for h in features]
                attended[slot, columns] += sum(w * v for w, v in zip(weights, values, strict=True))
        out.append(attention_block(module.sab, layer_norm(module.norm, attended)))
    return np.stack(out)


UMBC = EncoderSpec(
    name="umbc",
    factory=UMBCEncoder,
    summary="UMBC: slots attend to the set in one pass, then to one another in the read-out",
    paper="https://arxiv.org/abs/2208.12401",
    claims={
        **softmax.CLAIMS,
        "mbc.partition": "numerator and denominator of each slot are sums over elements; slots mix in the read-out",
        "symmetry.slots": "self-attention among slots is equivariant, and each slot carries its own draw",
    },
    reference=reference,
)
