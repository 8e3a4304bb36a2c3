"""Small encoders for the tests of the public API: a consistent one, and one for each way of being wrong."""

import numpy as np
import torch
from torch import Tensor, nn

from mbcbench.protocol.spec import EncoderSpec


class Sum(nn.Module):
    """The sum of tanh features: (f, sum) is consistent."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.project = nn.Linear(dim_in, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.project(x)).sum(1)


class TanhOfMean(Sum):
    """No g makes it consistent."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.project(x).mean(1))


class WeightedByPosition(Sum):
    """Weights later elements more."""

    def forward(self, x: Tensor) -> Tensor:
        return (torch.tanh(self.project(x)) * torch.arange(x.shape[1], dtype=x.dtype)[:, None]).sum(1)


class Raises(Sum):
    """Cannot encode two elements."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] == 2:
            raise RuntimeError("two is a crowd")
        return super().forward(x)


class Unbuildable(Sum):
    def __init__(self, dim_in: int) -> None:
        raise RuntimeError("out of clay")


class Wider(Sum):
    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.more = nn.Linear(dim_in, 2)


class SumElementByElement(Sum):
    """Has the same weights and another computation."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack(
            [torch.tanh(x[:, i] @ self.project.weight.T + self.project.bias) for i in range(x.shape[1])]
        ).sum(0)


def numpy_sum(module: nn.Module, x: np.ndarray) -> np.ndarray:
    assert isinstance(module, Sum)
    weight, bias = (p.detach().numpy() for p in (module.project.weight, module.project.bias))
    out: np.ndarray = np.tanh(x @ weight.T + bias).sum(1)
    return out


AS_CLAIMED = EncoderSpec(name="tanh-of-mean", factory=TanhOfMean, breaks={"mbc.partition": "tanh comes last"})
CLAIMS_TOO_LITTLE = EncoderSpec(name="sum", factory=Sum, breaks={"mbc.partition": "or so they say"})
INSTANCE = Sum(5)
NUMBER = 3
