"""Recompute the verdicts on the paper's claims from the records of runs, with pandas and scipy alone.

Usage: python tools/recompute_claims.py RUN...

The readings and their margins are those of mbcbench. How records are selected, tested and judged is written here a
second time, to check what `mbcbench report --only claims` says.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from mbcbench.paper import Filter
from mbcbench.records.record import frame
from mbcbench.records.store import records
from mbcbench.reports.curves import with_speed
from mbcbench.reports.paper.claim_verdicts import Claim
from mbcbench.reports.paper.claims import CLAIMS
from mbcbench.reports.paper.contrasts import Contrast
from mbcbench.reports.paper.law_verdicts import Holds
from mbcbench.reports.selection import label_models

TRAINING = ["suite", "case", "model", "detail.train_size"]
KEPT, BROKEN = ("pass", "xpass", "ok"), ("fail", "xfail")


def measured(rows: pd.DataFrame, where: Filter) -> pd.DataFrame:
    """Return the records of a setting, of the longest training of each model."""
    for column, value in sorted(where.items(), key=lambda item: item[0] != "model"):  # few rows are of one model
        rows = rows[rows[column].isna() if value is None else rows[column].isin(np.atleast_1d(value))]
        if rows.empty:
            return rows
    rows = rows[rows["status"].eq("ok") & ~rows["case"].astype(str).str.startswith("standard-")]
    steps = rows["detail.steps"].astype(float)
    return rows[
        steps.isna() | steps.eq(steps.groupby([rows[name] for name in TRAINING], dropna=False).transform("max"))
    ]


def law(test: Holds, rows: pd.DataFrame) -> list[str]:
    """Return the outcome for each model."""
    outcomes = []
    for model in test.models:
        tried = rows[rows["suite"].eq("laws") & rows["case"].eq(test.law) & rows["model"].eq(model)]
        is_broken = tried["status"].isin(BROKEN) | tried["status"].eq("ok") & tried["detail.counterexample"].notna()
        is_kept = tried["status"].isin(KEPT).any()
        outcomes.append(test.if_broken if is_broken.any() else test.if_kept if is_kept else "undecided")
    return outcomes


def contrast(test: Contrast, rows: pd.DataFrame, place: int, parts: int) -> str:
    """Return the outcome of a paired difference."""
    terms = [(term.weight, term.where, measured(rows, term.where)) for term in test.terms_in(place)]
    if any(part.empty for *_, part in terms):
        return "undecided"
    used = pd.concat([part for *_, part in terms]).drop_duplicates(["model", "seed"])
    values = sum(
        weight * part.groupby("seed")[test.column].agg(lambda v: v.astype(float).mean()) for weight, _, part in terms
    ).dropna()
    is_large = min((where.get("detail.train_size", 0) for _, where, _ in terms), default=0) >= 1000
    stuck = used["detail.train_loss"].astype(float).ge(used["detail.train_baseline"].astype(float))
    stuck = stuck.where(
        used["detail.train_loss"].notna() & used["detail.train_baseline"].notna(), used["detail.plateau"].eq(True)
    )
    steps = used["detail.steps"].dropna().astype(float)
    has_never_learnt = stuck.astype(bool).groupby(used["model"]).all().any()
    if len(values) < (3 if is_large else 6) or steps.nunique() > 1 or (steps < 400).any() or has_never_learnt:
        return "undecided"
    m, alpha = test.quantity.margin, 0.05 / parts
    above = stats.ttest_1samp(values, -m, alternative="greater").pvalue
    equal = max(above, stats.ttest_1samp(values, m, alternative="less").pvalue)
    strict = stats.ttest_1samp(values, 0).confidence_interval(1 - alpha)
    if test.expects_equality:
        return "confirmed" if equal < 0.05 else "refuted" if strict.low > m or strict.high < -m else "undecided"
    if equal < alpha:
        return "no difference"
    if values.mean() > 0 and stats.ttest_1samp(values, 0).pvalue < 0.05:
        return "confirmed"
    return "refuted" if strict.high < 0 else "undecided"


def verdict(claim: Claim, rows: pd.DataFrame) -> str:
    """Return the verdict on a reading: every part confirms it, or any part decides against it."""
    numeric = [test for test in claim.tests if isinstance(test, Contrast)]
    places = range(max((len(test.settings) for test in numeric), default=1))
    pairs = [sum(all(len(measured(rows, term.where)) for term in t.terms_in(p)) for t in numeric) for p in places]
    place = int(np.argmax(pairs))
    outcomes = []
    for test in claim.tests:
        outcomes += [contrast(test, rows, place, len(claim.tests))] if test in numeric else law(test, rows)
    for decided in ("refuted", "no difference"):
        if decided in outcomes:
            return decided
    return "confirmed" if set(outcomes) == {"confirmed"} else "undecided"


def recompute(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the verdict on each reading. rows: a frame of records."""
    rows = with_speed(label_models(rows))
    return pd.DataFrame([(c.id, c.reading, verdict(c, rows)) for c in CLAIMS], columns=["id", "reading", "verdict"])


if __name__ == "__main__":
    print(recompute(frame([r for run in sys.argv[1:] for r in records(Path(run))])).to_string(index=False))
