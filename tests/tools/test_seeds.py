"""The page on seeds: the latest judgement counts, and alarms are listed."""

from pathlib import Path

import pandas as pd
import pytest
import seeds


def write(path: Path, commit: str, *judgements: tuple[str, int, str, str]) -> None:
    """Write judgements (encoder, seed, law, status) of one commit."""
    frame = pd.DataFrame(judgements, columns=["encoder", "seed", "law", "status"])
    frame.assign(effort="quick", kind="correct", commit=commit, sources=f"0{commit}").to_json(
        path, orient="records", lines=True
    )


@pytest.fixture
def judgements(tmp_path: Path) -> pd.DataFrame:
    """Return packed judgements of the commit 1111111, and one of 2222222 that replaces one of them."""
    packed = tmp_path / "seeds.jsonl.xz"
    write(
        packed,
        "1111111",
        ("Mean", 0, "mbc.mask", "fail"),
        ("Mean", 0, "mbc.order", "pass"),
        ("Mean", 1, "mbc.order", "undecided"),
    )
    write(tmp_path / "quick.jsonl", "2222222", ("Mean", 0, "mbc.mask", "pass"))
    return seeds.read_judgements(tmp_path, packed)


def test_the_latest_judgement_of_an_encoder_seed_and_law_counts(judgements: pd.DataFrame) -> None:
    statuses = {(row.seed, row.law): row.status for row in judgements.itertuples()}
    assert statuses == {(0, "mbc.mask"): "pass", (0, "mbc.order"): "pass", (1, "mbc.order"): "undecided"}


def test_the_laws_that_were_judged_again_are_named_with_their_commit(judgements: pd.DataFrame) -> None:
    rows = list(seeds.source_rows(judgements))
    assert rows == [["1111111", "mbc.order", "2 of quick", "2"], ["2222222", "mbc.mask", "1 of quick", "1"]]


def test_verdicts_that_change_and_alarms_are_listed(judgements: pd.DataFrame) -> None:
    assert list(seeds.changes(judgements).index) == [("quick", "Mean", "mbc.order")]
    alarmed = judgements.assign(status=judgements["status"].replace("undecided", "error"))
    (row,) = seeds.summary_rows(alarmed, seeds.changes(alarmed))
    assert row == ["quick", "correct", "1", "2", "3", "1", "1"]
