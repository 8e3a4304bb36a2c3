"""The encoding of a set over several processes, and its gradients."""

from pathlib import Path

import pytest
import torch

import mbcbench.distributed
from mbcbench.errors import UsageError
from mbcbench.protocol.build import build
from tests.distributed.ranks import start


@pytest.mark.parametrize(
    ("size", "functions"), [(2, "gradients,random_slots,no_gradients,traffic"), (3, "gradients,gradients_of_some,page")]
)
def test_every_streaming_builtin_has_the_encoding_and_gradients_of_one_process(
    size: int, functions: str, tmp_path: Path
) -> None:
    for result in start(functions, size, tmp_path):
        assert result.returncode == 0, result.stderr


def test_a_process_group_is_needed() -> None:
    with pytest.raises(UsageError, match="needs a process group"):
        mbcbench.distributed.encode(build("mean", dim_in=3), [torch.ones(1, 2, 3)])


@pytest.mark.parametrize(("name", "message"), [("slot-attention", "is a plain module"), ("Sum", "has no merge")])
def test_an_encoder_without_states_that_merge_is_refused(name: str, message: str) -> None:
    from tests.streaming.group_encoders import Sum

    with pytest.raises(UsageError, match=message):
        mbcbench.distributed.encode(Sum() if name == "Sum" else build(name, dim_in=3), [torch.ones(1, 2, 3)])
