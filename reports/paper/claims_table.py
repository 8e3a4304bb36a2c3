"""Claims of the paper as a table: each reading with the verdict that the records give."""

from collections.abc import Sequence

import pandas as pd

from mbcbench.reporting import Artefact

from ..selection import label_models
from .claim_verdicts import Claim, judge
from .claims import CLAIMS

OUTCOMES = ("confirmed", "refuted", "undecided")
COLUMNS = ["id", "verdict", "claim", "reading", "where", "why", "data", "would decide", "evidence", "encoders"]


def claims_table(rows: pd.DataFrame, claims: Sequence[Claim] = CLAIMS) -> pd.DataFrame:
    """Return a row for each reading of a claim. rows: see `label_models`."""
    return pd.DataFrame([_row(claim, rows) for claim in claims], columns=COLUMNS)


def _row(claim: Claim, rows: pd.DataFrame) -> dict[str, str]:
    verdict = judge(claim, rows)
    return {
        "id": claim.id,
        "verdict": verdict.verdict,
        "claim": claim.says,
        "reading": claim.reading,
        "where": claim.where,
        "why": verdict.why,
        "data": verdict.data,
        "would decide": verdict.would_decide,
        "evidence": verdict.evidence,
        "encoders": ", ".join(claim.encoders),
    }


def count_verdicts(data: pd.DataFrame) -> str:
    """Return how many readings are confirmed, refuted and undecided."""
    confirmed, refuted, undecided = data["verdict"].value_counts().reindex(OUTCOMES, fill_value=0)
    readings = f"{len(data)} readings of {data['id'].nunique()} claims"
    return f"Of {readings}, {confirmed} are confirmed, {refuted} refuted and {undecided} undecided"


CLAIMS_TABLE = Artefact(
    id="claims",
    title="The paper's claims",
    caption="Verdicts are computed: laws by counterexamples, numbers by differences that are paired by seed, with "
    "Student's 95 % intervals. A claim is confirmed if every part is, and refuted if one part is, at a level divided "
    "by the number of parts.",
    data=lambda frame: claims_table(label_models(frame)),
    result=count_verdicts,
)
