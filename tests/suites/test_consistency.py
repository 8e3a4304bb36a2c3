"""The suite that measures the gap between a stream and the whole set."""

import pytest
import torch
from torch import Tensor, nn

from mbcbench import registry
from mbcbench.execution.suite import Request, Suite
from mbcbench.records.record import Record

EXACT = 1e-13


@pytest.fixture(scope="module")
def suite() -> Suite:
    loaded: Suite = registry.plugin(registry.SUITES, "consistency").load()
    return loaded


def gaps(suite: Suite, encoder: str) -> dict[tuple[str, int], float]:
    """Return the gap by order and size of the chunks."""
    (cell,) = suite.cells(Request(encoders=[encoder], profile="smoke"))
    records: list[Record] = list(suite.run(cell))
    return {(r.detail["order"], r.detail["chunk_size"]): float(r.value or 0.0) for r in records}


def test_an_exact_state_leaves_only_rounding_errors(suite: Suite) -> None:
    assert max(gaps(suite, "sse-random").values()) < EXACT


def test_the_mean_of_chunk_means_is_wrong_only_for_uneven_chunks(suite: Suite) -> None:
    gap_of = gaps(suite, "sse-mean-of-chunk-means")
    even = [gap for (order, _), gap in gap_of.items() if order != "uneven"]
    uneven = [gap for (order, size), gap in gap_of.items() if order == "uneven" and size > 1]
    assert max(even) < EXACT
    assert min(uneven) > 0.1


def test_a_plain_encoder_is_worse_on_sorted_chunks_than_on_random_ones(suite: Suite) -> None:
    gap_of = gaps(suite, "set-transformer")
    assert gap_of["sorted", 64] > gap_of["random", 64] > EXACT


class Sum(nn.Module):
    """Plain: the mean of the sums of m equal chunks is the whole sum divided by m."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dim_in))

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.scale).sum(1)


def test_the_gap_is_relative_to_the_whole(suite: Suite) -> None:
    gap_of = gaps(suite, f"{__file__}:Sum")
    assert gap_of["random", 64] == pytest.approx(1 - 1 / 4)
    assert gap_of["sorted", 1] == pytest.approx(1 - 1 / 256)
