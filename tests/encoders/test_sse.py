"""The Slot Set Encoder: slots, aggregations, and statements of the paper about them."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mbcbench.protocol.encoder import encode_stream
from tests.encoders.conftest import Build, chunks

RANDOM = ["sse-random", "sse-random-mean", "sse-random-max", "sse-random-min"]
ALL = RANDOM + [name.replace("random", "deterministic") for name in RANDOM]


@pytest.mark.parametrize("name", ALL)
def test_the_encoding_is_batch_by_slots_by_width(build: Build, x: Tensor, name: str) -> None:
    assert build(name, num_slots=5, slot_dim=7, dim=11)(x).shape == (2, 5, 11)


@pytest.mark.parametrize("name", ALL)
def test_an_empty_set_is_encoded_as_zeros(build: Build, x: Tensor, name: str) -> None:
    assert not build(name)(x[:, :0]).any()


@pytest.mark.parametrize("name", RANDOM)
def test_gradients_reach_the_mean_and_the_scale_of_the_slots(build: Build, x: Tensor, name: str) -> None:
    module = build(name)
    module(x).square().sum().backward()
    assert module.slots.mu.grad.abs().max() > 1e-9
    assert module.slots.log_std.grad.abs().max() > 1e-9


@pytest.mark.parametrize("name", ["sse-random", "sse-random-max"])
@pytest.mark.parametrize("n", [1, 40])
def test_slots_that_are_repeated_without_copies_give_the_same_encoding(build: Build, name: str, n: int) -> None:
    module, x = build(name), torch.randn(3, n, 3, dtype=torch.float64)
    state = module.init_state(1)
    repeated = module.with_slots(state.slots.expand(3, -1, -1))
    copied = module.with_slots(state.slots.repeat(3, 1, 1))
    torch.testing.assert_close(module.update(repeated, x).value, module.update(copied, x).value)


def test_in_eval_every_set_gets_the_same_slots_and_in_train_each_its_own(build: Build) -> None:
    module = build("sse-random")
    slots = module.init_state(3).slots
    assert torch.equal(slots[0], slots[2])
    assert torch.equal(module.init_state(7).slots[0], slots[0])
    slots = module.train().init_state(3).slots
    assert not torch.allclose(slots[0], slots[2])


def test_in_train_each_stream_draws_its_slots_and_stays_consistent(build: Build, x: Tensor) -> None:
    module = build("sse-random").train()
    first, second = module.init_state(2), module.init_state(2)
    assert not torch.allclose(first.slots, second.slots)
    state = first
    for chunk in chunks(x, [2, 4, 7]):
        state = module.update(state, chunk)
    assert torch.allclose(module.readout(state), module.readout(module.update(first, x)), atol=1e-12)


def test_random_slots_have_the_learned_mean_and_scale(build: Build) -> None:
    module = build("sse-random", num_slots=4000, slot_dim=3).train()
    torch.manual_seed(0)
    slots = module.init_state(1).slots[0]
    assert torch.allclose(slots.mean(0), module.slots.mu, atol=0.15)
    assert torch.allclose(slots.std(0), module.slots.log_std.exp(), rtol=0.05)


def test_the_number_of_random_slots_can_be_changed_after_training(build: Build, x: Tensor) -> None:
    module = build("sse-random", num_slots=4)
    module.num_slots = 9
    assert module(x).shape[1] == 9
    assert torch.allclose(encode_stream(module, chunks(x, [6, 7])), module(x), atol=1e-12)


def test_the_number_of_deterministic_slots_cannot_be_changed(build: Build, x: Tensor) -> None:
    module = build("sse-deterministic", num_slots=4)
    module.num_slots = 9
    with pytest.raises(ValueError, match=r"num_slots=9.*4 trained parameters"):
        module(x)


def test_an_unknown_aggregation_is_rejected(build: Build) -> None:
    with pytest.raises(Exception, match="aggregate='median': expected one of sum, mean, max, min"):
        build("sse-random", aggregate="median")


@pytest.mark.parametrize("name", ALL)
def test_permuting_the_slots_permutes_the_encoding(build: Build, x: Tensor, name: str) -> None:
    module = build(name)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(1))
    start = module.init_state(2)
    out = module.readout(module.update(start._replace(slots=start.slots[:, order]), x))
    assert torch.allclose(out, module(x)[:, order], atol=1e-12)


@pytest.mark.parametrize("slots", ["random", "deterministic"])
def test_the_sum_over_slots_is_linear_sum_pooling(build: Build, x: Tensor, slots: str) -> None:
    module = build(f"sse-{slots}")
    assert torch.allclose(module(x).sum(1), module.v(x).sum(1), atol=1e-12)


@pytest.mark.parametrize("g", ["mean", "max", "min"])
def test_aggregating_chunk_sums_as_algorithm_1_writes_is_not_consistent(build: Build, x: Tensor, g: Any) -> None:
    from mbcbench.protocol.encoder import ChunkAggregation

    module = build("sse-random")
    assert not torch.allclose(encode_stream(ChunkAggregation(module, g), chunks(x, [1, 12])), module(x), rtol=0.1)


def test_softmax_over_slots_is_as_consistent_as_the_sigmoid(build: Build, x: Tensor) -> None:
    module = build("sse-random", attention="softmax")
    assert torch.allclose(encode_stream(module, chunks(x, [1, 5, 7])), module(x), atol=1e-12)


@pytest.mark.parametrize("g", ["max", "min"])
def test_on_a_tie_the_gradient_goes_to_the_first_in_a_set_and_in_a_stream(build: Build, x: Tensor, g: str) -> None:
    module = build(f"sse-random-{g}")
    with torch.no_grad():  # whole numbers and equal weights: no rounding decides between duplicates
        module.q.weight.zero_()
        module.v.weight.round_()
    twice = torch.cat([x, x], 1).round()
    whole, stream = (twice.clone().requires_grad_() for _ in range(2))
    (grad_of_whole,) = torch.autograd.grad(module(whole).sum(), whole)
    (grad_of_stream,) = torch.autograd.grad(encode_stream(module, chunks(stream, [13, 13])).sum(), stream)
    assert torch.allclose(grad_of_whole, grad_of_stream, atol=1e-12)
    assert not grad_of_whole[:, 13:].any()


def test_projections_have_a_bias_only_if_requested(build: Build) -> None:
    assert build("sse-random").k.bias is None
    assert build("sse-random", bias=True).v.bias is not None
