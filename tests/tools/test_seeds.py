"""The page on seeds: the latest judgement counts, and alarms are listed."""

import json
import os
from pathlib import Path

import pytest
import seeds


def write(kept: Path, time: int, commit: str, *judgements: tuple[str, int, str, str]) -> None:
    """Write judgements (encoder, seed, law, status) of one commit, as if at that time."""
    path = kept / commit / "quick.jsonl"
    path.parent.mkdir(parents=True)
    rows = [
        dict(zip(("encoder", "seed", "law", "status"), judgement, strict=True), effort="quick", kind="correct")
        for judgement in judgements
    ]
    path.write_text("".join(f"{json.dumps({**row, 'commit': commit, 'message': ''})}\n" for row in rows))
    os.utime(path, (time, time))


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    write(tmp_path, 2, "after", ("Mean", 0, "mbc.mask", "pass"))
    write(
        tmp_path,
        1,
        "before",
        ("Mean", 0, "mbc.mask", "fail"),
        ("Mean", 0, "mbc.order", "pass"),
        ("Mean", 1, "mbc.order", "undecided"),
    )
    return tmp_path


def test_the_latest_judgement_of_an_encoder_seed_and_law_counts(kept: Path) -> None:
    frame = seeds.read_judgements(kept)
    statuses = {(row.seed, row.law): row.status for row in frame.itertuples()}
    assert statuses == {(0, "mbc.mask"): "pass", (0, "mbc.order"): "pass", (1, "mbc.order"): "undecided"}


def test_the_laws_that_were_judged_again_are_named_with_their_commit(kept: Path) -> None:
    rows = list(seeds.source_rows(seeds.read_judgements(kept)))
    assert rows == [["before", "mbc.order", "2 of quick", "2"], ["after", "mbc.mask", "1 of quick", "1"]]


def test_verdicts_that_change_and_alarms_are_listed(kept: Path) -> None:
    frame = seeds.read_judgements(kept)
    assert list(seeds.changes(frame).index) == [("quick", "Mean", "mbc.order")]
    alarmed = frame.assign(status=frame["status"].replace("undecided", "error"))
    (row,) = seeds.summary_rows(alarmed, seeds.changes(alarmed))
    assert row == ["quick", "correct", "1", "2", "3", "1", "1"]
