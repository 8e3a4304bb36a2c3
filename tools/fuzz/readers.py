"""Readers of files, each with a small valid file that it reads."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from mbcbench import registry
from mbcbench.api.provenance import with_origin
from mbcbench.api.report import explain_reports, merge_runs
from mbcbench.datasets import cache, images, off
from mbcbench.datasets.idx import read_idx
from mbcbench.errors import BrokenPluginError, UsageError, require
from mbcbench.protocol.build import build
from mbcbench.protocol.weights import load_weights
from mbcbench.records import asv, store
from mbcbench.records.cache import RunCache
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status
from mbcbench.records.reference import load as load_reference
from mbcbench.records.reference import save as save_reference
from mbcbench.reporting import Report
from mbcbench.streaming import checkpoint
from mbcbench.streaming.checkpoint import Position
from mbcbench.streaming.sources import open_source
from mbcbench.verify.counterexample import read_counterexamples
from mbcbench.verify.settings import load_settings
from mbcbench.verify.xfails import load_xfails

X = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
ORIGIN = {"shape": [40, 3], "chunk": 10}
ROWS = 64  # that are read of a file, from its beginning and before its end
CELL = Cell(suite="laws", case="mbc.partition", encoder="sse-random", params={"examples": 7}, identity={"a": "b"})
EXAMPLE = {"sizes": [1, 2], "kinds": [0], "arrangement": "contiguous", "seed": 0, "variant": 0, "dim_in": 3}
LAW_DETAIL = {
    "law": "mbc.partition", "statement": "s", "bound": 1e-9, "examples": 3, "worst_gap": 0.5, "counterexample": EXAMPLE,
    "text": "t", "reproduce": "r",
}  # fmt: skip
TEST_DETAIL = {"mode": "one piece", "test_size": 100, "train_size": 100, "data": "shapes", "steps": 10}
OFF = b"OFF\n4 2 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 1 2\n4 0 1 2 3\n"


@dataclass(frozen=True)
class Reader:
    """A reader, and what writes the valid file or folder.

    write: folder -> path of what is read. read: that path -> nothing; it may raise what `refusals` lists.
    """

    name: str
    write: Callable[[Path], Path]
    read: Callable[[Path], object]
    refusals: tuple[type[BaseException], ...] = (UsageError,)
    weight: float = 1.0


def file_writer(name: str, content: bytes | str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def array_writer(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / name
        if name.endswith(".npy"):
            np.save(path, X)
        elif name == "z.npz":
            np.savez_compressed(path, x=X)
        elif name.endswith(".npz"):
            np.savez(path, x=X)
        elif name.endswith(".csv"):
            np.savetxt(path, X, delimiter=",", header="a,b,c", comments="")
        else:
            torch.save({"x": torch.from_numpy(X), "n": 3}, path, _use_new_zipfile_serialization=name != "old.pt")
        return path

    return write


def write_table(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        pa = require("pyarrow", "tables are read with pyarrow")
        columns = (
            {"x": pa.array(X.tolist(), pa.list_(pa.float32()))}
            if "lists" in name
            else dict(zip("abc", X.T, strict=True))
        )
        table = pa.table(columns)
        path = folder / name
        if name.endswith(".parquet"):
            require("pyarrow.parquet", "").write_table(table, path, row_group_size=16)
        else:
            require("pyarrow.feather", "").write_feather(table, path, compression="uncompressed", chunksize=16)
        return path

    return write


def write_hdf5(folder: Path) -> Path:
    h5py = require("h5py", "HDF5 is read with h5py")
    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("g/x", data=X, chunks=(8, 3), compression="gzip")
    return folder / "x.h5"


def write_zarr(version: int) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        zarr = require("zarr", "Zarr is read with zarr")
        array = zarr.create_array(
            str(folder / "x.zarr"), shape=X.shape, chunks=(16, 3), dtype=X.dtype, zarr_format=version
        )
        array[:] = X
        return folder / "x.zarr"

    return write


def read_set(path: Path) -> None:
    """Read the first and the last elements of a set, which may claim any length."""
    source = open_source(path)
    count = min(ROWS, source.length)
    for start in {0, source.length - count}:
        source.read(start, np.empty((count, source.width), np.float32))


def write_run(folder: Path) -> Path:
    run = store.Run.create(folder, profile="quick", seed=0, argv=["mbcbench"], encoders=["sse-random"], suites=["laws"])
    other = replace(CELL, suite="point-clouds", case="mnist-points", params={"lr": 0.1})
    shown = {
        "title": "t",
        "where": {},
        "columns_by": "detail.test_size",
        "only_train_size": False,
        "cells": [other.key],
    }
    run.plan([CELL, other], {"fig1": shown})
    run.append([CELL.record(Status.FAIL, metric="gap", value=0.5, message="m", detail=LAW_DETAIL)])
    tested = other.record(Status.OK, metric="accuracy", higher_is_better=True, detail=TEST_DETAIL)
    run.append([replace(tested, value=value) for value in (0.5, 1)])
    run.append([Record(suite="probe", case="build", encoder="sse-random", status=Status.OK, detail={"summary": "s"})])
    run.close()
    return run.folder


def read_run(folder: Path) -> None:
    """Do what `show`, `report` and a further run do with the files of a run, without drawing."""
    store.load(folder)
    RunCache(folder.parents[1])
    with_origin(store.info(folder), [folder], store.load(folder))


def report_run(folder: Path) -> None:
    """Draw the pages of a run, as `show` does."""
    with explain_reports("a report"):
        info, rows = merge_runs([folder])
        for name in ("leaderboard", "experiments"):
            report: Report = registry.plugin(registry.REPORTS, name).load()
            report.terminal(rows, info)
            report.html(rows, info)


def write_checkpoint(folder: Path) -> Path:
    checkpoint.save(folder / "x.state", Position(10, {"sum": torch.ones(1, 2), "n": 3, "last": [None, "a"]}), ORIGIN)
    return folder / "x.state"


def read_checkpoint(path: Path) -> None:
    checkpoint.load(path, Position(0, {"sum": torch.ones(1, 2), "n": 0, "last": [None, ""]}), ORIGIN)


def weights_writer(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        state = dict(build("deepsets-mean", dim_in=3).state_dict())
        if name.endswith(".safetensors"):
            safetensors.torch.save_file(state, folder / name)
        else:
            torch.save({"model": state, "epoch": 3}, folder / name)
        return folder / name

    return write


def read_weights(path: Path) -> None:
    load_weights(build("deepsets-mean", dim_in=3), path, "deepsets-mean")


def write_prepared(folder: Path) -> Path:
    cache._save(folder / "arrays", {"x": X, "labels": np.arange(4)})
    return folder / "arrays"


def read_prepared(folder: Path) -> None:
    cache._load(folder)
    cache._verify(folder)


def write_image(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        from PIL import Image

        Image.fromarray(np.arange(768, dtype=np.uint32).astype(np.uint8).reshape(16, 16, 3)).save(folder / name)
        return folder / name

    return write


def write_idx(folder: Path) -> Path:
    (folder / "x").write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 4]) + bytes(32))
    return folder / "x"


def write_reference(folder: Path) -> Path:
    save_reference(folder / "r", {"commit": "c", "hardware": {"cpu": "x"}}, [CELL], [CELL.record(Status.OK, value=1.0)])
    return folder / "r"


ASV = {
    "commit_hash": "0" * 40, "python": "3.11", "version": 2,
    "params": {"cpu": "A", "num_cpu": "2", "ram": "1", "os": "L"},
    "result_columns": ["result", "params", "stats_ci_99_a", "stats_ci_99_b"],
    "results": {"a.time_b": [[1e-3, None], [["'a'", "'b'"]], [9e-4, None], [2e-3, None]]},
}  # fmt: skip
COUNTEREXAMPLE = {"law": "mbc.partition", "encoder": "sse-random", "seed": 0, "counterexample": EXAMPLE}
SETTINGS = (
    '[tool.mbcbench]\nlaw = ["mbc", "hygiene"]\nhyper = {heads = 4}\nseed = 3\ntime-limit = 2.5\nweights = "w.pt"\n'
)
XFAILS = "mbc.partition: reason\n# comment\nsse::mbc.order: reason\n"
XFAILS_TOML = '"mbc.partition" = "reason"\n[sse]\n'
ARRAYS = ("x.npy", "x.npz", "z.npz", "x.csv", "x.pt", "old.pt")
TABLES = ("x.parquet", "lists.parquet", "x.arrow", "lists.arrow")

READERS = (
    *(Reader(name, array_writer(name), read_set, weight=2) for name in ARRAYS),
    *(Reader(name, write_table(name), read_set, weight=2) for name in TABLES),
    Reader("x.h5", write_hdf5, read_set, weight=2),
    *(Reader(f"x.zarr, version {version}", write_zarr(version), read_set) for version in (2, 3)),
    Reader("run", write_run, read_run, weight=4),
    Reader("reports of a run", write_run, report_run, (UsageError, BrokenPluginError), weight=0.2),
    Reader("x.off", file_writer("x.off", OFF), off.read_mesh, (ValueError,), weight=2),
    Reader("IDX", write_idx, read_idx, (ValueError,)),
    Reader("expected failures", file_writer("x", XFAILS), lambda path: load_xfails(path, ["sse"])),
    Reader("expected failures in TOML", file_writer("x.toml", XFAILS_TOML), lambda path: load_xfails(path, [])),
    Reader("pyproject.toml", file_writer("pyproject.toml", SETTINGS), lambda path: load_settings(path.parent)),
    Reader("checkpoint", write_checkpoint, read_checkpoint, weight=2),
    *(Reader(name, weights_writer(name), read_weights) for name in ("w.pt", "w.safetensors")),
    Reader("results of ASV", file_writer("asv.json", json.dumps(ASV)), asv.read, weight=2),
    Reader(
        "counterexamples",
        file_writer("c.jsonl", json.dumps(COUNTEREXAMPLE)),
        lambda path: read_counterexamples(str(path)),
    ),
    Reader("prepared arrays", write_prepared, read_prepared, (UsageError, *cache.UNREADABLE)),
    *(Reader(name, write_image(name), lambda path: images.read_image(path, "r")) for name in ("x.png", "x.jpg")),
    Reader("reference results", write_reference, load_reference.__wrapped__),
)


def seed_folder(reader: Reader, folder: Path) -> tuple[Path, dict[Path, bytes]]:
    """Write what a reader reads; return its path and the contents of its files."""
    path = reader.write(folder)
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return path, {file: file.read_bytes() for file in files}


def temporary_folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="mbcbench-fuzz-", ignore_cleanup_errors=True)
