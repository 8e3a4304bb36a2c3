"""Train mode in laws about masks and merging: parts that say nothing where other sets or random numbers have a part."""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mbcbench.protocol import state as pytree
from mbcbench.protocol.copying import copy_module
from mbcbench.types import Encoder, State
from mbcbench.verify.example import ExampleData
from mbcbench.verify.isolation import seed_torch
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Comparison

from .comparison import are_same, no_gap, unless_raised, unless_refused

SeededEncode = Callable[[Encoder, Tensor, int], Tensor]  # of module, sets and a seed

_IN_TRAIN_MODE = "padding changes the encoding in train mode only"


def compare_padded(
    subject: Subject, data: ExampleData, encode: SeededEncode, encode_padded: Callable[[Encoder], Tensor]
) -> Comparison:
    """Compare sets with padding with the same sets without it, in train mode.

    An encoder that draws random numbers, or that changes from call to call, has no encoding to compare with. One that
    mixes the sets of a batch, as BatchNorm does, breaks symmetry.train already.
    """
    training = subject.in_train_mode.copy()
    with torch.random.fork_rng(devices=[]):
        expected = _encode_if_settled(training, data.x, encode)
        actual = None if expected is None else unless_refused(lambda: encode_padded(training.module))
        if expected is None or actual is None:
            return no_gap(data)
        comparison = training.compare(actual, expected, data.x, lambda module, x: encode(module, x, 0))
    return comparison._replace(note=_IN_TRAIN_MODE) if comparison.is_broken else comparison


def _encode_if_settled(training: Subject, x: Tensor, encode: SeededEncode) -> Tensor | None:
    """Return the encoding of `x`, or None if it depends on a seed, on earlier calls or on other sets of the batch."""
    module, others = training.module, training.domain.admit(-3 * x + 1)
    inputs = ((x.clone(), 0), (x.clone(), 1), (torch.cat([x, others]), 0))
    # symmetry.train and mbc.train judge errors.
    encodings = unless_raised(lambda: [encode(module, sets, seed)[: len(x)] for sets, seed in inputs])
    if encodings is None:
        return None
    encoding, again, beside = encodings
    return encoding if are_same(encoding, again) and are_same(encoding, beside) else None


def seeded_encoding(module: Encoder, x: Tensor, seed: int) -> Tensor:
    """Return the encoding of `x` in one piece, with random numbers from a seed."""
    seed_torch(seed)
    out: Tensor = module(x)
    return out.clone()


def seeded_stream(module: Encoder, chunks: Sequence[Tensor], masks: Sequence[Tensor], seed: int) -> Tensor:
    """Return the encoding of a stream with masks, if any; its chunks draw from a seed, its start from a fixed one."""
    seed_torch(0)
    state = module.init_state(len(chunks[0]))
    seed_torch(seed)
    for number, chunk in enumerate(chunks):
        state = module.update(state, chunk.clone(), **({"mask": masks[number].clone()} if masks else {}))
    out: Tensor = module.readout(state)
    return out.clone()


def compare_merged(subject: Subject, data: ExampleData) -> Comparison:
    """Compare the merged states of two parts of a stream with the stream, in train mode.

    What differs in eval mode too is for mbc.merge to judge.
    """
    if not subject.mergeable or len(data.chunks) < 2:
        return no_gap(data)
    position = int(data.rng.integers(1, len(data.chunks)))
    data.choices["chunks in the first of two states that are merged"] = position
    in_eval_mode = functools.partial(_compare_halves, subject, data, position)
    try:
        comparison = unless_refused(lambda: _compare_halves(subject.in_train_mode, data, position))
    except Exception:
        if unless_raised(in_eval_mode) is None:
            return no_gap(data)
        raise
    if comparison is None or not comparison.is_broken or in_eval_mode().is_broken:
        return no_gap(data)
    return comparison._replace(note="in train mode only, merged states are not that of the stream")


def _compare_halves(subject: Subject, data: ExampleData, position: int) -> Comparison:
    def encode_merged(module: Encoder) -> Tensor:
        start = seeded_state(module, len(data.x), data.example.seed)
        halves = []
        for chunks in (data.chunks[:position], data.chunks[position:]):
            state = pytree.clone(start)
            for chunk in chunks:
                state = module.update(state, chunk.clone())
            halves.append(state)
        out: Tensor = module.readout(module.merge(*halves))
        return out.clone()

    def encode_stream(module: Encoder, x: Tensor) -> Tensor:
        state = seeded_state(module, len(x), data.example.seed)
        for chunk in data.cut(x):
            state = module.update(state, chunk)
        out: Tensor = module.readout(state)
        return out.clone()

    merged = encode_merged(subject.copy().module)
    streamed = encode_stream(subject.copy().module, data.x)
    return subject.compare(merged, streamed, data.x, lambda module, x: encode_stream(copy_module(module), x))


def seeded_state(module: Encoder, batch_size: int, seed: int) -> State:
    """Return the start of a stream, drawn from a seed."""
    seed_torch(seed)
    return module.init_state(batch_size)
