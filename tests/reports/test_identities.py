"""Claims that laws decide without training: the experiment `identities` gives their records."""

import pytest

from mbcbench.execution.suite import Request
from mbcbench.records.record import Record, Status, frame
from mbcbench.reports.paper.claims_table import claims_table
from mbcbench.reports.selection import label_models
from mbcbench.suites.paper import SUITE, identities, run


@pytest.fixture(scope="module")
def records() -> list[Record]:
    cells = identities(Request(encoders=(), profile="smoke", seed=0))
    return [record for cell in cells for record in run(cell)]


@pytest.fixture(scope="module")
def verdicts(records: list[Record]) -> dict[tuple[str, str], str]:
    table = claims_table(label_models(frame(records)))
    return {(row["id"], row["reading"]): row["verdict"] for _, row in table.iterrows()}


def test_the_suite_runs_them() -> None:
    assert "identities" in SUITE.experiments


def test_none_of_them_is_unexpected(records: list[Record]) -> None:
    assert [record.status for record in records] == [Status.XFAIL] * 3 + [Status.PASS]


def test_with_one_slot_random_and_deterministic_slots_are_one_function(verdicts: dict[tuple[str, str], str]) -> None:
    assert verdicts["C15", "K=1"] == "no difference"


def test_with_one_slot_its_width_changes_nothing(verdicts: dict[tuple[str, str], str]) -> None:
    assert verdicts["C18", "deterministic, K=1"] == "no difference"


def test_a_hierarchy_that_ends_in_one_slot_is_consistent_run_per_chunk(verdicts: dict[tuple[str, str], str]) -> None:
    assert verdicts["C5", "run per chunk, K_T = 1 as in eq. 6"] == "confirmed"


def test_slots_of_the_published_code_change_nothing_in_any_number_or_width(
    verdicts: dict[tuple[str, str], str],
) -> None:
    assert {verdicts[claim, "published code"] for claim in ("C15", "C17", "C18")} == {"no difference"}


def test_they_decide_nothing_else(verdicts: dict[tuple[str, str], str]) -> None:
    assert sum(verdict != "undecided" for verdict in verdicts.values()) == 6
