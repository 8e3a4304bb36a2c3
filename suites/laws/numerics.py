"""Numerics: what rounding and scale may do."""

from typing import Any

import torch
from torch import Tensor

from mbcbench.errors import one_line
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import Law, streams
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison, gaps, max_norms

from .comparison import violation

_SCALES = (1e-3, 1e-1, 1e1, 1e2, 1e3, 1e4)
_OFFSETS = (0.0, 1e3, -1e3)


def check_scale(subject: Subject, data: ExampleData) -> Comparison:
    """Streams agree with the full set, and stay finite, for inputs scaled by 1e-3 to 1e4 and offset by 1e3.

    Source: Property 2.1 of the Slot Set Encoder paper holds for every X, not for standardised ones only.

    Why it matters: exp without a running maximum overflows for logits in the hundreds, E[x^2] - E[x]^2 loses all its
    digits at an offset, an epsilon that is small beside 1 is large beside 1e-3.

    How to fix a failure: subtract the running maximum before exp, merge variances by Chan's formula, add no absolute
    epsilon to what has a scale.
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
    """Reports the error of streaming against the full set in float32 and bfloat16, in units of that type's epsilon.

    Source: facts about correct encoders: 2e-7 to 2e-5 in float32, 7e-3 to 2e-2 in bfloat16.

    Why it matters: consistency in exact arithmetic may still cost digits in the precision one trains in. Reported,
    never failed: the verdict is reached in float64.

    How to fix a failure: accumulate in float32 where elements are bfloat16.
    """
    errors, worst = [], torch.zeros(len(data.x), dtype=torch.float64)
    for dtype in (torch.float32, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        try:
            error = _error(subject.in_dtype(dtype), data, dtype)
        except RuntimeError as unsupported:
            errors.append(f"{name} not supported ({one_line(unsupported)})")
            continue
        errors.append(f"{name} {float(error.max()):.2g} eps")
        worst = torch.maximum(worst, error)
    return Comparison(worst, torch.full_like(worst, torch.inf), ", ".join(errors))


def _error(module: Any, data: ExampleData, dtype: torch.dtype) -> Tensor:
    x = data.x.to(dtype)
    state = module.init_state(len(x))
    for chunk in data.chunks:
        state = module.update(state, chunk.to(dtype))
    got, want = module.readout(state).double(), module(x).double()
    size = max_norms(want)
    relative = torch.where(size > 0, gaps(got, want) / size, torch.zeros_like(size))
    return relative / torch.finfo(dtype).eps


SCALE = Law(id="numerics.scale", check=check_scale, requires=(streams,), budget_fraction=0.5, max_size=129)
_SIZES = ((1,), (1, 2), (5, 1, 9), (1,) * 16, (64, 65), (100, 100, 57))
PRECISION = Law(
    id="numerics.precision",
    check=check_precision,
    requires=(streams,),
    fixed=tuple(Example(sizes=sizes, kinds=(0, 3, 5, 13), seed=n) for n, sizes in enumerate(_SIZES)),
    measures=True,
)
