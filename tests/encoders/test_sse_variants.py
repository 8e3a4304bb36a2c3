"""Hierarchies, and the readings of g that are not consistent."""

import pytest
import torch
from torch import Tensor

from mbcbench.protocol.encoder import ChunkAggregation, encode_stream
from tests.encoders.conftest import Build, chunks

LITERAL = ["sse-literal-mean", "sse-literal-max", "sse-literal-min"]


def test_a_hierarchy_that_ends_in_one_slot_is_linear_sum_pooling(build: Build, x: Tensor) -> None:
    module = build("sse-hierarchical-k1")
    linear = x.sum(1, keepdim=True)
    for level in module.levels:
        linear = level.v(linear)
    assert torch.allclose(module(x), linear, atol=1e-12)


def test_a_hierarchy_that_ends_in_more_slots_is_not_additive(build: Build, x: Tensor) -> None:
    module = build("sse-hierarchical")
    whole, parts = module(x), module(x[:, :5]) + module(x[:, 5:])
    assert (whole - parts).abs().max() > 1e-3 * whole.abs().max()


def test_the_state_of_a_hierarchy_grows_with_neither_elements_nor_upper_levels(build: Build, x: Tensor) -> None:
    module = build("sse-hierarchical", num_slots=(8, 4, 2))
    state = module.update(module.init_state(2), x)
    assert state.first.value.shape == (2, 8, 64)
    assert [slots.shape[1] for slots in (*state.between, state.slots)] == [4, 2]


def test_a_hierarchy_needs_two_levels(build: Build) -> None:
    with pytest.raises(Exception, match=r"num_slots=\(4,\) is not a hierarchy"):
        build("sse-hierarchical", num_slots=(4,))


def test_in_train_a_stream_of_a_hierarchy_keeps_the_slots_of_all_levels(build: Build, x: Tensor) -> None:
    module = build("sse-hierarchical").train()
    start = module.init_state(2)
    state = start
    for chunk in chunks(x, [1, 12]):
        state = module.update(state, chunk)
    assert torch.allclose(module.readout(state), module.readout(module.update(start, x)), atol=1e-12)
    assert torch.equal(module.readout(state), module.readout(state))


def test_a_hierarchy_run_per_chunk_equals_the_other_on_one_chunk_alone(build: Build, x: Tensor) -> None:
    leveled, per_chunk = build("sse-hierarchical"), build("sse-hierarchical-per-chunk")
    assert torch.equal(per_chunk(x), leveled(x))
    off = encode_stream(ChunkAggregation(per_chunk, "sum"), chunks(x, [6, 7])) - leveled(x)
    assert off.abs().max() > 1e-3 * leveled(x).abs().max()


@pytest.mark.parametrize("name", LITERAL)
def test_the_literal_reading_equals_the_pair_of_a_sum_and_g(build: Build, x: Tensor, name: str) -> None:
    parts = chunks(x, [1, 5, 7])
    pair = ChunkAggregation(build("sse-random"), name.rpartition("-")[2])  # type: ignore[arg-type]
    assert torch.allclose(encode_stream(build(name), parts), encode_stream(pair, parts), atol=1e-12)


def test_the_literal_mean_is_off_by_the_number_of_chunks(build: Build, x: Tensor) -> None:
    module = build("sse-literal-mean")
    assert torch.allclose(3 * encode_stream(module, chunks(x, [1, 5, 7])), module(x), atol=1e-12)


def test_the_mean_of_chunk_means_holds_on_equal_chunks_and_fails_on_uneven_ones(build: Build, x: Tensor) -> None:
    module, x = build("sse-mean-of-chunk-means"), x[:, :12]
    whole = module(x)
    assert torch.allclose(encode_stream(module, chunks(x, [4, 4, 4])), whole, atol=1e-12)
    assert (encode_stream(module, chunks(x, [1, 11])) - whole).abs().max() > 0.1 * whole.abs().max()


@pytest.mark.parametrize("name", [*LITERAL, "sse-mean-of-chunk-means"])
def test_chunks_without_elements_are_passed_over_in_each_set_on_its_own(build: Build, x: Tensor, name: str) -> None:
    module = build(name)
    parts = chunks(x, [6, 7])
    state = module.update(module.init_state(2), parts[0])
    state = module.update(state, parts[0], torch.tensor([[True] * 6, [False] * 6]))
    state = module.update(state, parts[1])
    assert state.chunks.tolist() == [3, 2]
    assert torch.allclose(module.readout(state)[1:], encode_stream(module, parts)[1:], atol=1e-12)
