"""DeepSets as first published for point clouds (arXiv 1703.06114): permutation-equivariant layers, then a pool.

    PermEqui1(X) = Gamma(x_i - r),  PermEqui2(X) = Gamma(x_i) - Lambda(r),  r = max or mean of x over the set

r depends on the whole set at every layer: encoding chunks on their own gives something else.
"""

from itertools import pairwise
from typing import Literal

import numpy as np
from torch import Tensor, nn

from mbcbench.protocol.spec import EncoderSpec

from .nn.pooling import check_choice, count_present, pool, zero_absent

Reduction = Literal["max", "mean"]


class PermEqui(nn.Module):
    """One equivariant layer, `B x n x d` to `B x n x d_hat`; kind 1 or 2 as above."""

    def __init__(self, dim_in: int, dim: int, *, kind: Literal[1, 2] = 1, reduce: Reduction = "max") -> None:
        super().__init__()
        if kind not in (1, 2):
            raise ValueError(f"kind={kind!r} is neither 1 nor 2 (PermEqui1, PermEqui2)")
        self.reduce = reduce
        self.gamma = nn.Linear(dim_in, dim)
        self.lam = nn.Linear(dim_in, dim, bias=False) if kind == 2 else None

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        r = reduced(self.reduce, x, mask).unsqueeze(1)
        out: Tensor = self.gamma(x - r) if self.lam is None else self.gamma(x) - self.lam(r)
        return out


class OriginalDeepSets(nn.Module):
    """`layers` PermEqui layers, each followed by `activation`, then a `pool`: `B x n x d` to `B x d_hat`.

    normalize: what r is. forward raises ValueError for an empty set: neither r nor the pool is defined.
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
        for name, value in (("normalize", normalize), ("pool", pool)):
            check_choice(name, value, ("max", "mean"))
        check_choice("activation", activation, ("tanh", "elu"))
        self.pool = pool
        self.activation = nn.Tanh() if activation == "tanh" else nn.ELU()
        widths = [dim_in] + [dim] * layers
        self.layers = nn.ModuleList(PermEqui(a, b, kind=kind, reduce=normalize) for a, b in pairwise(widths))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if (count_present(x, mask) == 0).any():
            raise ValueError("the original DeepSets has no encoding of an empty set: give at least one element")
        x = zero_absent(x, mask)
        for layer in self.layers:
            x = self.activation(layer(x, mask))
        return reduced(self.pool, x, mask)


def reduced(reduce: Reduction, x: Tensor, mask: Tensor | None) -> Tensor:
    """The max or mean over the elements present, `B x n x d` to `B x d`; no set is empty."""
    value = pool(reduce, x, mask)
    return value / count_present(x, mask).unsqueeze(1) if reduce == "mean" else value


def over(reduce: str, rows: list[np.ndarray]) -> np.ndarray:
    """The max or mean of rows, in NumPy."""
    return np.asarray(np.max(rows, 0) if reduce == "max" else np.mean(rows, 0))


def reference(module: nn.Module, x: np.ndarray) -> np.ndarray:
    """The encoding of `x` (`B x n x d`), element by element, in NumPy."""
    assert isinstance(module, OriginalDeepSets)
    p = {name: value.detach().cpu().numpy() for name, value in module.named_parameters()}
    out = []
    for elements in x:
        features = list(elements)
        for i, layer in enumerate(module.layers):
            assert isinstance(layer, PermEqui)
            gamma, bias, r = p[f"layers.{i}.gamma.weight"], p[f"layers.{i}.gamma.bias"], over(layer.reduce, features)
            if layer.lam is None:
                features = [gamma @ (e - r) + bias for e in features]
            else:
                features = [gamma @ e + bias - p[f"layers.{i}.lam.weight"] @ r for e in features]
            if isinstance(module.activation, nn.Tanh):
                features = [np.tanh(e) for e in features]
            else:
                features = [np.where(e > 0, e, np.expm1(np.minimum(e, 0))) for e in features]
        out.append(over(module.pool, features))
    return np.stack(out)


def _spec(name: str, activation: str, reduction: Reduction) -> EncoderSpec:
    return EncoderSpec(
        name=name,
        factory=OriginalDeepSets,
        summary=f"DeepSets as published for point clouds: PermEqui layers, {activation}, {reduction} pool",
        paper="https://arxiv.org/abs/1703.06114",
        hyper={"activation": activation, "normalize": reduction, "pool": reduction},
        claims={"symmetry.permutation": "every layer is equivariant and the pool invariant"},
        breaks={
            "mbc.partition": f"every layer subtracts the {reduction} over the elements it is given: a chunk's own",
        },
        reference=reference,
    )


DEEPSETS_ORIGINAL = _spec("deepsets-original", "tanh", "max")
DEEPSETS_ORIGINAL_MEAN = _spec("deepsets-original-mean", "elu", "mean")
