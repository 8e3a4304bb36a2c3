"""Predictions by fake tensors, against what real tensors take and what is known by hand."""

import pytest
import torch

from mbcbench import registry
from mbcbench.protocol.encoder import encode_stream
from mbcbench.protocol.target import build_from_spec, get_spec
from mbcbench.suites.resources import prediction as foresight
from tests.suites.helpers import sample

FORESEEABLE = sorted(set(registry.plugins(registry.ENCODERS)) - {"deepsets-original", "deepsets-original-mean"})
STREAMS = ["sse-random", "deepsets-mean", "umbc", "perceiver", "variance"]


@pytest.mark.parametrize("encoder", FORESEEABLE)
def test_the_prediction_is_what_real_tensors_take_to_the_byte(encoder: str) -> None:
    module = build_from_spec(get_spec(encoder), dim_in=64).eval()
    x = torch.randn(1, 300, 64)
    with torch.no_grad(), foresight.LiveStorage() as live:
        module(x)
    assert foresight.in_one_piece(get_spec(encoder), 300, dim=64).peak_bytes == live.peak


@pytest.mark.parametrize("encoder", STREAMS)
def test_a_stream_of_any_length_takes_what_its_first_chunks_take(encoder: str) -> None:
    module = build_from_spec(get_spec(encoder), dim_in=64).eval()
    chunks = foresight.Chunks(torch.randn(1, 100, 64), 8)
    with torch.no_grad(), foresight.LiveStorage() as live:
        encode_stream(module, chunks)
    long = [foresight.streamed(get_spec(encoder), n, dim=64, chunk=100) for n in (800, 10**9)]
    assert [foreseen.peak_bytes for foreseen in long] == [live.peak, live.peak]


def test_what_depends_on_numbers_is_foreseen_nearly() -> None:
    module = build_from_spec(get_spec("sse-random-max"), dim_in=64).eval()
    with torch.no_grad(), foresight.LiveStorage() as live:
        encode_stream(module, foresight.Chunks(torch.randn(1, 100, 64), 8))
    foreseen = foresight.streamed(get_spec("sse-random-max"), 800, dim=64, chunk=100)
    assert foreseen.peak_bytes == pytest.approx(live.peak, rel=0.05)


def test_live_storage_counts_a_storage_once_and_forgets_it_when_it_dies() -> None:
    with foresight.LiveStorage() as live:
        a = torch.zeros(1000)
        view = a.view(10, 100)
        b = a + 1
        del a, b
        assert live.now == 4000
        del view
        assert (live.now, live.peak) == (0, 8000)


@pytest.mark.parametrize(("encoder", "factor"), [("deepsets-mean", 10), ("sse-random", 1)])
def test_a_billion_elements_are_foreseen(encoder: str, factor: int) -> None:
    """DeepSets keeps what its network makes of every element; the Slot Set Encoder reads block by block."""
    small, large = (foresight.in_one_piece(get_spec(encoder), n, dim=64) for n in (10**8, 10**9))
    assert large.peak_bytes == pytest.approx(factor * small.peak_bytes, rel=1e-4)
    assert large.flops == pytest.approx(10 * small.flops, rel=1e-2)


def test_flops_are_those_of_the_matrix_products() -> None:
    foreseen = foresight.in_one_piece(get_spec(sample("SumEncoder")), 500, dim=64)
    assert foreseen.flops == 2 * 500 * 64 * 16


def test_flops_of_a_stream_grow_by_the_chunk() -> None:
    foreseen = foresight.streamed(get_spec(sample("SumEncoder")), 500_000, dim=64, chunk=100)
    assert foreseen.flops == 2 * 500_000 * 64 * 16


@pytest.mark.parametrize(
    ("encoder", "n", "why"),
    [
        ("janossy", 10**9, "more than 1,000 operations"),
        ("deepsets-original", 100, "depends on the values"),
        ("set-transformer-sab", 10**9, "more bytes than 64 bits"),
    ],
)
def test_what_cannot_be_foreseen_says_why(encoder: str, n: int, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foresight, "MOST_OPERATIONS", 1000)
    with pytest.raises(foresight.UnforeseeableError, match=why):
        foresight.in_one_piece(get_spec(encoder), n, dim=64)


def test_a_state_that_grows_is_not_foreseen() -> None:
    with pytest.raises(foresight.UnforeseeableError, match="its state grows"):
        foresight.streamed(get_spec(sample("Hoarder")), 10**6, dim=64, chunk=100)
