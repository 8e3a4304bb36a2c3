"""The encoder under test, in float64 and eval mode, with helpers for writing laws."""

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mbcbench.protocol.copying import copy_module
from mbcbench.protocol.encoder import forward_takes_mask, has_merge, has_own_forward, is_streaming, takes_mask
from mbcbench.types import Encoder, State
from mbcbench.verify import tolerance
from mbcbench.verify.domain import Domain
from mbcbench.verify.layout import ElementAxis, describe_output, element_axes
from mbcbench.verify.tolerance import (
    COVERED,
    NUM_PERTURBATIONS,
    PERTURBATION,
    SPREAD_FACTOR,
    Comparison,
)
from mbcbench.verify.weights import weight_names

_VARIANT_SCALES = (1.0, 3.0, 0.3)
NAN = "one of the two encodings that are compared is NaN"
_ORDINARY_SIZE = 5  # elements of a set whose encoding gives the scale

Quantity = Callable[[Encoder, Tensor], Tensor]
Reference = Callable[[nn.Module, NDArray[np.float64]], NDArray[np.float64]]


def encoding(module: Encoder, x: Tensor) -> Tensor:
    """Return the encoding of `x` in one piece, the quantity that laws compare by default.

    It is a copy: an encoder may write its next result into the same memory.
    """
    out: Tensor = module(x)
    return out.clone()


def slots_of(state: State) -> Tensor | None:
    """Return the field `slots` of a state (`B x K x h`), or None if it has none that can be replaced."""
    if isinstance(state, Mapping):
        slots = state.get("slots")
    elif hasattr(state, "_replace") or (dataclasses.is_dataclass(state) and not isinstance(state, type)):
        slots = getattr(state, "slots", None)
    else:
        return None
    return slots if isinstance(slots, Tensor) and slots.dim() == 3 else None


class Subject:
    """One encoder under test, with one set of parameters.

    Parameters
    ----------
    module
        The encoder, in float64 and eval mode.
    dim_in
        Element width `d`.
    deterministic
        False if the encoder gives different outputs for equal inputs. Streams are then compared with a full set that is
        encoded from the same initial state, so that both see the same random draw.
    rebuild
        Function that builds the encoder again, with other parameters.
    reference
        Independent implementation, if there is one.
    domain
        Inputs that the encoder admits; all of them if None.
    perturbation
        Relative change of inputs and parameters by which `compare` measures the condition of the encoding. With about
        2 eps, the measurement includes rounding in the encoder's own steps; with much more, it does not. None disables
        the measurement.
    """

    def __init__(
        self,
        module: nn.Module,
        dim_in: int,
        *,
        deterministic: bool = True,
        rebuild: Callable[[], nn.Module] | None = None,
        reference: Reference | None = None,
        domain: Domain | None = None,
        perturbation: float | None = PERTURBATION,
    ) -> None:
        self.module: Encoder = module
        self.domain = domain or Domain()
        self.perturbation = perturbation
        self.dim_in = dim_in
        self.deterministic = deterministic
        self.rebuild = rebuild if rebuild is not None else lambda: _with_noise(module, seed=99, scale=1.0)
        self.reference = reference
        self._in_dtype: dict[torch.dtype, Any] = {}
        self._in_float32: dict[int, Subject] = {}
        self._with_weights: dict[float, Subject] = {}
        self._with_perturbation: dict[float | None, Subject] = {}
        self.streaming = is_streaming(module)
        self.mergeable = self.streaming and has_merge(module)
        self.takes_mask = takes_mask(module)
        self.parameters = [(name, p) for name, p in module.named_parameters() if p.requires_grad]

    @cached_property
    def dtype(self) -> torch.dtype:
        """Type of the parameters, and so of the elements: float64, or float32 in a trial in other arithmetic."""
        numbers = (*self.module.parameters(), *self.module.buffers())
        return next((number.dtype for number in numbers if number.is_floating_point()), torch.float64)

    @cached_property
    def masks_whole_sets(self) -> bool:
        """True if `encode_masked` calls `forward`, which takes a mask of its own, even if no step of a stream does."""
        if not self.streaming:
            return self.takes_mask
        return self.deterministic and has_own_forward(self.module) and forward_takes_mask(self.module)

    @cached_property
    def is_layer(self) -> bool:
        """True if the encoder maps sets to sets, with one output per element, `B x n x ...`."""
        return any(axis == (1, 0) for axis in self.element_axes)

    @cached_property
    def element_axes(self) -> tuple[ElementAxis, ...]:
        """Axes of the output with one entry per element, in the layout of a layer or in another one."""
        sizes = [self.domain.min_size + 2, self.domain.min_size + 4]
        return element_axes(sizes, [self._output_shape(n) for n in sizes])

    @cached_property
    def output(self) -> str:
        """Shape of the output, as `B x (n + 1) x 8`."""
        return describe_output(self._output_shape(self.domain.min_size + 2), self.element_axes)

    def _output_shape(self, n: int) -> torch.Size:
        """Return the shape of the output for one set of `n` elements."""
        with torch.no_grad():
            out: Tensor = self.module(torch.zeros(1, n, self.dim_in, dtype=self.dtype))
        return out.shape

    def init_state(self, batch_size: int) -> State:
        """Return the state of `batch_size` empty streams; a random encoder draws here."""
        return self.module.init_state(batch_size)

    def update(self, state: State, chunk: Tensor, mask: Tensor | None = None) -> State:
        """Return the state after one more chunk (`B x n_c x d`), of which `mask` (`B x n_c`) marks present elements."""
        return self.module.update(state, chunk) if mask is None else self.module.update(state, chunk, mask=mask)

    def readout(self, state: State) -> Tensor:
        """Return the encoding of a state, `B x ...`."""
        out: Tensor = self.module.readout(state)
        return out.clone()

    def stream_state(self, chunks: Sequence[Tensor], state: State) -> State:
        """Return the state after feeding `chunks` in order, starting from `state`."""
        for chunk in chunks:
            state = self.update(state, chunk)
        return state

    def stream(self, chunks: Sequence[Tensor], state: State) -> Tensor:
        """Return the encoding of `chunks` in order, starting from `state`.

        Parameters
        ----------
        chunks
            Chunks of the stream, `B x n_c x d` each.
        state
            State to start from, such as `init_state(B)`.

        Returns
        -------
        Tensor
            The encoding, `B x ...`.
        """
        return self.readout(self.stream_state(chunks, state))

    def encode(self, x: Tensor, start: State = None) -> Tensor:
        """Return the encoding of `x` (`B x n x d`) in one piece.

        Parameters
        ----------
        x
            The sets, `B x n x d`.
        start
            Initial state of the stream that the encoding is compared with. Only a streaming encoder that is not
            deterministic uses it, so that both have the same random draw.

        Returns
        -------
        Tensor
            The encoding, `B x ...`.
        """
        if self.deterministic or not self.streaming:
            return encoding(self.module, x)
        return self.stream([x], self.init_state(x.shape[0]) if start is None else start)

    def encode_masked(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the encoding of the elements of `x` for which `mask` (`B x n`) is True."""
        if not self.streaming or (self.deterministic and forward_takes_mask(self.module)):
            out: Tensor = self.module(x, mask=mask)
            return out.clone()
        return self.readout(self.update(self.init_state(x.shape[0]), x, mask))

    def compare(self, actual: Tensor, expected: Tensor, x: Tensor, quantity: Quantity = encoding) -> Comparison:
        """Compare two values of a quantity, such as the encoding, for each set of the batch.

        Parameters
        ----------
        actual, expected
            The values, `B x ...`. `expected` should be that of `x` in one piece.
        x
            The sets, `B x n x d`.
        quantity
            Function of the module and `x` that computes the quantity; by default the encoding. Its condition is part of
            the bound.

        Returns
        -------
        Comparison
            Gap and bound of each set (`B`). If the shapes differ, the gap is infinite.
        """
        if actual.shape != expected.shape:
            infinite = torch.full((x.shape[0],), torch.inf, dtype=torch.float64)
            note = f"shape {tuple(actual.shape)} instead of {tuple(expected.shape)}"
            return Comparison(infinite, torch.zeros_like(infinite), note)
        gap = tolerance.gaps(actual, expected)
        bound = tolerance.rounding_bound(expected, x.shape[1])
        # The spread of a random encoder would be its own noise, and would hide everything.
        if self.deterministic and self.perturbation is not None and bool((gap > COVERED * bound).any()):
            bound = self._add_spread(gap, bound, x, quantity, self.perturbation)
        is_nan = bool((actual.isnan() != expected.isnan()).any())
        return Comparison(gap, bound, NAN if is_nan else "", scale=tolerance.max_norms(expected))

    def _add_spread(self, gap: Tensor, bound: Tensor, x: Tensor, quantity: Quantity, relative: float) -> Tensor:
        """Add to a bound (`B`) the change of a quantity of `x` when input and parameters change by about 2 eps.

        A backward stable computation is exact for some input and parameters within a few eps, so this measures the
        rounding error that the condition of the problem allows. A larger `relative` change is scaled back to 2 eps.
        The largest of several changes counts, but no more are made once each gap is well covered.
        """
        unperturbed = quantity(self.module, x)
        twin, perturbed = self._perturbed
        factor = SPREAD_FACTOR * PERTURBATION / relative
        spread, widened = torch.zeros_like(gap), bound
        for number, parameters in enumerate(perturbed):
            for parameter, value in zip(twin.parameters(), parameters, strict=True):
                parameter.data = value
            generator = torch.Generator().manual_seed(number)
            # Tokens cannot be perturbed.
            moved = x if self.domain.vocabulary else tolerance.perturb(x, generator, relative)
            change = tolerance.gaps(quantity(twin, moved), unperturbed)
            spread = torch.maximum(spread, change)
            widened = bound + factor * torch.where(spread.isfinite(), spread, 0.0)
            if bool((gap <= COVERED * widened).all()):
                break
        return widened

    @cached_property
    def scale(self) -> float:
        """Magnitude of an encoding of ordinary data: the max-norm for a few sets of normal elements."""
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            return float(tolerance.max_norms(encoding(self.module, self._ordinary_sets())).median())

    def _ordinary_sets(self) -> Tensor:
        """Return a few sets of normal elements."""
        n = max(_ORDINARY_SIZE, self.domain.min_size)
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(4, n, self.dim_in, dtype=torch.float64, generator=generator)
        return self.domain.admit(x).to(self.dtype)

    def _twin(self, module: nn.Module, perturbation: float | None = None) -> "Subject":
        """Return a subject with the same facts for a changed copy of the module, with another perturbation."""
        return Subject(
            module,
            self.dim_in,
            deterministic=self.deterministic,
            rebuild=self.rebuild,
            reference=self.reference,
            domain=self.domain,
            perturbation=perturbation,
        )

    def with_perturbation(self, relative: float | None) -> "Subject":
        """Return the same encoder, with another perturbation to measure its condition."""
        if relative not in self._with_perturbation:
            self._with_perturbation[relative] = self._twin(self.module, relative)
        return self._with_perturbation[relative]

    def with_weights(self, factor: float) -> "Subject":
        """Return the encoder with its weights multiplied by a factor, whatever they are called.

        Other parameters stay: in training, a bias, the gain of a norm or a log-variance does not grow as weights do.
        """
        if factor not in self._with_weights:
            module = copy_module(self.module)
            for name, parameter in module.named_parameters():
                if name in self._weights:
                    parameter.data.mul_(factor)
            self._with_weights[factor] = self._twin(module)
        return self._with_weights[factor]

    @cached_property
    def _weights(self) -> frozenset[str]:
        """Names of the weights."""
        return weight_names(copy_module(self.module), self._ordinary_sets())

    @cached_property
    def in_float32_digits(self) -> "Subject":
        """The encoder in float64, with parameters that float32 can hold."""
        module = _map_parameters(self.module, 0, lambda parameter, _: parameter.float().to(parameter.dtype))
        return self._twin(module)

    def in_dtype(self, dtype: torch.dtype) -> Any:
        """Return the module in another precision."""
        if dtype not in self._in_dtype:
            self._in_dtype[dtype] = copy_module(self.module).to(dtype)
        return self._in_dtype[dtype]

    def in_float32(self, trial: int) -> "Subject":
        """Return the encoder in float32, its parameters scaled by 0.9 to 1.1, differently in each trial."""
        if trial not in self._in_float32:
            twin = self._twin(_map_parameters(self.in_dtype(torch.float32), trial, tolerance.rescale))
            twin.rebuild = lambda: self.rebuild().float()
            self._in_float32[trial] = twin
        return self._in_float32[trial]

    @staticmethod
    def replace_slots(state: State, slots: Tensor) -> State:
        """Return the state with another field `slots` (`B x K x h`)."""
        if isinstance(state, Mapping):
            return {**state, "slots": slots}
        return state._replace(slots=slots) if hasattr(state, "_replace") else dataclasses.replace(state, slots=slots)

    def copy(self) -> "Subject":
        """Return the subject with a copy of the encoder, which later calls of this one do not affect."""
        twin = copy.copy(self)
        twin.module = copy_module(self.module)
        return twin

    @cached_property
    def in_train_mode(self) -> "Subject":
        """The same encoder in train mode."""
        return Subject(copy_module(self.module).train(), self.dim_in, domain=self.domain)

    @cached_property
    def _perturbed(self) -> tuple[Any, list[list[Tensor]]]:
        """A copy of the module, and perturbed values of its parameters. Copying the module each time is slower."""
        relative = self.perturbation or PERTURBATION
        generators = [torch.Generator().manual_seed(seed) for seed in range(NUM_PERTURBATIONS)]
        values = [[tolerance.perturb(p.detach(), g, relative) for p in self.module.parameters()] for g in generators]
        return copy_module(self.module), values


def _map_parameters(module: nn.Module, seed: int, function: Callable[[Tensor, torch.Generator], Tensor]) -> nn.Module:
    """Return a copy of the module with `function` applied to each parameter."""
    generator = torch.Generator().manual_seed(seed)
    twin = copy_module(module)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.copy_(function(parameter, generator))
    return twin


def parameter_variants(base: nn.Module, dim_in: int, seed: int, domain: Domain) -> list[nn.Module]:
    """Return a module (float64, eval mode) as built, and with noise added to its parameters.

    Fresh parameters hide faults: a bias of zero can be added once per chunk without effect, a forgotten LayerNorm of
    ones changes nothing, small logits make every attention uniform. A variant that is not finite on ordinary data is
    left out.
    """
    n = max(5, domain.min_size)
    x = domain.admit(torch.randn(2, n, dim_in, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))
    variants = [base]
    for number, scale in enumerate(_VARIANT_SCALES, 1):
        variant = _with_noise(base, seed + number, scale)
        with torch.no_grad():
            if bool(variant(x).isfinite().all()):
                variants.append(variant)
    return variants


def _with_noise(module: nn.Module, seed: int, scale: float) -> nn.Module:
    """Return a copy whose parameters have normal noise of half their root mean square added, and are then scaled."""
    generator = torch.Generator().manual_seed(seed)
    noisy = copy_module(module)
    with torch.no_grad():
        for parameter in noisy.parameters():
            spread = parameter.square().mean().sqrt().clamp(min=0.1)
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            parameter.copy_(scale * (parameter + 0.5 * spread * noise))
    return noisy
