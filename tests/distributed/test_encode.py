"""The encoding of a set over several processes, and its gradients."""

import importlib
from collections.abc import Callable

import pytest
import torch

import mbcbench.distributed
from mbcbench.errors import UsageError
from mbcbench.execution.planner import TRAINING
from mbcbench.protocol.build import build
from mbcbench.suites.laws import ranks as processes
from tests.distributed import ranks


@pytest.mark.parametrize(
    ("size", "functions"),
    [
        (2, (ranks.gradients, ranks.random_slots, ranks.no_gradients, ranks.traffic)),
        (3, (ranks.gradients, ranks.gradients_of_some, ranks.page)),
    ],
)
def test_every_streaming_builtin_has_the_encoding_and_gradients_of_one_process(
    size: int, functions: tuple[Callable[[], None], ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in TRAINING:
        importlib.import_module(module)  # here, and not in each rank
    monkeypatch.setattr(processes, "SECONDS", 120.0)

    def call_all(rank: int) -> tuple[()]:
        for function in functions:
            function()
        return ()

    assert processes.call_in_ranks(call_all, (), size, seed=0) == [()] * size


def test_a_process_group_is_needed() -> None:
    with pytest.raises(UsageError, match="needs a process group"):
        mbcbench.distributed.encode(build("mean", dim_in=3), [torch.ones(1, 2, 3)])


@pytest.mark.parametrize(("name", "message"), [("slot-attention", "is a plain module"), ("Sum", "has no merge")])
def test_an_encoder_without_states_that_merge_is_refused(name: str, message: str) -> None:
    from tests.streaming.group_encoders import Sum

    with pytest.raises(UsageError, match=message):
        mbcbench.distributed.encode(Sum() if name == "Sum" else build(name, dim_in=3), [torch.ones(1, 2, 3)])
