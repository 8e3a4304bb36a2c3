"""The state as a value: it can be saved, forked, and does not grow."""

import copy
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from mbcbench.protocol import state as pytree
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import Law, streams
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison, gaps

from .comparison import no_gap, violation, worse


def check_resume(subject: Subject, data: ExampleData) -> Comparison:
    """A state saved to bytes in mid-stream and loaded again continues as if nothing had happened.

    Source: a stream that outlives its process; safetensors bytes, no pickle.

    Why it matters: long encodings are checkpointed. What an encoder keeps outside its state (on the module, in a
    generator, in a closure) is lost, and a slot drawn anew after the restart belongs to another stream.

    How to fix a failure: put everything the stream needs into the state, as tensors and plain values.
    """
    resumed = copy.deepcopy(subject.module)  # before the stream begins: another process knows nothing of it
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
    loaded = pytree.from_bytes(saved, like=resumed.init_state(len(data.x)))
    for chunk in data.chunks[stop:]:
        loaded = resumed.update(loaded, chunk)
    return subject.compare(resumed.readout(loaded), subject.stream(data.chunks, start), data.x)


def check_fork(subject: Subject, data: ExampleData) -> Comparison:
    """A state is a value: continuing from it twice, reading it out, merging it or interleaving streams changes nothing.

    Source: the protocol; a monoid's elements are values.

    Why it matters: a running prediction reads out in mid-stream, a search continues one prefix in many ways, a server
    interleaves the streams of its clients. `state.total += ...` or a buffer on the module breaks each of these.

    How to fix a failure: return a new state from update and merge (`a + b`, not `a += b`); keep nothing on the module.
    """
    other = subject.stream([data.x.flip(1)], subject.init_state(len(data.x)))
    start = subject.init_state(len(data.x))
    want = subject.stream(data.chunks, start)
    comparison = _interleaved(subject, data, want, other)
    for at, chunk in enumerate(data.chunks):
        state = subject.stream_state(data.chunks[:at], start)
        before = [t.clone() for t in pytree.tensors(state)]
        if at:  # what an empty stream reads out as is the business of mbc.empty
            subject.readout(state)
        subject.update(state, chunk * 0.5)
        if subject.mergeable:
            subject.module.merge(state, state)
            subject.module.merge(subject.update(start, chunk), state)
        if not _same(before, pytree.tensors(state)):
            data.choices["changed after chunk"] = at
            return violation(data, "a state was changed by what was done with it")
        again = subject.stream(data.chunks[at:], state)
        comparison = worse(comparison, subject.compare(again, want, data.x))
        if at >= _FORKS:
            break
    return comparison


_FORKS = 3  # later prefixes of one stream show nothing that the first do not


def _interleaved(subject: Subject, data: ExampleData, want: Tensor, other: Tensor) -> Comparison:
    """Two streams fed in turn, against each on its own."""
    mine, theirs = subject.init_state(len(data.x)), subject.init_state(len(data.x))
    reverse = data.x.flip(1).split(data.example.sizes, dim=1)  # type: ignore[no-untyped-call]
    for chunk, their_chunk in zip(data.chunks, reverse, strict=True):
        mine = subject.update(mine, chunk)
        theirs = subject.update(theirs, their_chunk)
    if not subject.deterministic:
        return no_gap(data)
    comparison = subject.compare(subject.readout(mine), want, data.x)
    in_pieces = subject.stream(reverse, subject.init_state(len(data.x)))
    del other  # encoded before, so that what it left on the module would show
    return worse(comparison, subject.compare(subject.readout(theirs), in_pieces, data.x))


def _same(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(
        x.shape == y.shape and bool(((x == y) | (x.isnan() & y.isnan())).all()) for x, y in zip(a, b, strict=True)
    )


def check_large(subject: Subject, data: ExampleData) -> Comparison:
    """Counts, accumulators and caps hold for sets and chunks of ten thousand elements and more.

    Source: Section 2.1 of the Slot Set Encoder paper: sets of arbitrary size.

    Why it matters: a count kept in int16 or float16, a buffer of 4,096 rows, a warm-up that ends: none shows on a
    hundred elements. Across the edges of small integer types equal elements are added one by one: a count that wraps
    round is wrong in the full set too.

    How to fix a failure: count in int64 or float64, never cap silently; decide nothing by the number of chunks.
    """
    start = subject.init_state(len(data.x))
    if data.example.sizes[-len(_TAIL) :] == _TAIL:
        return _steps(subject, data, start)
    return subject.compare(subject.stream(data.chunks, start), subject.encode(data.x, start), data.x)


def _steps(subject: Subject, data: ExampleData, start: Any) -> Comparison:
    """The longest of the steps that the encoding takes over a tail of equal elements, against an ordinary one.

    A count that wraps round does so in the full set too, and both agree; but it makes one step unlike all others.
    """
    state = subject.stream_state(data.chunks[: -len(_TAIL)], start)
    seen = [subject.readout(pytree.clone(state))]
    for chunk in data.chunks[-len(_TAIL) :]:
        state = subject.update(state, chunk)
        seen.append(subject.readout(pytree.clone(state)))  # whether reading out spares the state is mbc.fork's matter
    steps = torch.stack([gaps(after, before) for before, after in pairwise(seen)])
    at = int(steps.amax(1).argmax())
    comparison = subject.compare(seen[at + 1], seen[at], data.x)
    note = f"element {data.example.n - len(_TAIL) + at + 1} moves the encoding unlike its equals"
    return Comparison(comparison.gap, comparison.bound + _UNLIKE * steps.median(0).values, note)


def check_memory(subject: Subject, data: ExampleData) -> Comparison:
    """The size of the state does not grow with the number of elements.

    Source: Section 2.2 of the Slot Set Encoder paper; without it streaming is storing.

    Why it matters: a state that keeps its chunks is consistent, and useless for a set that does not fit into memory.

    How to fix a failure: keep statistics of fixed size. An encoder that needs all elements is not a streaming one.
    """
    start = subject.init_state(len(data.x))
    before = subject.stream_state(data.chunks[: len(data.chunks) // 4], start)
    after = subject.stream_state(data.chunks, start)
    grown = pytree.nbytes(after) - pytree.nbytes(before)
    if grown <= 0:
        return no_gap(data)
    n = data.example.n
    return violation(data, f"{grown} bytes more after {n} elements than after {n // 4}")


def check_train(subject: Subject, data: ExampleData) -> Comparison:
    """What holds in eval() holds in train(), for a stream that begins once.

    Source: Section 2.5 of the Slot Set Encoder paper trains on streams.

    Why it matters: slots drawn anew per chunk, BatchNorm over the elements of a chunk, dropout masks per chunk: in
    train() the encoding of a stream is then another function than that of the set.

    How to fix a failure: draw once, in init_state; keep what couples elements (BatchNorm) outside the set encoder.
    """

    def whole(module: Any, x: Tensor) -> Tensor:
        out: Tensor = module.readout(module.update(_seeded_start(module, x, data.example.seed), x))
        return out

    training = subject.in_train_mode
    with torch.random.fork_rng(devices=[]):
        start = _seeded_start(training.module, data.x, data.example.seed)
        streamed = training.stream(data.chunks, start)
        return training.compare(streamed, whole(training.module, data.x), data.x, whole)


def _seeded_start(module: Any, x: Tensor, seed: int) -> Any:
    torch.manual_seed(seed)
    return module.init_state(x.shape[0])


_TAIL = (1,) * 8
_UNLIKE = 100.0  # times an ordinary step
_LARGE = (
    Example(sizes=(1, 2) * 2_050, kinds=(9,), arrangement="shuffled", seed=2, variant=1),
    Example(sizes=(20_000, 46_001), kinds=(3,), seed=3),
    *(Example(sizes=(edge - 4, *_TAIL), kinds=(2,), seed=4) for edge in (2**8, 2**15, 2**16)),
)
RESUME = Law(id="mbc.resume", check=check_resume, requires=(streams,), budget_fraction=0.5, max_size=64)
FORK = Law(id="mbc.fork", check=check_fork, requires=(streams,), budget_fraction=0.5, max_size=64)
LARGE = Law(id="mbc.large", check=check_large, requires=(streams,), fixed=_LARGE)
MEMORY = Law(
    id="mbc.memory",
    check=check_memory,
    requires=(streams,),
    fixed=(Example(sizes=(64,) * 32, kinds=(0,), seed=1), Example(sizes=(1,) * 256, kinds=(0,), seed=2)),
)
TRAIN = Law(id="mbc.train", check=check_train, requires=(streams,), budget_fraction=0.5, max_size=129)
