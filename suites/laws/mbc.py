"""Mini-Batch Consistency: what a stream of chunks must not change."""

from mbcbench.verify.example import ExampleData
from mbcbench.verify.law import Law, merges, streams
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison

from .comparison import no_gap, violation, worse


def check_partition(subject: Subject, data: ExampleData) -> Comparison:
    """Any partition of X, streamed, equals X in one piece.

    Source: Property 2.1 of the Slot Set Encoder paper, g(f(X_1), ..., f(X_p)) = f(X).

    Why it matters: when a set does not fit into memory, the encoding must not depend on how it was cut. Equal random
    chunks are the weakest probe there is: the mean of chunk means passes every equal split and is off by more than its
    own size on a chunk of one element beside a large one. So chunks here are uneven, single, interleaved, sorted.

    How to fix a failure: keep in the state what the read-out needs of all elements (a sum with its count, a running
    maximum with numerator and denominator), and divide, normalise or apply nonlinearities in the read-out only.
    """
    streamed = subject.stream(data.chunks, start := subject.init_state(len(data.x)))
    return subject.compare(streamed, subject.encode(data.x, start), data.x)


def check_order(subject: Subject, data: ExampleData) -> Comparison:
    """The order in which chunks arrive does not matter.

    Source: Section 2.1 of the Slot Set Encoder paper: invariant to the order of the subsets.

    Why it matters: a stream has no canonical order, and workers that read a large set finish as they please. A state
    that decays, keeps the first chunk, or fills a fixed buffer gives the early elements another weight.

    How to fix a failure: accumulate with an operation that is commutative; do not let a counter of chunks weigh them.
    """
    start = subject.init_state(len(data.x))
    order = data.rng.permutation(len(data.chunks))
    if len(order) > 1 and (order == range(len(order))).all():
        order = order[::-1]
    data.choices["order of the chunks"] = order.tolist()
    moved = subject.stream([data.chunks[i] for i in order], start)
    return subject.compare(moved, subject.stream(data.chunks, start), data.x)


def check_merge(subject: Subject, data: ExampleData) -> Comparison:
    """Merge is associative and commutative, and the fresh state is its identity: any tree over the chunks agrees.

    Source: the monoid that mini-batch consistency asks for; laws of a commutative monoid.

    Why it matters: parallel encoding merges partial states in whatever order the workers finish. A merge that forgets
    a count, averages two means, or prefers its left argument is silently wrong there and nowhere else.

    How to fix a failure: merge the accumulated quantities, not the read-outs, and treat both arguments alike.
    """
    start = subject.init_state(len(data.x))
    trees = [(str(at), subject.update(start, chunk)) for at, chunk in enumerate(data.chunks)] + [("fresh", start)]
    while len(trees) > 1:
        left, right = (int(at) for at in data.rng.choice(len(trees), size=2, replace=False))
        (a, state_a), (b, state_b) = trees[left], trees[right]
        trees = [tree for at, tree in enumerate(trees) if at not in (left, right)]
        trees.append((f"({a} {b})", subject.module.merge(state_a, state_b)))
    data.choices["tree over the chunks"], merged = trees[0]
    return subject.compare(subject.readout(merged), subject.stream(data.chunks, start), data.x)


def check_empty(subject: Subject, data: ExampleData) -> Comparison:
    """An empty chunk changes nothing, wherever it comes; an empty set has a defined encoding or is a clear error.

    Source: the identity of the monoid; a partition may hold an empty part.

    Why it matters: filters, shards and windows are often empty. A chunk of no elements that counts as one, or whose
    maximum of nothing is taken, poisons the whole stream; a chunk that is masked entirely does so where masks are used.

    How to fix a failure: give sums over no elements their identity (0, or -inf for a maximum), count elements and not
    chunks, and let the read-out of the fresh state be a number or raise ValueError with a sentence.
    """
    start = subject.init_state(len(data.x))
    want = subject.stream(data.chunks, start)
    none = data.x[:, :0]
    at = int(data.rng.integers(0, len(data.chunks) + 1))
    data.choices["empty chunks before chunk"] = at
    with_empty = [*data.chunks[:at], none, none, *data.chunks[at:], *([none] if data.example.seed % 2 else [])]
    comparison = subject.compare(subject.stream(with_empty, start), want, data.x)
    if subject.takes_mask:
        state = start
        for number, chunk in enumerate(data.chunks):
            if number == at % len(data.chunks):
                absent = chunk.new_zeros(chunk.shape[:2]).bool()
                state = subject.update(state, chunk * 3 + 1, absent)
            state = subject.update(state, chunk)
        comparison = worse(comparison, subject.compare(subject.readout(state), want, data.x))
    return worse(comparison, _empty_set(subject, data))


def _empty_set(subject: Subject, data: ExampleData) -> Comparison:
    try:
        encoding = subject.encode(data.x[:, :0])
    except (ValueError, IndexError, RuntimeError) as error:
        said = bool(str(error).strip())
        return no_gap(data) if said else violation(data, "an empty set raises an error that says nothing")
    if bool(encoding.isnan().any()):
        return violation(data, "an empty set encodes to NaN: give it a value, or raise ValueError with a sentence")
    return no_gap(data)


PARTITION = Law(id="mbc.partition", check=check_partition, requires=(streams,))
ORDER = Law(id="mbc.order", check=check_order, requires=(streams,))
MERGE = Law(id="mbc.merge", check=check_merge, requires=(merges,))
EMPTY = Law(id="mbc.empty", check=check_empty, requires=(streams,), max_size=40)
