"""The state as a value: it can be saved, forked, and does not grow."""

import copy
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from mbcbench.protocol import state as pytree
from mbcbench.verify.example import Case, Drawn
from mbcbench.verify.law import Law, streams
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Evidence, gaps

from .evidence import nothing, violated, worse


def check_resume(subject: Subject, drawn: Drawn) -> Evidence:
    """A state saved to bytes in mid-stream and loaded again continues as if nothing had happened.

    Source: a stream that outlives its process; safetensors bytes, no pickle.

    Why it matters: long encodings are checkpointed. What an encoder keeps outside its state (on the module, in a
    generator, in a closure) is lost, and a slot drawn anew after the restart belongs to another stream.

    How to fix a failure: put everything the stream needs into the state, as tensors and plain values.
    """
    resumed = copy.deepcopy(subject.module)  # before the stream begins: another process knows nothing of it
    start = subject.start(len(drawn.x))
    stop = int(drawn.rng.integers(0, len(drawn.chunks) + 1))
    drawn.told["saved before chunk"] = stop
    state = start
    for chunk in drawn.chunks[:stop]:
        state = subject.feed(state, chunk)
    try:
        saved = pytree.to_bytes(state)
    except TypeError as error:
        return violated(drawn, str(error))
    loaded = pytree.from_bytes(saved, like=resumed.init_state(len(drawn.x)))
    for chunk in drawn.chunks[stop:]:
        loaded = resumed.update(loaded, chunk)
    return subject.compare(resumed.readout(loaded), subject.stream(drawn.chunks, start), drawn.x)


def check_fork(subject: Subject, drawn: Drawn) -> Evidence:
    """A state is a value: continuing from it twice, reading it out, merging it or interleaving streams changes nothing.

    Source: the protocol; a monoid's elements are values.

    Why it matters: a running prediction reads out in mid-stream, a search continues one prefix in many ways, a server
    interleaves the streams of its clients. `state.total += ...` or a buffer on the module breaks each of these.

    How to fix a failure: return a new state from update and merge (`a + b`, not `a += b`); keep nothing on the module.
    """
    other = subject.stream([drawn.x.flip(1)], subject.start(len(drawn.x)))
    start = subject.start(len(drawn.x))
    want = subject.stream(drawn.chunks, start)
    evidence = _interleaved(subject, drawn, want, other)
    for at, chunk in enumerate(drawn.chunks):
        state = subject.stream_state(drawn.chunks[:at], start)
        before = [t.clone() for t in pytree.tensors(state)]
        if at:  # what an empty stream reads out as is the business of mbc.empty
            subject.readout(state)
        subject.feed(state, chunk * 0.5)
        if subject.merges:
            subject.module.merge(state, state)
            subject.module.merge(subject.feed(start, chunk), state)
        if not _same(before, pytree.tensors(state)):
            drawn.told["changed after chunk"] = at
            return violated(drawn, "a state was changed by what was done with it")
        again = subject.stream(drawn.chunks[at:], state)
        evidence = worse(evidence, subject.compare(again, want, drawn.x))
        if at >= _FORKS:
            break
    return evidence


_FORKS = 3  # later prefixes of one stream show nothing that the first do not


def _interleaved(subject: Subject, drawn: Drawn, want: Tensor, other: Tensor) -> Evidence:
    """Two streams fed in turn, against each on its own."""
    mine, theirs = subject.start(len(drawn.x)), subject.start(len(drawn.x))
    reverse = drawn.x.flip(1).split(drawn.case.sizes, dim=1)  # type: ignore[no-untyped-call]
    for chunk, their_chunk in zip(drawn.chunks, reverse, strict=True):
        mine = subject.feed(mine, chunk)
        theirs = subject.feed(theirs, their_chunk)
    if not subject.deterministic:
        return nothing(drawn)
    evidence = subject.compare(subject.readout(mine), want, drawn.x)
    in_pieces = subject.stream(reverse, subject.start(len(drawn.x)))
    del other  # encoded before, so that what it left on the module would show
    return worse(evidence, subject.compare(subject.readout(theirs), in_pieces, drawn.x))


def _same(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(
        x.shape == y.shape and bool(((x == y) | (x.isnan() & y.isnan())).all()) for x, y in zip(a, b, strict=True)
    )


def check_large(subject: Subject, drawn: Drawn) -> Evidence:
    """Counts, accumulators and caps hold for sets and chunks of ten thousand elements and more.

    Source: Section 2.1 of the Slot Set Encoder paper: sets of arbitrary size.

    Why it matters: a count kept in int16 or float16, a buffer of 4,096 rows, a warm-up that ends: none shows on a
    hundred elements. Across the edges of small integer types equal elements are added one by one: a count that wraps
    round is wrong in the full set too.

    How to fix a failure: count in int64 or float64, never cap silently; decide nothing by the number of chunks.
    """
    start = subject.start(len(drawn.x))
    if drawn.case.sizes[-len(_TAIL) :] == _TAIL:
        return _steps(subject, drawn, start)
    return subject.compare(subject.stream(drawn.chunks, start), subject.encode(drawn.x, start), drawn.x)


def _steps(subject: Subject, drawn: Drawn, start: Any) -> Evidence:
    """The longest of the steps that the encoding takes over a tail of equal elements, against an ordinary one.

    A count that wraps round does so in the full set too, and both agree; but it makes one step unlike all others.
    """
    state = subject.stream_state(drawn.chunks[: -len(_TAIL)], start)
    seen = [subject.readout(pytree.clone(state))]
    for chunk in drawn.chunks[-len(_TAIL) :]:
        state = subject.feed(state, chunk)
        seen.append(subject.readout(pytree.clone(state)))  # whether reading out spares the state is mbc.fork's matter
    steps = torch.stack([gaps(after, before) for before, after in pairwise(seen)])
    at = int(steps.amax(1).argmax())
    evidence = subject.compare(seen[at + 1], seen[at], drawn.x)
    note = f"element {drawn.case.n - len(_TAIL) + at + 1} moves the encoding unlike its equals"
    return Evidence(evidence.gap, evidence.bound + _UNLIKE * steps.median(0).values, note)


def check_memory(subject: Subject, drawn: Drawn) -> Evidence:
    """The size of the state does not grow with the number of elements.

    Source: Section 2.2 of the Slot Set Encoder paper; without it streaming is storing.

    Why it matters: a state that keeps its chunks is consistent, and useless for a set that does not fit into memory.

    How to fix a failure: keep statistics of fixed size. An encoder that needs all elements is not a streaming one.
    """
    start = subject.start(len(drawn.x))
    before = subject.stream_state(drawn.chunks[: len(drawn.chunks) // 4], start)
    after = subject.stream_state(drawn.chunks, start)
    grown = pytree.nbytes(after) - pytree.nbytes(before)
    if grown <= 0:
        return nothing(drawn)
    n = drawn.case.n
    return violated(drawn, f"{grown} bytes more after {n} elements than after {n // 4}")


def check_train(subject: Subject, drawn: Drawn) -> Evidence:
    """What holds in eval() holds in train(), for a stream that begins once.

    Source: Section 2.5 of the Slot Set Encoder paper trains on streams.

    Why it matters: slots drawn anew per chunk, BatchNorm over the elements of a chunk, dropout masks per chunk: in
    train() the encoding of a stream is then another function than that of the set.

    How to fix a failure: draw once, in init_state; keep what couples elements (BatchNorm) outside the set encoder.
    """

    def whole(module: Any, x: Tensor) -> Tensor:
        out: Tensor = module.readout(module.update(_seeded_start(module, x, drawn.case.seed), x))
        return out

    training = subject.training
    with torch.random.fork_rng(devices=[]):
        start = _seeded_start(training.module, drawn.x, drawn.case.seed)
        streamed = training.stream(drawn.chunks, start)
        return training.compare(streamed, whole(training.module, drawn.x), drawn.x, whole)


def _seeded_start(module: Any, x: Tensor, seed: int) -> Any:
    torch.manual_seed(seed)
    return module.init_state(x.shape[0])


_TAIL = (1,) * 8
_UNLIKE = 100.0  # times an ordinary step
_LARGE = (
    Case(sizes=(1, 2) * 2_050, lanes=(9,), arrangement="shuffled", seed=2, variant=1),
    Case(sizes=(20_000, 46_001), lanes=(3,), seed=3),
    *(Case(sizes=(edge - 4, *_TAIL), lanes=(2,), seed=4) for edge in (2**8, 2**15, 2**16)),
)
RESUME = Law(id="mbc.resume", check=check_resume, requires=(streams,), share=0.5, max_size=64)
FORK = Law(id="mbc.fork", check=check_fork, requires=(streams,), share=0.5, max_size=64)
LARGE = Law(id="mbc.large", check=check_large, requires=(streams,), fixed=_LARGE)
MEMORY = Law(
    id="mbc.memory",
    check=check_memory,
    requires=(streams,),
    fixed=(Case(sizes=(64,) * 32, lanes=(0,), seed=1), Case(sizes=(1,) * 256, lanes=(0,), seed=2)),
)
TRAIN = Law(id="mbc.train", check=check_train, requires=(streams,), share=0.5, max_size=129)
