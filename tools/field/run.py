"""Check the modules of other packages: `make field`, or `python tools/field/run.py [--only GLOB]`.

Installs the packages, with the versions of requirements.txt, in a folder of its own, without their dependencies: torch
stays the one that is installed. Each module is checked in a process of its own. Results are kept in
docs/field/records.jsonl; a module is checked again if its adapter, the package, torch or the code of mbcbench has
changed. A package that is missing is skipped.
"""

import argparse
import ast
import fnmatch
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, TypeGuard

from entries import ADAPTERS, ROOT, Entry, read_entries

from mbcbench.execution import digest

HERE = Path(__file__).parent
PACKAGES = ROOT / ".field"
REQUIREMENTS = HERE / "requirements.txt"
RECORDS = ROOT / "docs" / "field" / "records.jsonl"
SECONDS = 600  # limit of one module
MINUTES = 60  # limit of one run


def main() -> int:
    """Check what is missing; return 0 if every module has a current record or its package is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="*", help="a glob on FILE:NAME of the adapter")
    parser.add_argument("--packages", type=Path, default=PACKAGES, help="folder with the packages")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="begin no module after this time")
    parser.add_argument("--jobs", type=int, default=1, help="modules to check at the same time")
    parser.add_argument("--again", action="store_true", help="check modules that have a current record too")
    arguments = parser.parse_args()
    if arguments.packages == PACKAGES:
        install()
    sys.path.append(str(arguments.packages))  # for versions; the packages are imported in other processes only
    records = read_records()
    entries = [entry for entry in read_entries() if fnmatch.fnmatch(entry.target, f"*{arguments.only}")]
    installed = {package for package in {entry.package for entry in entries} if _version(package)}
    for package in sorted({entry.package for entry in entries} - installed):
        print(f"skipped: {package} is not installed; `make field` installs it")
    due = [entry for entry in entries if entry.package in installed]
    if not arguments.again:
        due = [entry for entry in due if records.get(entry.target, {}).get("stamp") != _stamp(entry)]
    deadline = time.monotonic() + 60 * arguments.minutes
    for _, group in groupby(due, lambda entry: entry.adapters):
        for entry, results in check(list(group), arguments.packages, arguments.jobs, deadline):
            records[entry.target] = {"target": entry.target, "stamp": _stamp(entry), **results}
            write_records(records)
            print(f"{entry.target}: {_describe(records[entry.target])}", flush=True)
    if time.monotonic() > deadline:
        print(f"stopped after {arguments.minutes:g} minutes; the next run goes on from here")
        return 1
    return 0


def install() -> None:
    """Install the packages if the requirements have changed."""
    stamp, requirements = PACKAGES / "requirements.txt", REQUIREMENTS.read_text(encoding="utf-8")
    if stamp.exists() and stamp.read_text(encoding="utf-8") == requirements:
        return
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade", "--no-deps"]
    subprocess.run([*pip, "--only-binary", ":all:", "--target", str(PACKAGES), "-r", str(REQUIREMENTS)], check=True)
    if importlib.metadata.version("torch").endswith("+cpu"):
        # The compiled part of torchaudio needs CUDA; without the file torchaudio is imported as pure Python.
        (PACKAGES / "torchaudio" / "lib" / "_torchaudio.so").unlink(missing_ok=True)
    stamp.write_text(requirements, encoding="utf-8")


def check(entries: list[Entry], packages: Path, jobs: int, deadline: float) -> Iterator[tuple[Entry, dict[str, Any]]]:
    """Check modules of one file of adapters; yield the results of each, or why there are none."""
    modules = json.dumps([[entry.target, entry.width, entry.skipped] for entry in entries])
    command = [sys.executable, str(HERE / "check_modules.py"), str(jobs), str(SECONDS), modules]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(packages)}
    remaining = {entry.target: entry for entry in entries}
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith('{"target"'):
                results: dict[str, Any] = json.loads(line)
                yield remaining.pop(results.pop("target")), results
            if time.monotonic() > deadline:
                process.terminate()
                return
        if process.wait():
            errors.seek(0)
            message = (errors.read().strip().splitlines() or ["no message"])[-1]
            yield from ((entry, {"error": message}) for entry in remaining.values())


def read_records() -> dict[str, dict[str, Any]]:
    """Return the records by target."""
    if not RECORDS.exists():
        return {}
    lines = RECORDS.read_text(encoding="utf-8").splitlines()
    return {record["target"]: record for record in map(json.loads, lines)}


def write_records(records: dict[str, dict[str, Any]]) -> None:
    """Write one record per line."""
    RECORDS.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(records[target]) + "\n" for target in sorted(records)]
    RECORDS.write_text("".join(lines), encoding="utf-8")


def _version(package: str) -> str:
    """Return the installed version of a package, or an empty string."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _stamp(entry: Entry) -> dict[str, str]:
    """Return what a record depends on."""
    return {
        "version": _version(entry.package),
        "torch": _version("torch"),
        "mbcbench": _version("mbcbench"),
        "sources": digest.installed(),
        "adapter": _digest(entry),
    }


def _digest(entry: Entry) -> str:
    """Return a digest of the code of an adapter: its file without the other factories."""
    tree = ast.parse((ROOT / ADAPTERS / entry.adapters).read_text(encoding="utf-8"))
    parts = [ast.dump(node) for node in tree.body if not is_factory(node) or node.name == entry.adapter]
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:12]


def is_factory(node: ast.stmt) -> TypeGuard[ast.FunctionDef]:
    """Return True for a function of the element width, `dim_in`."""
    return isinstance(node, ast.FunctionDef) and [argument.arg for argument in node.args.args] == ["dim_in"]


def _describe(record: dict[str, Any]) -> str:
    if "error" in record:
        return str(record["error"])
    failing = [law for law, result in record["laws"].items() if result["status"] in ("fail", "error", "undecided")]
    return f"{record['seconds']:.0f} s, {', '.join(failing) or 'nothing fails'}"


if __name__ == "__main__":
    sys.exit(main())
