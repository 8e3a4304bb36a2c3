"""The resources suite. What is asserted of time is that there is a number: no machine's speed is a fact."""

import pytest

from mbcbench.cell import PROFILES, Request
from mbcbench.record import Record, Status

from .helpers import beside, cells, run, suite

NAME = "resources"
MEBIBYTE = 2**20


def measured(encoder: str, mode: str, n: int = 1000) -> dict[str | None, Record]:
    found = [c for c in cells(NAME, encoder, n=n, timing_seconds=0.001) if c.params["mode"] == mode]
    return {record.metric: record for record in run(found)}


def test_peak_memory_is_what_the_encoding_takes() -> None:
    hungry = measured("Hungry", "one piece")["peak_memory"].value
    assert hungry == pytest.approx(40 * MEBIBYTE, rel=0.05)


def test_an_encoder_that_takes_next_to_nothing_peaks_low() -> None:
    frugal = measured("Frugal", "one piece")["peak_memory"].value
    assert frugal is not None
    assert 0 <= frugal < MEBIBYTE


def test_where_the_mark_cannot_be_reset_the_first_run_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    resources = beside("resources")
    highest = iter([100, 350])
    monkeypatch.setattr(resources, "_reset_high_water_mark", lambda: False)
    monkeypatch.setattr(resources, "_highest_ever", lambda: next(highest))
    assert resources.peak_bytes(lambda: None) == (250, "ru_maxrss of the first run")


def test_the_state_of_a_sum_does_not_grow_with_the_set() -> None:
    sizes = [measured("SumEncoder", "streamed", n)["state_size"].value for n in (1000, 5000)]
    assert sizes == [64.0, 64.0]


def test_the_state_of_a_hoarder_grows_with_the_set() -> None:
    assert measured("Hoarder", "streamed", 5000)["state_size"].value == 5000 * 64 * 4


def test_a_plain_module_is_not_streamed_and_the_record_says_why() -> None:
    (record,) = measured("Range", "streamed").values()
    assert record.status is Status.SKIP
    assert "no state to stream" in record.message


def test_one_piece_gives_memory_parameters_and_throughput() -> None:
    records = measured("SumEncoder", "one piece")
    assert set(records) == {"peak_memory", "parameters", "throughput"}
    assert records["parameters"].value == 64 * 16 + 16
    throughput = records["throughput"]
    assert throughput.value is not None
    assert throughput.value > 0
    assert (throughput.unit, throughput.higher_is_better) == ("elements/s", True)
    assert throughput.value * throughput.detail["median_seconds"] == pytest.approx(1000)


def test_streaming_says_how_large_the_chunks_were() -> None:
    records = measured("SumEncoder", "streamed", 5000)
    assert set(records) == {"peak_memory", "state_size", "throughput"}
    assert all(record.detail["chunk_size"] == 1000 for record in records.values())
    assert all(record.higher_is_better is False for metric, record in records.items() if metric != "throughput")


def test_each_profile_measures_in_one_piece_and_streamed() -> None:
    for profile in PROFILES:
        found = suite(NAME).cells(Request(encoders=["a", "b"], profile=profile))
        assert {(cell.encoder, cell.params["mode"]) for cell in found} == {
            (encoder, mode) for encoder in "ab" for mode in ("one piece", "streamed")
        }
        assert len({cell.key for cell in found}) == len(found)
