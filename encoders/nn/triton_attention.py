"""The weighted sums of `fused_attention.py` by Triton: one pass over the elements, forward and backward.

A program reads one part of a set in tiles. For each tile it computes the logits, turns them into weights over slots and
adds the product with the tile to sums in registers: flash attention with one tensor in place of keys and values. It
writes its sums to a place of its own, and torch adds them up, so results do not depend on the order of programs.

Products are float32 in IEEE arithmetic. `torch.set_float32_matmul_precision` allows less: `high` computes each product
by three TF32 products on tensor cores, which loses two of float32's 24 bits; `medium` uses one, which loses 13.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from . import triton_kernels
from .slot_weights import AttentionRule, SlotSigmoid, SlotSoftmax

PRECISIONS = {"highest": "ieee", "high": "tf32x3", "medium": "tf32"}
TENSOR_CORE = 16  # rows and columns of the smallest product on tensor cores
MAX_SLOTS, MAX_WIDTH = 128, 256
MAX_SCALARS = {"forward": 2**14, "backward": 2**12}  # padded slots times width: more do not fit into shared memory
SMALL_SUMS = 2**12  # scalars: a processor runs several programs whose sums are no larger
WAVES = 4  # such programs per processor
H100_PROCESSORS = 132


class LaunchPlan(NamedTuple):
    """Sizes of a launch: a program's tile (`BK` slots, `BN` elements of `BD` scalars), its warps, its part of a set."""

    BK: int
    BD: int
    BN: int
    warps: int
    parts: int
    span: int


def supports(kernel: str, x: Tensor, P: Tensor, rule: AttentionRule) -> bool:
    """Return True if `kernel`, forward or backward, takes tensors of these types and sizes."""
    K, d = P.shape[1], x.shape[2]
    return (
        P.dtype is torch.float32
        and x.dtype in (torch.float32, torch.bfloat16, torch.float16)
        and isinstance(rule, SlotSigmoid | SlotSoftmax)
        and K <= MAX_SLOTS
        and d <= MAX_WIDTH
        and _padded(K, TENSOR_CORE) * _padded(d, TENSOR_CORE) <= MAX_SCALARS[kernel]
    )


def weighted_sum(x: Tensor, P: Tensor, rule: AttentionRule, mask: Tensor | None) -> Tensor:
    """Return W^T [X 1], `B x K x d` or `B x K x (d+1)` as `P` is, without a graph."""
    x, P = _by_rows(x), P.contiguous()
    plan = launch_plan("forward", x.shape, P.shape[1], _precision(), _processors(x))
    sums = P.new_empty(len(x), plan.parts, *P.shape[1:])
    _launch("forward", plan, (x, P, _mask(mask, x), sums), rule, is_masked=mask is not None)
    return sums.sum(1)


def weighted_sum_backward(
    x: Tensor, P: Tensor, rule: AttentionRule, mask: Tensor | None, dU: Tensor, *, needs_dx: bool
) -> tuple[Tensor | None, Tensor]:
    """Return the gradients for `x`, if it is needed, and for `P` from the gradient for the weighted sum."""
    x, P = _by_rows(x), P.contiguous()
    plan = launch_plan("backward", x.shape, P.shape[1], _precision(), _processors(x))
    sums = P.new_empty(len(x), plan.parts, *P.shape[1:])
    dx = x.new_empty(x.shape) if needs_dx else None
    tensors = (x, P, _mask(mask, x), sums, dU.contiguous(), x if dx is None else dx)
    _launch("backward", plan, tensors, rule, is_masked=mask is not None, NEEDS_DX=needs_dx)
    return dx, sums.sum(1)


def launch_plan(kernel: str, shape: tuple[int, ...], K: int, precision: str, processors: int) -> LaunchPlan:
    """Return the sizes of a launch for sets of this shape (`B x n x d`).

    A tile is the largest for which an H100 has enough registers, so that the compiler spills few or none.
    """
    B, n, d = shape
    is_exact = precision == "ieee"
    BK = _padded(K, 1 if is_exact and kernel == "forward" else TENSOR_CORE)
    BD = _padded(d, TENSOR_CORE)
    if is_exact:
        BN, warps = 16, min(16, max(4, BK * BD // (512 if kernel == "forward" else 256)))
    else:
        BN, warps = 32, 4 if BK < 128 and BD < 256 else 8
    programs = max(1, processors * (WAVES if BK * BD <= SMALL_SUMS else 1) // B)
    tiles = -(-n // BN)
    span = -(-tiles // min(tiles, programs)) * BN
    return LaunchPlan(BK, BD, BN, warps, -(-n // span), span)


def _launch(
    kernel: str, plan: LaunchPlan, tensors: tuple[Tensor, ...], rule: AttentionRule, *, is_masked: bool, **flags: bool
) -> None:
    x, P = tensors[:2]
    if isinstance(x, FakeTensor):  # a prediction of memory needs no numbers, and the results are allocated already
        return
    B, n, d = x.shape
    K, W = P.shape[1:]
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        getattr(triton_kernels, kernel)[(B * plan.parts,)](
            *tensors, n, K, plan.parts, plan.span, x.stride(0), x.stride(1),
            W=W, D=d, MASKED=is_masked, SOFTMAX=isinstance(rule, SlotSoftmax), EPSILON=SlotSigmoid.epsilon,
            PRECISION=_precision(), BK=plan.BK, BD=plan.BD, BN=plan.BN, num_warps=plan.warps, num_stages=1, **flags,
        )  # fmt: skip


def _precision() -> str:
    try:
        return PRECISIONS[torch.get_float32_matmul_precision()]
    except RuntimeError:  # torch raises if its newer names have set the precision
        return PRECISIONS["highest"]


def _padded(number: int, least: int) -> int:
    """Return the next power of two, or `least` if that is larger."""
    return max(least, 1 << (number - 1).bit_length())


def _by_rows(x: Tensor) -> Tensor:
    """Return `x` with the scalars of an element side by side, as they are in a chunk of a longer set."""
    return x if x.stride(2) == 1 else x.contiguous()


def _mask(mask: Tensor | None, x: Tensor) -> Tensor:
    """Return the mask; without a mask, return any tensor, which is not read."""
    return x if mask is None else mask.contiguous()


def _processors(x: Tensor) -> int:
    if not x.is_cuda or isinstance(x, FakeTensor):
        return H100_PROCESSORS
    return torch.cuda.get_device_properties(x.device).multi_processor_count
