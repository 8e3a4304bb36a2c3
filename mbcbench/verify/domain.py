"""Domains: the sets and streams that an encoder admits, on which its laws are tried."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from mbcbench.errors import is_out_of_memory, one_line, user_frame
from mbcbench.protocol.adapter import declared_int, declares
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.verify.example import Example, to_tokens

MAX_INFERRED_SIZE = 64  # an encoder that refuses sets of this size declares its `min_size`


@dataclass(frozen=True)
class Refusal:
    """Sets for which an encoder raises although it does not declare a least size.

    Parameters
    ----------
    first
        Smallest number of elements that was tried.
    min_size
        Smallest number of elements that it encodes.
    error
        Exception that it raises for one element fewer.
    """

    first: int
    min_size: int
    error: BaseException

    @property
    def is_clear(self) -> bool:
        """True if the exception says that the encoder does not admit these sets."""
        return is_refusal(self.error)

    @property
    def advice(self) -> str:
        """Advice in one line, with the sizes, the exception and a declaration."""
        last = self.min_size - 1
        sizes = f"{last} elements" if self.first == last else f"{self.first} to {last} elements"
        sizes = "one element" if last == 1 else sizes
        what = f"a set of {sizes} raises {one_line(self.error)}{user_frame(self.error)}"
        fix = f"`min_size = {self.min_size}` in the class or its EncoderSpec"
        return f"{what}; if such sets are not admitted, declare {fix}" + (
            "" if self.is_clear else ", or raise ValueError with a message"
        )


@dataclass(frozen=True, kw_only=True)
class Domain:
    """The inputs that an encoder admits.

    Parameters
    ----------
    min_size
        Smallest number of elements of a set. A chunk of a stream may have fewer.
    finite_only
        True if elements that are NaN or infinite are not admissible.
    order_sensitive
        True if the order of the elements matters, so that a stream is fed in order.
    every_chunk
        True if each chunk is encoded as a set of its own, and must have `min_size` elements.
    vocabulary
        Number of tokens if the elements are integers from 0 to `vocabulary - 1`, else 0.
    refusal
        How sets of fewer than `min_size` elements are refused, if that is not declared.
    """

    min_size: int = 1
    finite_only: bool = False
    order_sensitive: bool = False
    every_chunk: bool = False
    vocabulary: int = 0
    refusal: Refusal | None = None

    @property
    def num_added(self) -> int:
        """Number of elements that a set needs besides the first."""
        return self.min_size - 1

    def fit(self, example: Example) -> Example:
        """Return a similar example that the encoder admits; examples with explicit data or a program stay the same."""
        if example.values is not None or example.program or not example.sizes:
            return example
        example = replace(example, vocabulary=self.vocabulary)
        if self.order_sensitive:
            example = replace(example, arrangement="contiguous")
        if self.every_chunk:
            return replace(example, sizes=tuple(size + self.num_added for size in example.sizes))
        return replace(example, sizes=(example.sizes[0] + self.num_added, *example.sizes[1:]))

    @property
    def admits_nonfinite(self) -> bool:
        """True if elements may be NaN or infinite."""
        return not (self.finite_only or self.vocabulary)

    def admit(self, x: Tensor) -> Tensor:
        """Return admissible elements made of real numbers: tokens, if there is a vocabulary."""
        return to_tokens(x, self.vocabulary) if self.vocabulary else x

    def admits_chunks(self, sizes: tuple[int, ...]) -> bool:
        """Return True if a stream may have chunks of these sizes."""
        smallest = min(sizes) if self.every_chunk else sum(sizes)
        return smallest >= self.min_size


def declared_domain(spec: EncoderSpec, module: nn.Module, dim_in: int) -> Domain:
    """Return the domain that a spec or the module declares; find an undeclared least size by trying."""
    declared = Domain(
        min_size=max(spec.min_size, declared_int(module, "min_size") or 1),
        finite_only=spec.finite_only or declares(module, "finite_only"),
        order_sensitive=spec.order_sensitive or declares(module, "order_sensitive"),
        vocabulary=spec.vocabulary or declared_int(module, "vocabulary") or 0,
    )
    refusal = _find_refusal(module, dim_in, declared)
    return declared if refusal is None else replace(declared, min_size=refusal.min_size, refusal=refusal)


def _find_refusal(module: nn.Module, dim_in: int, domain: Domain) -> Refusal | None:
    """Return how the module refuses sets of the declared least size, and the size from which it encodes them.

    Return None if it encodes sets of that size, or no larger sets either, which `validate` then explains.
    """
    declared = domain.min_size
    training = {m: m.training for m in module.modules()}
    module.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            errors = [_error_for_size(module, dim_in, domain, declared)]
            while errors[-1] is not None and len(errors) <= MAX_INFERRED_SIZE:
                errors.append(_error_for_size(module, dim_in, domain, declared + len(errors)))
            # A module that confuses n with d encodes one size only.
            is_least = errors[-1] is None and _error_for_size(module, dim_in, domain, declared + len(errors)) is None
    finally:
        for submodule, mode in training.items():
            submodule.training = mode
    last_error = errors[-2] if len(errors) > 1 and is_least else None
    return None if last_error is None else Refusal(declared, declared + len(errors) - 1, last_error)


def _error_for_size(module: nn.Module, dim_in: int, domain: Domain, n: int) -> BaseException | None:
    """Return the exception for sets of `n` elements, or None; running out of memory is not a refusal."""
    like = next(module.parameters(), torch.empty(0))
    dtype = like.dtype if like.is_floating_point() else torch.get_default_dtype()
    x = torch.linspace(-1, 1, 2 * n * dim_in, dtype=dtype, device=like.device).reshape(2, n, dim_in)
    try:
        module(domain.admit(x))
    except (Exception, SystemExit) as error:  # raised by the module
        return None if is_out_of_memory(error) else error
    return None


def is_refusal(error: BaseException) -> bool:
    """Return True if an encoder says that it does not admit an input: a ValueError with a message."""
    return isinstance(error, ValueError) and bool(str(error).strip())
