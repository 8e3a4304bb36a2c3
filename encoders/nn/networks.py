"""Networks applied to each element, and composition of their linear layers.

A linear layer commutes with sums: sum_i w_i (W h_i + b) = W (sum_i w_i h_i) + (sum_i w_i) b. Encoders that sum the
outputs of a network therefore apply its last layer once per set instead of once per element.
"""

from typing import NamedTuple, cast

from torch import Tensor, nn
from torch.nn.functional import linear


class Affine(NamedTuple):
    """The map x -> x W^T + b.

    Attributes
    ----------
    weight : Tensor
        W, `e x d`.
    bias : Tensor or None
        b, `e`.
    """

    weight: Tensor
    bias: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Map `x`, `... x d`, to `... x e`."""
        return linear(x, self.weight, self.bias)

    def sum_of_outputs(self, total: Tensor, number: Tensor) -> Tensor:
        """Return the sum of the outputs for several inputs from their sum and number.

        Parameters
        ----------
        total : Tensor
            Sum of the inputs, possibly weighted, `... x d`.
        number : Tensor
            Number of inputs, or the sum of their weights, `...`.
        """
        out = linear(total, self.weight)
        return out if self.bias is None else out + number.unsqueeze(-1) * self.bias

    def compose(self, inner: "Affine") -> "Affine":
        """Return the map that applies `inner`, then this one."""
        if inner.bias is None:
            return Affine(self.weight @ inner.weight, self.bias)
        bias = self.weight @ inner.bias
        return Affine(self.weight @ inner.weight, bias if self.bias is None else self.bias + bias)


def as_affine(layer: nn.Linear) -> Affine:
    """Return the map that a layer computes."""
    return Affine(layer.weight, layer.bias)


def element_network(dim_in: int, dim: int, *, last_bias: bool = True) -> nn.Sequential:
    """Build phi: Linear, ReLU, Linear, applied to each element on its own.

    Parameters
    ----------
    dim_in : int
        Width of an element.
    dim : int
        Width of the hidden layer and of the features.
    last_bias : bool
        Whether the last layer has a bias.
    """
    return nn.Sequential(nn.Linear(dim_in, dim), nn.ReLU(), nn.Linear(dim, dim, bias=last_bias))


def split_last_layer(phi: nn.Sequential, x: Tensor) -> tuple[Tensor, Affine]:
    """Return the input of the last layer of phi for `x`, `B x n x d`, and that layer."""
    first, relu, last = phi
    return relu(first(x)), as_affine(cast(nn.Linear, last))


def compose_or_apply(h: Tensor, last: Affine, *maps: Affine) -> tuple[Tensor, tuple[Affine, ...]]:
    """Return `(h', maps')` such that each map of `maps'` gives for h' what its counterpart gives for `last(h)`.

    `last` is composed into the maps, which saves a product per element, or applied to `h` if that takes fewer
    multiplications, because elements are few.

    Parameters
    ----------
    h : Tensor
        Input of `last`, `B x n x d`.
    last : Affine
        Layer to eliminate.
    maps : Affine
        Maps that follow it.
    """
    if h.shape[0] * h.shape[1] < len(maps) * len(last.weight):
        return last(h), maps
    return h, tuple(outer.compose(last) for outer in maps)
