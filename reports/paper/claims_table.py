"""Claims of the paper as a table: each reading with its verdict from the records."""

from collections.abc import Sequence

import pandas as pd

from mbcbench.reporting import Artefact
from mbcbench.types import JsonDict

from ..columns import Row
from ..curves import with_speed
from ..formatting import format_effect
from ..paired import PairedTest, adjust
from ..selection import label_models
from .claim_verdicts import Claim, data_sets, judge
from .claims import CLAIMS
from .records import COLUMNS as READ
from .records import Records
from .robustness import other_verdicts
from .verdicts import OUTCOMES

COLUMNS = [
    "id", "verdict", "claim", "reading", "where", "effect", "low", "high", "margin", "seeds",
    "p", "p holm", "p bh", "why", "data", "other records", "would decide", "evidence", "encoders",
]  # fmt: skip


def claims_table(rows: pd.DataFrame, claims: Sequence[Claim] = CLAIMS) -> pd.DataFrame:
    """Return a row for each reading of a claim. rows: see `label_models`.

    effect, low, high: of the deciding difference, above zero if the claim is right. p: of the test that decides,
    adjusted for all readings with a number by Holm and by Benjamini and Hochberg. other records: the verdicts
    from shorter trainings and from a second data set.
    """
    records = records_for(claims, rows)
    table = pd.DataFrame([_row(claim, records) for claim in claims], columns=COLUMNS)
    for column, method in (("p holm", "holm"), ("p bh", "fdr_bh")):
        table[column] = adjust(table["p"].astype(float).tolist(), method)
    return table


def records_for(claims: Sequence[Claim], rows: pd.DataFrame) -> Records:
    """Return labelled records with the columns that verdicts on these claims read."""
    named = (test.columns for claim in claims for test in claim.contrasts)
    return Records(with_speed(rows)[sorted({*READ}.union(*named))])


def _row(claim: Claim, records: Records) -> JsonDict:
    verdict = judge(claim, records)
    return {
        "id": claim.id,
        "verdict": verdict.verdict,
        "claim": claim.says,
        "reading": claim.reading,
        "where": claim.where,
        **_numbers(verdict.deciding.test),
        "p": verdict.p,
        "why": verdict.why,
        "data": data_sets(claim, verdict),
        "other records": "; ".join(map(str, other_verdicts(claim, records))),
        "would decide": verdict.would_decide,
        "evidence": verdict.evidence,
        "encoders": ", ".join(claim.encoders),
    }


def _numbers(test: PairedTest | None) -> JsonDict:
    if test is None:
        return {"effect": None, "low": None, "high": None, "margin": None, "seeds": None}
    found = test.estimate
    return {"effect": found.mean, "low": found.low, "high": found.high, "margin": test.margin, "seeds": found.seeds}


def describe_effect(row: Row) -> str:
    """Return the deciding difference of a reading: `+0.0230 ± 0.0060`, or empty if there is none."""
    if pd.isna(row["effect"]):
        return ""
    return format_effect(row["effect"], (row["high"] - row["low"]) / 2)


def count_verdicts(data: pd.DataFrame) -> str:
    """Return the number of readings with each verdict."""
    confirmed, refuted, equal, undecided = data["verdict"].value_counts().reindex(OUTCOMES, fill_value=0)
    readings = f"{len(data)} readings of {data['id'].nunique()} claims"
    return (
        f"Of {readings}, {confirmed} are confirmed, {refuted} refuted, {equal} show no difference and {undecided} are "
        "undecided"
    )


CLAIMS_TABLE = Artefact(
    id="claims",
    title="The paper's claims",
    caption="Verdicts are computed by the rules of docs/analysis-plan.md: laws by counterexamples, numbers by "
    "differences that are paired by seed. A claim is confirmed if every part is, refuted if one part is, and shows no "
    "difference if one part lies within the margin. Effects are above zero if the claim is right, and near zero if it "
    "is that two models are equal; ± is half the 95 % interval of the deciding comparison. A law has no effect and no "
    "p-value: one counterexample decides.",
    data=lambda frame: claims_table(label_models(frame)),
    result=count_verdicts,
)
