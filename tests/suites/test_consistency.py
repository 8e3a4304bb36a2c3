"""The suite that measures how far chunks are from the whole set."""

import pytest
import torch
from torch import Tensor, nn

from mbcbench import registry
from mbcbench.execution.suite import Request, Suite
from mbcbench.records.record import Record

EXACT = 1e-13


@pytest.fixture(scope="module")
def suite() -> Suite:
    made: Suite = registry.plugin(registry.SUITES, "consistency").load()
    return made


def gaps(suite: Suite, encoder: str) -> dict[tuple[str, int], float]:
    """The gap by kind and size of the chunks."""
    (cell,) = suite.cells(Request(encoders=[encoder], profile="smoke"))
    found: list[Record] = list(suite.run(cell))
    return {(r.detail["order"], r.detail["chunk_size"]): float(r.value or 0.0) for r in found}


def test_an_encoder_with_an_exact_state_is_off_by_rounding_alone(suite: Suite) -> None:
    assert max(gaps(suite, "sse-random").values()) < EXACT


def test_the_mean_of_chunk_means_is_off_on_uneven_chunks_alone(suite: Suite) -> None:
    found = gaps(suite, "sse-mean-of-chunk-means")
    even = [gap for (kind, _), gap in found.items() if kind != "uneven"]
    uneven = [gap for (kind, size), gap in found.items() if kind == "uneven" and size > 1]
    assert max(even) < EXACT
    assert min(uneven) > 0.1


def test_a_plain_encoder_is_worse_on_sorted_chunks_than_on_random_ones(suite: Suite) -> None:
    found = gaps(suite, "set-transformer")
    assert found["sorted", 64] > found["random", 64] > EXACT


class Sum(nn.Module):
    """A plain module: the mean of the sums of equal chunks is a share of the whole sum."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dim_in))

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.scale).sum(1)


def test_the_gap_is_relative_to_the_whole(suite: Suite) -> None:
    found = gaps(suite, f"{__file__}:Sum")
    assert found["random", 64] == pytest.approx(1 - 1 / 4)
    assert found["sorted", 1] == pytest.approx(1 - 1 / 256)
