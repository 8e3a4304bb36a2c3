"""How a claim is tested: laws that hold or break, and differences between models that are paired by seed.

A claim of several parts is confirmed when every part is, and refuted when one is. The first asks each part for its own
95% interval; for the second the intervals are widened by the number of parts (Bonferroni), as any of them may refute.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from ..statistics import LEVEL, Estimate, half_width, paired, pick

Outcome = Literal["confirmed", "refuted", "undecided"]
RUN = "mbcbench run --suite paper, with --profile paper for what thorough leaves out"
LEAST_STEPS = 400  # of training: what was trained for less says nothing of an encoder
REAL = ("CelebA", "ModelNet40", "ImageNet")
Where = Mapping[str, Any]
Terms = Sequence[tuple[float, Where]]


@dataclass(frozen=True)
class Part:
    """One part of a claim, judged: its verdict in words and, where that is open, what would decide it."""

    outcome: Outcome
    told: str
    would_decide: str = ""


@dataclass(frozen=True)
class Holds:
    """A law that encoders keep."""

    law: str
    encoders: tuple[str, ...]


@dataclass(frozen=True)
class Breaks:
    """A law that encoders break."""

    law: str
    encoders: tuple[str, ...]


@dataclass(frozen=True)
class Contrast:
    """A weighted sum over settings that is above zero if the claim is right; with a margin: that lies within it.

    settings: what all terms share unless they say otherwise; the first under which there are pairs counts.
    column: where what is compared stands, if not in `value`.
    """

    says: str
    terms: tuple[tuple[float, Where], ...]
    settings: tuple[Where, ...] = ({},)
    margin: float | None = None
    column: str = "value"


@dataclass(frozen=True)
class Claim:
    """A row of the ledger. reading: which of several."""

    id: str
    reading: str
    where: str
    says: str
    tests: tuple[Holds | Breaks | Contrast, ...]


def encoders_of(claim: Claim) -> list[str]:
    """The encoders that a claim is tested on."""
    found: list[str] = []
    for test in claim.tests:
        if isinstance(test, Contrast):
            found += [str(where["model"]).partition(" ")[0] for _, where in test.terms]
        else:
            found += test.encoders
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Verdict:
    """What the records say of a claim. evidence: each part in words. data: what was measured on."""

    verdict: Outcome
    why: str
    data: str
    would_decide: str
    evidence: str


def judge(claim: Claim, rows: pd.DataFrame) -> Verdict:
    """The verdict on a claim, from labelled rows."""
    parts = [part for test in claim.tests for part in _parts(test, rows, len(claim.tests))]
    outcome = _together(parts)
    deciding = [part for part in parts if part.outcome == outcome]
    wanted = dict.fromkeys(part.would_decide for part in deciding if part.would_decide)
    return Verdict(
        verdict=outcome,
        why=deciding[0].told + (f" (and {len(deciding) - 1} more)" if len(deciding) > 1 else "")
        if deciding
        else "no records",
        data=data_of(claim, rows),
        would_decide="; ".join(wanted) if outcome == "undecided" else "",
        evidence="\n".join(f"{part.outcome}: {part.told}" for part in parts),
    )


def _together(parts: Sequence[Part]) -> Outcome:
    outcomes = {part.outcome for part in parts}
    if "refuted" in outcomes:
        return "refuted"
    return "confirmed" if outcomes == {"confirmed"} else "undecided"


def _parts(test: Holds | Breaks | Contrast, rows: pd.DataFrame, among: int) -> Iterator[Part]:
    if isinstance(test, Contrast):
        yield contrast(test, rows, among)
    else:
        for encoder in test.encoders:
            yield law(test, encoder, rows)


def law(test: Holds | Breaks, encoder: str, rows: pd.DataFrame) -> Part:
    """What the records of a law say of one encoder: one counterexample outweighs any number of passes."""
    at = rows[rows["suite"].eq("laws") & rows["case"].eq(test.law) & rows["encoder"].eq(encoder)]
    name = f"{encoder}, {test.law}"
    broken = at[at["status"].isin(["fail", "xfail"]) | (at["status"].eq("ok") & at["detail.counterexample"].notna())]
    holds = at[at["status"].isin(["pass", "xpass"])]
    if len(broken):
        told = f"{name}: {counterexample(broken.iloc[0].to_dict())}"
        return Part("refuted" if isinstance(test, Holds) else "confirmed", told)
    if len(holds):
        told = f"{name}: no counterexample in {_examples(holds)} examples"
        return Part("confirmed" if isinstance(test, Holds) else "refuted", told)
    why = "no record" if at.empty else ", ".join(sorted(set(at["status"])))
    return Part("undecided", f"{name}: {why}", "mbcbench run --suite laws")


def _examples(rows: pd.DataFrame) -> str:
    counts = pd.to_numeric(rows["detail.examples"])
    return f"{int(counts.sum())}" if counts.notna().any() else "the"


def counterexample(row: Mapping[Any, Any]) -> str:
    """The smallest counterexample in a line: `n = 2 in chunks 1 + 1, off by 0.77`."""
    case = row["detail.counterexample"]
    if not isinstance(case, Mapping):
        return str(row["message"] or "broken")
    chunks = " + ".join(map(str, case.get("sizes") or ()))
    size = f"n = {case['n']}" if "n" in case else "a case"
    return size + (f" in chunks {chunks}" if chunks else "") + f", off by {float(row['value']):.2g}"


def contrast(test: Contrast, rows: pd.DataFrame, among: int) -> Part:
    """A difference over paired seeds, its interval, and which side of zero (or of the margin) it lies on."""
    terms, says = used(test, rows), f"{test.says}{told(setting(test, rows))}"
    found = Estimate.of(paired(rows, terms, test.column))
    says_all = f"{says}: {found.mean:+.4f} ± {found.half:.4f} ({found.seeds} seeds)"
    if not found.seeds:
        return Part("undecided", f"{says}: no records", RUN)
    if open_ := _too_early(terms, rows):
        return Part("undecided", f"{says_all}; {open_[0]}", open_[1])
    if found.seeds < 2:
        return Part("undecided", says_all.replace(" ± nan", "").replace("(1 seeds)", "(1 seed)"), "more seeds")
    wide = half_width((found.half / half_width(1.0, found.seeds)), found.seeds, 1 - (1 - LEVEL) / among)
    outcome = _side(found, float(wide), test.margin)
    return Part(outcome, says_all, seeds_wanted(found, test.margin or 0.0) if outcome == "undecided" else "")


def setting(test: Contrast, rows: pd.DataFrame) -> Where:
    """The first setting of a contrast under which there are pairs, or its last."""
    some = (at for at in test.settings[:-1] if len(paired(rows, _under(test, at), test.column)))
    return next(some, test.settings[-1])


def used(test: Contrast, rows: pd.DataFrame) -> Terms:
    """The terms of a contrast under the setting that counts."""
    return _under(test, setting(test, rows))


def _under(test: Contrast, at: Where) -> Terms:
    return tuple((weight, {**at, **where}) for weight, where in test.terms)


def told(where: Where) -> str:
    """A setting in words, in brackets: ` (train size 200, test size 200)`."""
    names = ("train_size", "test_size", "chunk_size", "order", "ways", "aggregation")
    said = [(name.replace("_", " "), where.get(f"detail.{name}")) for name in names]
    parts = [f"{name} {value}" for name, value in said if value not in (None, "random", "own")]
    return f" ({', '.join(parts)})" if parts else ""


def _side(found: Estimate, wide: float, margin: float | None) -> Outcome:
    """Confirmed by the interval; refuted by one that is wide enough for all parts of the claim."""
    low, high = found.mean - wide, found.mean + wide
    if margin is None:
        return "confirmed" if found.low > 0 else "refuted" if high < 0 else "undecided"
    inside, outside = found.low > -margin and found.high < margin, high < -margin or low > margin
    return "confirmed" if inside else "refuted" if outside else "undecided"


def _too_early(terms: Terms, rows: pd.DataFrame) -> tuple[str, str] | None:
    """Why a difference says nothing yet, and what would: models that were hardly trained, or still on the plateau."""
    found = pd.concat([pick(rows, where) for _, where in terms])
    steps = pd.to_numeric(found["detail.steps"]).min()
    if steps < LEAST_STEPS:
        return f"trained for {steps:g} steps", "a longer training: --profile thorough"
    stuck = int(found["detail.plateau"].eq(True).sum())
    if stuck:
        return (
            f"{stuck} of {len(found)} no better than the mean of the pixels yet",
            "a longer training: --profile paper",
        )
    return None


def seeds_wanted(found: Estimate, margin: float = 0.0) -> str:
    """About how many seeds would tell such a difference from zero, or from the margin: where its interval would end."""
    away = abs(abs(found.mean) - margin)
    spread = found.half / half_width(1.0, found.seeds)
    for count in range(found.seeds + 1, 101):
        if half_width(spread, count) < away:
            return f"about {count} seeds, if difference and spread stay as they are"
    return "more than 100 seeds: a difference this small is not worth telling"


def data_of(claim: Claim, rows: pd.DataFrame) -> str:
    """Which data a claim was tested on, and that they stand in for the paper's where they do."""
    tests = [test for test in claim.tests if isinstance(test, Contrast)]
    if not tests:
        return "random sets"
    names = pd.concat([pick(rows, where)["detail.data"] for test in tests for _, where in used(test, rows)])
    return "; ".join(f"{name}{stand_in(str(name))}" for name in sorted(set(names.dropna())))


def stand_in(data: str) -> str:
    """` (stand-in)` for what is not the paper's data set; MNIST is MNIST, a part of it."""
    return "" if "MNIST" in data or (any(name in data for name in REAL) and "name" not in data) else " (stand-in)"
