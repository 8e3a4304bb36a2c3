"""Make a counterexample smaller (one set, few elements, round numbers) while it shows the same fault.

Hypothesis shrinks the choices an example was drawn from (sizes, seed, arrangement). Here the data itself is written out
and simplified, which Hypothesis cannot do: a set of 40 random elements becomes two elements that are 0 and 1.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mbcbench.verify.example import Array, Example, ExampleData
from mbcbench.verify.law_run import CLEAR_RATIO, LawRun, Observation

MAX_WRITTEN_ELEMENTS = 1024  # the data of a larger set is not written out
MAX_NUMBERS_ZEROED = 64  # entries tried one by one; more would cost a call of the encoder each
MAX_IN_VAIN = 128  # failed attempts in a row to drop elements, after which a fault is taken to need the whole set
SETS_TRIED_SINGLY = 16  # of a larger batch, so many parts are dropped first
ATTEMPTS = 4  # sets of a batch tried alone, and seeds tried for each


def simplify(run: LawRun, observation: Observation, *, drop_elements: bool) -> Observation:
    """Return the same fault with one set in place of a batch, perhaps fewer elements, and rounder numbers."""
    if not run.law.batched:
        return _drop_sets(run, observation)
    if observation.example.n > MAX_WRITTEN_ELEMENTS:
        return observation
    single = _single_set(run, observation)
    if single is None:
        return _drop_sets(run, observation)
    # The parameters as built are the simplest, if the fault is no less clear with them.
    as_built = replace(single.example, variant=0)
    single = _accept_if_same_fault(run, as_built, single, min(single.ratio, CLEAR_RATIO)) or single
    if drop_elements:
        single = _drop_elements(run, single)
    return _round_values(run, single)


def _accept_if_same_fault(
    run: LawRun, example: Example, observation: Observation, min_ratio: float
) -> Observation | None:
    """Try a simpler example; return its observation if it shows the same fault at least as clearly, else None.

    Without `min_ratio` a fault would be simplified down to a gap barely above its bound, which looks like rounding.
    """
    simpler = run.try_example(example)
    is_same = bool(simpler.error) == bool(observation.error) and math.isinf(simpler.gap) == math.isinf(observation.gap)
    return simpler if simpler.is_counterexample and is_same and simpler.ratio >= min_ratio else None


def _single_set(run: LawRun, observation: Observation) -> Observation | None:
    """Return a counterexample with a single set of the batch and its data written out, if one of them is enough."""
    for example in _single_sets(run, observation.example):
        single = run.try_example(example)
        if single.is_counterexample:
            return single
    return None


def _single_sets(run: LawRun, example: Example) -> Iterator[Example]:
    """Yield each set of an example alone, the worst first.

    The random choices of a law differ between a single set and the batch; other seeds give further chances.
    """
    data = ExampleData(example, run.subjects[0].dim_in)
    for row in run.rank_sets(example)[:ATTEMPTS]:
        values = tuple(tuple(float(v) for v in element) for element in data.x[row])
        order = tuple(int(i) for i in data.order[row])
        for seed in range(example.seed, example.seed + ATTEMPTS):
            yield replace(example, kinds=(example.kinds[row],), values=values, order=order, seed=seed)


def _drop_sets(run: LawRun, observation: Observation) -> Observation:
    """Remove sets from the batch that the fault does not need, the last first; of a large batch, many at once."""
    step = max(len(observation.example.kinds) // SETS_TRIED_SINGLY, 1)
    while step >= 1:
        for row in range(len(observation.example.kinds) - step, -1, -step):
            kinds = observation.example.kinds
            remaining = kinds[:row] + kinds[row + step :]
            if not remaining:
                continue
            smaller = run.try_example(replace(observation.example, kinds=remaining))
            if smaller.is_counterexample:
                observation = smaller
        step //= 2
    return observation


def _drop_elements(run: LawRun, observation: Observation) -> Observation:
    """Remove elements that the fault does not need: half of the stream, then a quarter, down to single elements."""
    min_ratio = min(observation.ratio, CLEAR_RATIO)
    step = observation.example.n // 2
    while step >= 1:
        first = in_vain = 0
        while first < observation.example.n and in_vain < MAX_IN_VAIN:
            shorter = _without_elements(observation.example, first, first + step)
            is_admitted = run.min_size <= shorter.n < observation.example.n and run.domain.admits_chunks(shorter.sizes)
            accepted = _accept_if_same_fault(run, shorter, observation, min_ratio) if is_admitted else None
            if accepted is None:
                first, in_vain = first + step, in_vain + 1
            else:
                observation, in_vain = accepted, 0
        step //= 2
    return observation


def _without_elements(example: Example, first: int, last: int) -> Example:
    """Return the example without the elements that arrive at positions `first` to `last - 1`; one always remains."""
    assert example.values is not None
    assert example.order is not None
    chunk_of_position = [chunk for chunk, size in enumerate(example.sizes) for _ in range(size)]
    positions = [position for position in range(example.n) if not first <= position < last] or [0]
    sizes = [0] * len(example.sizes)
    for position in positions:
        sizes[chunk_of_position[position]] += 1
    elements = sorted(example.order[position] for position in positions)
    renumbered = {element: number for number, element in enumerate(elements)}
    return replace(
        example,
        sizes=tuple(size for size in sizes if size),
        values=tuple(example.values[element] for element in elements),
        order=tuple(renumbered[example.order[position]] for position in positions),
    )


def _round_values(run: LawRun, observation: Observation) -> Observation:
    """Return the same fault with values that are zero or integers, if possible."""
    min_ratio = min(observation.ratio, CLEAR_RATIO)
    for values in _simpler_values(np.array(observation.example.values)):
        simpler = _accept_if_same_fault(run, _with_values(observation.example, values), observation, min_ratio)
        if simpler is not None:
            observation = simpler
            break
    if observation.example.n * run.subjects[0].dim_in > MAX_NUMBERS_ZEROED:
        return observation
    for row, column in np.argwhere(np.array(observation.example.values)):
        values = np.array(observation.example.values)
        values[row, column] = 0
        simpler = _accept_if_same_fault(run, _with_values(observation.example, values), observation, min_ratio)
        observation = simpler or observation
    return observation


def _with_values(example: Example, values: Array) -> Example:
    return replace(example, values=tuple(map(tuple, values.tolist())))


def _simpler_values(x: Array) -> Iterator[Array]:
    """Yield simpler elements, the simplest first: all (1, 0, ...), then (i, 0, ...), then `x` rounded."""
    ones = np.zeros_like(x)
    ones[:, 0] = 1
    yield ones
    ramp = np.zeros_like(x)
    ramp[:, 0] = np.arange(len(x))
    yield ramp
    for digits in (0, 1, 2):
        yield np.round(x, digits)
