"""Encoders on a device: a wrapper streams, merges and takes a mask as the encoder does."""

import copy

import pytest
import torch
from torch import Tensor, nn

from mbcbench.protocol.build import build
from mbcbench.protocol.encoder import has_merge, is_streaming, takes_mask
from mbcbench.protocol.on_device import on_device
from mbcbench.records.record import Status
from mbcbench.verify.checker import Budget, Checker


class Plain(nn.Module):
    min_size = 2

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(1)


@pytest.mark.parametrize("name", ["sse-random", "deepsets-mean", "umbc"])
def test_a_wrapper_is_the_encoder(name: str) -> None:
    module = build(name, dim_in=3).eval()
    wrapped = copy.deepcopy(on_device(copy.deepcopy(module), "cpu"))
    assert (is_streaming(wrapped), has_merge(wrapped), takes_mask(wrapped)) == (
        is_streaming(module),
        has_merge(module),
        takes_mask(module),
    )
    x, mask = torch.randn(2, 5, 3), torch.tensor([[True] * 5, [True] * 4 + [False]])
    assert torch.equal(wrapped(x, mask), module(x, mask))
    record = Checker(wrapped, dim_in=3).judge("mbc.merge", Budget(examples=20, min_examples=2))
    assert record.status is Status.PASS, record.message


def test_a_plain_encoder_stays_one_with_its_attributes() -> None:
    wrapped = on_device(Plain(), "cpu")
    assert not is_streaming(wrapped)
    assert not takes_mask(wrapped)
    assert wrapped.min_size == 2
