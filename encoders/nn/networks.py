"""Networks that encoders share, and what is linear in them taken together."""

from typing import NamedTuple, cast

from torch import Tensor, nn
from torch.nn.functional import linear


class Affine(NamedTuple):
    """x W^T + b, with `weight` `e x d` and `bias` `e`."""

    weight: Tensor
    bias: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)

    def sum_of_outputs(self, total: Tensor, number: Tensor) -> Tensor:
        """The sum of what this gives for elements, from their sum (`... x d`) and their number or weight (`...`)."""
        out = linear(total, self.weight)
        return out if self.bias is None else out + number.unsqueeze(-1) * self.bias

    def compose(self, first: "Affine") -> "Affine":
        """This map of what `first` gives, as one map."""
        if first.bias is None:
            return Affine(self.weight @ first.weight, self.bias)
        bias = self.weight @ first.bias
        return Affine(self.weight @ first.weight, bias if self.bias is None else self.bias + bias)


def as_affine(layer: nn.Linear) -> Affine:
    """What a layer computes."""
    return Affine(layer.weight, layer.bias)


def element_network(dim_in: int, dim: int, *, last_bias: bool = True) -> nn.Sequential:
    """phi: Linear, ReLU, Linear, applied to each element on its own."""
    return nn.Sequential(nn.Linear(dim_in, dim), nn.ReLU(), nn.Linear(dim, dim, bias=last_bias))


def split_last_layer(phi: nn.Sequential, x: Tensor) -> tuple[Tensor, Affine]:
    """phi(x) in two parts: what its last layer is given, `B x n x d`, and that layer, which commutes with sums."""
    first, relu, last = phi
    return relu(first(x)), as_affine(cast(nn.Linear, last))


def compose_or_apply(h: Tensor, last: Affine, *maps: Affine) -> tuple[Tensor, tuple[Affine, ...]]:
    """Elements, and maps that give of them what `maps` give of last(h), `h` being `B x n x d`.

    `last` is made one with each of the maps; or of few elements, where that is less work, it is applied to them.
    """
    if h.shape[0] * h.shape[1] < len(maps) * len(last.weight):
        return last(h), maps
    return h, tuple(outer.compose(last) for outer in maps)
