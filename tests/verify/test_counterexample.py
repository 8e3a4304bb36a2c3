"""Counterexamples of earlier versions can still be read and replayed."""

import json
from pathlib import Path

import pytest

import mbcbench
from mbcbench.records.record import Record
from mbcbench.verify.counterexample import read_counterexamples
from tests.sound_encoders import Sum, TanhOfMean

OLD_COUNTEREXAMPLE = {
    "n": 2, "sizes": [1, 1], "lanes": [0, 3], "arrangement": "contiguous", "seed": 1, "variant": 0, "dim_in": 3,
    "dtype": "float64", "gap": 0.5, "bound": 1e-15, "worst_gap": 0.5, "note": "", "error": "",
}  # fmt: skip
OLD_RECORD = {
    "suite": "laws", "case": "mbc.partition", "encoder": "tests.sound_encoders:TanhOfMean", "status": "fail", "seed": 0,
    "detail": {"law": "mbc.partition", "card": "broken by all", "counterexample": OLD_COUNTEREXAMPLE},
}  # fmt: skip


def test_the_text_of_an_old_record_has_its_new_name() -> None:
    assert Record.from_dict(OLD_RECORD).detail["text"] == "broken by all"


def test_an_old_counterexample_is_replayed(tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    file.write_text(json.dumps(OLD_RECORD) + "\n")
    (recorded,) = read_counterexamples(f"{file}:1")
    with pytest.raises(AssertionError, match=r"mbc\.partition is broken by .*TanhOfMean"):
        mbcbench.replay_counterexample(
            TanhOfMean, recorded.law, recorded.example, dim_in=recorded.dim_in, seed=recorded.seed
        )


def test_a_counterexample_that_no_longer_breaks_the_law_replays_in_silence() -> None:
    mbcbench.replay_counterexample(Sum, "symmetry.permutation", OLD_COUNTEREXAMPLE, dim_in=3)
