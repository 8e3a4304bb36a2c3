"""The Slot Set Encoder without keys and values equals its equations as they are written."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mbcbench.encoders.nn import argmax_pooling, blocks, fused_attention
from mbcbench.streaming.threads import torch_threads
from tests.encoders.conftest import Build

AGGREGATIONS = ["sum", "mean", "max", "min"]
BLOCK = 2**9


@pytest.fixture(params=[(2, 0), (5, 0), (32, 10**6)], ids=["small tiles", "larger tiles", "no tiles"])
def small_blocks(build: Build, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Make blocks so small that a set of thirteen elements needs several, and search them with and without tiles."""
    monkeypatch.setattr(blocks, "BLOCK_SCALARS", BLOCK)
    for name, value in zip(("TILE_ELEMENTS", "MIN_TILED_ELEMENTS"), request.param, strict=True):
        monkeypatch.setattr(argmax_pooling, name, value)


def encoder(build: Build, **hyper: Any) -> Any:
    return build("sse-random", num_slots=3, dim=5, slot_dim=4, **hyper)


def elements(n: int, sets: int = 2) -> Tensor:
    return torch.randn(sets, n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(n))


def results(module: Any, x: Tensor, mask: Tensor | None, *, directly: bool) -> list[Tensor]:
    """Return the aggregate of `x`, and its gradients with respect to `x` and all parameters."""
    leaf = x.clone().requires_grad_()
    slots = module.init_state(len(x)).slots
    out = (module.aggregate_elements_directly if directly else module.aggregate_elements)(slots, leaf, mask)
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    inputs = [leaf, *module.parameters()]
    grads = torch.autograd.grad((out * weight).nan_to_num(posinf=0, neginf=0).sum(), inputs, allow_unused=True)
    return [out, *(torch.zeros_like(t) if grad is None else grad for grad, t in zip(grads, inputs, strict=True))]


def assert_equal(actual: list[Tensor], expected: list[Tensor]) -> None:
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("attention", ["sigmoid", "softmax"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("g", AGGREGATIONS)
@pytest.mark.parametrize("n", [1, 30, 100])
@pytest.mark.usefixtures("small_blocks")
def test_encoding_and_gradients_are_those_of_the_direct_formula(
    build: Build, n: int, g: str, masked: bool, bias: bool, attention: str
) -> None:
    module = encoder(build, aggregate=g, bias=bias, attention=attention)
    x = elements(n)
    mask = torch.rand(2, n, generator=torch.Generator().manual_seed(1)) < 0.6 if masked else None
    assert_equal(results(module, x, mask, directly=False), results(module, x, mask, directly=True))


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("g", AGGREGATIONS)
@pytest.mark.usefixtures("small_blocks")
def test_threads_that_share_larger_blocks_get_the_same_result(build: Build, g: str, threads: int) -> None:
    module, x = encoder(build, aggregate=g), elements(2000)
    expected = results(module, x, None, directly=False)
    with torch_threads(threads):
        assert blocks.block_scalars(x.device) == threads * BLOCK
        assert_equal(results(module, x, None, directly=False), expected)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("sets", "n"), [(1, 1000), (1, 1001), (2, 1000), (2, 1001)])
@pytest.mark.usefixtures("small_blocks")
def test_more_threads_than_sets_get_the_same_result(build: Build, sets: int, n: int, masked: bool) -> None:
    module, x = encoder(build, aggregate="sum", bias=True), elements(n, sets)
    mask = torch.rand(sets, n, generator=torch.Generator().manual_seed(1)) < 0.6 if masked else None
    expected = results(module, x, mask, directly=False)
    with torch_threads(4):
        assert_equal(results(module, x, mask, directly=False), expected)


@pytest.mark.usefixtures("small_blocks")
def test_threads_share_sets_that_are_strided_in_memory(build: Build) -> None:
    module, x = encoder(build, aggregate="sum"), elements(2000).transpose(0, 1).contiguous().transpose(0, 1)
    expected = results(module, x, None, directly=False)
    with torch_threads(4):
        assert_equal(results(module, x, None, directly=False), expected)


@pytest.mark.parametrize(
    ("sets", "n", "parts"),
    [
        (1, 8, [(0, 8, 4)]),
        (1, 9, [(0, 8, 4), (8, 9, 1)]),
        (1, 3, [(0, 3, 3)]),
        (2, 8, [(0, 8, 2)]),
        (2, 9, [(0, 9, 1)]),
    ],
)
def test_fewer_sets_than_threads_are_split_without_a_copy(sets: int, n: int, parts: list[tuple[int, int, int]]) -> None:
    x = elements(n, sets)
    with torch_threads(4):
        splits = list(blocks.split_among_threads(x))
    assert [(split.place.start, split.place.stop, split.parts) for split in splits] == parts
    assert all(split.view(x).data_ptr() == x[:, split.place].data_ptr() for split in splits)


def test_a_block_for_many_threads_is_limited() -> None:
    with torch_threads(64):
        assert blocks.block_scalars(torch.device("cpu")) * 4 <= 2**25  # bytes, in float32


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.usefixtures("small_blocks")
def test_gradients_of_bfloat16_elements_are_those_of_float32_rounded(build: Build, masked: bool) -> None:
    module, x = encoder(build).float(), elements(300).bfloat16()
    mask = torch.rand(2, 300, generator=torch.Generator().manual_seed(1)) < 0.6 if masked else None
    rounded, exact = (results(module, values, mask, directly=False)[1] for values in (x, x.float()))
    assert rounded.dtype is torch.bfloat16
    assert torch.equal(rounded, exact.bfloat16())


@pytest.mark.parametrize("attention", ["sigmoid", "softmax"])
@pytest.mark.parametrize(("slots", "width"), [(1, 3), (12, 3), (12, 20), (5, 20), (20, 12)])
@pytest.mark.usefixtures("small_blocks")
def test_few_and_many_slots_of_narrow_and_wide_elements_equal_the_direct_formula(
    build: Build, slots: int, width: int, attention: str
) -> None:
    module = build("sse-random", dim_in=width, num_slots=slots, dim=40, attention=attention)
    x = torch.randn(2, 60, width, dtype=torch.float64, generator=torch.Generator().manual_seed(slots))
    assert fused_attention.is_cheaper(60, width, slots, 40)
    assert_equal(results(module, x, None, directly=False), results(module, x, None, directly=True))


@pytest.mark.parametrize("g", AGGREGATIONS)
@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize("sets", [1, 200])
@pytest.mark.usefixtures("small_blocks")
def test_no_element_is_lost_at_the_edge_of_a_block(build: Build, g: str, more: int, sets: int) -> None:
    module = encoder(build, aggregate=g)
    widths = 3 + 3 if g in ("sum", "mean") else 3 + 2 * 5
    x = elements(BLOCK // widths + more, sets)
    assert_equal(results(module, x, None, directly=False), results(module, x, None, directly=True))


@pytest.mark.parametrize("junk", [float("nan"), float("inf")])
@pytest.mark.parametrize("g", AGGREGATIONS)
@pytest.mark.usefixtures("small_blocks")
def test_absent_elements_have_no_influence_in_any_block(build: Build, g: str, junk: float) -> None:
    module = encoder(build, aggregate=g, bias=True)
    x, mask = elements(100), torch.arange(100).expand(2, -1) % 3 > 0
    actual = results(module, torch.where(mask.unsqueeze(2), x, junk), mask, directly=False)
    assert_equal(actual, results(module, x, mask, directly=True))


@pytest.mark.parametrize("g", AGGREGATIONS)
@pytest.mark.usefixtures("small_blocks")
def test_a_nan_in_any_block_reaches_only_its_own_set(build: Build, g: str) -> None:
    module, x = encoder(build, aggregate=g), elements(300)
    corrupted = x.clone()
    corrupted[0, 250, 1] = torch.nan
    assert module(corrupted)[0].isnan().all()
    assert torch.equal(module(corrupted)[1], module(x)[1])


@pytest.mark.parametrize("attention", ["sigmoid", "softmax"])
@pytest.mark.usefixtures("small_blocks")
def test_second_derivatives_are_right_across_blocks(build: Build, attention: str) -> None:
    module, x = encoder(build, attention=attention), elements(60).requires_grad_()
    slots = module.init_state(2).slots.detach()

    def second_derivative(encode: Any) -> Tensor:
        (first,) = torch.autograd.grad(encode(slots, x).square().sum(), x, create_graph=True)
        return torch.autograd.grad(first.square().sum(), x)[0]

    torch.testing.assert_close(
        second_derivative(module.aggregate_elements),
        second_derivative(module.aggregate_elements_directly),
        rtol=1e-11,
        atol=1e-12,
    )


@pytest.mark.usefixtures("small_blocks")
def test_the_graph_saves_nothing_as_long_as_the_set_but_the_set(build: Build) -> None:
    module, x = encoder(build), elements(2000).requires_grad_()
    long_tensors: set[int] = set()

    def record(saved: Tensor) -> Tensor:
        if saved.data_ptr() != x.data_ptr() and saved.numel() >= 2000:
            long_tensors.add(saved.numel())
        return saved

    with torch.autograd.graph.saved_tensors_hooks(record, lambda saved: saved):
        module(x).sum().backward()
    assert not long_tensors


@pytest.mark.parametrize("g", AGGREGATIONS)
@pytest.mark.usefixtures("small_blocks")
def test_bfloat16_elements_are_encoded_as_precisely_as_their_values_in_float32(build: Build, g: str) -> None:
    module = encoder(build, aggregate=g)
    x = elements(300).bfloat16()
    exact, single = module(x.double()), module.float()(x.float())
    assert module(x).dtype is torch.float32
    assert (module(x) - exact).abs().max() <= (single - exact).abs().max() + 1e-12
    assert module.bfloat16().update(module.init_state(2), x).value.dtype is torch.float32


@pytest.mark.parametrize("g", AGGREGATIONS)
@pytest.mark.parametrize("n", [1, 1000])
@pytest.mark.usefixtures("small_blocks")
def test_autocast_does_not_make_an_aggregate_less_exact(build: Build, g: str, n: int) -> None:
    module, x = encoder(build, aggregate=g).float(), elements(n).float()
    slots = module.init_state(2).slots
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = module.aggregate_elements(slots, x)
    assert torch.equal(under_autocast, module.aggregate_elements(slots, x))


@pytest.mark.parametrize("n", [1, 300])
@pytest.mark.parametrize("g", AGGREGATIONS)
def test_elements_of_any_dtype_are_encoded(build: Build, g: str, n: int) -> None:
    module = encoder(build, aggregate=g)
    x = elements(n).bfloat16()
    torch.testing.assert_close(module(x), module(x.double()), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("n", "d", "slots", "dim"), [(9, 40, 30, 5), (1, 16, 8, 16), (5, 64, 32, 64)])
def test_keys_and_values_are_computed_if_that_takes_fewer_multiplications(
    build: Build, n: int, d: int, slots: int, dim: int
) -> None:
    assert not fused_attention.is_cheaper(n, d, slots, dim)
    module = build("sse-random", dim_in=d, num_slots=slots, dim=dim)
    x, S = torch.randn(2, n, d, dtype=torch.float64), module.init_state(2).slots
    assert torch.equal(module.aggregate_elements(S, x), module.aggregate_elements_directly(S, x))


def test_long_sets_are_fused_if_that_saves_work_per_element(build: Build) -> None:
    is_cheaper = fused_attention.is_cheaper
    assert all(is_cheaper(10_000, d, slots, 64) for d, slots in ((3, 16), (64, 1), (64, 32), (128, 64)))
    assert not is_cheaper(10_000, 1000, 64, 16)
