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
        "_local_scalar_dense", "_to_copy", "_unique2", "_unsafe_view", "abs", "abs_", "adaptive_max_pool2d",
        "adaptive_max_pool3d", "amax", "amin", "aminmax", "arange", "argmax", "bernoulli", "cat", "ceil", "clamp",
        "clamp_", "clamp_max", "clamp_max_", "clamp_min", "clamp_min_", "clone", "constant_pad_nd", "copy_", "cummax",
        "cummin", "diag_embed", "diagonal_scatter", "embedding", "empty", "empty_like", "empty_strided", "eye", "fill",
        "fill_", "flip", "floor", "fmod", "full", "full_like", "gather", "hardtanh", "hardtanh_", "heaviside", "index",
        "index_copy", "index_copy_", "index_fill", "index_fill_", "index_put", "index_put_", "index_select", "isnan",
        "kthvalue", "lift_fresh", "masked_fill", "masked_fill_", "masked_scatter", "masked_scatter_", "masked_select",
        "max", "max_pool2d_with_indices", "max_pool3d_with_indices", "maximum", "median", "min", "minimum", "mode",
        "nan_to_num", "nan_to_num_", "nanmedian", "neg", "neg_", "new_empty", "new_empty_strided", "new_full",
        "new_ones", "new_zeros", "normal_", "ones", "ones_like", "rand", "rand_like", "randn", "randn_like",
        "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "relu", "relu_", "repeat", "replication_pad1d",
        "replication_pad2d", "replication_pad3d", "roll", "round", "scalar_tensor", "scatter", "scatter_",
        "select_backward", "select_scatter", "sgn", "sign", "slice_backward", "slice_scatter", "sort", "stack", "take",
        "threshold", "threshold_backward", "topk", "tril", "triu", "trunc", "uniform_", "unique_consecutive",
        "unique_dim", "unsafe_chunk", "unsafe_split", "unsafe_split_with_sizes", "where", "zero_", "zeros",
        "zeros_like",
    }
)  # fmt: skip
# Operations that add many numbers: each of them is rounded where partial sums are as large as the number.
_REDUCING = frozenset(
    {
        "addbmm", "addmm", "addmv", "baddbmm", "bincount", "bmm", "cumsum", "cumsum_", "dot", "index_add", "index_add_",
        "linalg_vector_norm", "logcumsumexp", "logsumexp", "mean", "mm", "mv", "nansum", "native_group_norm",
        "native_layer_norm", "scatter_add", "scatter_add_", "scatter_reduce", "scatter_reduce_", "std", "sum", "var",
        "var_mean",
    }
)  # fmt: skip
# Operations whose result is not rounded if it is a whole number.
_ARITHMETIC = frozenset(
    {
        "add", "add_", "addbmm", "addcmul", "addcmul_", "addmm", "addmv", "baddbmm", "bincount", "bmm", "cumprod",
        "cumsum", "cumsum_", "div", "div_", "dot", "floor_divide", "index_add", "index_add_", "lerp", "linspace",
        "mean", "mm", "mul", "mul_", "mv", "nansum", "pow", "pow_", "prod", "remainder", "rsub", "scatter_add",
        "scatter_add_", "scatter_reduce", "scatter_reduce_", "sub", "sub_", "sum",
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
        if operation in _EXACT or any(isinstance(a, str) and a in _EXACT for a in args):  # a reduction by "amax", say
            return func(*args, **(kwargs or {}))
        if operation in _REDUCING:
            first = 1 if operation.endswith("_") else 0  # the tensor that an operation in place writes to
            added = (a * self._factors(a, spares_whole) if _rounds(a) else a for a in args[first:])
            args = (*args[:first], *added)
        result = func(*args, **(kwargs or {}))
        results = result if isinstance(result, tuple | list) else (result,)
        returns = _returns(func) * (len(results) if isinstance(result, list) else 1)
        for tensor, returned in zip(results, returns, strict=False):
            is_view = returned.alias_info is not None and not returned.alias_info.is_write
            if _rounds(tensor) and not is_view:
                tensor.mul_(self._factors(tensor, spares_whole))
        return result

    def _factors(self, tensor: Tensor, spares_whole: bool) -> Tensor:
        errors = torch.rand(tensor.shape, generator=self._generator, dtype=tensor.dtype) * 2 - 1
        if spares_whole:
            errors[(tensor == tensor.round()) & (tensor.abs() <= _LARGEST_WHOLE)] = 0
        return 1 + self._relative * errors


def _returns(func: Any) -> list[Any]:
    schema: Any = func._schema
    return list(schema.returns)


def _rounds(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.float64 and value.device.type == "cpu"
