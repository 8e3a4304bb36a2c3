"""Encoding from files: every format, what is wrong with a file in one line, and going on after a kill."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mbcbench.cli.encode import Rate
from mbcbench.cli.main import main
from mbcbench.errors import UsageError
from mbcbench.streaming.blocks import iter_blocks
from mbcbench.streaming.encode import EncodeOptions, Encoding, open_encoding
from mbcbench.streaming.sources import open_source
from mbcbench.streaming.threads import concurrent_map
from tests.conftest import Command

ENCODERS = """
import os, signal
from pathlib import Path
import torch
from torch import nn

class Sum(nn.Module):
    "The sum and the last element, which it keeps as it lies; it kills itself where a file named `kill` says."
    def __init__(self, dim_in):
        super().__init__()
        self.f = nn.Linear(dim_in, 2, bias=False)
    def init_state(self, batch_size):
        return {"sum": torch.zeros(batch_size, 2), "last": None, "chunks": 0}
    def update(self, state, x):
        if Path("kill").exists() and state["chunks"] == 3:
            Path("kill").unlink()
            os.kill(os.getpid(), int(signal.SIGKILL if KILL else signal.SIGINT))
        return {"sum": state["sum"] + self.f(x).sum(1), "last": x[:, -1], "chunks": state["chunks"] + 1}
    def readout(self, state):
        return torch.cat([state["sum"], state["last"]], 1)
    def forward(self, x):
        return torch.cat([self.f(x).sum(1), x[:, -1]], 1)

KILL = True
class Plain(nn.Module):
    "The first numbers of a set: no two chunks agree."
    def __init__(self, dim_in):
        super().__init__()
        self.f = nn.Linear(dim_in, 2)
    def forward(self, x):
        return self.f(x).mean(1)
"""
X = np.random.default_rng(0).standard_normal((103, 3)).astype(np.float32)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(ENCODERS)
    np.save(tmp_path / "x.npy", X)
    return tmp_path


@pytest.fixture
def encode(here: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command in this process: exit code, standard output, standard error."""

    def call(file: str, encoder: str, *more: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["encode", file, "--encoder", encoder, "--threads", "1", *more])
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, said.out, said.err

    return call


def npy(path: Path) -> Path:
    np.save(path.with_suffix(".npy"), X)
    return path.with_suffix(".npy")


def npy_by_columns(path: Path) -> Path:
    np.save(path.with_suffix(".npy"), np.asfortranarray(X))
    return path.with_suffix(".npy")


def npy_big_endian(path: Path) -> Path:
    np.save(path.with_suffix(".npy"), X.astype(">f8"))
    return path.with_suffix(".npy")


def table(lists: Any = None) -> Any:
    pa = pytest.importorskip("pyarrow")
    if lists is None:
        return pa.table({name: X[:, i] for i, name in enumerate("abc")})
    return pa.table({"x": pa.array(X.tolist(), lists(pa))})


def parquet(path: Path) -> Path:
    pytest.importorskip("pyarrow.parquet").write_table(table(), path.with_suffix(".parquet"), row_group_size=20)
    return path.with_suffix(".parquet")


def parquet_lists(path: Path) -> Path:
    lists = table(lambda pa: pa.list_(pa.float32()))
    pytest.importorskip("pyarrow.parquet").write_table(lists, path.with_suffix(".parquet"), row_group_size=20)
    return path.with_suffix(".parquet")


def arrow(path: Path) -> Path:
    lists = table(lambda pa: pa.list_(pa.float32(), 3))
    pytest.importorskip("pyarrow.feather").write_feather(lists, path.with_suffix(".arrow"), chunksize=20)
    return path.with_suffix(".arrow")


def hdf5(path: Path) -> Path:
    with pytest.importorskip("h5py").File(path.with_suffix(".h5"), "w") as file:
        file.create_dataset("group/x", data=X, chunks=(20, 2))
    return path.with_suffix(".h5")


def zarr_array(path: Path) -> Path:
    zarr = pytest.importorskip("zarr")
    zarr.create_array(path.with_suffix(".zarr"), data=X, chunks=(20, 2))
    return path.with_suffix(".zarr")


FORMATS = [npy, npy_by_columns, npy_big_endian, parquet, parquet_lists, arrow, hdf5, zarr_array]


@pytest.mark.parametrize("write", FORMATS)
@pytest.mark.parametrize("start", [0, 20, 33])
def test_every_format_gives_the_elements_from_any_offset_on(
    write: Callable[[Path], Path], start: int, tmp_path: Path
) -> None:
    source = open_source(write(tmp_path / "x"))
    assert (source.length, source.width) == X.shape
    found = iter_blocks(source, start, 14, dtype=np.dtype(np.float32))
    chunks = [(at, chunk.copy()) for block in found for at, chunk in block.chunks(7)]
    assert [at for at, _ in chunks] == list(range(start, len(X), 7))
    np.testing.assert_array_equal(np.concatenate([chunk for _, chunk in chunks]), X[start:])


@pytest.mark.parametrize(("blockwise", "chunk"), [(False, 2**18 // 3), (True, 2**20 // 3)])
def test_chunks_are_larger_where_the_encoder_makes_blocks_of_them(here: Path, blockwise: bool, chunk: int) -> None:
    (here / "mine.py").write_text(f"{ENCODERS}\nclass Mine(Sum):\n    blockwise = {blockwise}\n")
    assert open_encoding(EncodeOptions(path=here / "x.npy", encoder="mine.py:Mine")).chunk == chunk


def test_what_is_written_into_a_block_does_not_reach_the_file(tmp_path: Path) -> None:
    source = open_source(npy(tmp_path / "x"))
    for block in iter_blocks(source, 0, 50, dtype=np.dtype(np.float32)):
        next(block.chunks(50))[1][:] = 0
    np.testing.assert_array_equal(np.load(source.path), X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_file_that_becomes_shorter_is_one_line(tmp_path: Path, dtype: type) -> None:
    source = open_source(npy(tmp_path / "x"))
    found = iter_blocks(source, 0, 50, dtype=np.dtype(dtype))
    os.truncate(source.path, 1000)
    with pytest.raises(UsageError, match=r"is damaged between elements (0 and 50|50 and 100): .*shorter"):
        [list(block.chunks(50)) for block in found]


def test_columns_and_arrays_are_chosen_by_name(tmp_path: Path) -> None:
    source, out = open_source(parquet(tmp_path / "x"), ["c", "a"]), np.empty((103, 2), np.float32)
    source.read(0, out)
    np.testing.assert_array_equal(out, X[:, [2, 0]])
    with pytest.raises(UsageError, match="has no column 'z'; it has a, b, c"):
        open_source(parquet(tmp_path / "x"), ["z"])
    with pytest.raises(UsageError, match="choose one with --select"):
        open_source(hdf5(tmp_path / "x"), ["y"])


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (X[0], "has the shape (3,), and a set is n x d"),
        (X[None], "has the shape (1, 103, 3)"),
        (X.astype(complex), "holds complex128"),
        (X[:, :0], "without any number"),
        (np.array([[1, 2], [3]], dtype=object), "is no whole .npy file of numbers"),
        (np.where(np.arange(309).reshape(103, 3) == 151, np.nan, X), "row 50 (counted from 0) is not finite"),
    ],
)
def test_an_array_that_is_no_set_is_one_line(encode: Command, array: Any, said: str) -> None:
    np.save("bad.npy", array, allow_pickle=True)
    code, out, err = encode("bad.npy", "mine.py:Sum")
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert said in err


@pytest.mark.parametrize("write", [npy, parquet, arrow, hdf5])
def test_a_truncated_file_is_one_line(encode: Command, write: Callable[[Path], Path], here: Path) -> None:
    path = write(here / "cut")
    path.write_bytes(path.read_bytes()[:-200])
    code, out, err = encode(path.name, "mine.py:Sum")
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert "is no whole" in err


@pytest.mark.parametrize(("row", "said"), [([1.0], "has 1 numbers"), (None, "is missing")])
def test_a_ragged_column_is_one_line_that_names_the_row(encode: Command, row: Any, said: str) -> None:
    pa = pytest.importorskip("pyarrow")
    rows = [[0.0, 1.0]] * 30 + [row]
    pytest.importorskip("pyarrow.parquet").write_table(pa.table({"x": rows}), "ragged.parquet", row_group_size=20)
    code, _, err = encode("ragged.parquet", "mine.py:Sum")
    assert (code, err.count("\n")) == (3, 1)
    assert f"ragged.parquet is ragged: row 30 (counted from 0) {said}, and the rows before have 2" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("x.npy mine.py:Plain", "mine.py:Plain is a plain module; choose how to aggregate"),
        ("x.npy mine.py:Sum --g sum", "is a streaming encoder; leave out --g sum"),
        ("x.npy mine.py:Sum --resume", "name it with --checkpoint"),
        ("x.npy mine.py:Sum --checkpoint no/such", "there is no folder no"),
        ("x.npy mine.py:Sum --out e.txt", "ends in '.txt'; use .npy or .safetensors"),
        ("x.npy mine.py:Sum --hyper 3", "is not NAME=VALUE"),
        ("x.npy mine.py:Sum --select a", "has no names to select a from"),
        ("x.npy mine.py:Sum --weights no.pt", "no such file: no.pt"),
        ("x.npy mine.py:Sum --weights x.npy", "x.npy does not hold weights for mine.py:Sum"),
        ("no.npy mine.py:Sum", "no such file: no.npy"),
        ("mine.py mine.py:Sum", "ends in '.py', which is none of .npy"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_3(encode: Command, arguments: str, said: str) -> None:
    code, out, err = encode(*arguments.split())
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert said in err


def test_weights_of_another_width_are_one_line(encode: Command) -> None:
    torch.save({"f.weight": torch.zeros(2, 5)}, "w.pt")
    code, _, err = encode("x.npy", "mine.py:Sum", "--weights", "w.pt")
    assert (code, err.count("\n")) == (3, 1)
    assert "size mismatch for f.weight" in err


def test_trained_weights_are_used(encode: Command) -> None:
    torch.save({"f.weight": torch.ones(2, 3)}, "w.pt")
    code, out, _ = encode("x.npy", "mine.py:Sum", "--weights", "w.pt", "--out", "e.npy", "--quiet")
    assert code == 0
    assert "e.npy: 5, of 103 elements" in out
    np.testing.assert_allclose(np.load("e.npy")[:2], X.sum(), rtol=1e-4)


def test_a_state_that_lies_in_a_chunk_outlives_it(here: Path) -> None:
    work = open_encoding(EncodeOptions(path=here / "x.npy", encoder="mine.py:Sum", chunk=7))
    states = [work.position.state["last"] for _ in work.steps()]
    np.testing.assert_array_equal(torch.cat(states).numpy(), X[[*range(6, 103, 7), 102]])


def test_a_plain_module_is_said_to_depend_on_the_chunks(encode: Command) -> None:
    code, _, err = encode("x.npy", "mine.py:Plain", "--g", "sum", "--chunk", "10", "--quiet")
    assert code == 0
    assert "warning: mine.py:Plain is not mini-batch consistent" in err
    assert err.count("\n") == 1


def test_a_killed_job_goes_on_and_gives_the_identical_encoding(encode: Command, here: Path) -> None:
    job = ["--chunk", "10", "--threads", "1", "--checkpoint", "state", "--every", "0", "--quiet"]
    encode("x.npy", "mine.py:Sum", "--chunk", "10", "--out", "whole.npy", "--quiet")
    (here / "kill").touch()
    call = [sys.executable, "-m", "mbcbench.cli.main", "encode", "x.npy", "--encoder", "mine.py:Sum", *job]
    assert subprocess.run(call, check=False).returncode == -signal.SIGKILL
    assert not (here / "x.npy.encoding.npy").exists()
    code, _, _ = encode("x.npy", "mine.py:Sum", *job, "--resume")
    assert code == 0
    assert (here / "x.npy.encoding.npy").read_bytes() == (here / "whole.npy").read_bytes()


def side_by_side(here: Path, encoder: str, **more: Any) -> Encoding:
    if not (here / "x.npy").exists():
        np.save(here / "x.npy", X)
    return open_encoding(EncodeOptions(path=here / "x.npy", encoder=encoder, chunk=5, threads=2, **more))


def encoded(work: Encoding) -> torch.Tensor:
    assert list(work.steps())[-1] == len(X)
    return work.result()


@pytest.fixture
def ten_at_a_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("mbcbench.streaming.encode.BLOCK_NUMBERS", 10 * X.shape[1])
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("ten_at_a_time")
@pytest.mark.parametrize("encoder", ["sse-random", "sse-random-max", "deepsets-mean", "umbc", "variance"])
def test_chunks_encoded_side_by_side_are_the_set(tmp_path: Path, encoder: str) -> None:
    work = side_by_side(tmp_path, encoder)
    assert work.concurrency == 2
    with torch.inference_mode():
        whole = work.encoder.module(torch.from_numpy(X)[None])[0]
    torch.testing.assert_close(encoded(work), whole)
    assert torch.equal(encoded(side_by_side(tmp_path, encoder)), work.result())


@pytest.mark.usefixtures("ten_at_a_time")
def test_chunks_encoded_side_by_side_go_on_from_a_checkpoint_with_the_same_bits(tmp_path: Path) -> None:
    first = side_by_side(tmp_path, "sse-random", checkpoint=tmp_path / "state")
    steps = first.steps()
    assert [next(steps) for _ in range(3)] == [10, 20, 30]
    first.save_checkpoint()
    steps.close()
    second = side_by_side(tmp_path, "sse-random", checkpoint=tmp_path / "state", resume=True)
    assert second.start.elements == 30
    assert torch.equal(encoded(second), encoded(side_by_side(tmp_path, "sse-random")))


@pytest.mark.usefixtures("ten_at_a_time")
@pytest.mark.parametrize("fault", ["a", "a / 0", "raise RuntimeError"])
def test_an_encoder_that_cannot_merge_is_encoded_in_turn(here: Path, fault: str) -> None:
    body = fault if fault.startswith("raise") else f"return {fault.replace('a', 'a[chr(115) + chr(117) + chr(109)]')}"
    (here / "mine.py").write_text(ENCODERS + f"    def merge(self, a, b):\n        {body}\n")
    work = side_by_side(here, "mine.py:Sum")
    assert work.concurrency == 1
    torch.testing.assert_close(encoded(work)[2:], torch.from_numpy(X[-1]))


def test_results_come_in_the_order_of_the_items_and_errors_where_they_belong() -> None:
    second_is_done = threading.Event()

    def work(tool: str, item: int) -> int:
        if item == 0:
            assert second_is_done.wait(10)
        if item == 1:
            second_is_done.set()
        return 1 // (5 - item)

    results = concurrent_map(work, "ab", range(9), in_flight=3)
    assert [next(results) for _ in range(5)] == [0, 0, 0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_ctrl_c_is_one_line_that_says_how_to_go_on(here: Path) -> None:
    (here / "mine.py").write_text(ENCODERS.replace("KILL = True", "KILL = False"))
    (here / "kill").touch()
    call = [sys.executable, "-m", "mbcbench.cli.main", "encode", "x.npy", "--encoder", "mine.py:Sum", "--chunk", "10"]
    ended = subprocess.run([*call, "--checkpoint", "state"], check=False, capture_output=True, text=True)
    assert ended.returncode == 130
    assert ended.stderr.startswith("mbcbench: interrupted after 30 of 103 elements; stored in state, go on with: ")
    assert ended.stderr.endswith("--checkpoint state --resume\n")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--chunk", "20"], "chunk was 10 and is 20"),
        (["--chunk", "10", "--seed", "1"], "seed was 0 and is 1"),
        (["--chunk", "10", "--g", "max"], "g was sum and is max"),
    ],
)
def test_a_checkpoint_of_another_encoding_is_refused(encode: Command, more: list[str], said: str) -> None:
    first = ["--chunk", "10", "--checkpoint", "state", "--g", "sum"]
    assert encode("x.npy", "mine.py:Plain", *first)[0] == 0
    code, _, err = encode("x.npy", "mine.py:Plain", *first, *more, "--resume", "--quiet")
    assert code == 3
    assert said in err.splitlines()[-1]


def test_a_checkpoint_is_never_overwritten_unasked_nor_trusted_when_it_is_none(encode: Command, here: Path) -> None:
    (here / "state").write_bytes(b"something else")
    assert "exists; continue from it with --resume" in encode("x.npy", "mine.py:Sum", "--checkpoint", "state")[2]
    assert "is not a checkpoint" in encode("x.npy", "mine.py:Sum", "--checkpoint", "state", "--resume")[2]
    assert (here / "state").read_bytes() == b"something else"


def test_a_missing_library_is_one_line_that_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "x.h5").touch()
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UsageError, match=r"read with h5py; install it with: pip install 'mbcbench\[hdf5\]'"):
        open_source(tmp_path / "x.h5")


def test_the_rate_and_the_time_left_are_of_what_was_encoded_since_the_start() -> None:
    seconds = iter([0.0, 10.0])
    rate = Rate(4_000_000, 1_000_000, lambda: next(seconds))
    rate.done = 2_000_000
    assert rate.line() == "2,000,000 of 4,000,000 elements, 0.10 million/s, about 20 s left"
