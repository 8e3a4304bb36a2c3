"""Triton kernels of the weighted sum: `triton_attention.py` launches them, `fused_attention.py` says what they compute.

`K` slots and the `D` scalars of an element are padded to powers of two, `BK` and `BD`; elements are read in tiles,
`BN x BD`. P, its gradient and the sums have `W` columns, one more than elements if there is a bias.
"""

import triton
import triton.language as tl


@triton.jit
def _load_tile(x, mask, start, stop, stride, MASKED: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, BN: tl.constexpr):
    """Return the elements of a set from `start` on in float32, `BN x BD`, and which of them are present.

    Absent elements are zeros; their memory is not read.
    """
    rows, columns = start + tl.arange(0, BN), tl.arange(0, BD)
    present = rows < stop
    if MASKED:
        present = present & (tl.load(mask + rows, mask=present, other=0) != 0)
    place = x + rows.to(tl.int64)[:, None] * stride + columns[None, :]
    return tl.load(place, mask=present[:, None] & (columns < D)[None, :], other=0.0).to(tl.float32), present


@triton.jit
def _load_slots(P, K, W: tl.constexpr, D: tl.constexpr, BK: tl.constexpr, BD: tl.constexpr):
    """Return the first D of W columns, `BK x BD`, and the last, `BK x 1`; zeros where there is no slot."""
    slots, columns = tl.arange(0, BK), tl.arange(0, BD)
    is_slot = (slots < K)[:, None]
    Q = tl.load(P + slots[:, None] * W + columns[None, :], mask=is_slot & (columns < D)[None, :], other=0.0)
    b = tl.load(P + slots[:, None] * W + W - 1, mask=is_slot, other=0.0)
    return Q, b


@triton.jit
def _store_sums(sums, place, U, u, K, W: tl.constexpr, D: tl.constexpr, BK: tl.constexpr, BD: tl.constexpr):
    """Store the sums of one program: U in the first D of W columns, and u in the last if there is one more."""
    slots, columns = tl.arange(0, BK), tl.arange(0, BD)
    row = sums + place.to(tl.int64) * K * W + slots * W
    tl.store(row[:, None] + columns[None, :], U, mask=(slots < K)[:, None] & (columns < D)[None, :])
    if W > D:
        tl.store(row + D, u, mask=slots < K)


@triton.jit
def _product(A, B, PRECISION: tl.constexpr, M: tl.constexpr, R: tl.constexpr, N: tl.constexpr):
    """Return A B, `M x N`, of `M x R` and `R x N`.

    Without tensor cores a thread holds its rows of A and columns of B in registers: too many, unless R is divided.
    """
    if PRECISION == "ieee" and R > 16:
        A = tl.permute(tl.reshape(A, [M, R // 16, 16]), [1, 0, 2])
        B = tl.reshape(B, [R // 16, 16, N])
        C = tl.sum(tl.dot(A, B, input_precision="ieee"), 0)
    else:
        C = tl.dot(A, B, input_precision=PRECISION)
    return C


@triton.jit
def _weights(M, is_slot, SOFTMAX: tl.constexpr, EPSILON: tl.constexpr):
    """Return the weights over slots, `BK x BN`, the sigmoids (or exponentials) of the logits, and the normalisers."""
    if SOFTMAX:
        M = tl.where(is_slot, M, float("-inf"))
        S = tl.exp(M - tl.max(M, 0)[None, :])
        A = S
    else:
        S = tl.sigmoid(M)
        A = tl.where(is_slot, S + EPSILON, 0.0)
    total = tl.sum(A, 0)[None, :]
    return A / total, S, total


# Sizes may change with every chunk, so kernels are not specialised to them.
# fmt: off
@triton.jit(do_not_specialize=["n", "K", "parts", "span"])
def forward(
    x, P, mask, sums, n, K, parts, span, x_set, x_row,
    W: tl.constexpr, D: tl.constexpr, MASKED: tl.constexpr, SOFTMAX: tl.constexpr, EPSILON: tl.constexpr,
    PRECISION: tl.constexpr, BK: tl.constexpr, BD: tl.constexpr, BN: tl.constexpr,
):
    """Add up the elements times their weights over one part, `span` elements, of one set.

    The next tile is requested before this one is used, so that memory is never idle.
    """
    # fmt: on
    program = tl.program_id(0)
    index, part = (program // parts).to(tl.int64), program % parts
    x, P, mask = x + index * x_set, P + index * K * W, mask + index * n
    is_slot = (tl.arange(0, BK) < K)[:, None]
    Q, b = _load_slots(P, K, W, D, BK, BD)
    U, u = tl.zeros([BK, BD], tl.float32), tl.zeros([BK], tl.float32)
    first, stop = part * span, tl.minimum(n, (part + 1) * span)
    coming, is_coming = _load_tile(x, mask, first, stop, x_row, MASKED, D, BD, BN)
    for start in range(first, stop, BN):
        X, present = coming, is_coming
        coming, is_coming = _load_tile(x, mask, start + BN, stop, x_row, MASKED, D, BD, BN)
        M = _product(Q, tl.trans(X), PRECISION, BK, BD, BN)
        if W > D:
            M += b
        weights, _, _ = _weights(M, is_slot, SOFTMAX, EPSILON)
        U += _product(weights, X, PRECISION, BK, BN, BD)
        if W > D:
            u += tl.sum(tl.where(present[None, :], weights, 0.0), 1)
    _store_sums(sums, program, U, u, K, W, D, BK, BD)


# fmt: off
@triton.jit(do_not_specialize=["n", "K", "parts", "span"])
def backward(
    x, P, mask, sums, dU, dx, n, K, parts, span, x_set, x_row,
    W: tl.constexpr, D: tl.constexpr, MASKED: tl.constexpr, SOFTMAX: tl.constexpr, EPSILON: tl.constexpr,
    NEEDS_DX: tl.constexpr, PRECISION: tl.constexpr, BK: tl.constexpr, BD: tl.constexpr, BN: tl.constexpr,
):
    """Add up the gradient for P over one part of one set; write the gradient for its elements if NEEDS_DX.

    With dW = dU [X 1]^T, the rule gives the gradient dM for the logits; then dP = dM [X 1] and dX = W^T dU + dM^T P.
    """
    # fmt: on
    program = tl.program_id(0)
    index, part = (program // parts).to(tl.int64), program % parts
    x, P, mask = x + index * x_set, P + index * K * W, mask + index * n
    dU, dx = dU + index * K * W, dx + index * n * D
    is_slot, columns = (tl.arange(0, BK) < K)[:, None], tl.arange(0, BD)
    Q, b = _load_slots(P, K, W, D, BK, BD)
    dQ, db = _load_slots(dU, K, W, D, BK, BD)
    G, g = tl.zeros([BK, BD], tl.float32), tl.zeros([BK], tl.float32)
    first, stop = part * span, tl.minimum(n, (part + 1) * span)
    coming, is_coming = _load_tile(x, mask, first, stop, x_row, MASKED, D, BD, BN)
    for start in range(first, stop, BN):
        X, present = coming, is_coming
        coming, is_coming = _load_tile(x, mask, start + BN, stop, x_row, MASKED, D, BD, BN)
        M = _product(Q, tl.trans(X), PRECISION, BK, BD, BN)
        dW = _product(dQ, tl.trans(X), PRECISION, BK, BD, BN)
        if W > D:
            M += b
            dW += db
        weights, S, total = _weights(M, is_slot, SOFTMAX, EPSILON)
        dM = dW - tl.sum(weights * dW, 0)[None, :]
        if SOFTMAX:
            dM = weights * dM
        else:
            dM = tl.where(is_slot, dM / total * S * (1 - S), 0.0)
        G += _product(dM, X, PRECISION, BK, BN, BD)
        if W > D:
            g += tl.sum(tl.where(present[None, :], dM, 0.0), 1)
        if NEEDS_DX:
            dX = _product(tl.trans(weights), dQ, PRECISION, BN, BK, BD)
            dX += _product(tl.trans(dM), Q, PRECISION, BN, BK, BD)
            rows = start + tl.arange(0, BN)
            place = dx + rows.to(tl.int64)[:, None] * D + columns[None, :]
            dX = tl.where(present[:, None], dX, 0.0).to(dx.dtype.element_ty)
            tl.store(place, dX, mask=(rows < stop)[:, None] & (columns < D)[None, :])
    _store_sums(sums, program, G, g, K, W, D, BK, BD)
