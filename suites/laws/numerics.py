"""Numerics: rounding and the scale of the data."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from mbcbench.errors import one_line
from mbcbench.protocol.encoder import forward_takes_mask
from mbcbench.types import Encoder
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import Law, reads_numbers, streams
from mbcbench.verify.noise import NoisyArithmetic
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import COVERED, Comparison, gaps, max_norms, perturb
from mbcbench.verify.weights import largest_product

from .comparison import no_gap, unless_raised, violation
from .padded import corner

_WEIGHTS = (1.0, 10.0, 30.0, 100.0)
_INPUTS = (1.0, 1.0, 100.0)
_LARGEST = 1e30
_LARGEST_PRODUCT = 1e9  # of features with weights: the fourth power of larger ones overflows in float32
_SMALLEST = 1e-30  # float32 loses digits below 1.2e-38, and intermediate results are smaller than the encoding
_NEAR = 1e-2
_TRIALS = 4
_ORDINARY_ERROR = 1e-6
_NOISE_FACTOR = 10.0
_ROUNDING_OF_LOGITS = 16.0  # epsilons
_SCALES = (1e-3, 1e-1, 1e1, 1e2, 1e3, 1e4)
_OFFSETS = (0.0, 1e3, -1e3)

Encode = Callable[[Encoder, Tensor, ExampleData], Tensor]


def check_scale(subject: Subject, data: ExampleData) -> Comparison:
    """Streams agree with the full set and stay finite for inputs scaled by 1e-3 to 1e4 and offset by 1e3.

    Source: Property 2.1 of the Slot Set Encoder paper, which holds for every X, not only for standardised ones.

    Why it matters: exp without a running maximum overflows for logits in the hundreds, E[x^2] - E[x]^2 loses all its
    digits at an offset, and an epsilon that is small compared with 1 is large compared with 1e-3.

    How to fix a failure: subtract the running maximum before exp, merge variances with Chan's formula, and do not add
    an absolute epsilon to a quantity that scales with the data.

    Elements are moved apart by 1e-6 of their size, or by 1e-6 if they are smaller than 1, because an encoding that
    normalises has no condition where all elements are equal. Rounding in the encoder's own steps excuses a gap of at
    most 1e-12 of the scale of an encoding, or of 16 epsilons times the largest number in the set, or times 1 if that is
    larger: the rounding error of a logit of that size.
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
    return _excuse_exponents(subject, subject.compare(subject.stream(chunks, start), whole, x), x)


def _excuse_exponents(subject: Subject, comparison: Comparison, x: Tensor) -> Comparison:
    """Add the rounding error of a logit in an exponent to the bound: an epsilon of its size, linear in the data.

    A correct merge of log-sum-exps has this error. The error of E[x^2] - E[x]^2 grows with the square of the data.
    Numbers below 1 count as 1, because a bias may be added to them.
    """
    if comparison.scale is None:
        return comparison
    rounding = _ROUNDING_OF_LOGITS * torch.finfo(x.dtype).eps * max_norms(x).clamp(min=1)
    excused = comparison.bound + rounding * comparison.scale.clamp(min=subject.scale)
    needs_it = comparison.gap > COVERED * comparison.bound
    return comparison._replace(bound=torch.where(needs_it, excused, comparison.bound))


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
    with torch.random.fork_rng(devices=[]):
        streamed = _seeded(data, lambda: _streamed(module, x, data)).double()
        whole = _seeded(data, lambda: module(x)).double()
    gap, norm = gaps(streamed, whole), max_norms(whole)
    relative = torch.where(gap > 0, gap / norm, torch.zeros_like(norm))
    is_lost = ~whole.flatten(1).isfinite().all(1)
    return relative.masked_fill(is_lost, torch.inf) / torch.finfo(dtype).eps


def _seeded(data: ExampleData, encode: Callable[[], Tensor]) -> Tensor:
    """Return an encoding for which an encoder draws the same numbers each time, such as slots."""
    torch.manual_seed(data.example.seed)
    return encode()


def check_float32(subject: Subject, data: ExampleData) -> Comparison:
    """If the float64 encoding is finite and well inside the range of float32, the float32 one is finite and near it.

    Source: encoders are trained in float32, whose largest number is 3.4e38, and whose exp overflows above 88.

    Why it matters: attention without a running maximum works until training has made its logits large, and a sentinel
    such as -1e4 hides masked elements until a logit is below it. Encodings in one piece and in a stream are tried, each
    also with masked elements. Inputs are scaled by up to 100, and weights by up to 100: matrices called `weight`, and
    parameters of any name by which features are multiplied and summed, such as a bare query. A bias and the gain of a
    norm keep their size.

    How to fix a failure: subtract the maximum before exp, mask with `torch.finfo(dtype).min`, and multiply the
    weights by the mask; compute logarithms of sums stably.

    Near means within 1 % of the encoding, or within the rounding error of float32. The law ignores sets that are
    ill-conditioned in float32, and encodings below 1e-30, where a saturated gate is zero in float32. It ignores an
    overflow where features times weights exceed 1e9 in float64: the scaled weights of many layers multiply.
    """
    factor, scale = float(data.rng.choice(_WEIGHTS)), float(data.rng.choice(_INPUTS))
    data.choices["factor of the weights, and of the input"] = [factor, scale]
    x = (data.x * scale).float()
    scaled = subject.with_weights(factor)
    exact = scaled.in_float32_digits
    expected = exact.encode(x.double())
    norm = max_norms(expected)
    is_inside = expected.flatten(1).isfinite().all(1) & (norm < _LARGEST)
    near = _NEAR * norm.clamp(min=exact.scale) if subject.deterministic else torch.full_like(norm, _LARGEST)
    near = near.clamp(min=_SMALLEST)
    try:
        encodings = _float32_encodings(subject, scaled, x, data)
    except RuntimeError:  # not supported: hygiene.dtype judges that
        return no_gap(data)
    gap = torch.stack([gaps(out.double(), expected) for out in encodings.values()])
    lost = is_inside & (gap > near)
    if bool(lost.any()):
        lost &= gap > _float32_error(exact, x, expected)
        lost &= ~_is_overflow_of_products(exact, x, lost, torch.stack([*map(_is_infinite, encodings.values())]))
    way = next((way for way, is_lost in zip(encodings, lost, strict=True) if bool(is_lost.any())), IN_ONE_PIECE)
    infinite = torch.zeros_like(norm).masked_fill(lost.any(0), torch.inf)
    return Comparison(infinite, torch.zeros_like(norm), f"the encoding in float32{way} is far from that in float64")


def _is_infinite(out: Tensor) -> Tensor:
    return ~out.flatten(1).isfinite().all(1)


def _is_overflow_of_products(exact: Subject, x: Tensor, lost: Tensor, infinite: Tensor) -> Tensor:
    """Return for each way and set (`W x B`) whether products with scaled weights explain why an encoding is lost.

    The factors of many layers multiply, until the square of a feature overflows. Finite numbers that are wrong with
    masked elements only, as those of a sentinel, have another reason.
    """
    may_overflow = infinite | lost[0]
    is_large = torch.zeros_like(lost[0])
    tried = (_with_masked_element(x)[0] if exact.takes_mask else x).double()
    for row in (lost & may_overflow).any(0).nonzero().flatten().tolist():
        is_large[row] = largest_product(exact.module, tried[row : row + 1]) > _LARGEST_PRODUCT
    return may_overflow & is_large


def _float32_encodings(subject: Subject, scaled: Subject, x: Tensor, data: ExampleData) -> dict[str, Tensor]:
    """Return the encodings of `x` in float32, by way: in one piece, streamed, and both with masked elements.

    All but the first are left out if they also differ from one piece with weights of ordinary size, or raise.
    """
    encoder = scaled.in_dtype(torch.float32)
    encodings: dict[str, Tensor] = {IN_ONE_PIECE: encoder(x)}
    whole = subject.encode(data.x)
    for way, encode in _other_ways(subject).items():
        other = unless_raised(partial(encode, subject.module, data.x, data))
        if other is not None and not bool(_differ(subject, whole, other).any()):
            encodings[way] = _cut_to(encodings[IN_ONE_PIECE], encode(encoder, x, data))
    return encodings


def _other_ways(subject: Subject) -> dict[str, Encode]:
    """Return the functions that encode a set in another way than in one piece, as far as the encoder has them."""
    ways: dict[str, Encode] = {" as a stream": _streamed} if subject.streaming else {}
    if subject.masks_whole_sets or (subject.takes_mask and forward_takes_mask(subject.module)):
        ways[" with masked elements"] = _beside_masked
    if subject.streaming and subject.takes_mask:
        ways[" as a stream with masked elements"] = _streamed_beside_masked
    return ways


def _differ(subject: Subject, whole: Tensor, other: Tensor) -> Tensor:
    """Return for each set (`B`) whether its encoding differs from one piece, with weights of ordinary size."""
    other = _cut_to(whole, other)
    if other.shape != whole.shape:
        return torch.ones(len(whole), dtype=torch.bool)
    return gaps(other, whole) > _ORDINARY_ERROR * max_norms(whole).clamp(min=subject.scale)


def _cut_to(whole: Tensor, other: Tensor) -> Tensor:
    """Return an encoding without the outputs of the masked element, the last along each axis of elements."""
    return corner(other, whole) if other.dim() == whole.dim() else other


def _streamed(encoder: Encoder, x: Tensor, data: ExampleData) -> Tensor:
    state = encoder.init_state(len(x))
    for chunk in data.cut(x):
        state = encoder.update(state, chunk)
    out: Tensor = encoder.readout(state)
    return out


def _beside_masked(encoder: Encoder, x: Tensor, data: ExampleData) -> Tensor:
    padded, present = _with_masked_element(x)
    out: Tensor = encoder(padded, mask=present)
    return out


def _streamed_beside_masked(encoder: Encoder, x: Tensor, data: ExampleData) -> Tensor:
    state = encoder.init_state(len(x))
    for chunk in data.cut(x):
        padded, present = _with_masked_element(chunk)
        state = encoder.update(state, padded, mask=present)
    out: Tensor = encoder.readout(state)
    return out


def _with_masked_element(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return elements with one more, and a mask that says that it is absent."""
    padded = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    present = padded.new_ones(padded.shape[:2]).bool()
    present[:, -1] = False
    return padded, present


def _float32_error(exact: Subject, x: Tensor, expected: Tensor) -> Tensor:
    """Return an upper estimate of the change of the encoding by rounding in float32 (`B`)."""
    eps = torch.finfo(torch.float32).eps
    changes = []
    for trial in range(_TRIALS):
        perturbed = perturb(x.double(), torch.Generator().manual_seed(trial), 2 * eps)
        with NoisyArithmetic(trial, 2 * eps):
            changes.append(gaps(exact.encode(perturbed), expected))
    return _NOISE_FACTOR * torch.stack(changes).amax(0)


IN_ONE_PIECE = ""
_PRECISION_SIZES = ((1,), (1, 2), (5, 1, 9), (1,) * 16, (64, 65), (100, 100, 57))
_PRECISION_KINDS = (0, 3, 5, 13)  # normal, sorted, negative, class by class

SCALE = Law(
    id="numerics.scale",
    check=check_scale,
    requires=(streams, reads_numbers),
    budget_fraction=0.5,
    max_size=129,
    conditioned=True,
)
FLOAT32 = Law(id="numerics.float32", check=check_float32, requires=(reads_numbers,), budget_fraction=0.5, max_size=129)
PRECISION = Law(
    id="numerics.precision",
    check=check_precision,
    requires=(streams,),
    fixed=tuple(Example(sizes=sizes, kinds=_PRECISION_KINDS, seed=seed) for seed, sizes in enumerate(_PRECISION_SIZES)),
    measures=True,
)
