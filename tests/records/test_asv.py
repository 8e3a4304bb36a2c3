"""Results files of ASV become records."""

import json
from pathlib import Path
from typing import Any

import pytest

from mbcbench.errors import UsageError
from mbcbench.records import asv
from mbcbench.records.record import Status

# As ASV 0.6 writes it, cut to three benchmarks.
RESULTS: dict[str, Any] = {
    "commit_hash": "0123456789abcdef0123456789abcdef01234567",
    "env_name": "existing-python",
    "date": 1790000000000,
    "params": {"arch": "x86_64", "cpu": "A CPU", "machine": "secret", "num_cpu": "2", "os": "Linux", "ram": "1000"},
    "python": "3.11",
    "requirements": {},
    "env_vars": {},
    "result_columns": [
        "result", "params", "version", "started_at", "duration", "stats_ci_99_a", "stats_ci_99_b", "stats_q_25",
        "stats_q_75", "stats_number", "stats_repeat", "samples", "profile",
    ],
    "results": {
        "steps.Encode.time_encode": [
            [1e-3, None, 3e-3, 4e-3], [["'a'", "'b'"], ["100", "1000"]], "v", 1, 2.0, [9e-4, None, 2e-3, 3e-3],
            [2e-3, None, 4e-3, 5e-3],
        ],
        "tool.Start.time_help": [[0.1], [], "v", 1, 2.0, [0.09], [0.11]],
        "tool.Start.time_list": [None, [], "v", 1, 2.0],
    },
    "durations": {},
    "version": 2,
}  # fmt: skip


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results" / "machine"
    folder.mkdir(parents=True)
    (folder / "machine.json").write_text("{}")
    (folder.parent / "benchmarks.json").write_text("{}")
    (folder / "01234567-existing.json").write_text(json.dumps(RESULTS))
    return folder.parent


def test_each_benchmark_and_parameter_is_a_record(results: Path) -> None:
    records = asv.read(results)
    points = [(r.case, r.encoder, r.params.get("param2"), r.value) for r in records]
    assert points == [
        ("steps.Encode.time_encode", "a", 100, 1e-3),
        ("steps.Encode.time_encode", "a", 1000, None),
        ("steps.Encode.time_encode", "b", 100, 3e-3),
        ("steps.Encode.time_encode", "b", 1000, 4e-3),
        ("tool.Start.time_help", "", None, 0.1),
        ("tool.Start.time_list", "", None, None),
    ]
    assert {(r.suite, r.metric, r.unit, r.higher_is_better) for r in records} == {("asv", "time", "s", False)}


def test_a_benchmark_without_a_result_is_an_error_and_says_so(results: Path) -> None:
    broken = [record for record in asv.read(results) if record.value is None]
    assert {record.status for record in broken} == {Status.ERROR}
    assert all("ASV has no result" in record.message for record in broken)


def test_interval_commit_and_hardware_come_along_and_the_host_name_does_not(results: Path) -> None:
    first = asv.read(results)[0]
    assert (first.detail["low"], first.detail["high"]) == (9e-4, 2e-3)
    assert first.detail["commit"] == RESULTS["commit_hash"]
    assert first.detail["hardware"]["cpu"] == "A CPU"
    assert "secret" not in first.to_json()


@pytest.mark.parametrize(
    ("text", "said"),
    [("{}", "not a results file of ASV"), ('{"version": 3}', "version 3"), ("no", "not a results file of ASV")],
)
def test_another_format_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)
    with pytest.raises(UsageError, match=said):
        asv.read(file)


def test_a_folder_without_results_says_how_to_make_some(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="make bench"):
        asv.read(tmp_path)
