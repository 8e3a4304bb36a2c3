"""DeepSets as first published for point clouds: permutation-equivariant layers, then a pool.

    PermEqui1(X)_i = Gamma(x_i - r),    PermEqui2(X)_i = Gamma(x_i) - Lambda(r),    r = max or mean of X over the set

Paper: Zaheer et al., "Deep Sets", arXiv 1703.06114 (layers of its published code).

Every layer depends on the whole set through r, so encoding chunks on their own gives a different result (arXiv
2103.01615, Table 2).
"""

from itertools import pairwise
from typing import Literal

import numpy as np
from torch import Tensor, nn

from mbcbench.protocol.spec import EncoderSpec

from .nn.numpy_layers import linear
from .nn.pooling import check_choice, count_present, pool, zero_absent

Reduction = Literal["max", "mean"]


class PermEqui(nn.Module):
    """One permutation-equivariant layer: `B x n x d` to `B x n x dim`.

    Parameters
    ----------
    dim_in : int
        Width d of an element.
    dim : int
        Width of the result.
    kind : {1, 2}
        PermEqui1 or PermEqui2.
    reduce : {"max", "mean"}
        Reduction over the set, r.
    """

    def __init__(self, dim_in: int, dim: int, *, kind: Literal[1, 2] = 1, reduce: Reduction = "max") -> None:
        super().__init__()
        if kind not in (1, 2):
            raise ValueError(f"kind={kind!r}: expected 1 or 2, for PermEqui1 or PermEqui2")
        self.reduce = reduce
        self.gamma = nn.Linear(dim_in, dim)
        self.lam = nn.Linear(dim_in, dim, bias=False) if kind == 2 else None

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        r = reduce_set(self.reduce, x, mask).unsqueeze(1)
        out: Tensor = self.gamma(x - r) if self.lam is None else self.gamma(x) - self.lam(r)
        return out


class OriginalDeepSets(nn.Module):
    """Apply PermEqui layers with activations, then pool: `B x n x d` to `B x dim`.

    `forward` raises ValueError for an empty set, for which neither r nor the pool is defined.

    Parameters
    ----------
    dim_in : int
        Width d of an element.
    dim : int
        Width of the layers and of the encoding.
    layers : int
        Number of layers.
    kind : {1, 2}
        PermEqui1 or PermEqui2.
    normalize : {"max", "mean"}
        Reduction r of the layers.
    activation : {"tanh", "elu"}
        Function after each layer.
    pool : {"max", "mean"}
        Reduction after the last layer.
    """

    def __init__(
        self,
        dim_in: int,
        *,
        dim: int = 64,
        layers: int = 3,
        kind: Literal[1, 2] = 1,
        normalize: Reduction = "max",
        activation: Literal["tanh", "elu"] = "tanh",
        pool: Reduction = "max",
    ) -> None:
        super().__init__()
        check_choice("normalize", normalize, ("max", "mean"))
        check_choice("pool", pool, ("max", "mean"))
        check_choice("activation", activation, ("tanh", "elu"))
        self.pool = pool
        self.activation = nn.Tanh() if activation == "tanh" else nn.ELU()
        widths = [dim_in] + [dim] * layers
        self.layers = nn.ModuleList(PermEqui(a, b, kind=kind, reduce=normalize) for a, b in pairwise(widths))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if (count_present(x, mask) == 0).any():
            raise ValueError("the original DeepSets cannot encode an empty set; give at least one element")
        x = zero_absent(x, mask)
        for layer in self.layers:
            x = self.activation(layer(x, mask))
        return reduce_set(self.pool, x, mask)


def reduce_set(reduce: Reduction, x: Tensor, mask: Tensor | None) -> Tensor:
    """Return the max or mean over the elements present, `B x d`, of sets that are not empty."""
    value = pool(reduce, x, mask)
    return value / count_present(x, mask).unsqueeze(1) if reduce == "mean" else value


def reference(module: nn.Module, x: np.ndarray) -> np.ndarray:
    """Encode `x` (`B x n x d`) element by element in NumPy."""
    assert isinstance(module, OriginalDeepSets)
    out = []
    for elements in x:
        features = list(elements)
        for layer in module.layers:
            assert isinstance(layer, PermEqui)
            features = [_activate(module.activation, row) for row in _perm_equi(layer, features)]
        out.append(_reduce_rows(module.pool, features))
    return np.stack(out)


def _perm_equi(layer: PermEqui, features: list[np.ndarray]) -> list[np.ndarray]:
    r = _reduce_rows(layer.reduce, features)
    if layer.lam is None:
        return [linear(layer.gamma, row - r) for row in features]
    return [linear(layer.gamma, row) - linear(layer.lam, r) for row in features]


def _activate(activation: nn.Module, row: np.ndarray) -> np.ndarray:
    if isinstance(activation, nn.Tanh):
        return np.asarray(np.tanh(row))
    return np.where(row > 0, row, np.expm1(np.minimum(row, 0)))


def _reduce_rows(reduce: str, rows: list[np.ndarray]) -> np.ndarray:
    return np.asarray(np.max(rows, 0) if reduce == "max" else np.mean(rows, 0))


def _spec(name: str, activation: str, reduction: Reduction) -> EncoderSpec:
    return EncoderSpec(
        name=name,
        factory=OriginalDeepSets,
        summary=f"DeepSets as published for point clouds: PermEqui layers, {activation}, {reduction} pool",
        paper="https://arxiv.org/abs/1703.06114",
        hyper={"activation": activation, "normalize": reduction, "pool": reduction},
        claims={"symmetry.permutation": "every layer is equivariant and the pool invariant"},
        breaks={
            "mbc.partition": f"every layer subtracts the {reduction} over the elements of the chunk, not of the set"
        },
        reference=reference,
    )


DEEPSETS_ORIGINAL = _spec("deepsets-original", "tanh", "max")
DEEPSETS_ORIGINAL_MEAN = _spec("deepsets-original-mean", "elu", "mean")
