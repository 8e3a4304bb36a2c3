"""The tools for GPUs, without one: a dry run of everything, and what makes records and a page of it."""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import collect
import pytest
import wheels
from gpu_stages import fold, largest, page, predictions, resources, roofline, stage, train
from gpu_stages.predictions import Encoding
from gpu_stages.roofline import H100, fold_cost

from mbcbench.records import store
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status

TOOLS = Path(__file__).parents[2] / "tools" / "gpu"
FILES = {"run.log", "run.jsonl", "tests.xml", "train.tar.gz", *(f"{name}.jsonl" for name in collect.RECORD_FILES)}
PREDICTED = {
    "sse-random": {100_000: Encoding(5e5, 2e8), 1_000_000: Encoding(5e5, 2e9)},
    "set-transformer-sab": {100_000: Encoding(4e11, 5e12), 1_000_000: Encoding(4e13, 5e14)},
    "janossy": {100_000: Encoding(message="unknown"), 1_000_000: Encoding(message="unknown")},
}


def dry_run(out: Path) -> None:
    """Run all stages on the CPU."""
    environment = os.environ | {"PYTHON": sys.executable}
    command = ["bash", str(TOOLS / "run.sh"), "--dry", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{(out / 'run.log').read_text()[-3000:]}"


@pytest.mark.slow
def test_a_dry_run_of_all_stages_becomes_records_and_a_page(tmp_path: Path) -> None:
    """One test, as the run takes a quarter of a minute."""
    out, root, text = tmp_path / "out", tmp_path / "root", tmp_path / "gpu.md"
    dry_run(out)
    assert {path.name for path in out.iterdir()} == FILES
    assert len(FILES) <= 8
    lines = [json.loads(line) for line in (out / "run.jsonl").read_text().splitlines()]
    codes = {line["stage"]: line["code"] for line in lines if line["kind"] == "stage"}
    assert codes == dict.fromkeys(("machine", "kernels", "tests", "fold", "resources", "largest", "encode", "train"), 0)
    assert {name for name, *_ in page.STAGES} == {"install", *codes}
    for name in collect.RECORD_FILES:
        records = stage.read(out / f"{name}.jsonl")
        assert records
        assert {record.status for record in records} <= {Status.OK, Status.SKIP}, records
    with pytest.raises(SystemExit):
        collect.main([str(out), "--root", str(root)])  # it does not replace the page of the repository
    collect.main([str(out), "--root", str(root), "--page", str(text)])
    assert "A dry run on the CPU, which measures nothing" in text.read_text()
    assert "0 failed" in text.read_text()
    assert "{{" not in text.read_text()
    training, measured = store.runs(root)
    assert {"peak_memory", "throughput", "largest_set", "seconds"} <= set(store.load(measured)["metric"].dropna())
    assert {"device", "driver", "cores"} <= store.info(measured)["hardware"].keys()
    assert set(store.load(training)["status"]) == {"ok"}


def test_the_page_says_what_was_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(predictions, "predict_encodings", lambda encoders: PREDICTED)
    collect.main(["--page", str(tmp_path / "gpu.md")])
    text = (tmp_path / "gpu.md").read_text()
    assert "**Not run yet.**" in text
    assert text.count(page.NOT_RUN) > len(page.STAGES)
    assert "{{" not in text


def test_a_run_that_was_cut_off_is_collected(tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").write_text('{"kind": "stage", "stage": "fold", "code": 124, "seconds": 120}\n')
    run = collect.read_run(tmp_path)
    assert (run.machine, run.records, run.tests, run.jobs) == (None, [], None, None)
    _, rows = page.stage_table(run.stages)
    assert next(row[-1] for row in rows if row[0] == "fold") == "120 s, cut off"


def test_an_archive_cannot_write_outside_the_folder_of_runs(tmp_path: Path) -> None:
    (tmp_path / "evil").write_text("x")
    with tarfile.open(tmp_path / "train.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "evil", arcname="./runs/../../evil-runs")
    with pytest.raises(tarfile.FilterError):
        collect.keep(collect.GpuRun(), tmp_path, tmp_path / "root" / "inner")


def test_estimated_stages_take_at_most_eight_minutes() -> None:
    assert sum(seconds for *_, seconds in page.STAGES) <= 8 * 60


def cell(name: str) -> Cell:
    return Cell(suite="gpu", case="fold", encoder=name)


def test_a_failure_is_a_record_and_the_next_cell_is_run(tmp_path: Path) -> None:
    def run(cell: Cell) -> Iterable[Record]:
        if cell.encoder == "a":
            raise RuntimeError("boom")
        yield cell.record(Status.OK)

    stage.measure([cell("a"), cell("b")], run, tmp_path / "out.jsonl")
    records = stage.read(tmp_path / "out.jsonl")
    assert [(record.encoder, record.status) for record in records] == [("a", Status.ERROR), ("b", Status.OK)]
    stage.measure([cell("a"), cell("b")], run, tmp_path / "out.jsonl")
    assert stage.read(tmp_path / "out.jsonl") == records, "cells that have records are not run again"


def test_a_lost_device_starts_the_program_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []

    def restart(program: str, arguments: list[str]) -> None:
        started.append(arguments)
        raise SystemExit

    def run(cell: Cell) -> Iterable[Record]:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(os, "execv", restart)
    monkeypatch.setattr(sys, "argv", ["/somewhere/gpu_stages/fold.py", "out.jsonl"])
    with pytest.raises(SystemExit):
        stage.measure([cell("a"), cell("b")], run, tmp_path / "out.jsonl")
    assert started == [[sys.executable, "-m", "gpu_stages.fold", "out.jsonl"]]
    assert [record.encoder for record in stage.read(tmp_path / "out.jsonl")] == ["a"]


def test_the_largest_set_is_bisected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(largest, "_try_to_encode", lambda module, n, device: 0.01 if n <= 700_000 else None)
    (record,) = largest.run(Cell(suite="resources", case="largest", encoder="deepsets-mean", params={"last": 2**30}))
    assert (record.value, record.detail["fails_at"], record.detail["limit"]) == (655_360, 786_432, "memory")


def options(*, dry: bool) -> stage.Options:
    return stage.Options(out=Path("out"), work=Path("work"), dry=dry)


def test_cells_are_distinct_and_of_the_device() -> None:
    for planned in (fold.cells(options(dry=False)), resources.cells(options(dry=False))):
        assert len({cell.key for cell in planned}) == len(planned)
        assert {cell.device for cell in planned} == {"cuda"}
    shapes = {tuple(cell.params["shape"]) for cell in fold.cells(options(dry=False))}
    assert len(shapes) == 2 * len(fold.SHAPES)


def test_the_fewest_processes_that_nearly_reach_the_best_rate_are_chosen() -> None:
    assert train.best_level({1: 100.0, 2: 190.0, 4: 350.0, 8: 370.0, 16: 380.0}) == 4


def test_the_cost_of_the_weighted_sum_is_counted_by_passes_and_products() -> None:
    shape = (2, 1000, 64, 16, 32)
    assert fold_cost(shape, "forward", 4) == roofline.Cost(bytes=4 * 128_000, flops=4 * 128_000 * 16)
    assert fold_cost(shape, "elements", 2) == roofline.Cost(bytes=2 * 3 * 128_000, flops=14 * 128_000 * 16)
    assert fold_cost(shape, "forward", 4).seconds(H100, "ieee") == pytest.approx(4 * 128_000 / H100.memory)
    assert H100.flops("tf32x3") == pytest.approx(H100.tf32 / 3)


def test_the_largest_set_is_predicted_from_how_memory_grows() -> None:
    assert predictions.largest_set(PREDICTED["sse-random"]) == predictions.H100_MEMORY / 256
    quadratic = predictions.largest_set(PREDICTED["set-transformer-sab"])
    assert quadratic == pytest.approx(44_721, rel=0.01)
    assert predictions.largest_set(PREDICTED["janossy"]) is None


def test_measured_times_are_shown_beside_their_shares() -> None:
    ceilings = roofline.Ceilings(memory=3e12, link=5e10, ieee=5e13, tf32=4e14, bf16=8e14)
    shape = [1, 100_000, 64, 1, 64]

    def record(way: str, seconds: float) -> Record:
        params: dict[str, Any] = {
            "shape": shape, "way": way, "dtype": "float32", "precision": "highest", "step": "forward"
        }  # fmt: skip
        detail = {"bytes_per_second": 1.5e12, "flops_per_second": 5e12, "error": 2e-7}
        base = Cell(suite="gpu", case="fold", encoder="sse-random", params=params, device="cuda")
        return base.record(Status.OK, metric="seconds", value=seconds, detail=detail)

    records = [record("triton", 1e-5), record("blocks", 5e-5), record("direct", 2e-5)]
    row = next(
        line for line in page.fold_times(records, ceilings).splitlines() if line.startswith("| 1, 100 000, 64, 1")
    )
    assert [c.strip() for c in row.split("|")][3] == "10.0"
    assert [c.strip() for c in row.split("|")][7:11] == ["50%", "10%", "5.0", "2.0"]


def test_what_the_machine_provides_is_not_brought_along() -> None:
    names = wheels.missing()
    assert {"scipy", "typer", "pebble", "pytest"} <= set(names)
    assert not {"torch", "triton", "numpy", "hypothesis", "sympy", "sortedcontainers"} & set(names)
    assert "scipy" not in wheels.missing(["scipy"])


# A package that is hidden in the first check alone; what that one has imported is allowed in the second as well.
CHECKS = """
import sys
import wheels

names = wheels.missing()
try:
    wheels.check([name for name in names if name != "scipy"])
except ModuleNotFoundError as error:
    print(error)
del sys.meta_path[0]
sys.argv[1:] = ["check", "nowhere", "--without", *names]
wheels.main()
"""


@pytest.mark.slow
def test_the_package_imports_with_what_is_brought_along_and_no_more() -> None:
    environment = os.environ | {"PYTHONPATH": str(TOOLS)}
    command = [sys.executable, "-c", CHECKS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    assert "'scipy' on the machine" in done.stdout
