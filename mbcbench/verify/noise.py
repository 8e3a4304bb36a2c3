"""Noisy arithmetic: rounding of the operations themselves, made random.

Perturbed inputs and parameters do not show the digits that an intermediate result loses: where `h` is saturated,
`h - mean(h)` is zero for all of them, and one epsilon of `h` in the computation. Here every operation that rounds is
disturbed by a random relative error (Monte Carlo arithmetic; Parker, 1997), so that the loss scales with the largest
intermediate result.

Sums, products and quotients do not round whole numbers, so these are not disturbed: a count of 8 elements that a stream
keeps as a float must not become 7.999, fewer than the encoder admits.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mbcbench.verify.dispatch import DispatchMode, operation_name

NOISE = 2 * torch.finfo(torch.float64).eps

# Operations that only select, move, compare or create numbers, without rounding.
_EXACT = frozenset(
    {
        "_to_copy", "_unsafe_view", "abs", "amax", "amin", "arange", "argmax", "bernoulli", "cat", "clamp", "clamp_max",
        "clamp_min", "clone", "constant_pad_nd", "copy_", "cummax", "cummin", "embedding", "empty", "empty_like", "eye",
        "fill_", "flip", "full", "full_like", "gather", "index", "index_put", "index_put_", "index_select", "isnan",
        "lift_fresh", "masked_fill", "masked_fill_", "max", "maximum", "min", "minimum", "neg", "new_empty", "new_full",
        "new_ones", "new_zeros", "normal_", "ones", "ones_like", "rand", "randn", "relu", "relu_", "repeat", "roll",
        "round", "floor", "ceil", "trunc", "scalar_tensor", "scatter", "select_backward", "sign", "slice_backward",
        "sort", "stack", "threshold_backward", "topk", "tril", "triu", "uniform_", "where", "zero_", "zeros",
        "zeros_like", "_local_scalar_dense", "new_empty_strided", "empty_strided", "rand_like", "randn_like",
    }
)  # fmt: skip
# Operations that add many numbers: each of them is rounded where partial sums are as large as the number.
_REDUCING = frozenset(
    {
        "addmm", "baddbmm", "bmm", "cumsum", "dot", "index_add", "linalg_vector_norm", "logcumsumexp", "logsumexp",
        "mean", "mm", "mv", "native_layer_norm", "scatter_add", "std", "sum", "var", "var_mean",
    }
)  # fmt: skip
# Operations whose result is not rounded if it is a whole number.
_ARITHMETIC = frozenset(
    {
        "add", "add_", "addmm", "baddbmm", "bmm", "cumsum", "div", "div_", "dot", "index_add", "mean", "mm", "mul",
        "mul_", "mv", "rsub", "scatter_add", "sub", "sub_", "sum",
    }
)  # fmt: skip
_LARGEST_WHOLE = 2.0**31  # larger numbers have few digits or none after the point, so that being whole says nothing


class NoisyArithmetic(DispatchMode):
    """Disturb the result of every operation that rounds by a random relative error.

    Parameters
    ----------
    seed
        Seed of the errors.
    relative
        Largest relative error.
    """

    def __init__(self, seed: int, relative: float = NOISE) -> None:
        super().__init__()
        self._relative = relative
        self._generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call one operation, with noise."""
        operation = operation_name(func)
        spares_whole = operation in _ARITHMETIC
        if operation in _REDUCING:
            args = tuple(a * self._factors(a, spares_whole) if _rounds(a) else a for a in args)
        result = func(*args, **(kwargs or {}))
        if operation in _EXACT:
            return result
        results = result if isinstance(result, tuple | list) else (result,)
        for tensor, returned in zip(results, _returns(func), strict=False):
            is_view = returned.alias_info is not None and not returned.alias_info.is_write
            if _rounds(tensor) and not is_view:
                tensor.mul_(self._factors(tensor, spares_whole))
        return result

    def _factors(self, tensor: Tensor, spares_whole: bool) -> Tensor:
        errors = torch.rand(tensor.shape, generator=self._generator, dtype=tensor.dtype) * 2 - 1
        if spares_whole:
            errors[(tensor == tensor.round()) & (tensor.abs() <= _LARGEST_WHOLE)] = 0
        return 1 + self._relative * errors


def _returns(func: Any) -> Sequence[Any]:
    schema: Any = func._schema
    returns: Sequence[Any] = schema.returns
    return returns


def _rounds(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.float64 and value.device.type == "cpu"
