"""Laws hold of encoders whose states, and all computation, are on a device."""

import pytest
import torch
from torch import nn

from mbcbench.protocol.build import build_from_spec, get_spec
from mbcbench.protocol.on_device import on_device
from mbcbench.records.record import Status
from mbcbench.verify.checker import Budget, Checker

pytestmark = pytest.mark.cuda
LAWS = ["mbc.partition", "mbc.merge", "mbc.empty", "mbc.gradient", "symmetry.permutation", "symmetry.batch"]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", ["sse-random", "sse-deterministic-max", "deepsets-mean", "umbc"])
def test_the_law_holds(name: str, law: str, device: torch.device) -> None:
    def factory(dim_in: int) -> nn.Module:
        return on_device(build_from_spec(get_spec(name), dim_in=dim_in, seed=0), str(device))

    record = Checker(factory).judge(law, Budget(examples=60, min_examples=2))
    assert record.status is Status.PASS, record.message
