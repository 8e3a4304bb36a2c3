"""The costs report, on records whose growth is known."""

import io
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from mbcbench import registry
from mbcbench.records.record import Record, Status, frame
from mbcbench.reports import growth

REPORT = registry.plugin(registry.REPORTS, "costs")
SIZES = [10**k for k in range(2, 7)]


def record(encoder: str, n: int, metric: str | None, value: float | None, **more: Any) -> Record:
    detail = {"n": n, "mode": "streamed", **more.pop("detail", {})}
    fields: dict[str, Any] = {"status": Status.OK, "params": {"n": n, "mode": "streamed"}, **more}
    return Record(
        suite="resources", case="encode", encoder=encoder, metric=metric, value=value, detail=detail, **fields
    )


def measured(encoder: str, time: float, memory: float, predicted: float) -> list[Record]:
    """Return costs that grow with the given exponents, and a time with a constant that matters only at small n."""
    rows = []
    for n in SIZES:
        seconds = 1e-9 * n**time + 1e-6 * (n < 1000)
        rows.append(record(encoder, n, "throughput", n / seconds, detail={"median_seconds": seconds}))
        rows.append(record(encoder, n, "peak_memory", 2e3 * n**memory))
        rows.append(record(encoder, n, "predicted_peak_memory", 1e3 * n**predicted))
    return rows


def table() -> pd.DataFrame:
    skipped = record("quadratic", 10**7, None, None, status=Status.SKIP, message="out of memory (predicted): <big>")
    timed = Record(
        suite="asv", case="steps.time_encode", encoder="flat", status=Status.OK, metric="time", value=0.25, unit="s",
        params={"param1": "flat", "param2": 100}, detail={"low": 0.2, "high": 0.3, "commit": "0123"},
    )  # fmt: skip
    return frame([*measured("flat", 1, 0, 0), *measured("quadratic", 2, 2, 2), skipped, timed])


def test_known_exponents_are_found() -> None:
    exponents = growth.growth_table(growth.cost_table(table())).set_index(["encoder", "cost"])["exponent"]
    expected = {("flat", "time"): 1, ("flat", "measured memory"): 0, ("quadratic", "time"): 2}
    expected |= {("quadratic", "measured memory"): 2, ("quadratic", "predicted memory"): 2}
    for key, exponent in expected.items():
        assert exponents[key] == pytest.approx(exponent, abs=1e-6)


def test_the_interval_holds_the_exponent_of_noisy_costs_and_widens_with_noise() -> None:
    def fitted(noise: float) -> Any:
        rows = [
            record("a", n, "peak_memory", n * factor) for n, factor in zip(SIZES[2:], (1, 1 + noise, 1), strict=True)
        ]
        return growth.growth_table(growth.cost_table(frame(rows))).iloc[0]

    calm, wild = fitted(0.01), fitted(0.5)
    assert calm["low"] < 1 < calm["high"]
    assert wild["high"] - wild["low"] > 10 * (calm["high"] - calm["low"])


def test_small_sizes_do_not_count() -> None:
    fitted = growth.growth_table(growth.cost_table(table()))
    assert set(fitted["smallest"]) == {1000.0}
    assert set(fitted["points"]) == {4}


def test_one_size_gives_no_exponent() -> None:
    fitted = growth.growth_table(growth.cost_table(frame([record("a", 2000, "peak_memory", 5.0)])))
    assert fitted["exponent"].isna().all()


def test_predicted_and_measured_memory_have_a_ratio() -> None:
    memory = growth.memory_table(growth.cost_table(table()))
    assert len(memory) == 2 * len(SIZES)
    assert memory["ratio"].tolist() == pytest.approx([2.0] * len(memory))


def test_terminal_and_page_show_the_exponents_and_what_was_not_measured() -> None:
    report = REPORT.load()
    printed = io.StringIO()
    Console(file=printed, width=200).print(report.terminal(table(), {}))
    page = report.html(table(), {})
    for text in (printed.getvalue(), page):
        assert "2.00 [2.00, 2.00] to 1e6" in text
        assert "out of memory (predicted)" in text
        assert "steps.time_encode" in text
        assert "0.2 to 0.3" in text
    assert "&lt;big&gt;" in page


def test_without_records_the_report_is_empty_and_does_not_break() -> None:
    report = REPORT.load()
    assert "<table>" in report.html(frame([]), {})
