"""Check one encoder: build it once and judge laws."""

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

import torch
from hypothesis.database import ExampleDatabase
from torch import nn

from mbcbench.errors import (
    BrokenPluginError,
    LawOutOfMemoryError,
    UsageError,
    is_out_of_memory,
    one_line,
    user_frame,
    user_traceback,
)
from mbcbench.protocol.build import (
    build_from_spec,
    resolve_target,
    target_name,
    target_string,
)
from mbcbench.protocol.copying import copy_module
from mbcbench.protocol.customize import BuildOptions
from mbcbench.protocol.encoder import AGGREGATIONS, Aggregation, ChunkAggregation, is_streaming
from mbcbench.records.cell import Cell
from mbcbench.records.detail import UntriedLawDetail
from mbcbench.records.record import Record, Status
from mbcbench.verify import tolerance
from mbcbench.verify.culprit import find_culprit
from mbcbench.verify.domain import Domain, declared_domain
from mbcbench.verify.example import ALL_KINDS, Example, ExampleData, smallest_examples
from mbcbench.verify.hints import convention_hint
from mbcbench.verify.isolation import isolated
from mbcbench.verify.law import Law, encodes_sets, get_law
from mbcbench.verify.law_result import LawResult, law_record
from mbcbench.verify.law_run import LawRun, LawTimeout
from mbcbench.verify.outcome import join_reasons, outcome
from mbcbench.verify.reference import reference_param, with_reference
from mbcbench.verify.search import ExampleStore, SearchResult, search
from mbcbench.verify.subject import Subject, parameter_variants
from mbcbench.verify.validate import element_width, validate, validate_in_float64
from mbcbench.verify.xfails import with_xfails

PARTITION = "mbc.partition"
FINITE = "hygiene.finite"
MIN_BATCHES = 4  # tried for a law about a batch as a whole: one batch says little
# Laws that an order-sensitive encoder breaks, if they apply to it.
BROKEN_BY_ORDER = ("symmetry.permutation", "symmetry.elements", "mbc.order")
AGGREGATION_EXAMPLES = 24  # smallest examples on which an aggregation must be consistent to be used for other laws
# Examples that decide what the search may rely on: is the encoder deterministic, are the sets of a batch independent?
_PROBES = (Example(sizes=(1,), seed=1), Example(sizes=(2, 3), seed=2), Example(sizes=(9,), seed=3))


@dataclass(frozen=True)
class Budget:
    """Effort that is spent on one law.

    Parameters
    ----------
    examples
        Number of sets to try, of which a law gets its `budget_fraction`.
    seconds
        Time limit of a law, tested between its examples. A law that takes longer has the status `timeout`.
    min_examples
        Lower bound on the examples of a law, each a batch with one set per kind; large enough to include the chunks
        1 + 2. It applies to laws that are tried on batches (`Law.batched`).
    database
        Where unexpected counterexamples are stored, to be tried first the next time.
    """

    examples: int = 400
    seconds: float = math.inf
    min_examples: int = 12
    database: ExampleDatabase | None = None

    def sets_for(self, law: Law) -> int:
        """Return the number of sets to try for a law."""
        minimum = self.min_examples * len(law.kinds) if law.batched else min(self.min_examples, MIN_BATCHES)
        return max(round(self.examples * law.budget_fraction), minimum)


class Checker:
    """An encoder, built once and checked for many laws.

    Parameters
    ----------
    target
        A target string, or the encoder itself: a spec, class, factory or module.
    dim_in
        Element width `d`; by default one that fits the encoder.
    seed
        Seed of the parameters and of the search.
    expected_failures
        Reasons by `law-id` or `TARGET::law-id`, for laws that the encoder is known to break.
    reference
        Independent implementation (see `mbcbench.verify.reference.with_reference`).
    options
        Hyper-parameters and weights of the encoder, and its width if `dim_in` is None.

    Raises
    ------
    UsageError
        If the target is not an encoder.
    BrokenPluginError
        If importing it fails.
    """

    def __init__(
        self,
        target: object,
        *,
        dim_in: int | None = None,
        seed: int = 0,
        expected_failures: Mapping[str, str] | None = None,
        reference: object = None,
        options: BuildOptions | None = None,
    ) -> None:
        self.target = target
        self.name = target_name(target)
        self.seed = seed
        self.options = options or BuildOptions()
        self.reference = reference
        spec = self.options.apply(resolve_target(target))
        self.dim_in = dim_in or self.options.dim_in or element_width(spec)
        unlisted = spec
        spec = with_xfails(spec, expected_failures or {}, self.name)
        self.listed_failures = {law for law, reason in spec.breaks.items() if unlisted.breaks.get(law) != reason}
        self.spec = spec if reference is None else with_reference(spec, reference, dim_in=self.dim_in)

    def validate(self) -> None:
        """Build the encoder and encode a small batch, if that was not done before.

        Raises
        ------
        UsageError
            If the factory does not build a module, or its output is not an encoding.
        BrokenPluginError
            If building or encoding fails.
        """
        _ = self._variants

    def judge(self, law_id: str, budget: Budget) -> Record:
        """Try to falsify a law and return its record.

        An encoder that cannot be built, or raises, gives a record too.

        Parameters
        ----------
        law_id
            Id of the law.
        budget
            How much to try.

        Raises
        ------
        UsageError
            If there is no such law.
        """
        get_law(law_id)
        params = {"examples": budget.examples, **self.options.to_params(), **reference_param(self.reference)}
        cell = Cell(suite="laws", case=law_id, encoder=self.name, params=params, seed=self.seed, dtype="float64")
        status, traceback = Status.ERROR, None
        try:
            return self.judge_cell(cell, budget)
        except (UsageError, BrokenPluginError) as error:
            message, traceback = str(error), user_traceback(error)
            if error.__cause__ is not None and is_out_of_memory(error.__cause__):
                status, message = Status.OOM, f"memory ran out: {message}"
        except (Exception, LawOutOfMemoryError) as error:
            message, traceback = f"{one_line(error)}{user_frame(error)}", user_traceback(error)
            if is_out_of_memory(error):
                status, message = Status.OOM, f"memory ran out: {message}"
        return cell.record(status, message=message, detail=UntriedLawDetail(law=law_id, traceback=traceback))

    def judge_cell(self, cell: Cell, budget: Budget) -> Record:
        """Return the record of a cell whose case is a law; raise what the encoder raises when it is built."""
        began = time.perf_counter()
        law = get_law(cell.case)
        try:
            result = self.try_law(law, budget)
        except LawTimeout as timeout:
            message = str(timeout) or f"took longer than its limit of {budget.seconds:g} s"
            return cell.record(Status.TIMEOUT, message=message, detail=UntriedLawDetail(law=law.id, traceback=None))
        is_reachable = isinstance(self.target, str) or target_string(self.target) is not None
        record = law_record(cell, law, result, dim_in=self.dim_in, is_reachable=is_reachable)
        return replace(record, seconds=time.perf_counter() - began)

    def try_law(self, law: Law, budget: Budget) -> LawResult:
        """Try to falsify a law; raise LawTimeout after the time limit of the budget."""
        with isolated(self.seed):
            if not self.is_plain or not law.needs_streaming:
                return self._try_on(law, self.subjects(), budget)
            reason = encodes_sets(self.subjects()[0])  # no aggregation of chunks makes a layer encode sets
            if reason:
                return LawResult(Status.SKIP, reason)
            if law.id == PARTITION:
                return self._try_all_aggregations(law, budget)
            return self._try_through_aggregation(law, budget)

    def replay(self, law: Law, example: Example) -> SearchResult | None:
        """Try a law on one example; return the result if the example still breaks it, else None."""
        if not self.is_plain or not law.needs_streaming:
            return self._replay_on(law, self.subjects(), example)
        for g in self._consistent_aggregations:
            result = self._replay_on(law, self.aggregated(g), example)
            if result is None and law.id == PARTITION:  # the example may have shown the fault of another g
                with isolated(self.seed):
                    result = self._search(law, self.aggregated(g), Budget(), g)
            if result is None or result.holds:
                return None
        results = (self._replay_on(law, self.aggregated(g), example) for g in AGGREGATIONS)
        return next((result for result in results if result is not None), None)

    def _replay_on(self, law: Law, subjects: list[Subject], example: Example) -> SearchResult | None:
        run = LawRun(law, subjects)
        with isolated(self.seed), torch.no_grad():
            observation = run.try_example(example)
        if not observation.is_counterexample:
            return None
        return _with_culprit(law, subjects, SearchResult(run.examples, observation, observation))

    @cached_property
    def _variants(self) -> list[nn.Module]:
        with isolated(self.seed):
            module = build_from_spec(self.spec, dim_in=self.dim_in, seed=self.seed)
            self._domain = declared_domain(self.spec, module, self.dim_in)
            validate(module, dim_in=self.dim_in, name=self.spec.name, domain=self._domain)
            in_float64 = copy_module(module).to("cpu", torch.float64).eval()
            validate_in_float64(in_float64, dim_in=self.dim_in, name=self.spec.name, domain=self._domain)
            return parameter_variants(in_float64, self.dim_in, self.seed, self._domain)

    @property
    def domain(self) -> Domain:
        """Inputs that the encoder admits."""
        _ = self._variants
        return self._domain

    @cached_property
    def breaks(self) -> Mapping[str, str]:
        """Laws that the encoder breaks: those of its spec, and those that an order-sensitive encoder breaks."""
        if not self.domain.order_sensitive:
            return self.spec.breaks
        broken = (law for law in BROKEN_BY_ORDER if law not in self.spec.claims)
        return {**dict.fromkeys(broken, "it reads the elements in order, as it declares"), **self.spec.breaks}

    @property
    def is_plain(self) -> bool:
        """True if the encoder does not stream."""
        return not is_streaming(self._variants[0])

    @cached_property
    def deterministic(self) -> bool:
        """True if equal inputs give equal outputs in eval mode, whatever is encoded in between.

        This is decided first: other laws compare two encodings, which is meaningless if one input has two.
        """
        module = copy_module(self._variants[0])
        with isolated(self.seed), torch.no_grad():
            for example in _PROBES:
                x = ExampleData(self.domain.fit(example), self.dim_in).x
                first = module(x).clone()  # the encoder may write its next result into the same memory
                module(self.domain.admit(2 * x))
                if bool((tolerance.gaps(module(x), first) > tolerance.rounding_bound(first, x.shape[1])).any()):
                    return False
        return True

    @cached_property
    def independent_sets(self) -> bool:
        """True if the encoder treats the sets of a batch independently, so that one call can try many examples."""
        if not self.deterministic:
            return False
        subject = Subject(copy_module(self._variants[-1]), self.dim_in, domain=self.domain)
        run = LawRun(get_law("symmetry.batch"), [subject])
        probes = [self.domain.fit(replace(example, kinds=ALL_KINDS)) for example in _PROBES]
        with isolated(self.seed), torch.no_grad():
            return not any(run.try_example(probe).is_counterexample for probe in probes)

    def subjects(
        self, wrap: Callable[[nn.Module], nn.Module] = lambda module: module, domain: Domain | None = None
    ) -> list[Subject]:
        """Return fresh copies of the encoder, wrapped, one per parameter set, so that laws do not affect each other."""

        def rebuild() -> nn.Module:
            module = build_from_spec(self.spec, dim_in=self.dim_in, seed=self.seed + 1000)
            return wrap(module.to("cpu", torch.float64).eval())

        return [
            Subject(
                wrap(copy_module(module)),
                self.dim_in,
                deterministic=self.deterministic,
                rebuild=rebuild,
                reference=self.spec.reference,
                domain=domain or self.domain,
            )
            for module in self._variants
        ]

    def aggregated(self, g: Aggregation) -> list[Subject]:
        """Return the plain encoder f as a stream (f, g): chunk encodings aggregated by `g`."""
        return self.subjects(lambda module: ChunkAggregation(module, g).eval(), replace(self.domain, every_chunk=True))

    @cached_property
    def _consistent_aggregations(self) -> tuple[Aggregation, ...]:
        """The aggregations g for which (f, g) is mini-batch consistent, as far as a short search can tell."""
        law = get_law(PARTITION)
        return tuple(g for g in AGGREGATIONS if self.survives_smallest(law, self.aggregated(g)))

    def survives_smallest(self, law: Law, subjects: list[Subject]) -> bool:
        """Return True if a law holds on the smallest examples, as far as a short search can tell."""
        run = LawRun(law, subjects)
        smallest = smallest_examples(len(subjects), law.kinds, all_kinds=self.independent_sets)
        with isolated(self.seed), torch.no_grad():
            examples = islice(smallest, AGGREGATION_EXAMPLES)
            return not any(run.try_example(run.domain.fit(example)).is_counterexample for example in examples)

    def _try_all_aggregations(self, law: Law, budget: Budget) -> LawResult:
        """Try a plain module with each aggregation; the law holds if it holds for one of them."""
        results = {g: self._search(law, self.aggregated(g), budget, g) for g in AGGREGATIONS}
        consistent = [g for g, result in results.items() if result.holds]
        if consistent:
            note = f"(f, g) is consistent for g = {', '.join(consistent)}"
            return self._conclude(law, results[consistent[0]], note, results)
        smallest = min(AGGREGATIONS, key=lambda g: results[g].counterexample_size)
        note = f"no g in {{{', '.join(AGGREGATIONS)}}} makes (f, g) consistent; shown for g = {smallest}"
        result = _with_culprit(law, self.aggregated(smallest), results[smallest])
        return self._conclude(law, result, note, results)

    def _try_through_aggregation(self, law: Law, budget: Budget) -> LawResult:
        """Try another law about streams on a plain module; the law holds if it holds for one consistent aggregation."""
        if PARTITION in self.breaks:  # judged as a law of its own
            return LawResult(Status.SKIP, f"a plain module that is expected to break {PARTITION}")
        if not self._consistent_aggregations:
            aggregations = ", ".join(AGGREGATIONS)
            return LawResult(Status.SKIP, f"a plain module that no g in {{{aggregations}}} makes consistent")
        results = (self._try_on(law, self.aggregated(g), budget) for g in self._consistent_aggregations)
        first, broken = next(results), (Status.FAIL, Status.XFAIL, Status.UNDECIDED)
        return first if first.status not in broken else next((r for r in results if r.status not in broken), first)

    def _try_on(self, law: Law, subjects: list[Subject], budget: Budget) -> LawResult:
        reason = law.unmet_requirement(subjects[0])
        if reason:
            return LawResult(Status.SKIP, reason)
        refusal = self.domain.refusal
        if law.id == FINITE and refusal is not None and not refusal.is_clear:
            expected = self.breaks.get(law.id, "")
            return LawResult(Status.XFAIL if expected else Status.ERROR, join_reasons(expected, refusal.advice))
        result = _with_culprit(law, subjects, self._search(law, subjects, budget))
        return self._conclude(law, result, self._domain_note(law) if result.holds else convention_hint(self, law))

    def _domain_note(self, law: Law) -> str:
        """Return what the encoder does not admit, for the law about sets of every size."""
        smallest, refusal = self.domain.min_size, self.domain.refusal
        if law.id == FINITE and refusal is not None:
            return refusal.advice
        return f"sets of fewer than {smallest} elements are not admitted" if law.id == FINITE and smallest > 1 else ""

    def _search(self, law: Law, subjects: list[Subject], budget: Budget, g: str = "") -> SearchResult:
        is_expected = law.id in self.breaks  # an expected counterexample is neither shrunk nor worth storing
        store = None
        if budget.database is not None and not is_expected:
            parts = ("mbcbench", self.spec.name, law.id, g, str(self.dim_in))
            store = ExampleStore(budget.database, hashlib.sha256("\0".join(parts).encode()).digest())
        return search(
            law,
            subjects,
            examples=budget.sets_for(law),
            seed=self.seed,
            independent_sets=self.independent_sets,
            shrink=not is_expected,
            seconds=budget.seconds,
            store=store,
        )

    def _conclude(
        self,
        law: Law,
        result: SearchResult,
        note: str = "",
        by_aggregation: Mapping[Aggregation, SearchResult] | None = None,
    ) -> LawResult:
        if result.why_untried:
            return LawResult(Status.SKIP, result.why_untried)
        status, message = outcome(self, law, result, note)
        return LawResult(status, message, result, by_aggregation)


def _with_culprit(law: Law, subjects: list[Subject], result: SearchResult) -> SearchResult:
    """Return a result that names the part of the encoder that breaks the law, if the counterexample shows it."""
    if result.counterexample is None or result.counterexample.error:
        return result
    return replace(result, culprit=find_culprit(law, subjects, result.counterexample.example))
