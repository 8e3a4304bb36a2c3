"""Verdicts that are computed a second time, with pandas and scipy alone, are those of the report."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from mbcbench.records.record import Record, Status, frame
from mbcbench.reports.paper.claims_table import claims_table
from mbcbench.reports.selection import label_models
from tests.cli.report_records import clouds
from tests.cli.test_claims import law
from tests.reports.test_comparisons import nll
from tools.recompute_claims import recompute

SLOTS = (1, 32, 64, 128, 256)
IMAGES = [
    replace(nll(size, k, seed), value=0.001 * k + 0.0001 * (k * seed % 11))
    for size in (200, 1000)
    for k in SLOTS
    for seed in range(6)
]
LAWS = [law(name, Status.XFAIL) for name in ("deepsets-original", "set-transformer", "fspool", "sse-random")]


@pytest.mark.parametrize(
    ("records", "decided"),
    [
        (clouds(0.05), {"C19": "confirmed"}),
        pytest.param(clouds(-0.05), {"C19": "refuted"}, marks=pytest.mark.slow),
        pytest.param(clouds(0.0), {"C19": "no difference"}, marks=pytest.mark.slow),
        pytest.param(clouds(0.05, seeds=5), {"C19": "undecided"}, marks=pytest.mark.slow),
        pytest.param(clouds(0.05, plateau=True), {"C19": "undecided"}, marks=pytest.mark.slow),
        pytest.param(IMAGES, {"C17": "refuted"}, marks=pytest.mark.slow),
        (LAWS, {"C4": "confirmed", "C1": "refuted"}),
    ],
)
def test_both_ways_give_the_same_verdicts(records: Sequence[Record], decided: dict[str, str]) -> None:
    rows = frame(list(records))
    report, again = claims_table(label_models(rows)), recompute(rows)
    assert again["verdict"].tolist() == report["verdict"].tolist()
    assert again.groupby("id")["verdict"].first()[list(decided)].to_dict() == decided
