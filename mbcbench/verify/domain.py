"""Domains: the sets and streams that an encoder admits, and that its laws are therefore tried on."""

from dataclasses import dataclass, replace

import torch
from torch import nn

from mbcbench.protocol.spec import EncoderSpec
from mbcbench.verify.example import Example

MAX_INFERRED_SIZE = 64  # an encoder that refuses sets of this size declares its `min_size`


@dataclass(frozen=True, kw_only=True)
class Domain:
    """The inputs that an encoder admits.

    Parameters
    ----------
    min_size
        Smallest number of elements of a set. A chunk of a stream may have fewer.
    finite_only
        True if elements that are NaN or infinite are no input.
    order_sensitive
        True if the order of the elements matters, so that a stream is fed in order.
    every_chunk
        True if each chunk is encoded as a set of its own, and must have `min_size` elements.
    """

    min_size: int = 1
    finite_only: bool = False
    order_sensitive: bool = False
    every_chunk: bool = False

    @property
    def num_added(self) -> int:
        """Number of elements that a set must have in addition to those of a set that any encoder admits."""
        return self.min_size - 1

    def fit(self, example: Example) -> Example:
        """Return a similar example that the encoder admits; one with data of its own is returned as it is."""
        if example.values is not None or example.program or not example.sizes:
            return example
        if self.order_sensitive:
            example = replace(example, arrangement="contiguous")
        if self.every_chunk:
            return replace(example, sizes=tuple(size + self.num_added for size in example.sizes))
        return replace(example, sizes=(example.sizes[0] + self.num_added, *example.sizes[1:]))

    def admits_chunks(self, sizes: tuple[int, ...]) -> bool:
        """Return True if a stream may have chunks of these sizes."""
        smallest = min(sizes) if self.every_chunk else sum(sizes)
        return smallest >= self.min_size


def declared_domain(spec: EncoderSpec, module: nn.Module, dim_in: int) -> Domain:
    """Return what a spec, or attributes of the module, declare; a least size that is not declared is found by trying.

    A refusal is a ValueError with a message. Anything else that the module raises is an error.
    """
    declared = getattr(module, "min_size", 1)
    is_size = isinstance(declared, int) and not isinstance(declared, bool)
    return Domain(
        min_size=_least_size(module, dim_in, max(spec.min_size, declared if is_size else 1)),
        finite_only=spec.finite_only or getattr(module, "finite_only", False) is True,
        order_sensitive=spec.order_sensitive or getattr(module, "order_sensitive", False) is True,
    )


def _least_size(module: nn.Module, dim_in: int, declared: int) -> int:
    """Return the size of the smallest set from `declared` on that the module does not refuse, or else `declared`."""
    like = next(module.parameters(), torch.empty(0))
    dtype = like.dtype if like.is_floating_point() else torch.get_default_dtype()
    training = {m: m.training for m in module.modules()}
    module.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            for n in range(declared, max(declared, MAX_INFERRED_SIZE) + 1):
                x = torch.linspace(-1, 1, 2 * n * dim_in, dtype=dtype, device=like.device).reshape(2, n, dim_in)
                if not _refuses(module, x):
                    return n
    finally:
        for submodule, mode in training.items():
            submodule.training = mode
    return declared


def _refuses(module: nn.Module, x: torch.Tensor) -> bool:
    try:
        module(x)
    except ValueError as error:
        return is_refusal(error)
    except Exception:  # the module's own, for its validation to report
        return False
    return False


def is_refusal(error: Exception) -> bool:
    """Return True if an encoder says that it does not admit an input: a ValueError with a message."""
    return isinstance(error, ValueError) and bool(str(error).strip())
