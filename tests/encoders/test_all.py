"""Tests of every encoder, or every streaming encoder, that comes with the package."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mbcbench import registry
from mbcbench.protocol.build import build as build_target
from mbcbench.protocol.build import build_from_spec, get_spec
from mbcbench.protocol.encoder import encode_stream, is_streaming, takes_mask
from mbcbench.protocol.state import clone, tensors
from tests.encoders.conftest import Build, chunks

BUILT_IN = [p.name for p in registry.plugins(registry.ENCODERS).values() if p.target.startswith("mbcbench.")]
INCONSISTENT = [name for name in BUILT_IN if "mbc.partition" in get_spec(name).breaks]
CONSISTENT = [name for name in BUILT_IN if name not in INCONSISTENT]
STREAMING = [name for name in BUILT_IN if is_streaming(build_target(name, dim_in=3))]
EXACT = [name for name in STREAMING if name in CONSISTENT]


def close(a: Tensor, b: Tensor, tolerance: float = 1e-12) -> bool:
    """Return True if `a` and `b` are equal up to `tolerance` in max-norm."""
    return bool((a - b).abs().max() <= tolerance * b.abs().max())


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_spec_has_the_registered_name_a_paper_and_a_summary(name: str) -> None:
    spec = get_spec(name)
    assert spec.name == name
    assert spec.paper.startswith("https://")
    assert spec.summary


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("sizes", [[1, 12], [13], [5, 1, 7], [1] * 13, [0, 6, 0, 7, 0]], ids=str)
def test_any_partition_gives_the_encoding_of_the_whole(build: Build, x: Tensor, name: str, sizes: list[int]) -> None:
    module = build(name)
    assert close(encode_stream(module, chunks(x, sizes)), module(x))


@pytest.mark.parametrize("name", EXACT)
def test_interleaved_chunks_give_the_encoding_of_the_whole(build: Build, x: Tensor, name: str) -> None:
    module = build(name)
    assert close(encode_stream(module, [x[:, 0::3], x[:, 2::3], x[:, 1::3]]), module(x))


@pytest.mark.parametrize("name", EXACT)
def test_streams_can_be_merged_in_any_order(build: Build, x: Tensor, name: str) -> None:
    module = build(name)
    start = module.init_state(2)
    a, b, c = (module.update(start, part) for part in chunks(x, [2, 4, 7]))
    left = module.merge(module.merge(a, b), module.merge(c, start))
    right = module.merge(c, module.merge(start, module.merge(b, a)))
    assert close(module.readout(left), module(x))
    assert close(module.readout(right), module(x))


@pytest.mark.parametrize("name", EXACT)
def test_the_gradient_of_the_stream_is_that_of_the_whole(build: Build, x: Tensor, name: str) -> None:
    module = build(name)

    def gradients(encode: Callable[[Tensor], Tensor]) -> list[Tensor]:
        leaf = x.clone().requires_grad_()
        out = encode(leaf)
        weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
        leaves = [leaf, *module.parameters()]
        grads = torch.autograd.grad((out * weights).sum(), leaves, allow_unused=True)
        return [torch.zeros_like(leaf) if grad is None else grad for grad, leaf in zip(grads, leaves, strict=True)]

    for stream, whole in zip(
        gradients(lambda leaf: encode_stream(module, chunks(leaf, [1, 5, 7]))), gradients(module), strict=True
    ):
        assert (stream - whole).abs().max() <= 1e-10 * max(1.0, float(whole.abs().max()))


@pytest.mark.parametrize("name", STREAMING)
def test_no_step_modifies_a_state_or_the_input(build: Build, x: Tensor, name: str) -> None:
    module = build(name)
    state = module.update(module.init_state(2), x[:, :5])
    state_before, x_before = clone(state), x.clone()
    module.update(state, x[:, 5:])
    module.readout(state)
    module.merge(state, state)
    assert all(torch.equal(a, b) for a, b in zip(tensors(state), tensors(state_before), strict=True))
    assert torch.equal(x, x_before)


def encode_empty(module: Any, x: Tensor) -> Tensor | None:
    """Return the encoding of an empty set, or None if the encoder rejects empty sets with a message."""
    try:
        out: Tensor = module(x[:, :0])
    except ValueError as error:
        if "empty set" in str(error):
            return None
        raise
    return out


@pytest.mark.parametrize("name", BUILT_IN)
def test_an_empty_set_is_a_finite_value_or_a_clear_error(build: Build, x: Tensor, name: str) -> None:
    module = build(name)
    out = encode_empty(module, x)
    assert out is None or (out.shape == module(x).shape and bool(out.isfinite().all()))


@pytest.mark.parametrize("name", [name for name in BUILT_IN if takes_mask(build_from_spec(get_spec(name), dim_in=3))])
class TestMask:
    @pytest.mark.parametrize("junk", [1e6, float("nan"), float("inf")])
    def test_masked_elements_have_no_influence(self, build: Build, x: Tensor, name: str, junk: float) -> None:
        module = build(name)
        mask = torch.ones(2, 13, dtype=torch.bool)
        mask[0, 9:] = False
        mask[1, ::2] = False
        padded = torch.where(mask.unsqueeze(-1), x, junk)
        out = module(padded, mask)
        assert close(out[:1], module(x[:1, :9]))
        assert close(out[1:], module(x[1:, 1::2]))

    def test_a_set_masked_entirely_is_an_empty_set(self, build: Build, x: Tensor, name: str) -> None:
        module = build(name)
        mask = torch.ones(2, 13, dtype=torch.bool)
        mask[0] = False
        empty = encode_empty(module, x)
        if empty is None:
            with pytest.raises(ValueError, match="empty set"):
                module(x, mask)
        else:
            assert torch.equal(module(x, mask)[0], empty[0])

    def test_gradients_with_a_mask_are_finite(self, build: Build, x: Tensor, name: str) -> None:
        module = build(name)
        mask = torch.ones(2, 13, dtype=torch.bool)
        mask[:, 1:] = False
        leaf = torch.where(mask.unsqueeze(-1), x, torch.nan).requires_grad_()
        module(leaf, mask).sum().backward()
        assert leaf.grad is not None
        assert leaf.grad[mask].isfinite().all()
        assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_nonfinite_element_reaches_no_other_set_and_a_nan_reaches_its_own(
    build: Build, x: Tensor, name: str, bad: float
) -> None:
    module = build(name)
    corrupted = x.clone()
    corrupted[0, 4, 1] = bad
    out = module(corrupted)
    if math.isnan(bad):
        assert not out[0].isfinite().all()
    assert close(out[1], module(x)[1])


@pytest.mark.parametrize("name", BUILT_IN)
def test_in_eval_the_same_input_gives_the_same_output_and_leaves_the_random_state_alone(
    build: Build, x: Tensor, name: str
) -> None:
    module = build(name)
    before = torch.get_rng_state()
    first = module(x)
    module(-x)
    assert torch.equal(module(x), first)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", BUILT_IN)
def test_an_encoding_depends_neither_on_neighbours_nor_on_their_number(build: Build, x: Tensor, name: str) -> None:
    module = build(name)
    neighbours = torch.cat([1000 * x, x])
    assert close(module(neighbours)[2:], module(x))
    assert close(module(x[:1]), module(x)[:1])


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_output_has_the_dtype_of_the_parameters(build: Build, x: Tensor, name: str) -> None:
    module = build(name).float()
    assert module(x.float()).dtype == torch.float32
    assert module.bfloat16()(x.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("name", INCONSISTENT)
def test_an_encoder_declared_inconsistent_is_inconsistent(build: Build, x: Tensor, name: str) -> None:
    from mbcbench.protocol.encoder import ChunkAggregation

    module = build(name)
    parts = chunks(x, [1, 5, 7])
    if name in STREAMING:
        assert not close(encode_stream(module, parts), module(x), 1e-6)
    else:
        for g in ("sum", "mean", "max", "min"):
            assert not close(encode_stream(ChunkAggregation(module, g), parts), module(x), 1e-6)
