"""The tables of docs/gpu.md: predictions, and beside them what was measured."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mbcbench.records.record import Record, Status
from mbcbench.reports import text_tables

from . import fold, predictions
from .encode import ENCODERS
from .predictions import Encodings
from .roofline import H100, Ceilings, fold_cost

NOT_RUN = "not run yet"
# Stage, what it does, estimated seconds on an H100 with sixteen cores.
STAGES = (
    ("install", "unpack the wheels", 15),
    ("machine", "device, driver, versions; rates of memory, link and products", 15),
    ("kernels", "tests of the Triton kernels", 35),
    ("tests", "other tests marked `cuda`: exactness of every encoder, laws, autocast, encoding from a file", 45),
    ("fold", "weighted sum: Triton, blocks and direct formula; seven shapes, and ten times longer ones", 75),
    ("resources", "peak memory and throughput of all encoders, in one piece and streamed", 70),
    ("largest", "largest set of every encoder", 50),
    ("encode", "`encode --device cuda` from a file", 30),
    ("train", "processes that pay; cells of an experiment", 85),
)
SHOWN = (("float32", "highest"), ("float32", "high"), ("float32", "medium"), ("bfloat16", "high"))
Table = tuple[Sequence[str], Sequence[Sequence[str]]]


def words(
    predicted: Encodings,
    records: Sequence[Record],
    machine: Mapping[str, Any] | None,
    stages: Sequence[Mapping[str, Any]],
    *,
    tests: Mapping[str, int] | None,
    jobs: Mapping[str, float] | None,
) -> dict[str, str]:
    """Return what the template's places are filled with."""
    ceilings = None if machine is None else Ceilings(**machine["ceilings"])
    return {
        "MACHINE": describe_machine(machine),
        "STAGES": markdown(stage_table(stages), texts=2),
        "MINUTES": f"{sum(seconds for *_, seconds in STAGES) / 60:.1f}",
        "TESTS": describe_tests(tests),
        "CEILINGS": markdown(ceiling_table(ceilings)),
        "BOUNDS": markdown(bound_table(), texts=2),
        "FOLD": fold_times(records, ceilings),
        "ENCODINGS": markdown(encoding_table(predicted, records)),
        "LARGEST": markdown(largest_table(predicted, records)),
        "ENCODE": markdown(encode_table(records, ceilings)),
        "JOBS": describe_jobs(jobs),
    }


def markdown(table: Table, texts: int = 1) -> str:
    """Return a table; all columns but the first `texts` are aligned to the right."""
    headings, rows = table
    text: str = text_tables.markdown(headings, rows, "l" * texts + "r" * (len(headings) - texts))
    return text.rstrip()


def describe_machine(machine: Mapping[str, Any] | None) -> str:
    """Return when and where the numbers of the page were measured."""
    if machine is None:
        return (
            "**Not run yet.** No GPU was at hand: every measurement below is missing, and every number is a prediction."
        )
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    kind = "A dry run on the CPU, which measures nothing: " if machine["dry"] else "Measured on "
    driver = f", driver {machine['driver']}" if machine["driver"] else ""
    return f"{kind}{machine['device']}{driver}, {machine['hardware']['cores']} cores, {machine['created']}; {versions}."


def stage_table(stages: Sequence[Mapping[str, Any]]) -> Table:
    took = {stage["stage"]: f"{stage['seconds']} s" + _failure(stage["code"]) for stage in stages}
    rows = [[name, what, f"{seconds} s", took.get(name, NOT_RUN)] for name, what, seconds in STAGES]
    return ["stage", "what it does", "estimated", "took"], rows


def _failure(code: int) -> str:
    if code == 0:
        return ""
    return ", cut off" if code in (124, 125, 137) else f", exit code {code}"


def describe_tests(tests: Mapping[str, int] | None) -> str:
    if tests is None:
        return f"Tests on a device: {NOT_RUN}."
    return f"Tests on the device: {tests['passed']} passed, {tests['failed']} failed, {tests['skipped']} skipped."


def ceiling_table(ceilings: Ceilings | None) -> Table:
    rows = (
        ("memory, TB/s read or written", "memory", 1e12),
        ("link, GB/s from pinned memory", "link", 1e9),
        ("float32 products, TFLOP/s", "ieee", 1e12),
        ("TF32 products, TFLOP/s", "tf32", 1e12),
        ("bfloat16 products, TFLOP/s", "bf16", 1e12),
    )
    measured = {key: NOT_RUN if ceilings is None else f"{getattr(ceilings, key) / unit:.3g}" for _, key, unit in rows}
    return ["rate", "H100, data sheet", "measured"], [
        [what, f"{getattr(H100, key) / unit:.3g}", measured[key]] for what, key, unit in rows
    ]


def bound_table() -> Table:
    """Per shape and step: bytes, operations and the shortest times on an H100."""
    headings = [
        "B, n, d, K, d_hat", "step", "GB", "GFLOP", "FLOP/B", "at least, µs: ieee", "tf32x3", "tf32", "bf16 elements"
    ]  # fmt: skip
    return headings, [_bound_row(shape, step) for shape, step in _fold_steps()]


def _bound_row(shape: tuple[int, ...], step: str) -> list[str]:
    cost = fold_cost(shape, step, 4)
    bounds = [predictions.fold_seconds(shape, step, *arithmetic) for arithmetic in SHOWN]
    amounts = (cost.bytes / 1e9, cost.flops / 1e9, cost.flops / cost.bytes)
    return [_shape(shape), step, *(f"{a:.3g}" for a in amounts), *(f"{1e6 * bound:.1f}" for bound in bounds)]


def fold_times(records: Sequence[Record], ceilings: Ceilings | None) -> str:
    """Return the table of the times of all ways, if any was measured."""
    headings = [
        "B, n, d, K, d_hat", "step", "Triton, µs: ieee", "tf32x3", "tf32", "bf16 elements", "of memory", "of peak",
        "blocks / Triton", "direct / Triton", "error: ieee", "tf32x3", "tf32", "bf16 elements",
    ]  # fmt: skip
    times = {_fold_key(r): r for r in records if r.case == "fold" and r.status is Status.OK}
    if not times or ceilings is None:
        return "Times of the kernel, of blocks and of the direct formula: not run yet."
    return markdown((headings, [_time_row(shape, step, times, ceilings) for shape, step in _fold_steps()]), texts=2)


def _fold_steps() -> list[tuple[tuple[int, ...], str]]:
    shapes = [(B, n * factor, *rest) for factor in (1, fold.LONGER) for B, n, *rest in fold.SHAPES]
    return [(shape, step) for shape in shapes for step in fold.STEPS]


def _shape(shape: Sequence[int]) -> str:
    return ", ".join(f"{number:,}".replace(",", " ") for number in shape)


def _fold_key(record: Record) -> tuple[Any, ...]:
    p = record.params
    return tuple(p["shape"]), p["step"], p["way"], p["dtype"], p["precision"]


def _time_row(
    shape: tuple[int, ...], step: str, times: Mapping[tuple[Any, ...], Record], ceilings: Ceilings
) -> list[str]:
    triton = [times.get((shape, step, "triton", *arithmetic)) for arithmetic in SHOWN]
    exact = triton[0]
    others = [times.get((shape, step, way, *SHOWN[0])) for way in ("blocks", "direct")]
    return [
        _shape(shape), step, *(_microseconds(record) for record in triton), *_shares(exact, ceilings),
        *(_ratio(other, exact) for other in others), *(_error(record) for record in triton),
    ]  # fmt: skip


def _microseconds(record: Record | None) -> str:
    return "" if record is None or record.value is None else f"{1e6 * record.value:.1f}"


def _shares(record: Record | None, ceilings: Ceilings) -> tuple[str, str]:
    if record is None:
        return "", ""
    rates = record.detail
    return f"{rates['bytes_per_second'] / ceilings.memory:.0%}", f"{rates['flops_per_second'] / ceilings.ieee:.0%}"


def _ratio(other: Record | None, record: Record | None) -> str:
    if other is None or record is None or not other.value or not record.value:
        return ""
    return f"{other.value / record.value:.1f}"


def _error(record: Record | None) -> str:
    error = None if record is None else record.detail.get("error")
    return "" if error is None else f"{error:.1e}"


def _milliseconds(seconds: float | None) -> str:
    return NOT_RUN if seconds is None else f"{1000 * seconds:.3g}"


def encoding_table(predicted: Encodings, records: Sequence[Record]) -> Table:
    """Per encoder: memory and time of a million elements in one piece, and of a stream."""
    headings = [
        "encoder", "memory, MiB: predicted", "allocated", "reserved", "GFLOP", "at least, ms", "measured, ms",
        "time grows with n to the", "streamed, million elements/s",
    ]  # fmt: skip
    values = {_encoding_key(r): r.value for r in records if r.suite == "resources" and r.status is Status.OK}
    return headings, [_encoding_row(encoder, predicted[encoder], values) for encoder in predicted]


def _encoding_key(record: Record) -> tuple[Any, ...]:
    return record.encoder, record.metric, record.params.get("mode"), record.params.get("n")


def _encoding_row(
    encoder: str, by_size: Mapping[int, predictions.Encoding], values: Mapping[tuple[Any, ...], float | None]
) -> list[str]:
    small, large = predictions.SIZES
    prediction = by_size[large]
    memory = [values.get((encoder, metric, "one piece", large)) for metric in ("peak_memory", "peak_reserved")]
    seconds = [_seconds(values, encoder, n) for n in (small, large)]
    streamed = values.get((encoder, "throughput", "streamed", small))
    return [
        encoder, _mebibytes(prediction.peak_bytes) or "unknown", *(_mebibytes(value) or NOT_RUN for value in memory),
        "" if prediction.flops is None else f"{prediction.flops / 1e9:.3g}",
        _bound(prediction.seconds(large)), _milliseconds(seconds[1]), _growth(seconds, large / small),
        NOT_RUN if streamed is None else f"{streamed / 1e6:.3g}",
    ]  # fmt: skip


def _seconds(values: Mapping[tuple[Any, ...], float | None], encoder: str, n: int) -> float | None:
    rate = values.get((encoder, "throughput", "one piece", n))
    return n / rate if rate else None


def _growth(seconds: Sequence[float | None], factor: float) -> str:
    a, b = seconds
    return NOT_RUN if a is None or b is None else f"{math.log(b / a) / math.log(factor):.2f}"


def _bound(seconds: float | None) -> str:
    return "" if seconds is None else f"{1000 * seconds:.3g}"


def _mebibytes(value: float | None) -> str:
    return "" if value is None else f"{value / 2**20:,.1f}"


def largest_table(predicted: Encodings, records: Sequence[Record]) -> Table:
    headings = ["encoder", "predicted, million elements", "measured", "what ends it"]
    found = {r.encoder: r for r in records if r.case == "largest" and r.status is Status.OK}
    return headings, [_largest_row(encoder, by_size, found.get(encoder)) for encoder, by_size in predicted.items()]


def _largest_row(encoder: str, by_size: Mapping[int, predictions.Encoding], record: Record | None) -> list[str]:
    size = predictions.largest_set(by_size)
    prediction = "unknown" if size is None else f"{size / 1e6:.3g}"
    if record is None or record.value is None:
        return [encoder, prediction, NOT_RUN, ""]
    return [encoder, prediction, f"{record.value / 1e6:.3g}", str(record.detail["limit"])]


def encode_table(records: Sequence[Record], ceilings: Ceilings | None) -> Table:
    """Rates of reading and copying alone, of each encoder, and of one on the CPU."""
    headings = ["what", "at most, million elements/s", "measured", "GB/s", "of the link"]
    limit = f"{H100.link / (predictions.DIM * 4) / 1e6:.3g}"
    found = {(r.case, r.encoder): r for r in records if r.suite == "gpu" and r.metric == "throughput"}
    names = [("copy-file", "", "reading and copying", limit)]
    names += [("encode-file", encoder, encoder, limit) for encoder in ENCODERS]
    names += [("encode-file-cpu", ENCODERS[0], f"{ENCODERS[0]} on the CPU", "")]
    rows = [[what, most, *_encode_cells(found.get((case, name)), ceilings)] for case, name, what, most in names]
    return headings, rows


def _encode_cells(record: Record | None, ceilings: Ceilings | None) -> list[str]:
    if record is None or record.value is None or ceilings is None:
        return [NOT_RUN] * 3
    rate = record.detail["bytes_per_second"]
    return [f"{record.value / 1e6:.3g}", f"{rate / 1e9:.3g}", f"{rate / ceilings.link:.0%}"]


def describe_jobs(jobs: Mapping[str, float] | None) -> str:
    if jobs is None:
        return f"Processes that train at a time: {NOT_RUN}."
    rates = ", ".join(f"{level} processes {rate:.0f}" for level, rate in jobs.items())
    return f"Steps per second of all processes together, by their number: {rates}."
