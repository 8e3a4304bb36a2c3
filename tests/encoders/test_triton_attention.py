"""The Triton kernels, run by Triton's interpreter, equal the weighted sum as the equations write it in float64."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from mbcbench.encoders.nn import blocks, fused_attention
from mbcbench.encoders.nn.slot_weights import SlotSigmoid, SlotSoftmax
from tests.encoders.conftest import Build

pytest.importorskip("triton")
if torch.cuda.is_available():
    pytest.skip("the kernels run on the device: tests/cuda", allow_module_level=True)

from mbcbench.encoders.nn import triton_attention
from tests.encoders.triton_checks import FLOAT32, assert_equals_the_formula, draw
from tests.encoders.triton_interpreter import accept_scalar_bounds

accept_scalar_bounds()

RULES = {"sigmoid": SlotSigmoid(), "softmax": SlotSoftmax()}
SHAPES = [(1, 3), (3, 3), (5, 20), (17, 16), (33, 40), (128, 64), (2, 256)]  # slots, width


@pytest.fixture(params=["highest", "high"])
def precision(request: pytest.FixtureRequest) -> Iterator[str]:
    """Tiles are shaped differently with and without tensor cores; the interpreter's products are float32 in both."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(request.param)
    yield request.param
    torch.set_float32_matmul_precision(before)


@pytest.fixture
def few_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of several tiles each."""
    monkeypatch.setattr(triton_attention, "H100_PROCESSORS", 3)
    monkeypatch.setattr(triton_attention, "WAVES", 1)


@pytest.fixture
def kernels(few_processors: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoders use the kernels on the CPU, however small the set."""
    monkeypatch.setattr(blocks, "BLOCK_SCALARS", 1)
    monkeypatch.setattr(fused_attention, "_triton_for", lambda *args: triton_attention)


@pytest.mark.parametrize(("slots", "width"), SHAPES)
@pytest.mark.parametrize("bias", [0, 1])
@pytest.mark.usefixtures("few_processors", "precision")
def test_sum_and_gradients_are_those_of_the_formula(slots: int, width: int, bias: int) -> None:
    x, P = draw(2, 70, width), draw(2, slots, width + bias) / width**0.5
    mask = torch.rand(2, 70, generator=torch.Generator().manual_seed(2)) < 0.6 if bias else None
    assert_equals_the_formula(x, P, RULES["softmax" if slots % 2 else "sigmoid"], mask)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("bias", [0, 1])
@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("n", [1, 16, 33])
@pytest.mark.usefixtures("few_processors")
def test_both_rules_agree_with_the_formula_at_the_edges_of_a_tile(
    rule: str, bias: int, is_masked: bool, n: int
) -> None:
    x, P = draw(3, n, 5), draw(3, 3, 5 + bias)
    mask = torch.arange(n).expand(3, -1) % 3 != 1 if is_masked else None
    assert_equals_the_formula(x, P, RULES[rule], mask)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.usefixtures("few_processors", "precision")
def test_elements_of_half_precision_are_summed_in_float32(dtype: torch.dtype) -> None:
    assert_equals_the_formula(draw(2, 40, 20).to(dtype), draw(2, 5, 20) / 5, SlotSigmoid(), None)


@pytest.mark.usefixtures("few_processors")
def test_chunks_of_a_longer_set_and_transposed_elements_are_read_where_they_lie() -> None:
    long = draw(2, 90, 20)
    P = draw(2, 5, 21) / 5
    assert_equals_the_formula(long[:, 7:60], P, SlotSigmoid(), None)
    assert_equals_the_formula(draw(2, 20, 53).transpose(1, 2), P, SlotSigmoid(), None)


@pytest.mark.parametrize("junk", [float("nan"), float("inf")])
@pytest.mark.usefixtures("few_processors")
def test_absent_elements_are_not_read(junk: float) -> None:
    x, P, mask = draw(2, 40, 6), draw(2, 3, 7), torch.arange(40).expand(2, -1) % 3 > 0
    spoiled = torch.where(mask.unsqueeze(2), x, junk)
    expected = triton_attention.weighted_sum(x, P, SlotSigmoid(), mask)
    assert torch.equal(triton_attention.weighted_sum(spoiled, P, SlotSigmoid(), mask), expected)
    dx, dP = triton_attention.weighted_sum_backward(spoiled, P, SlotSigmoid(), mask, expected, needs_dx=True)
    assert dx is not None
    assert dx[~mask].eq(0).all()
    assert dP.isfinite().all()


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # the interpreter computes in NumPy
@pytest.mark.usefixtures("few_processors")
def test_a_nan_reaches_its_own_set_alone() -> None:
    x, P = draw(2, 70, 6), draw(2, 3, 6)
    spoiled = x.clone()
    spoiled[0, 65, 1] = torch.nan
    out = triton_attention.weighted_sum(spoiled, P, SlotSoftmax(), None)
    assert out[0].isnan().all()
    assert torch.equal(out[1], triton_attention.weighted_sum(x, P, SlotSoftmax(), None)[1])


@pytest.mark.parametrize("attention", ["sigmoid", "softmax"])
@pytest.mark.usefixtures("kernels")
def test_encoding_and_gradients_by_the_kernels_are_those_of_the_direct_formula(build: Build, attention: str) -> None:
    module = build("sse-random", num_slots=3, dim=5, slot_dim=4, bias=True, attention=attention)
    x, slots = draw(2, 50, 3).double(), module.init_state(2).slots.detach()

    def results(module: Any, x: Tensor, *, directly: bool) -> list[Tensor]:
        leaf = x.clone().requires_grad_()
        out = (module.aggregate_elements_directly if directly else module.aggregate_elements)(slots.to(x.dtype), leaf)
        weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
        leaves = [leaf, *module.k.parameters(), *module.v.parameters(), *module.q.parameters()]
        return [out, *torch.autograd.grad((out * weight).sum(), leaves)]

    expected = results(module, x, directly=True)
    actual = results(module.float(), x.float(), directly=False)
    largest = max(float(w.detach().abs().max()) for w in expected)
    for a, b in zip(actual, expected, strict=True):
        assert (a.detach() - b.detach()).abs().max() <= FLOAT32 * largest


def test_a_launch_covers_every_element_once() -> None:
    for kernel in ("forward", "backward"):
        for n in (1, 15, 16, 17, 1000, 123_457):
            for K, d in ((1, 3), (16, 128), (128, 32)):
                for precision in ("ieee", "tf32x3", "tf32"):
                    plan = triton_attention.launch_plan(kernel, (2, n, d), K, precision, 132)
                    assert (plan.parts - 1) * plan.span < n <= plan.parts * plan.span
                    assert plan.span % plan.BN == 0


@pytest.mark.parametrize(
    ("slots", "width", "dtype", "kernels"),
    [
        (16, 128, torch.float32, ["forward", "backward"]),
        (128, 128, torch.float32, ["forward"]),
        (129, 3, torch.float32, []),
        (1, 300, torch.float32, []),
        (16, 128, torch.float64, []),
    ],
)
def test_what_does_not_fit_is_left_to_blocks(slots: int, width: int, dtype: torch.dtype, kernels: list[str]) -> None:
    x, P = torch.empty(1, 4, width, dtype=dtype), torch.empty(1, slots, width, dtype=dtype)
    supported = [k for k in ("forward", "backward") if triton_attention.supports(k, x, P, SlotSigmoid())]
    assert supported == kernels


def test_kernels_are_chosen_on_cuda_alone_and_can_be_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(device: str) -> bool:
        x, P = torch.empty(1, 10, 8, device=device), torch.empty(1, 4, 8, device=device)
        return fused_attention._triton_for("forward", x, P, SlotSigmoid()) is not None

    with FakeTensorMode():
        assert (chosen("cpu"), chosen("cuda")) == (False, True)
        monkeypatch.setenv("MBCBENCH_TRITON", "0")
        fused_attention._has_triton.cache_clear()
        assert not chosen("cuda")
    monkeypatch.undo()
    fused_attention._has_triton.cache_clear()


def test_memory_of_a_launch_is_known_without_numbers() -> None:
    with FakeTensorMode(), torch.no_grad():
        x, P = torch.empty(2, 10_000, 64, device="cuda"), torch.empty(2, 16, 65, device="cuda")
        out = fused_attention.fused_weighted_sum(x, P, SlotSigmoid())
        dx, dP = triton_attention.weighted_sum_backward(x, P, SlotSigmoid(), None, out, needs_dx=True)
    assert dx is not None
    assert (out.shape, dx.shape, dP.shape) == (P.shape, x.shape, P.shape)
    assert {t.device.type for t in (out, dx, dP)} == {"cuda"}


@pytest.mark.slow
def test_the_kernels_compile_for_an_h100_and_fit_into_it() -> None:
    """By the compiler of Triton, which needs no device; once for sets of all lengths."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    script = Path(__file__).with_name("compile_kernels.py")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    kernels = [json.loads(line) for line in done.stdout.splitlines()]
    assert kernels
    assert all(kernel["shared_bytes"] <= 227 * 1024 for kernel in kernels), kernels
    assert all(kernel["variants"] <= 2 for kernel in kernels), kernels
