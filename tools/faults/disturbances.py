"""Disturbances of runs and files: each is tried a number of times, and says of every try what was lost, or nothing."""

import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import numpy as np
import psutil
from plugins import modules
from workload import Ended, Rows, Workload, wait

from mbcbench.datasets import cache
from mbcbench.errors import UsageError
from mbcbench.records import store
from mbcbench.records.cache import RunCache
from mbcbench.records.cell import Cell
from mbcbench.records.record import BROKEN, Status
from mbcbench.streaming.sources import open_source

Loss = str  # what was lost in a try; empty if nothing was
Disturbance = Callable[[Workload, int], Iterator[tuple[str, Loss]]]  # tries -> what was done, and the loss
DISK_BYTES = 2**20
RNG = random.Random(0)


def undisturbed(load: Workload) -> Rows:
    """Return the rows of a run that nothing disturbs."""
    root = load.base / "undisturbed"
    if not root.exists():
        ended = load.run(root=root)
        assert ended.code == 0, ended.err
    return load.rows(root=root)


def compare(load: Workload, ended: Ended, root: Path | None = None) -> Loss:
    """Return what a run has lost against an undisturbed one."""
    if ended.code is None:
        return "the run hangs"
    if ended.has_traceback:
        return f"a traceback: {ended.err.splitlines()[-1]}"
    try:
        rows = load.rows(root=root)
    except UsageError as error:
        return f"the records: {error}"
    return "" if rows == undisturbed(load) else f"records differ: {rows}"


def kill_driver(load: Workload, tries: int) -> Iterator[tuple[str, Loss]]:
    """Kill the main process at a random time, then run the same command again."""
    duration = _duration(load)
    for _ in range(tries):
        load.reset()
        seconds = RNG.uniform(0.05, 1.0) * duration
        process = load.start(load.command())
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        wait(process)
        yield f"after {seconds:.1f} s", compare(load, load.run())


def _duration(load: Workload) -> float:
    """Return the seconds that a run takes."""
    began = time.monotonic()
    undisturbed(load)
    return time.monotonic() - began


def kill_worker(load: Workload, tries: int) -> Iterator[tuple[str, Loss]]:
    """Kill the fork server or a process forked from it at a random time, then run the same command again.

    The run must end by itself, and the laws whose processes were not killed must have their records at once.
    """
    duration, expected = _duration(load), undisturbed(load)
    while tries:
        load.reset()
        process = load.start(load.command())
        name = _kill_child(process, RNG.uniform(0.3, 1.0) * duration)
        ended = wait(process)
        if not name:  # the run had ended
            continue
        tries -= 1
        if ended.code is None or ended.has_traceback:
            yield name, compare(load, ended)
            continue
        lost = [row for row in load.rows() if row not in expected and row[2] not in BROKEN]
        yield name, f"records differ: {lost}" if lost else compare(load, load.run())


def _kill_child(process: "subprocess.Popen[str]", seconds: float) -> str:
    """Kill one of the processes below a run after some time; return what it was, or nothing if there is none."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    try:
        main = psutil.Process(process.pid)
        children = [child for child in main.children(recursive=True) if "forkserver" in " ".join(child.cmdline())]
        child = RNG.choice(children)
        name = "the fork server" if child.ppid() == process.pid else "a process forked from the fork server"
        child.kill()
    except (psutil.Error, IndexError):
        return ""
    return name


def full_disk(load: Workload, tries: int) -> Iterator[tuple[str, Loss]]:
    """Run on a small file system that is full after some kibibytes, make room, and run the same command again."""
    disk = load.base / "disk"
    disk.mkdir(exist_ok=True)
    for number in range(tries):
        free = (8, 0, 12, 4, 16, 1)[number % 6] * 1024
        if not _mount(disk, f"size={DISK_BYTES}"):
            yield from _short_files(load, tries)
            return
        try:
            (disk / "filler").write_bytes(bytes(max(0, shutil.disk_usage(disk).free - free)))
            ended = load.run(root=disk / "root")
            (disk / "filler").unlink()
            what = f"{free // 1024} KiB free, exit code {ended.code}"
            loss = "a traceback" if ended.has_traceback else ""
            yield what, loss or compare(load, load.run(root=disk / "root"), disk / "root")
        finally:
            _unmount(disk)


def _short_files(load: Workload, tries: int) -> Iterator[tuple[str, Loss]]:
    """Do the same with a limit of the size of files, where no file system can be mounted."""
    for number in range(tries):
        load.reset()
        limit = (0, 256, 1024, 2048)[number % 4]
        with mock.patch.object(os, "nice"):
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            try:
                process = load.start(load.command())
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        ended = wait(process)
        loss = "a traceback" if ended.has_traceback else ""
        yield f"files of {limit} bytes at most", loss or compare(load, load.run())


def read_only(load: Workload, tries: int) -> Iterator[tuple[str, Loss]]:
    """Run with a root on a file system that cannot be written."""
    disk = load.base / "disk"
    disk.mkdir(exist_ok=True)
    if not _mount(disk, "ro"):
        disk.chmod(0o555)
    try:
        for _ in range(tries):
            ended = load.run(root=disk / "root")
            is_one_line = ended.err.count("\n") == 1 and ended.err.startswith("mbcbench: cannot write to ")
            yield f"exit code {ended.code}", "" if ended.code == 3 and is_one_line else f"not one line: {ended.err}"
    finally:
        _unmount(disk)


def _mount(folder: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", str(folder)], capture_output=True, check=False)


def torn_line(load: Workload, tries: int) -> Iterator[tuple[str, Loss]]:
    """Cut the records off at every byte of the last line; read them, continue the file, and read them again."""
    cells = [Cell(suite="laws", case=f"law.{number}", encoder="e") for number in range(3)]
    run = store.Run.create(load.base / "torn", profile="quick", seed=0, argv=[])
    run.plan(cells, {})
    for cell in cells:
        run.append([cell.record(Status.PASS, value=1 / 3, message="µ \u2028"), cell.record(Status.OK, value=0.1)])
    run.close()
    path = run.folder / store.RECORDS
    content = path.read_bytes()
    start = content[:-1].rfind(b"\n") + 1
    for end in range(start, len(content) + 1):
        path.write_bytes(content[:end])
        earlier = RunCache(load.base / "torn")
        counts = [len(earlier.find(cell)) for cell in cells]
        complete = end == len(content)
        continued = store.Run(run.folder)
        continued.append([cells[2].record(Status.PASS), cells[2].record(Status.OK)])
        continued.close()
        rows = store.records(run.folder)
        is_sound = counts == [2, 2, 2 if complete else 0] and len(rows) == (8 if complete else 6)
        yield (
            f"after byte {end - start}",
            "" if is_sound and not earlier.unreadable else f"{counts}, {len(rows)} records",
        )


def two_runs(load: Workload, tries: int) -> Iterator[tuple[str, Loss]]:
    """Start two runs at the same time with the same root."""
    undisturbed(load)
    for _ in range(tries):
        load.reset()
        both = [load.start(load.command(seed=0)) for _ in range(2)]
        ends = [wait(process) for process in both]
        folders = store.runs(load.root)
        losses = [compare(load, ended) for ended in ends]
        lost = [len(store.records(folder)) for folder in folders]
        yield "both", next(filter(None, losses), "" if len(folders) == 2 and lost[0] == lost[1] else f"records: {lost}")


def clock_goes_backwards(load: Workload, tries: int) -> Iterator[tuple[str, Loss]]:
    """Make runs, each a day before the one before it: an id is free, and earlier cells are found."""
    root = load.base / "clock"
    cells = [Cell(suite="laws", case=f"law.{number}", encoder="e") for number in range(tries)]
    for number, cell in enumerate(cells):
        now = datetime(2026, 6, 1, tzinfo=UTC) - timedelta(days=number)
        with mock.patch.object(store, "datetime", mock.Mock(now=lambda _, now=now: now)):
            run = store.Run.create(root, profile="quick", seed=0, argv=[])
        run.plan([cell], {})
        run.append([cell.record(Status.PASS, value=number / 3)])
        run.close()
        earlier = RunCache(root)
        kept = sum(bool(earlier.find(each)) for each in cells)
        yield f"{number} days back", "" if kept == number + 1 else f"{kept} of {number + 1} cells are found"


def truncated_data(load: Workload, tries: int) -> Iterator[tuple[str, Loss]]:
    """Cut a file that is encoded at a random byte."""
    x = np.random.default_rng(0).standard_normal((200, 3)).astype(np.float32)
    np.save(load.base / "x.npy", x)
    np.savez(load.base / "x.npz", x)
    contents = {name: (load.base / name).read_bytes() for name in ("x.npy", "x.npz")}
    for number in range(tries):
        name = ("x.npy", "x.npz")[number % 2]
        size = RNG.randrange(len(contents[name]))
        (load.base / name).write_bytes(contents[name][:size])
        try:
            open_source(load.base / name).read(0, np.empty(x.shape, np.float32))
            loss = "it is taken for complete"
        except UsageError:
            loss = ""
        yield f"{name} after byte {size}", loss


def flipped_byte(load: Workload, tries: int) -> Iterator[tuple[str, Loss]]:
    """Change a random byte of prepared data; `mbcbench data verify` has to find it."""
    with mock.patch.dict(os.environ, MBCBENCH_DATA=str(load.base / "data")):
        cache.cached_arrays("some-1", lambda: {"x": np.arange(1000)})
        path = cache.array_folder("some-1") / "x.npy"
        content = path.read_bytes()
        for _ in range(tries):
            position = RNG.randrange(len(content))
            changed = bytes([content[position] ^ RNG.randrange(1, 256)])
            path.write_bytes(content[:position] + changed + content[position + 1 :])
            try:
                cache.verify_arrays("some")
                yield f"byte {position}", "it is not found"
            except UsageError:
                yield f"byte {position}", ""


def harmful_encoders(load: Workload, tries: int) -> Iterator[tuple[str, Loss]]:
    """Run a harmful encoder beside the sound one; each of its laws is a row, and the sound one has its records."""
    expected = undisturbed(load)
    for number, (name, source) in enumerate(modules().items()):
        for _ in range(tries):
            load.reset()
            target = load.add(f"harmful{number}", source)
            ended = load.run(target, load.sound)
            loss = compare(load, ended)
            if not loss and len(load.rows(target)) != len(expected):
                loss = f"the encoder has {len(load.rows(target))} rows"
            yield name, loss
