"""Laws hold of encoders whose states, and all computation, are on a device."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.protocol.build import build_from_spec, get_spec
from mbcbench.records.record import Status
from mbcbench.verify.checker import Budget, Checker

pytestmark = pytest.mark.cuda
LAWS = ["mbc.partition", "mbc.merge", "mbc.empty", "mbc.gradient", "symmetry.permutation", "symmetry.batch"]


class OnDevice(nn.Module):
    """An encoder on a device, for elements on the CPU and with encodings there."""

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        super().__init__()
        self.module: Any = module.to(device)
        self.device = device

    def init_state(self, batch_size: int) -> Any:
        return self.module.init_state(batch_size)

    def update(self, state: Any, x: Tensor, mask: Tensor | None = None) -> Any:
        return self.module.update(state, x.to(self.device), None if mask is None else mask.to(self.device))

    def merge(self, a: Any, b: Any) -> Any:
        return self.module.merge(a, b)

    def readout(self, state: Any) -> Tensor:
        out: Tensor = self.module.readout(state).cpu()
        return out

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.readout(self.update(self.init_state(len(x)), x, mask))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", ["sse-random", "sse-deterministic-max", "deepsets-mean", "umbc"])
def test_the_law_holds(name: str, law: str, device: torch.device) -> None:
    def factory(dim_in: int) -> nn.Module:
        return OnDevice(build_from_spec(get_spec(name), dim_in=dim_in, seed=0), device)

    record = Checker(factory).judge(law, Budget(examples=60, min_examples=2))
    assert record.status is Status.PASS, record.message
