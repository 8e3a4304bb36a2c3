"""Hygiene: an encoder in eval mode is a function without side effects."""

import contextlib
import functools
import hashlib
import itertools
import pickle
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mbcbench.protocol.copying import copy_module
from mbcbench.protocol.state import tensors
from mbcbench.verify.dispatch import DispatchMode, operation_name
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.isolation import changed_setting, read_settings, restored_settings
from mbcbench.verify.law import Law, admits_nonfinite
from mbcbench.verify.subject import Subject, encoding
from mbcbench.verify.tolerance import Comparison

from .comparison import no_gap, unless_raised, unless_refused, violation, violation_by_error, worse
from .randomness import locate_random_module

_LINEAR_ALGEBRA: type[RuntimeError] = getattr(torch.linalg, "LinAlgError")  # noqa: B009 # it has no type
_VIEW = "a view of a larger tensor"
_SHARE_IN_TRAIN_MODE = 3  # of the examples, one in so many is encoded in train mode too


def check_determinism(subject: Subject, data: ExampleData) -> Comparison:
    """In eval mode, equal inputs give equal outputs, whatever is encoded in between.

    Source: every other law compares two encodings, which means nothing if one input has two.

    Why it matters: an encoding is not reproducible if slots are drawn again at each call, dropout stays on, buffers
    remember the last set, results are cached by the shape or the identity of their input, or all results are written
    into one tensor.

    How to fix a failure: draw in train mode only, or once per stream from a generator of the encoder's own; store
    nothing on the module during a call, and return a new tensor.
    """
    twin = copy_module(subject.module)
    other = subject.domain.admit(data.x * -0.7 + 0.3)
    x = data.x.clone()
    returned = subject.module(x)
    first = returned.clone()
    x.copy_(other)  # so that results cached by the identity of a tensor are found as well
    is_view = returned.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
    comparison = subject.compare(encoding(subject.module, x), twin(other), other)
    if not is_view and not torch.equal(returned.nan_to_num(), first.nan_to_num()):
        return violation(data, "an encoding changes in memory when another set is encoded")
    return worse(comparison, subject.compare(encoding(subject.module, data.x), first, data.x))


def locate_determinism(subject: Subject, data: ExampleData) -> str:
    """Return the first submodule that gives equal inputs different outputs."""
    return locate_random_module(subject, data.x, encoding, "gives equal inputs different outputs")


def check_inputs(subject: Subject, data: ExampleData) -> Comparison:
    """Input and mask are not modified, and the memory layout of the input does not matter.

    Source: a function of values does not depend on strides, and does not write to its arguments.

    Why it matters: chunks are views of a larger tensor. An operation in place on one chunk changes the others, and
    `view` instead of `reshape` raises or mixes up the elements of a transposed input. A mask is often used again by
    the next layer. In train mode, a first layer such as `nn.Dropout(inplace=True)` writes to the batch of the caller.

    With masks and in train mode, the law only checks that arguments are not modified, if the encoder can be called so.

    How to fix a failure: avoid operations in place on arguments (`x -= mean`, `x[~mask] = 0`, `mask.logical_not_()`);
    use `reshape` instead of `view`.
    """
    x = data.x.clone()
    expected = subject.encode(x)
    if not torch.equal(x, data.x):
        return violation(data, "the input was modified")
    modified = _modified_with_masks(subject, data.x) if subject.takes_mask else ""
    if not modified and data.example.seed % _SHARE_IN_TRAIN_MODE == 0:
        modified = _modified_in_train_mode(subject, data)
    if modified:
        return violation(data, f"{modified} was modified")
    comparison = no_gap(data)
    for layout in (_with_stride(data.x), _element_first(data.x)):
        try:
            comparison = worse(comparison, subject.compare(subject.encode(layout), expected, data.x))
        except RuntimeError as error:
            return violation_by_error(data, _VIEW, error)
    return worse(comparison, _compare_chunks(subject, data, expected)) if subject.streaming else comparison


def _modified_in_train_mode(subject: Subject, data: ExampleData) -> str:
    """Encode the sets in train mode; return which argument the encoder modifies, or an empty string.

    A sound encoder may refuse sets that it evaluates, as BatchNorm does for one set of one element.
    """
    training, x = subject.in_train_mode, data.x.clone()
    chunks = torch.split(x, list(data.example.sizes), dim=1)
    encoders: dict[str, Callable[[], object]] = {"the input": lambda: training.module(x)}
    if subject.streaming:
        encoders["a chunk"] = lambda: training.stream_state(chunks, training.init_state(len(x)))
    for name, encode in encoders.items():
        with contextlib.suppress(Exception), torch.random.fork_rng(devices=[]):
            encode()
        if not torch.equal(x, data.x):
            return f"in train mode, {name}"
    if not subject.takes_mask:
        return ""
    with contextlib.suppress(Exception), torch.random.fork_rng(devices=[]):
        modified = _modified_with_masks(training, data.x)
        return modified and f"in train mode, {modified}"
    return ""


def _modified_with_masks(subject: Subject, x: Tensor) -> str:
    """Encode `x` (`B x n x d`) with masks; return which argument the encoder modifies, or an empty string."""
    first = x[:, :, 0]
    some = first >= first.median(1, keepdim=True).values
    encoders: dict[str, Callable[[Tensor, Tensor], object]] = {"the input": subject.encode_masked}
    if subject.streaming:  # `encode_masked` may call `forward`
        encoders["a chunk"] = lambda x, mask: subject.update(subject.init_state(len(x)), x, mask)
    for mask, (name, encode) in itertools.product(_with_absent_set(some), encoders.items()):
        given, elements = mask.clone(), x.clone()
        unless_raised(functools.partial(encode, elements, given))
        if not torch.equal(given, mask):
            return "the mask"
        if not torch.equal(elements, x):
            return name
    return ""


def _with_absent_set(mask: Tensor) -> list[Tensor]:
    """Return a mask, and the same mask without the elements of the first set."""
    others = mask.clone()
    others[0] = False
    return [mask, others]


def _compare_chunks(subject: Subject, data: ExampleData, expected: Tensor) -> Comparison:
    """Compare a stream of chunks that are views of a larger tensor with the full set, or with separate chunks."""
    x = _element_first(data.x.clone())
    views = torch.split(x, list(data.example.sizes), dim=1)
    start = subject.init_state(len(x))
    copies = [view.contiguous() for view in views]
    try:
        comparison = subject.compare(subject.stream(views, start), expected, data.x)
    except RuntimeError as error:
        subject.stream(copies, start)  # raises too unless memory layout is the reason
        return violation_by_error(data, _VIEW, error)
    if not torch.equal(x, data.x):
        return violation(data, "a chunk was modified")
    if not comparison.is_broken:
        return comparison
    return subject.compare(subject.stream(views, start), subject.stream(copies, start), data.x)


def _with_stride(x: Tensor) -> Tensor:
    """Return the same values, as every second entry of a larger tensor."""
    wide = x.new_full((*x.shape[:-1], 2 * x.shape[-1]), 7.0)
    wide[..., ::2] = x
    return wide[..., ::2]


def _element_first(x: Tensor) -> Tensor:
    """Return the same values, stored element by element instead of set by set."""
    return x.transpose(0, 1).contiguous().transpose(0, 1)


def check_rng(subject: Subject, data: ExampleData) -> Comparison:
    """In eval mode, the global random state and the settings of the process are left unchanged.

    Source: reproducible experiments; an evaluation must not change what is drawn or computed after it.

    Why it matters: an encoder that draws its slots from the global generator shifts every later draw, so that one more
    evaluation changes the rest of a run; an encoder that seeds the generator makes later draws repeat. A default dtype
    or a gradient mode that an encoder sets holds for all modules that are called after it.

    Settings are the gradient mode, the default dtype and device, autocast, the use of deterministic algorithms, anomaly
    detection and the number of threads. Calls with and without gradients are tried.

    How to fix a failure: in eval mode, draw from a `torch.Generator` of the encoder's own. Use settings as a context
    (`with torch.no_grad():`), and pass `dtype=x.dtype` instead of setting a default.
    """
    changed = _changed_state(subject, data)
    if not changed:
        with contextlib.suppress(Exception), torch.enable_grad():  # it need not support gradients
            changed = _changed_state(subject, data)
    return violation(data, changed) if changed else no_gap(data)


def _changed_state(subject: Subject, data: ExampleData) -> str:
    """Encode in all ways; return which global state this changes, or an empty string. All states are restored."""
    with restored_settings(), _advanced_generators():
        before, settings = _global_states(), read_settings()
        for _ in _calls(subject, data):
            changed = changed_setting(settings)
            if changed:
                return changed
        changed_generators = (name for name, state in _global_states().items() if state != before[name])
        return next((f"the state of {name} changed" for name in changed_generators), "")


def _calls(subject: Subject, data: ExampleData) -> Iterator[object]:
    """Encode the sets of an example in all ways, and yield after each step."""
    yield subject.module(data.x)
    if subject.takes_mask:
        yield subject.encode_masked(data.x, torch.ones(data.x.shape[:2], dtype=torch.bool))
    if subject.streaming:
        yield (state := subject.init_state(len(data.x)))
        yield (state := subject.stream_state(data.chunks, state))
        if subject.mergeable:  # mbc.merge judges a merge that raises
            yield unless_raised(lambda: subject.module.merge(state, state))
        yield subject.readout(state)


@contextlib.contextmanager
def _advanced_generators() -> Iterator[None]:
    """Draw a number from each global generator first, and restore their states afterwards.

    Without the draw, an encoder that seeds a generator could restore exactly its present state.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.rand(1)
        np.random.random_sample()
        random.random()
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


def _global_states() -> dict[str, str]:
    states = {
        "torch's global generator": torch.get_rng_state().numpy(),
        "NumPy's global generator": np.random.get_state(legacy=False),
        "`random`": random.getstate(),
    }
    return {name: hashlib.sha256(pickle.dumps(state)).hexdigest() for name, state in states.items()}


def check_dtype(subject: Subject, data: ExampleData) -> Comparison:
    """Output and state have the dtype of input and parameters; accumulation is not silently narrowed.

    Source: a float64 encoder is used for float64 precision, and a float32 one must not return float64.

    Why it matters: a float32 buffer in a float64 stream loses half of its digits, and a float64 result of a float32
    encoder doubles memory downstream, or fails on devices without float64.

    How to fix a failure: create tensors with `x.new_zeros` or from a parameter, and move constants with the module;
    avoid `.float()` and `.half()`.
    """
    with _NarrowingWatch(torch.float32) as watch32:
        out = subject.in_dtype(torch.float32)(data.x.float())
    if out.dtype is not torch.float32:
        return violation(data, f"float32 input and parameters, {_name(out.dtype)} output")
    with _NarrowingWatch(torch.float64) as watch64:
        out = subject.module(data.x)
    if out.dtype is not torch.float64 or out.device != data.x.device:
        return violation(data, f"float64 input and parameters on {data.x.device}, {_name(out.dtype)} on {out.device}")
    if subject.streaming:
        state = subject.stream_state(data.chunks, subject.init_state(len(data.x)))
        narrow = [t.dtype for t in tensors(state) if _bits(t) not in (None, _bits(data.x))]
        if narrow:
            return violation(data, f"the state of a float64 stream holds {_name(narrow[0])}")
    for watch in (watch64, watch32):
        if watch.narrowed is not None:
            computes = f"with {_name(watch.dtype)} input and parameters, it computes in {_name(watch.narrowed)}"
            return violation(data, f"{computes} inside")
    return no_gap(data)


# Operations whose results have the shape of an argument, but not its numbers.
_CREATING = frozenset({"bernoulli", *(f"{kind}_like" for kind in ("empty", "full", "ones", "rand", "randn", "zeros"))})


class _NarrowingWatch(DispatchMode):
    """Watches for operations on numbers of a dtype whose results are floating-point numbers of lower precision."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.narrowed: torch.dtype | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = operation_name(func)
        if self.narrowed is None and name not in _CREATING and not name.startswith("new_"):
            bits = torch.finfo(self.dtype).bits
            narrow = [t.dtype for t in tensors(out) if t.dim() > 0 and (_bits(t) or bits) < bits]
            if narrow and any(_bits(t) == bits and t.dim() > 0 for t in tensors(args)):
                self.narrowed = narrow[0]
        return out


def _bits(tensor: Tensor) -> int | None:
    """Return the size of a number, or of the real part of a complex one; None for integers and Booleans."""
    return torch.finfo(tensor.dtype).bits if tensor.is_floating_point() or tensor.is_complex() else None


def check_nonfinite(subject: Subject, data: ExampleData) -> Comparison:
    """NaN in an element reaches the encoding of its own set; NaN or infinity reaches that of no other set.

    Source: IEEE arithmetic; bad data must show in the encoding of their own set, and in no other.

    An encoder may also refuse such a batch: a ValueError with a message is as good, and so is the LinAlgError of a
    decomposition.

    Why it matters: an encoder that swallows NaN (`nan_to_num`, a comparison that is false) returns a number for broken
    data; a statistic over the batch spreads one bad set to all.

    How to fix a failure: do not use `nan_to_num` on data; select with `torch.where` instead of multiplying by a mask.
    """
    row, element, coordinate = (int(data.rng.integers(size)) for size in data.x.shape)
    data.choices["set, element and coordinate"] = [row, element, coordinate]
    comparison = no_gap(data)
    for encode, bad in itertools.product(_ways_to_encode(subject, data), (torch.nan, torch.inf)):
        x = data.x.clone()
        x[row, element, coordinate] = bad
        expected, actual = encode(data.x), _unless_unsolvable(functools.partial(encode, x))
        if actual is None:
            continue
        if bad is torch.nan and bool(actual[row].isfinite().all()):
            return violation(data, "NaN in an element does not reach the encoding of its set")
        others = torch.arange(len(x)) != row
        if bool((expected[others].isfinite() & ~actual[others].isfinite()).any()):
            return violation(data, f"{bad} in one set reaches the encoding of another")
        actual[row] = expected[row]  # only the other sets are compared
        comparison = worse(comparison, subject.compare(actual, expected, data.x))
    return comparison


def _ways_to_encode(subject: Subject, data: ExampleData) -> list[Callable[[Tensor], Tensor]]:
    """Return functions that encode sets of the shape of an example: in one piece and, if possible, in its chunks."""
    if not subject.streaming:
        return [subject.encode]
    sizes = list(data.example.sizes)
    return [subject.encode, lambda x: subject.stream(x.split(sizes, dim=1), subject.init_state(len(x)))]


def _unless_unsolvable(encode: Callable[[], Tensor]) -> Tensor | None:
    """Return an encoding, or None if the encoder refuses the input, or an algorithm of linear algebra does so."""
    try:
        return unless_refused(encode)
    except RuntimeError as error:
        if isinstance(error, _LINEAR_ALGEBRA):
            return None
        raise


def check_state_dict(subject: Subject, data: ExampleData) -> Comparison:
    """Saving and loading a state_dict gives the same encoder.

    Source: `torch.nn.Module.state_dict`, the format in which encoders are stored.

    Why it matters: a tensor that is neither a parameter nor a persistent buffer (fixed slots, a random projection,
    running statistics) is drawn again in the new process, and the loaded encoder differs.

    How to fix a failure: use `register_buffer` for tensors that are not trained, and `nn.Parameter` for those that are.
    """
    loaded = subject.copy()
    loaded.module = subject.rebuild()
    loaded.module.load_state_dict(subject.module.state_dict())
    ways = zip(_ways_to_encode(loaded, data), _ways_to_encode(subject, data), strict=True)
    return functools.reduce(worse, (subject.compare(new(data.x), old(data.x), data.x) for new, old in ways))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


DETERMINISM = Law(
    id="hygiene.determinism",
    check=check_determinism,
    first=(Example(sizes=(600,)), Example(sizes=(1_500,))),  # an encoder may sample from large sets only
    budget_fraction=0.5,
    locate=locate_determinism,
)
INPUTS = Law(id="hygiene.inputs", check=check_inputs, budget_fraction=0.5)
RNG = Law(id="hygiene.rng", check=check_rng, budget_fraction=0.1)
DTYPE = Law(id="hygiene.dtype", check=check_dtype, budget_fraction=0.1, max_size=64)
NONFINITE = Law(
    id="hygiene.nonfinite",
    check=check_nonfinite,
    requires=(admits_nonfinite,),
    batched=False,
    budget_fraction=0.03,
    max_size=64,
)
STATE_DICT = Law(id="hygiene.state_dict", check=check_state_dict, budget_fraction=0.1, max_size=64)
