"""Networks that encoders share."""

from torch import nn


def element_network(dim_in: int, dim: int, *, last_bias: bool = True) -> nn.Sequential:
    """phi: Linear, ReLU, Linear, applied to each element on its own."""
    return nn.Sequential(nn.Linear(dim_in, dim), nn.ReLU(), nn.Linear(dim, dim, bias=last_bias))
