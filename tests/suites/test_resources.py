"""The resources suite. Of durations only their presence is asserted, as speeds depend on the machine."""

import pytest

from mbcbench import system
from mbcbench.execution.suite import Request
from mbcbench.records.record import Record, Status
from mbcbench.suites.resources import measurement
from mbcbench.suites.resources import suite as resources
from tests.suites.helpers import load_suite, run_cells, sample_cells

NAME = "resources"
MEBIBYTE = 2**20


def measure(encoder: str, mode: str, n: int = 1000) -> dict[str | None, Record]:
    """Return the records of one cell by metric."""
    selected = [c for c in sample_cells(NAME, encoder, n=n, timing_seconds=0.001) if c.params["mode"] == mode]
    return {record.metric: record for record in run_cells(selected)}


def test_peak_memory_is_what_the_encoding_allocates() -> None:
    hungry = measure("Hungry", "one piece")["peak_memory"].value
    assert hungry == pytest.approx(40 * MEBIBYTE, rel=0.05)


def test_an_encoder_that_allocates_nothing_has_a_low_peak() -> None:
    frugal = measure("Frugal", "one piece")["peak_memory"].value
    assert frugal is not None
    assert 0 <= frugal < MEBIBYTE


def test_the_first_run_is_measured_where_the_mark_cannot_be_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    highest = iter([100, 350])
    monkeypatch.setattr(system, "reset_peak_resident", lambda: False)
    monkeypatch.setattr(system, "peak_resident_bytes", lambda: next(highest))
    assert measurement.peak_bytes(lambda: None) == (250, "ru_maxrss of the first run")


def test_the_state_of_a_sum_does_not_grow_with_the_set() -> None:
    sizes = [measure("SumEncoder", "streamed", n)["state_size"].value for n in (1000, 5000)]
    assert sizes == [64.0, 64.0]


def test_the_state_of_a_hoarder_grows_with_the_set() -> None:
    assert measure("Hoarder", "streamed", 5000)["state_size"].value == 5000 * 64 * 4


def test_a_plain_module_is_not_streamed_and_the_record_says_why() -> None:
    (record,) = measure("Range", "streamed").values()
    assert record.status is Status.SKIP
    assert "no state to stream" in record.message


def test_one_piece_gives_memory_parameters_and_throughput() -> None:
    records = measure("SumEncoder", "one piece")
    assert set(records) == {"peak_memory", "parameters", "throughput"}
    assert records["parameters"].value == 64 * 16 + 16
    throughput = records["throughput"]
    assert throughput.value is not None
    assert throughput.value > 0
    assert (throughput.unit, throughput.higher_is_better) == ("elements/s", True)
    assert throughput.value * throughput.detail["median_seconds"] == pytest.approx(1000)


def test_records_of_streams_hold_the_chunk_size() -> None:
    records = measure("SumEncoder", "streamed", 5000)
    assert set(records) == {"peak_memory", "state_size", "throughput"}
    assert all(record.detail["chunk_size"] == 1000 for record in records.values())
    assert all(record.higher_is_better is False for metric, record in records.items() if metric != "throughput")


def test_each_profile_measures_in_one_piece_and_streamed() -> None:
    for profile in load_suite(NAME).seconds:
        selected = load_suite(NAME).cells(Request(encoders=["a", "b"], profile=profile))
        assert {(cell.encoder, cell.params["mode"]) for cell in selected} == {
            (encoder, mode) for encoder in "ab" for mode in ("one piece", "streamed")
        }
        assert len({cell.key for cell in selected}) == len(selected)


def test_an_encoding_that_is_predicted_not_to_fit_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "available_bytes", lambda: 30 * MEBIBYTE)
    selected = [c for c in sample_cells(NAME, "Hungry", foresee=True) if c.params["mode"] == "one piece"]
    *predictions, skipped = run_cells(selected)
    assert {record.metric for record in predictions} == {"predicted_peak_memory", "flops"}
    assert skipped.status is Status.SKIP
    assert "out of memory (predicted)" in skipped.message


def test_an_encoding_that_would_take_too_long_is_not_run() -> None:
    selected = sample_cells(NAME, "SumEncoder", n=20_000, longest_seconds=0.0)
    assert [record.status for record in run_cells(selected)] == [Status.SKIP, Status.SKIP]
    assert all("estimated from a tenth of the set" in record.message for record in run_cells(selected))


def test_predicted_and_measured_memory_are_two_metrics() -> None:
    selected = [c for c in sample_cells(NAME, "Hungry", foresee=True) if c.params["mode"] == "one piece"]
    values = {record.metric: record.value for record in run_cells(selected)}
    assert values["predicted_peak_memory"] == pytest.approx(40 * MEBIBYTE, rel=0.001)
    assert values["peak_memory"] == pytest.approx(40 * MEBIBYTE, rel=0.05)


def test_quick_predicts_nothing_and_measures_one_size() -> None:
    selected = load_suite(NAME).cells(Request(encoders=["a"], profile="quick"))
    assert {(cell.case, cell.params["n"], cell.params["foresee"]) for cell in selected} == {("encode", 2000, False)}


def test_only_streams_go_to_ten_million() -> None:
    selected = load_suite(NAME).cells(Request(encoders=["a"], profile="thorough"))
    largest = {
        mode: max(c.params["n"] for c in selected if c.case == "encode" and c.params["mode"] == mode)
        for mode in ("one piece", "streamed")
    }
    assert largest == {"one piece": 10**6, "streamed": 10**7}
