"""Verdicts from shorter trainings and from a second data set stand beside the verdict, and do not change it."""

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest

from mbcbench.records.record import Record, frame
from mbcbench.reports.paper.claim_verdicts import Claim
from mbcbench.reports.paper.claims import CLAIMS
from mbcbench.reports.paper.claims_table import claims_table
from mbcbench.reports.paper.contrasts import better_in_ablation
from mbcbench.reports.paper.records import Records
from mbcbench.reports.paper.robustness import other_verdicts
from mbcbench.reports.selection import label_models
from tests.cli.report_records import clouds

EFFECT = re.compile(r" \([+-][\d.]+ ± [\d.]+\)")
BELOW_5000 = [claim for claim in CLAIMS if claim.id == "C19" and claim.reading == "below 5000"]


def with_steps(records: Sequence[Record], steps: int) -> list[Record]:
    return [replace(record, detail={**record.detail, "steps": steps}) for record in records]


def on_furniture(records: Sequence[Record]) -> list[Record]:
    params = {"data": "furniture"}
    return [replace(record, case="furniture-points", params={**record.params, **params}) for record in records]


def reading(*records: Record) -> tuple[str, str]:
    """Return the verdict on C19, below 5,000 points, and the verdicts from other records without their effects."""
    row = claims_table(label_models(frame(list(records))), BELOW_5000).iloc[0]
    return row["verdict"], EFFECT.sub("", row["other records"])


def test_without_other_records_there_is_nothing_to_say() -> None:
    assert reading(*clouds(0.05)) == ("confirmed", "")


def test_shorter_trainings_are_judged_by_themselves() -> None:
    records = [*with_steps(clouds(0.05), 7000), *with_steps(clouds(-0.05), 2100), *with_steps(clouds(0.0), 700)]
    assert reading(*records) == ("confirmed", "700 steps: no difference; 2,100 steps: refuted")


def test_large_sets_that_are_trained_for_fewer_steps_are_no_shorter_trainings() -> None:
    large = [record for record in clouds(0.05) if record.params["train_size"] >= 500]
    small = [record for record in clouds(0.05) if record.params["train_size"] < 500]
    assert reading(*with_steps(large, 2800), *with_steps(small, 7000)) == ("confirmed", "")


def test_a_verdict_from_other_records_has_its_effect() -> None:
    records = Records(label_models(frame([*clouds(0.05), *on_furniture(clouds(-0.05))])))
    (other,) = other_verdicts(BELOW_5000[0], records)
    assert (other.records, other.verdict) == ("furniture", "refuted")
    assert other.effect.startswith("-0.0")
    assert str(other) == f"furniture: refuted ({other.effect})"


def test_trainings_that_are_too_short_for_a_verdict_say_nothing() -> None:
    assert reading(*with_steps(clouds(0.05), 7000), *with_steps(clouds(-0.05), 200)) == ("confirmed", "")


@pytest.mark.slow
def test_a_second_data_set_is_judged_by_itself_in_the_parts_that_it_has() -> None:
    few = [record for record in on_furniture(clouds(-0.05)) if record.params["train_size"] <= 200]
    assert reading(*clouds(0.05), *few) == ("confirmed", "furniture (8 of 16 parts): refuted")
    assert reading(*clouds(0.05), *on_furniture(clouds(0.05))) == ("confirmed", "furniture: confirmed")


def test_records_of_the_smaller_setting_of_an_ablation_count() -> None:
    claim = Claim("C", "", "", "", (better_in_ablation("a", "b"),))
    record = replace(clouds()[0], suite="image-completion", case="patches-32")
    records = with_steps([record], 700) + with_steps([record], 2100)
    names = [name for name, _ in Records(label_models(frame(records))).others(claim.cases)]
    assert names == ["700 steps"]
