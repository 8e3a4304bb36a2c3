"""The result of one law for one encoder, and its record."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mbcbench.protocol.customize import BuildOptions
from mbcbench.protocol.encoder import Aggregation
from mbcbench.records.cell import Cell
from mbcbench.records.detail import LawDetail, PairDetail, UntriedLawDetail
from mbcbench.records.record import Record, Status
from mbcbench.types import JsonDict
from mbcbench.verify.counterexample import counterexample_data, counterexample_text, reproduction_snippet
from mbcbench.verify.law import Law, has_reference
from mbcbench.verify.search import SearchResult


@dataclass(frozen=True)
class LawResult:
    """Result of one law for one encoder.

    Parameters
    ----------
    status
        The outcome.
    message
        Explanation, for the reader of a table.
    search
        Result of the search that decided, or None if the law was skipped.
    by_aggregation
        For a plain module, the result of the search with each aggregation of chunk encodings.
    """

    status: Status
    message: str = ""
    search: SearchResult | None = None
    by_aggregation: Mapping[Aggregation, SearchResult] | None = None


def law_record(cell: Cell, law: Law, result: LawResult, *, dim_in: int, is_reachable: bool) -> Record:
    """Return a result as a record; gap and bound are kept for laws that hold, too.

    If no target string leads to the encoder (`is_reachable` is False), the reader of the reproduction fills it in.
    """
    if result.search is None:
        return cell.record(result.status, message=result.message, detail=UntriedLawDetail(law=law.id, examples=0))
    detail = _search_detail(cell, law, result.search, dim_in=dim_in, is_reachable=is_reachable)
    if result.by_aggregation is not None:
        detail = replace(
            detail,
            examples=sum(search.examples for search in result.by_aggregation.values()),
            pairs={g: _aggregation_detail(law, search, dim_in, cell) for g, search in result.by_aggregation.items()},
        )
    return cell.record(
        result.status,
        message=result.message,
        metric="gap",
        value=(result.search.counterexample or result.search.worst).gap,
        higher_is_better=False,
        detail=detail,
    )


def _search_detail(cell: Cell, law: Law, search: SearchResult, *, dim_in: int, is_reachable: bool) -> LawDetail:
    observation = search.counterexample or search.worst
    detail = LawDetail(
        law=law.id,
        statement=law.statement,
        bound=observation.bound,
        examples=search.examples,
        worst_gap=max(search.worst.gap, observation.gap),
        relative_bound=None if law.measures else search.relative_bound,
        scale=observation.scale or None,
    )
    if search.counterexample is None:
        return detail
    snippet = reproduction_snippet(
        cell.encoder,
        law,
        search.counterexample.example,
        dim_in=dim_in,
        build_seed=cell.seed,
        is_reachable=is_reachable,
        options=BuildOptions.from_params(cell.params),
        reference=_reference(law, cell),
    )
    return replace(
        detail,
        counterexample=_counterexample_data(law, search, dim_in, cell),
        counterexample_text=counterexample_text(cell.encoder, law, search),
        culprit=search.culprit or None,
        reproduce=snippet,
        traceback=search.counterexample.traceback or None,
    )


def _aggregation_detail(law: Law, search: SearchResult, dim_in: int, cell: Cell) -> PairDetail:
    counterexample = _counterexample_data(law, search, dim_in, cell)
    return PairDetail(consistent=search.holds, examples=search.examples, counterexample=counterexample)


def _counterexample_data(law: Law, search: SearchResult, dim_in: int, cell: Cell) -> JsonDict | None:
    if search.counterexample is None:
        return None
    data = counterexample_data(search.counterexample, search.worst, dim_in=dim_in, dtype=cell.dtype)
    reference = _reference(law, cell)
    given = {} if reference is None else {"reference": reference}
    return {**data, **BuildOptions.from_params(cell.params).to_params(), **given, "dim_in": dim_in}


def _reference(law: Law, cell: Cell) -> str | None:
    """Return the reference that the user gave, if the law compares with it ("" if no target string leads to it)."""
    return cell.params.get("reference") if has_reference in law.requires else None
