"""Search for a counterexample to a law: the smallest examples one by one, then Hypothesis."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from hypothesis.database import ExampleDatabase

from mbcbench.errors import LawOutOfMemoryError
from mbcbench.verify import strategies
from mbcbench.verify.drawing import try_drawn
from mbcbench.verify.example import Example, smallest_examples
from mbcbench.verify.law import Law
from mbcbench.verify.law_run import LawRun, LawTimeout, Observation
from mbcbench.verify.shrink import simplify
from mbcbench.verify.subject import Subject

MIN_APPLICABLE = 2  # examples: one alone says little
SMALL_BUDGET = 320  # sets; the smallest examples get so many of a budget, or half of it if that is more


@dataclass(frozen=True)
class SearchResult:
    """Result of a search: the counterexample, if one was found, and the worst observation on the way.

    Parameters
    ----------
    examples
        Number of sets tried up to the first counterexample. Simplifying it is not counted.
    worst
        Observation with the largest ratio of gap and bound.
    counterexample
        Observation that breaks the law, simplified, or None.
    undecided
        Observation whose bound is as large as an error, or None.
    relative_bound
        Largest ratio of bound and scale of an encoding: the relative error that a pass leaves open.
    num_applicable
        Number of examples about which the law says something; an example may have many sets.
    reason_not_applicable
        Reason why the law does not apply to some example, if there is such an example.
    culprit
        Part of the encoder that breaks the law in the counterexample; empty if it is not known.
    """

    examples: int
    worst: Observation
    counterexample: Observation | None = None
    undecided: Observation | None = None
    relative_bound: float = 0.0
    num_applicable: int = MIN_APPLICABLE
    reason_not_applicable: str = ""
    culprit: str = ""

    @property
    def counterexample_size(self) -> int:
        """Number of elements of the counterexample; there must be one."""
        assert self.counterexample is not None
        return self.counterexample.example.n

    @property
    def holds(self) -> bool:
        """True if no counterexample was found."""
        return self.counterexample is None

    @property
    def why_untried(self) -> str:
        """Reason why a law that holds on so few examples has not been tried, or an empty string."""
        if not self.reason_not_applicable or self.num_applicable >= MIN_APPLICABLE or not self.holds:
            return ""
        return self.reason_not_applicable + (" (it was tried on one example only)" if self.num_applicable else "")


@dataclass(frozen=True)
class ExampleStore:
    """Stores the counterexamples of one search in a Hypothesis example database, to be tried first the next time."""

    database: ExampleDatabase
    key: bytes

    def load(self) -> dict[bytes, Example]:
        """Return the stored examples by entry; an earlier version may have written an example as other bytes."""
        return {entry: Example.from_json(json.loads(entry)) for entry in self.database.fetch(self.key)}

    def save(self, example: Example) -> None:
        """Store an example."""
        self.database.save(self.key, json.dumps(example.to_json()).encode())

    def delete(self, entry: bytes) -> None:
        """Delete an entry whose example no longer breaks the law."""
        self.database.delete(self.key, entry)


def search(
    law: Law,
    subjects: Sequence[Subject],
    *,
    examples: int,
    seed: int = 0,
    independent_sets: bool = True,
    shrink: bool = True,
    seconds: float = math.inf,
    store: ExampleStore | None = None,
) -> SearchResult:
    """Try to falsify a law.

    Parameters
    ----------
    law
        The law.
    subjects
        Copies of the encoder, one per parameter set; the unmodified one comes first.
    examples
        Approximate number of sets to try.
    seed
        Seed of the search.
    independent_sets
        True if the encoder treats the sets of a batch independently, so that one call can try many.
    shrink
        True to spend time on making a counterexample small. Its data are written out and rounded in any case.
    seconds
        Time limit; LawTimeout is raised after it, unless a counterexample was found, which is then not simplified.
    store
        Stored counterexamples, which are tried first; a new one is added.
    """
    run = LawRun(law, subjects, seconds=seconds)
    # A law about the batch as a whole needs batches even if the encoder mixes the sets of a batch.
    all_kinds = independent_sets or not law.batched
    with torch.no_grad():
        try:
            counterexample = _try_stored(run, store) or _explore(run, all_kinds, examples, seed, shrink=shrink)
        except (LawTimeout, LawOutOfMemoryError):
            if run.first_counterexample is None:
                raise
            counterexample = run.first_counterexample
    if counterexample is not None and store is not None and law.explore is None:
        store.save(counterexample.example)
    return _result(run, counterexample)


def _result(run: LawRun, counterexample: Observation | None) -> SearchResult:
    return SearchResult(
        run.examples,
        run.worst,
        counterexample,
        undecided=run.undecided,
        relative_bound=run.relative_bound,
        num_applicable=run.num_applicable,
        reason_not_applicable=run.reason_not_applicable,
    )


def _try_stored(run: LawRun, store: ExampleStore | None) -> Observation | None:
    """Return a stored counterexample that still breaks the law; delete the others."""
    if store is None or run.law.explore is not None:
        return None
    for entry, example in store.load().items():
        observation = run.try_example(example)
        if observation.is_counterexample:
            return observation
        store.delete(entry)
    return None


def _explore(run: LawRun, all_kinds: bool, examples: int, seed: int, *, shrink: bool) -> Observation | None:
    """Return a counterexample in its simplest form, or None."""
    if run.law.explore is not None:
        return run.law.explore(run, examples=examples, seed=seed, shrink=shrink)
    counterexample = _find_counterexample(run, all_kinds, examples, seed, shrink=shrink)
    return None if counterexample is None else simplify(run, counterexample, drop_elements=shrink)


def _find_counterexample(run: LawRun, all_kinds: bool, examples: int, seed: int, *, shrink: bool) -> Observation | None:
    """Try the smallest examples, then drawn ones with the rest of the budget."""
    counterexample = _try_smallest(run, all_kinds, examples)
    remaining = examples - run.sets_tried
    if counterexample is not None or run.law.fixed or remaining <= 0:
        return counterexample
    return _try_random(run, all_kinds, remaining, seed, shrink=shrink)


def _try_smallest(run: LawRun, all_kinds: bool, examples: int) -> Observation | None:
    """Try the first examples of the law, then the fixed ones or the smallest ones, and then further ones of the law."""
    candidates = run.law.fixed or _smallest_within_budget(run, all_kinds, examples)
    for example in chain(run.law.first, candidates, run.law.then):
        observation = run.try_example(run.domain.fit(example))
        if observation.is_counterexample:
            return observation
    return None


def _smallest_within_budget(run: LawRun, all_kinds: bool, examples: int) -> Iterator[Example]:
    budget = max(examples / 2, min(examples, SMALL_BUDGET))
    for example in smallest_examples(len(run.subjects), run.law.kinds, all_kinds=all_kinds):
        if run.sets_tried >= budget:
            return
        if run.law.min_size <= example.n <= run.law.max_size:
            yield example


def _try_random(run: LawRun, all_kinds: bool, examples: int, seed: int, *, shrink: bool) -> Observation | None:
    """Try about `examples` sets drawn by Hypothesis."""
    law = run.law
    sets_per_example = len(law.kinds) if all_kinds and law.batched else 1
    strategy = strategies.examples(
        kinds=law.kinds,
        variants=len(run.subjects),
        all_kinds=all_kinds,
        min_size=law.min_size,
        max_size=law.max_size,
    )
    max_examples = math.ceil(examples / sets_per_example)
    return try_drawn(strategy.map(run.domain.fit), run.try_example, max_examples=max_examples, seed=seed, shrink=shrink)
