"""Find the weights of an encoder: the parameters by which features are multiplied and summed.

In training, weights grow; biases, gains of norms and log-variances hardly do. Layers call them `weight`. A query or a
projection that is a bare parameter can have any name, so it is recognised by the operations that use it. The factor may
also be a product of parameters, as with a weight norm; then one of them grows.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mbcbench.types import Encoder
from mbcbench.verify.dispatch import DispatchMode, operation_name

# Products of matrices or vectors, and the position of their first factor.
_PRODUCTS = {"mm": 0, "bmm": 0, "mv": 0, "dot": 0, "convolution": 0, "addmm": 1, "addmv": 1, "baddbmm": 1}
# Operations whose result grows with an argument, and the position of that argument.
_GROWING = {"mul": 0, "div": 0, "clone": 0, "neg": 0, "_to_copy": 0, "_weight_norm_interface": 1}
# Products of features with each other as often as with a parameter, such as those of attention.
_AMBIGUOUS = ("bmm", "baddbmm", "dot")


def weight_names(module: Encoder, x: Tensor) -> frozenset[str]:
    """Return the names of the weights of a module, from their names and from their use when `x` is encoded."""
    named = {name for name, p in module.named_parameters() if p.dim() > 1 and name.endswith("weight")}
    with torch.no_grad(), torch.random.fork_rng(devices=[]), _Factors(module) as factors:
        module(x)
    return frozenset(named | factors.names)


def largest_product(module: Encoder, x: Tensor) -> float:
    """Return the magnitude of the largest product of features with a weight when `x` is encoded."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]), _LargestProduct(module) as products:
        module(x)
    largest: float = products.largest
    return largest


class _LargestProduct(DispatchMode):
    """Measures the products of matrices, of which one is a parameter or, in a layer, made of parameters."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.largest = 0.0
        self._parameters = {p.untyped_storage().data_ptr() for p in module.parameters()}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call one operation, and measure its result if it is such a product."""
        result = func(*args, **(kwargs or {}))
        operation = operation_name(func)
        if operation in _PRODUCTS and (operation not in _AMBIGUOUS or self._has_parameter(args)) and result.numel():
            self.largest = max(self.largest, float(result.abs().amax()))
        return result

    def _has_parameter(self, args: Sequence[Any]) -> bool:
        return any(isinstance(arg, Tensor) and arg.untyped_storage().data_ptr() in self._parameters for arg in args)


class _Factors(DispatchMode):
    """Collects the parameters that are multiplied by a tensor that is not a parameter, with a sum over the products.

    Parameters
    ----------
    module
        Module with the parameters.

    Attributes
    ----------
    names : set of str
        Names of the parameters that were a factor.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.names: set[str] = set()
        self._names = {p.untyped_storage().data_ptr(): name for name, p in module.named_parameters() if p.numel()}
        # Elementwise products with a parameter, by identity: the product, the name of the parameter, and its values.
        self._scaled: dict[int, tuple[Tensor, str, Tensor]] = {}
        # Results of operations on parameters alone, by memory: the parameter that they grow with, or "".
        self._derived: dict[int, tuple[Tensor, str]] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call one operation, and collect the parameters among its factors."""
        result = func(*args, **(kwargs or {}))
        operation = operation_name(func)
        if operation in _PRODUCTS:
            first = _PRODUCTS[operation]
            self.names.update(name for name, _ in self._factors(args[first : first + 2]))
        elif operation == "mul":
            self._scaled.update({id(result): (result, name, factor) for name, factor in self._factors(args)})
        elif operation in ("sum", "mean") and id(args[0]) in self._scaled and len(args) > 1:
            self._sum(*self._scaled[id(args[0])], args[1])
        self._derive(operation, args, result)
        return result

    def _derive(self, operation: str, args: Sequence[Any], result: Any) -> None:
        """Remember a result that is computed from parameters alone."""
        names = [self._name(arg) for arg in args if isinstance(arg, Tensor)]
        values = result[0] if isinstance(result, tuple) and result else result
        if not names or None in names or not isinstance(values, Tensor) or not values.numel():
            return
        position = _GROWING.get(operation)
        storage = values.untyped_storage().data_ptr()
        if storage not in self._names:  # a view is the parameter itself
            name = None if position is None else self._name(args[position])
            self._derived.setdefault(storage, (values, name or ""))

    def _name(self, value: Any) -> str | None:
        """Return the parameter that a tensor is or grows with, "" for another function of parameters, else None."""
        if not isinstance(value, Tensor):
            return None
        storage = value.untyped_storage().data_ptr()
        return self._names.get(storage, self._derived[storage][1] if storage in self._derived else None)

    def _factors(self, factors: Sequence[Any]) -> list[tuple[str, Tensor]]:
        """Return the factor that is a parameter or made of some, and its name, if the other is neither."""
        tensors = [factor for factor in factors if isinstance(factor, Tensor)]
        names = [self._names.get(tensor.untyped_storage().data_ptr()) for tensor in tensors]
        named = [(name, tensor) for name, tensor in zip(names, tensors, strict=True) if name is not None]
        if not named:  # other functions of parameters
            derived = [(self._name(tensor), tensor) for tensor in tensors]
            named = [(name, tensor) for name, tensor in derived if name is not None]
        is_factor = len(named) == 1 and len(tensors) == 2 and named[0][0] != ""
        return named if is_factor else []

    def _sum(self, product: Tensor, name: str, factor: Tensor, dims: Iterable[int] | None) -> None:
        """Add the name of a factor if it varies along a dimension over which the product is summed."""
        sizes = (1,) * (product.dim() - factor.dim()) + tuple(factor.shape)
        if any(sizes[dim] > 1 for dim in (range(product.dim()) if dims is None else dims)):
            self.names.add(name)
