"""Mini-batch consistency: the encoding of a stream does not depend on how the set is cut into chunks."""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from mbcbench.errors import is_out_of_memory
from mbcbench.types import State
from mbcbench.verify.example import ExampleData
from mbcbench.verify.law import Law, merges, streams
from mbcbench.verify.observed_subject import locate_state
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison

from .chunks import locate_in_chunks
from .comparison import add_part, no_gap, unless_refused, violation, worse


def check_partition(subject: Subject, data: ExampleData) -> Comparison:
    """Any partition of X, streamed, is encoded like X in one piece.

    Source: Property 2.1 of the Slot Set Encoder paper, g(f(X_1), ..., f(X_p)) = f(X).

    Why it matters: if a set does not fit into memory, its encoding must not depend on how it was cut. Equal random
    chunks are a weak test: the mean of chunk means passes for every split into equal parts, and is off by more than its
    own size for a chunk of one element next to a large one. So the chunks here are uneven, single, interleaved and
    sorted. For an encoder that declares itself order-sensitive they are contiguous and in order.

    How to fix a failure: keep in the state what the read-out needs of all elements (a sum with its count, a running
    maximum with numerator and denominator), and divide, normalise or apply nonlinearities in the read-out only.
    """
    start = subject.init_state(len(data.x))
    return subject.compare(subject.stream(data.chunks, start), subject.encode(data.x, start), data.x)


def locate_partition(subject: Subject, data: ExampleData) -> str:
    """Return the first submodule that treats the elements of a chunk differently from those of the full set."""
    fault = "mixes the elements of a set"
    return locate_in_chunks(subject, data, fault) or locate_state(check_partition)(subject, data)


def is_consistent(subject: Subject, data: ExampleData) -> bool:
    """Return True if the stream of an example is encoded like the full set."""
    comparison = check_partition(subject, data)
    return bool((comparison.gap <= comparison.bound).all())


def check_order(subject: Subject, data: ExampleData) -> Comparison:
    """The order in which chunks arrive does not matter.

    Source: Section 2.1 of the Slot Set Encoder paper, invariance to the order of the subsets.

    Why it matters: a stream has no canonical order, and workers that read a large set finish in any order. A state that
    decays, keeps the first chunk or fills a fixed buffer gives early elements another weight.

    How to fix a failure: accumulate with a commutative operation; do not weight chunks by their number.
    """
    start = subject.init_state(len(data.x))
    order = data.rng.permutation(len(data.chunks))
    if (order == range(len(order))).all():
        order = order[::-1]
    data.choices["order of the chunks"] = order.tolist()
    reordered = subject.stream([data.chunks[i] for i in order], start)
    return subject.compare(reordered, subject.stream(data.chunks, start), data.x)


def check_merge(subject: Subject, data: ExampleData) -> Comparison:
    """Merging is associative and commutative, with the fresh state as identity: any tree over the chunks agrees.

    Source: mini-batch consistency asks for a commutative monoid; these are its laws. An encoder that declares itself
    order-sensitive has a monoid that does not commute: only neighbouring chunks are merged, in order.

    Why it matters: parallel encoding merges partial states in the order in which workers finish. A merge that forgets a
    count, averages two means or prefers its left argument is silently wrong, and no sequential test shows it.

    How to fix a failure: merge the accumulated quantities, not the read-outs, and treat both arguments alike.
    """
    start = subject.init_state(len(data.x))
    trees = [(str(number), subject.update(start, chunk)) for number, chunk in enumerate(data.chunks)]
    trees.insert(int(data.rng.integers(len(trees) + 1)), ("fresh", start))
    while len(trees) > 1:
        if subject.domain.order_sensitive:  # only neighbours, the earlier one first
            left = int(data.rng.integers(len(trees) - 1))
            right = left + 1
        else:
            left, right = (int(i) for i in data.rng.choice(len(trees), size=2, replace=False))
        (a, state_a), (b, state_b) = trees[left], trees[right]
        trees[left] = (f"({a} {b})", subject.module.merge(state_a, state_b))
        del trees[right]
    data.choices["tree over the chunks"], merged = trees[0]
    return subject.compare(subject.readout(merged), subject.stream(data.chunks, start), data.x)


def check_empty(subject: Subject, data: ExampleData) -> Comparison:
    """An empty chunk changes nothing, wherever it comes; an empty set has a defined encoding or is a clear error.

    Source: the identity of the monoid; a partition may have an empty part.

    Why it matters: filters, shards and windows are often empty. A chunk without elements that is counted, or whose
    maximum is taken, corrupts the whole stream; with masks, so does a chunk whose elements are all masked.

    A stream without elements, at its start and after empty chunks, must be encoded like the empty set: a program may
    read out a window without events. A ValueError with a message, from `update` or `readout`, is a clear error too.

    How to fix a failure: give sums over no elements their identity (0, or -inf for a maximum), count elements instead
    of chunks, and let the read-out of the fresh state return numbers or raise ValueError with a message. A maximum
    that is subtracted, as in a softmax, starts at `torch.finfo(dtype).min`: -inf minus -inf is NaN.
    """
    start = subject.init_state(len(data.x))
    expected = subject.stream(data.chunks, start)
    position = int(data.rng.integers(0, len(data.chunks) + 1))
    data.choices["empty chunks before chunk"] = position
    comparison = _compare_unless_refused(
        subject, data, expected, lambda: _stream_with_empty_chunks(subject, data, start)
    )

    def compare_masked() -> Comparison:
        before = position % len(data.chunks)
        data.choices["masked chunk before chunk"] = before
        stream = partial(_stream_with_masked_chunk, subject, data, start, before)
        return _compare_unless_refused(subject, data, expected, stream)

    if subject.takes_mask:
        comparison = add_part(comparison, data, compare_masked)
    return add_part(comparison, data, lambda: _compare_empty_set(subject, data, start))


def _compare_unless_refused(
    subject: Subject, data: ExampleData, expected: Tensor, stream: Callable[[], Tensor]
) -> Comparison:
    """Compare a stream with `expected`; one that is refused with a message cannot be wrong."""
    actual = unless_refused(stream)
    return no_gap(data) if actual is None else subject.compare(actual, expected, data.x)


def _stream_with_empty_chunks(subject: Subject, data: ExampleData, start: State) -> Tensor:
    empty = data.x[:, :0]
    position = data.choices["empty chunks before chunk"]
    last = [empty] if data.example.seed % 2 else []
    return subject.stream([*data.chunks[:position], empty, empty, *data.chunks[position:], *last], start)


def _stream_with_masked_chunk(subject: Subject, data: ExampleData, state: State, position: int) -> Tensor:
    for number, chunk in enumerate(data.chunks):
        if number == position:
            absent = chunk.new_zeros(chunk.shape[:2]).bool()
            state = subject.update(state, subject.domain.admit(chunk * 3 + 1), absent)
        state = subject.update(state, chunk)
    return subject.readout(state)


def _compare_empty_set(subject: Subject, data: ExampleData, start: State) -> Comparison:
    """Compare streams without elements with the empty set; each of them may be refused, and none may be NaN."""
    empty = data.x[:, :0]
    whole = _encode_nothing(data, "an empty set", lambda: subject.encode(empty, start))
    streams = (
        _encode_nothing(data, "the fresh state", lambda: subject.readout(start)),
        _encode_nothing(data, "a stream of empty chunks", lambda: subject.stream([empty, empty], start)),
    )
    comparison = no_gap(data)
    for outcome in (whole, *streams):
        if isinstance(outcome, Comparison):
            comparison = worse(comparison, outcome)
    for streamed in streams:
        if isinstance(streamed, Tensor) and isinstance(whole, Tensor):
            comparison = worse(comparison, subject.compare(streamed, whole, empty))
    return comparison


def _encode_nothing(data: ExampleData, what: str, encode: Callable[[], Tensor]) -> Tensor | Comparison:
    """Return the encoding of no elements; or no gap if it is refused with a message, and a violation if it is NaN."""
    try:
        encoding = encode()
    except (ValueError, IndexError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        has_message = bool(str(error).strip())
        return no_gap(data) if has_message else violation(data, f"{what} raises an error without a message")
    if bool(encoding.isnan().any()):
        return violation(data, f"{what} encodes to NaN: return a value, or raise ValueError with a message")
    return encoding


PARTITION = Law(id="mbc.partition", check=check_partition, requires=(streams,), locate=locate_partition)
ORDER = Law(id="mbc.order", check=check_order, requires=(streams,), locate=locate_state(check_order))
MERGE = Law(id="mbc.merge", check=check_merge, requires=(merges,), locate=locate_state(check_merge))
EMPTY = Law(id="mbc.empty", check=check_empty, requires=(streams,), max_size=40, locate=locate_state(check_empty))
