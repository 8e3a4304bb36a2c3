"""Turn the files of a GPU run into records, and write the page on GPUs: `collect.py [FOLDER]`.

Without FOLDER the page says what is predicted, and that nothing was measured.
"""

import argparse
import json
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from gpu_stages import page, predictions, stage

from mbcbench import registry, system
from mbcbench.records import store
from mbcbench.records.record import Record

RECORD_FILES = ("fold", "resources", "largest", "encode")
PROFILE = "gpu"
TOOLS = Path(__file__).parents[1]
PAGE = TOOLS.parent / "docs" / "gpu.md"


@dataclass(frozen=True)
class GpuRun:
    """Results of one run of run.sh.

    machine: device, driver, versions and best rates; None if that stage is missing.
    stages: name, exit code and seconds of each.
    jobs: steps per second by the number of processes that train.
    """

    machine: dict[str, Any] | None = None
    stages: list[dict[str, Any]] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    tests: dict[str, int] | None = None
    jobs: dict[str, float] | None = None


def read_run(folder: Path) -> GpuRun:
    """Read the files of a run; those that are missing were not made."""
    path = folder / "run.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    records = [record for name in RECORD_FILES for record in stage.read(folder / f"{name}.jsonl")]
    return GpuRun(
        machine=next((line for line in lines if line["kind"] == "machine"), None),
        stages=[line for line in lines if line["kind"] == "stage"],
        records=records,
        tests=_tests(folder / "tests.xml"),
        jobs=_jobs(folder / "train.tar.gz"),
    )


def _tests(path: Path) -> dict[str, int] | None:
    """Return how many tests passed, failed and were skipped."""
    if not path.exists():
        return None
    suites = list(ElementTree.parse(path).iter("testsuite"))
    count = {key: sum(int(s.get(key, 0)) for s in suites) for key in ("tests", "failures", "errors", "skipped")}
    failed = count["failures"] + count["errors"]
    return {"passed": count["tests"] - failed - count["skipped"], "failed": failed, "skipped": count["skipped"]}


def _jobs(path: Path) -> dict[str, float] | None:
    if not path.exists():
        return None
    with tarfile.open(path) as archive:
        member = archive.extractfile("./jobs.json")
        assert member is not None
        rates: dict[str, float] = json.load(member)
        return rates


def keep(run: GpuRun, folder: Path, root: Path) -> Path:
    """Store the records as a run under `root`, with the training's own beside it. Return its folder."""
    machine = run.machine or {}
    encoders = sorted({record.encoder for record in run.records})
    new = store.Run.create(root, profile=PROFILE, seed=0, argv=["tools/gpu/run.sh"], encoders=encoders, suites=[])
    new.append(run.records)
    new.close()
    info = store.info(new.folder) | {key: machine[key] for key in ("created", "versions") if key in machine}
    info["hardware"] = {**machine.get("hardware", {}), "device": machine.get("device"), "driver": machine.get("driver")}
    system.write_atomically(new.folder / store.INFO, f"{json.dumps(info, indent=2)}\n".encode())
    if (folder / "train.tar.gz").exists():
        with tarfile.open(folder / "train.tar.gz") as archive:
            archive.extractall(root, [m for m in archive if m.name.startswith("./runs/")], filter="data")
    return new.folder


def fill_template(words: dict[str, str]) -> str:
    """Return the page."""
    sys.path.append(str(TOOLS))
    from template import filled  # in the folder above

    page: str = filled("gpu", words)
    return page


def main(arguments: Sequence[str] | None = None) -> None:
    """Store what there is, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="what run.sh left")
    parser.add_argument("--root", type=Path, default=Path(store.ROOT), help="folder of the runs")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to write")
    options = parser.parse_args(arguments)
    run = GpuRun() if options.folder is None else read_run(options.folder)
    is_dry = run.machine is not None and run.machine["dry"]
    if is_dry and options.page == PAGE:
        parser.error(f"{options.folder} is a dry run; give its page another place with --page")
    if options.folder is not None:
        print(f"records  {keep(run, options.folder, options.root) / store.RECORDS}")
    encoders = sorted({r.encoder for r in run.records if r.case == "encode"}) or list(
        registry.plugins(registry.ENCODERS)
    )
    predicted = predictions.predict_encodings(encoders)
    words = page.words(predicted, run.records, run.machine, run.stages, tests=run.tests, jobs=run.jobs)
    options.page.write_text(fill_template(words), encoding="utf-8")
    print(f"page     {options.page}")


if __name__ == "__main__":
    main()
