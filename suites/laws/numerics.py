"""Numerics: rounding and the scale of the data."""

import torch
from torch import Tensor

from mbcbench.errors import one_line
from mbcbench.types import Encoder
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import Law, reads_numbers, streams
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison, gaps, max_norms

from .comparison import violation

_SCALES = (1e-3, 1e-1, 1e1, 1e2, 1e3, 1e4)
_OFFSETS = (0.0, 1e3, -1e3)


def check_scale(subject: Subject, data: ExampleData) -> Comparison:
    """Streams agree with the full set and stay finite for inputs scaled by 1e-3 to 1e4 and offset by 1e3.

    Source: Property 2.1 of the Slot Set Encoder paper, which holds for every X, not only for standardised ones.

    Why it matters: exp without a running maximum overflows for logits in the hundreds, E[x^2] - E[x]^2 loses all its
    digits at an offset, and an epsilon that is small compared with 1 is large compared with 1e-3.

    How to fix a failure: subtract the running maximum before exp, merge variances with Chan's formula, and do not add
    an absolute epsilon to a quantity that scales with the data.
    """
    scale = float(data.rng.choice(_SCALES))
    offset = float(data.rng.choice(_OFFSETS))
    data.choices["scale and offset"] = [scale, offset]
    x = data.x * scale + offset
    chunks = [chunk * scale + offset for chunk in data.chunks]
    start = subject.init_state(len(x))
    whole = subject.encode(x, start)
    if not bool(whole.isfinite().all()):
        return violation(data, "a finite set has an encoding that is not finite")
    return subject.compare(subject.stream(chunks, start), whole, x)


def check_precision(subject: Subject, data: ExampleData) -> Comparison:
    """Report the error of streaming against the full set in float32 and bfloat16, in units of the type's epsilon.

    Source: measured on correct encoders: 2e-7 to 2e-5 in float32, 7e-3 to 2e-2 in bfloat16.

    Why it matters: an encoder that is consistent in exact arithmetic may still lose digits in the precision used for
    training. The error is only reported; whether a law holds is decided in float64.

    How to fix a failure: accumulate in float32 if the elements are bfloat16.
    """
    messages, worst = [], torch.zeros(len(data.x), dtype=torch.float64)
    for dtype in (torch.float32, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        try:
            error = _relative_error(subject.in_dtype(dtype), data, dtype)
        except RuntimeError as unsupported:
            messages.append(f"{name} not supported ({one_line(unsupported)})")
            continue
        messages.append(f"{name} {float(error.max()):.2g} eps")
        worst = torch.maximum(worst, error)
    return Comparison(worst, torch.full_like(worst, torch.inf), ", ".join(messages))


def _relative_error(module: Encoder, data: ExampleData, dtype: torch.dtype) -> Tensor:
    """Return the gap between stream and full set, relative to the encoding, in units of epsilon (`B`)."""
    x = data.x.to(dtype)
    state = module.init_state(len(x))
    for chunk in data.chunks:
        state = module.update(state, chunk.to(dtype))
    streamed, whole = module.readout(state).double(), module(x).double()
    norm = max_norms(whole)
    relative = torch.where(norm > 0, gaps(streamed, whole) / norm, torch.zeros_like(norm))
    return relative / torch.finfo(dtype).eps


_PRECISION_SIZES = ((1,), (1, 2), (5, 1, 9), (1,) * 16, (64, 65), (100, 100, 57))
_PRECISION_KINDS = (0, 3, 5, 13)  # normal, sorted, negative, class by class

SCALE = Law(
    id="numerics.scale", check=check_scale, requires=(streams, reads_numbers), budget_fraction=0.5, max_size=129
)
PRECISION = Law(
    id="numerics.precision",
    check=check_precision,
    requires=(streams,),
    fixed=tuple(Example(sizes=sizes, kinds=_PRECISION_KINDS, seed=seed) for seed, sizes in enumerate(_PRECISION_SIZES)),
    measures=True,
)
