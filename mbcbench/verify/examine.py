"""Examine one encoder for one law: build it, settle what the search may rely on, search, and write the record."""

import copy
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any

import torch
from hypothesis.database import ExampleDatabase
from torch import nn

from mbcbench import registry
from mbcbench.protocol.encoder import AGGREGATIONS, Aggregation, ChunkAggregation, is_streaming
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.protocol.target import build_from_spec, element_width, get_spec, spec_from_object, validate
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status
from mbcbench.verify import tolerance
from mbcbench.verify.card import card, counterexample, snippet
from mbcbench.verify.example import LANES, Case, Drawn, small_scope
from mbcbench.verify.law import Law
from mbcbench.verify.reference import with_reference
from mbcbench.verify.search import Memory, Outcome, Trial, search
from mbcbench.verify.subject import Subject, variants
from mbcbench.verify.xfails import expecting

PARTITION = "mbc.partition"
PAIR_CASES = 24
_SETTLING = (Case(sizes=(1,), seed=1), Case(sizes=(2, 3), seed=2), Case(sizes=(9,), seed=3))


@dataclass(frozen=True)
class Effort:
    """How hard a law is tried: sets looked at, and the seconds after which no new ones are drawn.

    fewest: the cases that a law gets whatever its share, so that uneven chunks of three elements are among them; for
    laws that are tried on the sets of a batch side by side.
    database: where counterexamples that nobody expects are kept, to be tried first the next time.
    """

    examples: int = 400
    seconds: float = 20.0
    fewest: int = 12
    database: ExampleDatabase | None = None


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread: the law book's tensors are small, and handing them between threads costs more than the work,
    many times more where processes share the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class Verdict:
    """A law's outcome for one encoder; `pairs` holds those of the aggregations g of a plain module f."""

    status: Status
    message: str = ""
    outcome: Outcome | None = None
    pairs: Mapping[str, Outcome] | None = None


class Examination:
    """One encoder on the table, with its parameters as built and moved."""

    def __init__(self, spec: EncoderSpec, *, dim_in: int, seed: int) -> None:
        self.spec = spec
        self.dim_in = dim_in
        self.seed = seed
        module = build_from_spec(spec, dim_in=dim_in, seed=seed)
        validate(module, dim_in=dim_in, name=spec.name)
        self.plain = not is_streaming(module)
        self.modules = variants(module, dim_in, seed)

    @cached_property
    def deterministic(self) -> bool:
        """Whether the same input gives the same output in eval(); settled first, since all else rests on it."""
        module: Any = copy.deepcopy(self.modules[0])
        with torch.no_grad():
            for x in (Drawn(case, self.dim_in).x for case in _SETTLING):
                first = module(x)
                module(2 * x)
                if bool((tolerance.gaps(module(x), first) > tolerance.rounding_bound(first, x.shape[1])).any()):
                    return False
        return True

    @cached_property
    def side_by_side(self) -> bool:
        """Whether the sets of a batch do not see each other, so that one call may carry many examples."""
        if not self.deterministic:
            return False
        subject = Subject(copy.deepcopy(self.modules[-1]), self.dim_in)
        law: Law = registry.plugin(registry.LAWS, "symmetry.batch").load()
        trial = Trial(law, [subject])
        with torch.no_grad():
            return not any(trial(replace(case, lanes=LANES)).breaks for case in _SETTLING)

    def subjects(self, wrap: Callable[[nn.Module], nn.Module] = lambda module: module) -> list[Subject]:
        """Copies of the encoder, or what `wrap` makes of them, once per choice of parameters: each law begins alike."""
        return [
            Subject(
                wrap(copy.deepcopy(module)),
                self.dim_in,
                deterministic=self.deterministic,
                fresh=lambda: wrap(self._fresh()),
                reference=self.spec.reference,
            )
            for module in self.modules
        ]

    def _fresh(self) -> nn.Module:
        return build_from_spec(self.spec, dim_in=self.dim_in, seed=self.seed + 1000).to("cpu", torch.float64).eval()

    def pair(self, g: Aggregation) -> list[Subject]:
        """The pair (f, g) of a plain module f."""
        return self.subjects(lambda module: ChunkAggregation(module, g).eval())

    @cached_property
    def consistent_pair(self) -> Aggregation | None:
        """The first g that makes (f, g) mini-batch consistent, as far as a short search can tell."""
        law: Law = registry.plugin(registry.LAWS, PARTITION).load()
        return next((g for g in AGGREGATIONS if self._may_hold(law, self.pair(g))), None)

    def _may_hold(self, law: Law, subjects: list[Subject]) -> bool:
        """Whether none of the smallest cases breaks the law."""
        trial = Trial(law, subjects)
        with torch.no_grad():
            cases = small_scope(len(subjects), law.lanes, side_by_side=self.side_by_side)
            return not any(trial(case).breaks for case in islice(cases, PAIR_CASES))

    def verdict(self, law: Law, effort: Effort) -> Verdict:
        """Try to falsify `law`."""
        with one_thread():
            if self.plain and law.speaks_of_streams:
                return self._pairs(law, effort) if law.id == PARTITION else self._through_pair(law, effort)
            return self._judge(law, self.subjects(), effort)

    def _pairs(self, law: Law, effort: Effort) -> Verdict:
        shrink = law.id not in self.spec.breaks
        outcomes: dict[str, Outcome] = {
            g: self._search(law, self.pair(g), effort, shrink=shrink, g=g) for g in AGGREGATIONS
        }
        holding = [g for g, outcome in outcomes.items() if outcome.holds]
        if holding:
            named = f"(f, g) is consistent for g = {', '.join(holding)}"
            return self._concluded(law, outcomes[holding[0]], named, outcomes)
        smallest = min(outcomes, key=lambda g: outcomes[g].counterexample.case.n)  # type: ignore[union-attr]
        named = f"no g in {{{', '.join(AGGREGATIONS)}}} makes (f, g) consistent; shown for g = {smallest}"
        return self._concluded(law, outcomes[smallest], named, outcomes)

    def _through_pair(self, law: Law, effort: Effort) -> Verdict:
        if PARTITION in self.spec.breaks:  # which is a law of its own, and tried there
            return Verdict(Status.SKIP, f"a plain module that says it breaks {PARTITION}")
        g = self.consistent_pair
        if g is None:
            return Verdict(Status.SKIP, f"a plain module that no g in {{{', '.join(AGGREGATIONS)}}} makes consistent")
        return self._judge(law, self.pair(g), effort)

    def _judge(self, law: Law, subjects: list[Subject], effort: Effort) -> Verdict:
        missing = law.missing(subjects[0])
        if missing:
            return Verdict(Status.SKIP, missing)
        outcome = self._search(law, subjects, effort, shrink=law.id not in self.spec.breaks)
        return self._concluded(law, outcome, "", None)

    def _search(self, law: Law, subjects: list[Subject], effort: Effort, *, shrink: bool, g: str = "") -> Outcome:
        memory = None
        if effort.database is not None and shrink:  # one that is not made small is not worth keeping
            parts = ("mbcbench", self.spec.name, law.id, g, str(self.dim_in))
            memory = Memory(effort.database, hashlib.sha256("\0".join(parts).encode()).digest())
        return search(
            law, subjects, examples=_examples(law, effort), seed=self.seed,
            side_by_side=self.side_by_side, shrink=shrink, seconds=effort.seconds, memory=memory,
        )  # fmt: skip

    def _concluded(self, law: Law, outcome: Outcome, said: str, pairs: Mapping[str, Outcome] | None) -> Verdict:
        reason = self.spec.breaks.get(law.id)
        if outcome.counterexample is not None and outcome.counterexample.error:
            error = outcome.counterexample.error
            status, message = (Status.XFAIL, f"{reason} ({error})") if reason else (Status.ERROR, error)
            return Verdict(status, message, outcome, pairs)
        if law.reports or (law.classes and law.id not in {**self.spec.claims, **self.spec.breaks}):
            word = law.classes[0 if outcome.holds else 1] if law.classes else outcome.worst.note
            return Verdict(Status.OK, word, outcome, pairs)
        if not outcome.holds:
            doubt = "" if self.deterministic else "not deterministic in eval(): settle hygiene.determinism first"
            message = "; ".join(filter(None, [reason, said, doubt]))
            return Verdict(Status.XFAIL if reason else Status.FAIL, message, outcome, pairs)
        if reason:
            message = f"no counterexample in {outcome.examples} examples, though the spec says: {reason}"
            return Verdict(Status.XPASS, "; ".join(filter(None, [message, said])), outcome, pairs)
        return Verdict(Status.PASS, said or self.spec.claims.get(law.id, ""), outcome, pairs)


def _examples(law: Law, effort: Effort) -> int:
    return max(round(effort.examples * law.share), effort.fewest * len(law.lanes) if law.side_by_side else 1)


def examine(cell: Cell) -> Record:
    """The record of one cell of the suite `laws`; params: `examples`, `seconds` (soft), and perhaps `dim_in`,
    `expected_failures` (see `mbcbench.verify.xfails.expecting`) and `reference` (a target)."""
    began = time.perf_counter()
    spec = get_spec(cell.encoder)
    law: Law = registry.plugin(registry.LAWS, cell.case).load()
    dim_in = int(cell.params.get("dim_in") or element_width(spec))
    spec = expecting(spec, cell.params.get("expected_failures") or {}, cell.encoder)
    if cell.params.get("reference"):
        spec = with_reference(spec, cell.params["reference"], dim_in=dim_in)
    effort = Effort(int(cell.params["examples"]), float(cell.params["seconds"]))
    verdict = Examination(spec, dim_in=dim_in, seed=cell.seed).verdict(law, effort)
    return record(cell, law, verdict, dim_in=dim_in, seconds=time.perf_counter() - began)


def record(cell: Cell, law: Law, verdict: Verdict, *, dim_in: int, seconds: float, live: bool = False) -> Record:
    """A verdict as a record; the gap and the bound are kept of passes too.

    live: whether the encoder is an object that no target leads to.
    """
    outcome = verdict.outcome
    if outcome is None:
        return cell.record(
            verdict.status, message=verdict.message, seconds=seconds, detail={"law": law.id, "examples": 0}
        )
    shown = outcome.counterexample or outcome.worst
    detail = {
        "law": law.id,
        "statement": law.statement,
        "bound": shown.bound,
        "examples": sum(o.examples for o in verdict.pairs.values()) if verdict.pairs else outcome.examples,
        "worst_gap": max(outcome.worst.gap, shown.gap),
        "counterexample": None,
    }
    if outcome.counterexample is not None:
        detail |= _evidence(cell, law, outcome, dim_in, live=live)
    if verdict.pairs is not None:
        detail["pairs"] = {g: _pair(o, dim_in, cell.dtype) for g, o in verdict.pairs.items()}
    return cell.record(
        verdict.status, message=verdict.message, seconds=seconds, metric="gap", value=shown.gap,
        higher_is_better=False, detail=detail,
    )  # fmt: skip


def _evidence(cell: Cell, law: Law, outcome: Outcome, dim_in: int, *, live: bool) -> dict[str, Any]:
    found = outcome.counterexample
    assert found is not None
    return {
        "counterexample": counterexample(found, outcome.worst, dim_in=dim_in, dtype=cell.dtype),
        "card": card(cell.encoder, law, outcome),
        "reproduce": snippet(cell.encoder, law, found, dim_in=dim_in, build_seed=cell.seed, live=live),
    }


def _pair(outcome: Outcome, dim_in: int, dtype: str) -> dict[str, Any]:
    found = outcome.counterexample
    shown = counterexample(found, outcome.worst, dim_in=dim_in, dtype=dtype) if found else None
    return {"consistent": outcome.holds, "examples": outcome.examples, "counterexample": shown}


def replay(target: object, law_id: str, case: dict[str, Any], *, dim_in: int, seed: int = 0) -> None:
    """Try one case again. Raises AssertionError with the counterexample's card when the law is still broken."""
    name = target if isinstance(target, str) else str(getattr(target, "name", type(target).__name__))
    spec = get_spec(target) if isinstance(target, str) else spec_from_object(target, name)
    law: Law = registry.plugin(registry.LAWS, law_id).load()
    examination = Examination(spec, dim_in=dim_in, seed=seed)
    through_pairs = examination.plain and law.speaks_of_streams
    groups = [examination.pair(g) for g in AGGREGATIONS] if through_pairs else [examination.subjects()]
    for subjects in groups:
        trial = Trial(law, subjects)
        with one_thread(), torch.no_grad():
            finding = trial(Case.from_json(case))
        if finding.breaks:
            raise AssertionError(card(name, law, Outcome(trial.examples, finding, finding)))
