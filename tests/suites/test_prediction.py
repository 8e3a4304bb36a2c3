"""Predictions by fake tensors, against the memory of real tensors and counts by hand."""

import pytest
import torch

from mbcbench import registry
from mbcbench.protocol.build import build_from_spec, get_spec
from mbcbench.protocol.encoder import encode_stream
from mbcbench.suites.resources import prediction
from tests.suites.helpers import sample_target

PREDICTABLE = sorted(set(registry.plugins(registry.ENCODERS)) - {"deepsets-original", "deepsets-original-mean"})
STREAMS = ["sse-random", "deepsets-mean", "umbc", "perceiver", "variance"]


@pytest.mark.parametrize("encoder", PREDICTABLE)
def test_the_prediction_equals_the_memory_of_real_tensors_to_the_byte(encoder: str) -> None:
    module = build_from_spec(get_spec(encoder), dim_in=64).eval()
    x = torch.randn(1, 300, 64)
    with torch.no_grad(), prediction.LiveStorage() as live:
        module(x)
    assert prediction.predict_one_piece(get_spec(encoder), 300, dim=64).peak_bytes == live.peak


@pytest.mark.parametrize("encoder", STREAMS)
def test_a_stream_of_any_length_has_the_peak_of_its_first_chunks(encoder: str) -> None:
    module = build_from_spec(get_spec(encoder), dim_in=64).eval()
    chunks = prediction.Chunks(torch.randn(1, 100, 64), 8)
    with torch.no_grad(), prediction.LiveStorage() as live:
        encode_stream(module, chunks)
    long = [prediction.predict_streamed(get_spec(encoder), n, dim=64, chunk=100) for n in (800, 10**9)]
    assert [predicted.peak_bytes for predicted in long] == [live.peak, live.peak]


def test_operations_that_depend_on_numbers_are_predicted_approximately() -> None:
    module = build_from_spec(get_spec("sse-random-max"), dim_in=64).eval()
    with torch.no_grad(), prediction.LiveStorage() as live:
        encode_stream(module, prediction.Chunks(torch.randn(1, 100, 64), 8))
    predicted = prediction.predict_streamed(get_spec("sse-random-max"), 800, dim=64, chunk=100)
    assert predicted.peak_bytes == pytest.approx(live.peak, rel=0.05)


def test_live_storage_counts_a_storage_once_and_forgets_it_when_it_dies() -> None:
    with prediction.LiveStorage() as live:
        a = torch.zeros(1000)
        view = a.view(10, 100)
        b = a + 1
        del a, b
        assert live.now == 4000
        del view
        assert (live.now, live.peak) == (0, 8000)


@pytest.mark.parametrize(("encoder", "factor"), [("deepsets-mean", 10), ("sse-random", 1)])
def test_costs_of_a_billion_elements_are_predicted(encoder: str, factor: int) -> None:
    """DeepSets holds the features of all elements at once; the Slot Set Encoder reads elements block by block."""
    small, large = (prediction.predict_one_piece(get_spec(encoder), n, dim=64) for n in (10**8, 10**9))
    assert large.peak_bytes == pytest.approx(factor * small.peak_bytes, rel=1e-4)
    assert large.flops == pytest.approx(10 * small.flops, rel=1e-2)


def test_flops_are_those_of_the_matrix_products() -> None:
    predicted = prediction.predict_one_piece(get_spec(sample_target("SumEncoder")), 500, dim=64)
    assert predicted.flops == 2 * 500 * 64 * 16


def test_flops_of_a_stream_grow_by_the_chunk() -> None:
    predicted = prediction.predict_streamed(get_spec(sample_target("SumEncoder")), 500_000, dim=64, chunk=100)
    assert predicted.flops == 2 * 500_000 * 64 * 16


@pytest.mark.parametrize(
    ("encoder", "n", "why"),
    [
        ("janossy", 10**9, "more than 1,000 operations"),
        ("deepsets-original", 100, "depends on the values"),
        ("set-transformer-sab", 10**9, "more bytes than 64 bits"),
    ],
)
def test_an_impossible_prediction_says_why(encoder: str, n: int, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "MAX_OPERATIONS", 1000)
    with pytest.raises(prediction.PredictionError, match=why):
        prediction.predict_one_piece(get_spec(encoder), n, dim=64)


def test_the_costs_of_a_growing_state_are_not_predicted() -> None:
    with pytest.raises(prediction.PredictionError, match="its state grows"):
        prediction.predict_streamed(get_spec(sample_target("Hoarder")), 10**6, dim=64, chunk=100)


def test_autograd_starts_before_fake_tensors_that_register_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """If it started afterwards, it would start a thread for the GPU, and this process could not be forked any more."""
    events: list[str] = []
    backward, fake_mode = torch.Tensor.backward, prediction.FakeTensorMode

    def start(tensor: torch.Tensor) -> None:
        events.append("autograd")
        backward(tensor)  # type: ignore[no-untyped-call]

    def enter() -> prediction.FakeTensorMode:
        events.append("fake tensors")
        return fake_mode()

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.Tensor, "backward", start)
    monkeypatch.setattr(prediction, "FakeTensorMode", enter)
    prediction.predict_one_piece(get_spec("mean"), 10, dim=2)
    prediction.predict_streamed(get_spec("mean"), 10, dim=2, chunk=5)
    assert events == ["autograd", "fake tensors"] * 2
