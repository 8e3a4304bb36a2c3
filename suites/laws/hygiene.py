"""Hygiene: an encoder in eval() is a function, and leaves what it is given alone."""

import copy
import hashlib
import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mbcbench.protocol.state import tensors
from mbcbench.verify.example import ExampleData
from mbcbench.verify.law import Law
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison

from .comparison import no_gap, violation, worse


def check_determinism(subject: Subject, data: ExampleData) -> Comparison:
    """In eval(), the same input gives the same output, whatever was encoded in between.

    Source: every other law compares two encodings, and means nothing where one input has two.

    Why it matters: slots drawn anew at each call, dropout that stays on, buffers that remember the last set, results
    cached by the shape of their input.

    How to fix a failure: draw in training only, or once per stream from a generator of the encoder's own; keep
    nothing on the module during a call.
    """
    twin = copy.deepcopy(subject.module)
    other = data.x * -0.7 + 0.3
    first = subject.module(data.x)
    comparison = subject.compare(subject.module(other), twin(other), other)
    return worse(comparison, subject.compare(subject.module(data.x), first, data.x))


def check_inputs(subject: Subject, data: ExampleData) -> Comparison:
    """The input is not modified, and its memory layout does not matter.

    Source: a function of values must not depend on strides, nor write to what it was lent.

    Why it matters: chunks are views of a larger tensor; an operation in place on one changes the others, and
    `view` where `reshape` is meant fails or scrambles on a transposed input.

    How to fix a failure: no in-place operation on x (`x -= mean`, `x.clamp_()`), `reshape` instead of `view`.
    """
    given = data.x.clone()
    want = subject.encode(given)
    if subject.takes_mask:
        first = data.x[:, :, 0]
        subject.encode_masked(given, first >= first.median(1, keepdim=True).values)
    if not torch.equal(given, data.x):
        return violation(data, "the input was modified")
    comparison = subject.compare(subject.encode(_strided(data.x)), want, data.x)
    return worse(comparison, subject.compare(subject.encode(_transposed(data.x)), want, data.x))


def _strided(x: Tensor) -> Tensor:
    """The same values, as every second entry of a larger tensor."""
    wide = x.new_full((*x.shape[:-1], 2 * x.shape[-1]), 7.0)
    wide[..., ::2] = x
    return wide[..., ::2]


def _transposed(x: Tensor) -> Tensor:
    """The same values, stored element-first."""
    return x.transpose(0, 1).contiguous().transpose(0, 1)


def check_rng(subject: Subject, data: ExampleData) -> Comparison:
    """In eval(), the global random state is left alone.

    Source: reproducible experiments; an evaluation must not change what is drawn after it.

    Why it matters: an encoder that draws its slots from the global generator shifts every later draw, so a run with
    one more evaluation is another run; one that seeds the generator makes later draws repeat.

    How to fix a failure: draw from a `torch.Generator` of the encoder's own in eval().
    """
    with _drawn_from():  # so that a generator that was seeded before does not return to the state it is in
        before = _global_states()
        subject.module(data.x)
        if subject.streaming:
            subject.stream(data.chunks, subject.init_state(len(data.x)))
        changed = [name for name, state in _global_states().items() if state != before[name]]
    return violation(data, f"the state of {changed[0]} changed") if changed else no_gap(data)


@contextmanager
def _drawn_from() -> Iterator[None]:
    """The global generators a number further on; afterwards where they were."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.rand(1), np.random.random_sample(), random.random()
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def _global_states() -> dict[str, str]:
    states = {
        "torch's global generator": torch.get_rng_state().numpy(),
        "NumPy's global generator": np.random.get_state(legacy=False),
        "`random`": random.getstate(),
    }
    return {name: hashlib.sha256(pickle.dumps(state)).hexdigest() for name, state in states.items()}


def check_dtype(subject: Subject, data: ExampleData) -> Comparison:
    """Output and state follow the dtype of input and parameters; accumulation is not silently narrowed.

    Source: a float64 encoder is asked for float64 precision, a float32 one must not return float64.

    Why it matters: a float32 buffer in a float64 stream loses half its digits, and a float64 result of a float32
    encoder doubles memory downstream or fails on devices without float64.

    How to fix a failure: make tensors with `x.new_zeros` or from a parameter, and move constants with the module.
    """
    out = subject.in_dtype(torch.float32)(data.x.float())
    if out.dtype is not torch.float32:
        return violation(data, f"float32 input and parameters, {_name(out.dtype)} output")
    out = subject.module(data.x)
    if out.dtype is not torch.float64 or out.device != data.x.device:
        return violation(data, f"float64 input and parameters on {data.x.device}, {_name(out.dtype)} on {out.device}")
    if subject.streaming:
        state = subject.stream_state(data.chunks, subject.init_state(len(data.x)))
        narrow = [t.dtype for t in tensors(state) if t.is_floating_point() and t.dtype is not torch.float64]
        if narrow:
            return violation(data, f"the state of a float64 stream holds {_name(narrow[0])}")
    return no_gap(data)


def check_nonfinite(subject: Subject, data: ExampleData) -> Comparison:
    """NaN in an element reaches its own set's encoding; NaN or infinity reaches no other set's.

    Source: IEEE arithmetic; bad data must be seen, where it is and nowhere else.

    Why it matters: an encoder that swallows NaN (`nan_to_num`, a comparison that is false) reports a number for broken
    data; a statistic over the batch spreads one bad set over all.

    How to fix a failure: no `nan_to_num` on data; multiply by no mask what may be NaN, choose with `torch.where`.
    """
    row, element = int(data.rng.integers(len(data.x))), int(data.rng.integers(data.x.shape[1]))
    data.choices["set and element"] = [row, element]
    want = subject.encode(data.x)
    comparison = no_gap(data)
    others = [at for at in range(len(data.x)) if at != row]
    for bad in (torch.nan, torch.inf):
        spoiled = data.x.clone()
        spoiled[row, element, 0] = bad
        got = subject.encode(spoiled)
        if bad is torch.nan and bool(got[row].isfinite().all()):
            return violation(data, "NaN in an element does not reach the encoding of its set")
        if bool((want[others].isfinite() & ~got[others].isfinite()).any()):
            return violation(data, f"{bad} in one set reaches the encoding of another")
        comparison = worse(comparison, subject.compare(_with_row(got, row, want), want, data.x))
    return comparison


def _with_row(got: Tensor, row: int, want: Tensor) -> Tensor:
    got = got.clone()
    got[row] = want[row]
    return got


def check_state_dict(subject: Subject, data: ExampleData) -> Comparison:
    """A state_dict round trip gives the same encoder.

    Source: `torch.nn.Module.state_dict`; the one format in which encoders are kept.

    Why it matters: a tensor that is neither parameter nor persistent buffer (fixed slots, a random projection, running
    statistics) is drawn again in the new process, and the loaded encoder is another one.

    How to fix a failure: `register_buffer` for what is not trained, `nn.Parameter` for what is.
    """
    loaded: Any = subject.rebuild()
    loaded.load_state_dict(subject.module.state_dict())
    return subject.compare(loaded(data.x), subject.module(data.x), data.x)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


DETERMINISM = Law(id="hygiene.determinism", check=check_determinism, budget_fraction=0.5)
INPUTS = Law(id="hygiene.inputs", check=check_inputs, budget_fraction=0.5)
RNG = Law(id="hygiene.rng", check=check_rng, budget_fraction=0.1)
DTYPE = Law(id="hygiene.dtype", check=check_dtype, budget_fraction=0.1, max_size=64)
NONFINITE = Law(id="hygiene.nonfinite", check=check_nonfinite, batched=False, budget_fraction=0.03, max_size=64)
STATE_DICT = Law(id="hygiene.state_dict", check=check_state_dict, budget_fraction=0.1, max_size=64)
