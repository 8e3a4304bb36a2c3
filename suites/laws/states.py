"""The state as a value: it can be saved and forked, and does not grow."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from mbcbench.errors import plural
from mbcbench.protocol import state as pytree
from mbcbench.protocol.copying import copy_module
from mbcbench.types import Encoder, State
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import Law, streams
from mbcbench.verify.observed_subject import locate_state
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison, gaps, max_norms

from .chunks import locate_in_chunks
from .comparison import add_part, no_gap, skipping_refusals, unless_refused, violation, violation_by_error, worse
from .mbc import is_consistent, locate_partition
from .padded import Padded, pad_sets
from .randomness import locate_random_module
from .train_mode import compare_merged, seeded_state

_MASKED_INTERLEAVED = (
    "two masked streams that are fed in turn are encoded otherwise than each on its own: "
    "a mask or a count is kept outside of the state"
)
_MAX_FORKS = 3  # later prefixes of a stream show nothing that the first do not


def check_resume(subject: Subject, data: ExampleData) -> Comparison:
    """A state that is saved to bytes in mid-stream and loaded again continues as if nothing had happened.

    Source: a stream that outlives its process, saved as safetensors bytes without pickle.

    Why it matters: long encodings are checkpointed. What an encoder keeps outside of its state (on the module, in a
    generator, in a closure) is lost, and a slot drawn again after the restart belongs to another stream.

    How to fix a failure: put everything that the stream needs into the state, as tensors and plain values.
    """
    # Copied before the stream starts: another process knows nothing of it.
    resumed = subject.copy()
    start = subject.init_state(len(data.x))
    stop = int(data.rng.integers(0, len(data.chunks) + 1))
    data.choices["saved before chunk"] = stop
    state = start
    for chunk in data.chunks[:stop]:
        state = subject.update(state, chunk)
    try:
        saved = pytree.to_bytes(state)
    except TypeError as error:
        return violation(data, str(error))
    expected = subject.stream(data.chunks, start)
    try:
        loaded = pytree.from_bytes(saved, like=resumed.init_state(len(data.x)))
        actual = resumed.stream(data.chunks[stop:], loaded)
    except Exception as error:  # the encoder's own
        return violation_by_error(data, "a stream that is loaded again", error)
    return subject.compare(actual, expected, data.x)


def check_fork(subject: Subject, data: ExampleData) -> Comparison:
    """A state is a value: continuing from it twice, reading it out, merging it or interleaving streams changes nothing.

    Source: the protocol; the elements of a monoid are values.

    Why it matters: a running prediction reads out in mid-stream, a search continues one prefix in many ways, a server
    interleaves the streams of its clients. `state.total += ...` or a buffer on the module breaks each of these, even
    if it is used with a mask only.

    A state may be a view of the chunk that it comes from: this law does not overwrite chunks. Code that does, such as
    a loader that reuses its buffer, must give the encoder copies.

    How to fix a failure: return a new state from update and merge (`a + b`, not `a += b`); store nothing on the module.
    """
    # Another stream first, so that what it leaves on the module shows in the comparisons below.
    subject.stream([data.x.flip(1)], subject.init_state(len(data.x)))
    start = subject.init_state(len(data.x))
    expected = subject.stream(data.chunks, start)
    comparison = _compare_interleaved(subject, data, expected)
    if subject.takes_mask and subject.deterministic:
        comparison = add_part(comparison, data, lambda: _compare_interleaved_masked(subject, data))
    for number, chunk in enumerate(data.chunks):
        state = subject.stream_state(data.chunks[:number], start)
        before = [t.clone() for t in pytree.tensors(state)]
        for _, use in _uses(subject, state, start, chunk):
            use()
        if not _are_equal(before, pytree.tensors(state)):
            data.choices["changed after chunk"] = number
            return violation(data, "using a state changed it")
        again = subject.stream(data.chunks[number:], state)
        comparison = worse(comparison, subject.compare(again, expected, data.x))
        if number >= _MAX_FORKS:
            break
    return comparison


def locate_changed_leaf(subject: Subject, data: ExampleData) -> str:
    """Return the first leaf of a state that is changed in place when the state is used."""
    start = subject.init_state(len(data.x))
    for number, chunk in enumerate(data.chunks[: _MAX_FORKS + 1]):
        state = subject.stream_state(data.chunks[:number], start)
        before = pytree.clone(state)
        for action, use in _uses(subject, state, start, chunk):
            use()
            for (path, old), (_, new) in zip(pytree.named_leaves(before), pytree.named_leaves(state), strict=True):
                if isinstance(old, Tensor) and isinstance(new, Tensor) and not _are_equal([old], [new]):
                    return f"{path}: changed in place by {action}"
    return locate_state(check_fork)(subject, data)


def _compare_interleaved(subject: Subject, data: ExampleData, expected: Tensor) -> Comparison:
    """Compare two streams that are fed in turn with each on its own."""
    batch_size = len(data.x)
    state, other_state = subject.init_state(batch_size), subject.init_state(batch_size)
    other_chunks = data.x.flip(1).split(data.example.sizes, dim=1)  # type: ignore[no-untyped-call]
    for chunk, other_chunk in zip(data.chunks, other_chunks, strict=True):
        state = subject.update(state, chunk)
        other_state = subject.update(other_state, other_chunk)
    if not subject.deterministic:
        return no_gap(data)
    comparison = subject.compare(subject.readout(state), expected, data.x)
    other_expected = subject.stream(other_chunks, subject.init_state(batch_size))
    return worse(comparison, subject.compare(subject.readout(other_state), other_expected, data.x))


def _compare_interleaved_masked(subject: Subject, data: ExampleData) -> Comparison:
    """Compare two masked streams that are fed in turn with each on its own."""
    padded = [pad_sets(chunk, 2, data, subject.domain) for chunk in data.chunks]
    others = [pad_sets(subject.domain.admit(chunk * 0.5), 1, data, subject.domain) for chunk in data.chunks]

    def stream(*streams: list[Padded]) -> list[Tensor]:
        states = [subject.init_state(len(data.x)) for _ in streams]
        for chunks in zip(*streams, strict=True):
            copies = [(chunk.x.clone(), chunk.present.clone()) for chunk in chunks]  # hygiene.inputs judges changes
            states = [subject.update(state, *copy) for state, copy in zip(states, copies, strict=True)]
        return [subject.readout(state) for state in states]

    encodings = unless_refused(lambda: (*stream(padded), *stream(others), *stream(padded, others)))
    if encodings is None:
        return no_gap(data)
    alone, other_alone, interleaved, other_interleaved = encodings
    comparison = worse(
        subject.compare(interleaved, alone, data.x), subject.compare(other_interleaved, other_alone, data.x)
    )
    return comparison._replace(note=_MASKED_INTERLEAVED) if comparison.is_broken else comparison


def _uses(subject: Subject, state: State, start: State, chunk: Tensor) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the ways to use a state, by name; none of them may change the state."""
    if state is not start:  # mbc.empty judges the encoding of an empty stream
        yield "readout", lambda: subject.readout(state)
    yield "update", lambda: subject.update(state, subject.domain.admit(chunk * 0.5))
    if subject.takes_mask:
        yield "update with a mask", lambda: unless_refused(lambda: _update_masked(subject, state, chunk))
    if subject.mergeable:
        yield "merge", lambda: subject.module.merge(state, state)
        yield "merge", lambda: subject.module.merge(subject.update(start, chunk), state)


def _update_masked(subject: Subject, state: State, chunk: Tensor) -> State:
    """Return the state after a chunk of which the last element is absent if there are several."""
    present = torch.ones(chunk.shape[:2], dtype=torch.bool)
    present[:, 1:][:, -1:] = False
    return subject.update(state, chunk, present)


def _are_equal(a: list[Tensor], b: list[Tensor]) -> bool:
    """Return True if two lists of tensors are equal, NaN included."""
    if [t.shape for t in a] != [t.shape for t in b]:
        return False
    return all(bool(((x == y) | (x.isnan() & y.isnan())).all()) for x, y in zip(a, b, strict=True))


def check_large(subject: Subject, data: ExampleData) -> Comparison:
    """Counts, accumulators and caps hold for sets and chunks of ten thousand elements and more.

    Source: Section 2.1 of the Slot Set Encoder paper, sets of arbitrary size.

    Why it matters: a count in int16 or float16, a buffer of 4,096 rows or a warm-up that ends does not show on a
    hundred elements.

    How to fix a failure: count in int64 or float64, never cap silently, and decide nothing by the number of chunks.

    A count that overflows is wrong in the full set too. Equal elements are therefore added one by one across 2^7, 2^8,
    2^15 and 2^16, the limits of small integer types: an overflow makes one step of the encoding unlike the others. An
    encoder that takes such steps at other sizes too does so by design, as one with an embedding of its size does.

    A size is left out if it would need more than two million operations, as a slow loop over elements does, or a tensor
    of more than 2^27 entries; this is predicted from sets of 64 and 128 elements.
    """
    start = subject.init_state(len(data.x))
    # A least size has lengthened the first chunk of an example, unless its elements are written out.
    surplus = 0 if data.example.values is not None else subject.domain.num_added
    if not _crosses_limit(data.example.sizes, data.example.n - surplus):
        return subject.compare(subject.stream(data.chunks, start), subject.encode(data.x, start), data.x)
    comparison = _compare_steps(subject, data, start, surplus)
    return no_gap(data) if comparison.is_broken and _takes_such_steps(subject, data) else comparison


def _crosses_limit(sizes: Sequence[int], n: int) -> bool:
    """Return True if `n` elements end with single ones, of which one after the first few reaches a limit."""
    first = n - len(_TAIL) + _STEPS_BEFORE_LIMIT
    return sizes[-len(_TAIL) :] == _TAIL and any(first < limit <= n for limit in _LIMITS)


def _compare_steps(subject: Subject, data: ExampleData, start: State, surplus: int) -> Comparison:
    """Compare the largest step that the encoding takes over a tail of equal elements with an ordinary one."""
    (first, *others), tail = data.chunks[: -len(_TAIL)], data.chunks[-len(_TAIL) :]
    encodings = _encodings_on_the_way(subject, [first[:, surplus:].contiguous(), *others], tail, start)
    steps = torch.stack([gaps(after, before) for before, after in pairwise(encodings)])
    ordinary = steps[:_STEPS_BEFORE_LIMIT].amax(0)
    largest = int(steps.amax(1).argmax())
    comparison = subject.compare(encodings[largest + 1], encodings[largest], data.x)
    element = data.example.n - surplus - len(_TAIL) + largest + 1
    note = f"element {element} changes the encoding far more than equal elements do"
    return comparison._replace(gap=(comparison.gap - _UNUSUAL_STEP * ordinary).clamp(min=0), note=note)


def _encodings_on_the_way(
    subject: Subject, before: Sequence[Tensor], chunks: Sequence[Tensor], start: State
) -> list[Tensor]:
    """Return the encoding after the chunks `before`, and after each of `chunks`."""
    state = subject.stream_state(before, start)
    # Read out from clones: mbc.fork judges whether reading out changes the state.
    encodings = [subject.readout(pytree.clone(state))]
    for chunk in chunks:
        state = subject.update(state, chunk)
        encodings.append(subject.readout(pytree.clone(state)))
    return encodings


def _takes_such_steps(subject: Subject, data: ExampleData) -> bool:
    """Return True if one more equal element changes the encoding unusually at a size that is not an integer limit."""
    element = data.x[:, :1].clone()
    least = subject.domain.min_size
    sizes = [(least, max(_ORDINARY_SIZES - least, len(_TAIL)))]
    sizes += [(size - len(_TAIL) // 2, len(_TAIL)) for size in _LARGE_SIZES if size < data.example.n]
    for size, number in sizes:
        start = subject.init_state(len(data.x))  # the first may have been modified in place
        encodings = _encodings_on_the_way(subject, [element.repeat(1, size, 1)], [element] * number, start)
        if _has_unusual_step(encodings, subject.scale):
            return True
    return False


def _has_unusual_step(encodings: Sequence[Tensor], scale: float) -> bool:
    """Return True if a step of a set is far larger than the steps before it, and more than rounding."""
    steps = torch.stack([gaps(after, before) for before, after in pairwise(encodings)])
    ordinary = steps.unfold(0, _STEPS_BEFORE_LIMIT, 1).amax(2)[:-1]
    norm = torch.stack([max_norms(encoding) for encoding in encodings]).amax(0).clamp(min=scale)
    return bool((steps[_STEPS_BEFORE_LIMIT:] > _UNUSUAL_STEP * ordinary + _NOTICEABLE * norm).any())


def check_memory(subject: Subject, data: ExampleData) -> Comparison:
    """The size of the state does not grow with the number of elements, or only up to a bound.

    Source: Section 2.2 of the Slot Set Encoder paper; without it, streaming is storing.

    Why it matters: a state that keeps its chunks is consistent, and useless for a set that does not fit into memory.

    How to fix a failure: keep statistics of fixed size. An encoder that needs all elements is not a streaming one.

    If a state has grown, more elements follow, up to 8,192 in all. An encoder whose state stops growing by then keeps
    the law, for example a buffer of the 100 largest elements. Where the encoder takes a mask, a stream of masked chunks
    is tried too, because a state may keep its masks.
    """
    comparison = _compare_sizes(subject, data, subject.update)
    if comparison.is_broken or not subject.takes_mask:
        return comparison
    masked = unless_refused(lambda: _compare_sizes(subject, data, lambda *step: _update_masked(subject, *step)))
    if masked is None or not masked.is_broken:
        return comparison
    return masked._replace(note=f"with masks, {masked.note}")


def _compare_sizes(subject: Subject, data: ExampleData, update: Callable[[State, Tensor], State]) -> Comparison:
    """Return a violation if the state of a stream grows with the number of elements."""

    def feed(chunks: Sequence[Tensor], state: State) -> State:
        for chunk in chunks:
            state = update(state, chunk)
        return state

    first, total = len(data.chunks) // 4, data.example.n
    fed = sum(data.example.sizes[:first])
    state = feed(data.chunks[:first], subject.init_state(len(data.x)))
    small = before = pytree.nbytes(state)  # measured at once: the state may be modified in place
    state = feed(data.chunks[first:], state)
    size = pytree.nbytes(state)
    while before < size and 4 * total <= _MOST_FED:
        state = feed(data.chunks * (3 * total // data.example.n), state)
        before, size, total = size, pytree.nbytes(state), 4 * total
    if size <= before:
        return no_gap(data)
    grown = f"{size} bytes after {plural(total, 'element')}"
    return violation(data, f"the state grows from {small} bytes after {plural(fed, 'element')} to {grown}")


def check_train(subject: Subject, data: ExampleData) -> Comparison:
    """In train mode too, a stream agrees with the full set if both start from the same state.

    Source: Section 2.5 of the Slot Set Encoder paper trains on streams.

    Why it matters: slots drawn again for each chunk, BatchNorm over the elements of a chunk or dropout masks per chunk
    make the encodings of a stream and of the set different functions, in train mode only. So does a merge that
    differs in train mode: the states of two parts of the stream are merged too. Each encoding is computed by a copy of
    the encoder, so that a running mean which one of them changes does not reach the other.

    How to fix a failure: draw slots once, in init_state; keep layers that couple elements (BatchNorm) outside of the
    set encoder. Dropout on single elements draws for each of them, and so differently for a stream and the full set:
    leave it out of the network of the elements, or declare an expected failure (see the guide "Expected failures").
    """

    def encode_whole(module: Encoder, x: Tensor) -> Tensor:
        module = copy_module(module)
        out: Tensor = module.readout(module.update(seeded_state(module, len(x), data.example.seed), x.clone()))
        return out

    training, streaming = subject.in_train_mode, subject.in_train_mode.copy()
    with torch.random.fork_rng(devices=[]):
        start = seeded_state(streaming.module, len(data.x), data.example.seed)
        with skipping_refusals("such a stream in train mode"):  # by BatchNorm, of one element of one set
            streamed = streaming.stream([chunk.clone() for chunk in data.chunks], start)
            whole = encode_whole(training.module, data.x)
            comparison = training.compare(streamed, whole, data.x, encode_whole)
            return add_part(comparison, data, lambda: compare_merged(subject, data))


def locate_train(subject: Subject, data: ExampleData) -> str:
    """Return the first submodule that draws in each update, or else couples the elements of a chunk, in train mode.

    A stream that also differs from the full set in eval mode has another fault.
    """
    if not is_consistent(subject, data):
        return locate_partition(subject, data)
    training = subject.in_train_mode
    start = training.init_state(len(data.x))

    def update(module: Encoder, x: Tensor) -> State:
        return module.update(pytree.clone(start), x)

    culprit = locate_random_module(training, data.x, update, "draws random numbers for each chunk")
    return culprit or locate_in_chunks(training, data, "mixes the elements of a set in train mode")


_LIMITS = (2**7, 2**8, 2**15, 2**16)  # of small integer types, where one more element makes them overflow
_STEPS_BEFORE_LIMIT = 3
_TAIL = (1,) * 8  # equal elements across a limit: the fourth reaches it
_ORDINARY_SIZES = 120  # sizes up to this, each of which is tried, are below all limits
_LARGE_SIZES = (2**10, 2**12, 2**14)  # further sizes that are no limit
_MOST_FED = 2**13  # elements; a state that still grows then grows with their number
_NOTICEABLE = 1e-6  # of an encoding: a step by design is at least this large
_UNUSUAL_STEP = 100.0  # times an ordinary step
_LARGE_EXAMPLES = (
    Example(sizes=(1, 2) * 2_050, kinds=(9,), arrangement="shuffled", seed=2, variant=1),
    Example(sizes=(20_000, 46_001), kinds=(3,), seed=3),
    *(Example(sizes=(limit - 4, *_TAIL), kinds=(2,), seed=4) for limit in _LIMITS),
)
RESUME = Law(
    id="mbc.resume",
    check=check_resume,
    requires=(streams,),
    budget_fraction=0.5,
    max_size=64,
    locate=locate_state(check_resume),
)
FORK = Law(
    id="mbc.fork",
    check=check_fork,
    requires=(streams,),
    budget_fraction=0.5,
    max_size=64,
    locate=locate_changed_leaf,
)
LARGE = Law(id="mbc.large", check=check_large, requires=(streams,), fixed=_LARGE_EXAMPLES)
MEMORY = Law(
    id="mbc.memory",
    check=check_memory,
    requires=(streams,),
    batched=False,  # an example is not simplified: growth shows with many elements
    fixed=(Example(sizes=(64,) * 32, kinds=(0,), seed=1), Example(sizes=(1,) * 256, kinds=(0,), seed=2)),
)
TRAIN = Law(
    id="mbc.train",
    check=check_train,
    requires=(streams,),
    budget_fraction=0.5,
    max_size=129,
    locate=locate_train,
)
