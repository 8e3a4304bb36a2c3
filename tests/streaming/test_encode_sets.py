"""Many sets in one pass: the command `encode` with `--by`, and with several files."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mbcbench.protocol.state import read_file, write_file
from mbcbench.streaming import group_files
from tests.conftest import Command

ENCODERS = Path(__file__).with_name("group_encoders.py")
IDS = np.random.default_rng(0).integers(0, 9, 120)
X = np.random.default_rng(1).standard_normal((len(IDS), 3)).astype(np.float32)
ENDING = np.flatnonzero(np.diff(np.sort(IDS), append=99)) + 1


def table(rows: slice = slice(None), *, ids: str = "int64") -> pd.DataFrame:
    frame = pd.DataFrame(X[rows], columns=["a", "b", "c"])
    frame.insert(1, "set", IDS[rows].astype(ids) if ids == "int64" else [f"é{number}" for number in IDS[rows]])
    return frame


def write_parquet(frame: pd.DataFrame, path: Path) -> Path:
    pytest.importorskip("pyarrow")
    frame.to_parquet(path.with_suffix(".parquet"), row_group_size=50)
    return path.with_suffix(".parquet")


def write_arrow(frame: pd.DataFrame, path: Path) -> Path:
    pytest.importorskip("pyarrow")
    frame.to_feather(path.with_suffix(".arrow"))
    return path.with_suffix(".arrow")


def write_categories(frame: pd.DataFrame, path: Path) -> Path:
    return write_parquet(frame.assign(set=frame["set"].astype("category")), path)


def write_lists(frame: pd.DataFrame, path: Path) -> Path:
    lists = frame[["a", "b", "c"]].to_numpy().tolist()
    return write_parquet(pd.DataFrame({"x": lists, "set": frame["set"]}), path)


def write_text(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_csv(path.with_suffix(".csv"), index=False)
    return path.with_suffix(".csv")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(group_files, "READ_BYTES", 7 * 12)  # rows that are sorted together
    shutil.copy(ENCODERS, "mine.py")
    return tmp_path


def sums(ids: list[object]) -> np.ndarray:
    """Return the sums of the elements of sets."""
    numbers = [int(str(set_id).removeprefix("é")) for set_id in ids]
    return np.stack([X[number == IDS].sum(0) for number in numbers])


def assert_sums(path: str | Path, *, ids: type = int) -> None:
    encoded = read(path)
    assert {type(set_id) for set_id in encoded["id"].tolist()} == {ids}
    assert len(encoded) == 9
    np.testing.assert_allclose(np.stack([*encoded["encoding"]]), sums(encoded["id"].tolist()), rtol=1e-5, atol=1e-5)


def read(path: str | Path) -> pd.DataFrame:
    if str(path).endswith(".npz"):
        with np.load(path) as arrays:
            return pd.DataFrame({"id": arrays["id"].tolist(), "encoding": [*arrays["encoding"]]})
    if str(path).endswith(".csv"):
        frame = pd.read_csv(path)
        return pd.DataFrame({"id": frame["id"], "encoding": [*frame.filter(regex=r"^e\d").to_numpy()]})
    return pd.read_parquet(path)


@pytest.mark.parametrize("write", [write_parquet, write_arrow, write_lists, write_text])
def test_rows_of_a_table_are_encoded_by_set(
    encode: Command, write: Callable[[pd.DataFrame, Path], Path], folder: Path
) -> None:
    path = write(table(), folder / "t")
    code, out, err = encode(str(path), "mine.py:Sum", "--by", "set", "--out", "e.npz", "--quiet")
    assert (code, err) == (0, "")
    assert out.startswith("e.npz: 9 sets of 3 numbers, from 120 elements;")
    assert_sums("e.npz", ids=str if write is write_text else int)


@pytest.mark.parametrize("write", [write_parquet, write_categories, write_text])
def test_ids_may_be_text(encode: Command, write: Callable[[pd.DataFrame, Path], Path], folder: Path) -> None:
    path = write(table(ids="text"), folder / "t")
    assert encode(str(path), "mine.py:Sum", "--by", "set", "--out", "e.npz", "--quiet")[0] == 0
    assert_sums("e.npz", ids=str)


@pytest.mark.parametrize("out", [".parquet", ".csv", ".npz"])
def test_encodings_are_a_row_per_set(encode: Command, out: str, folder: Path) -> None:
    write_parquet(table(), folder / "t")
    assert encode("t.parquet", "mine.py:Sum", "--by", "set", "--out", f"e{out}", "--quiet")[0] == 0
    assert_sums(f"e{out}")
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_the_output_is_named_after_the_first_file_and_says_the_shape(encode: Command, folder: Path) -> None:
    write_parquet(table(), folder / "t")
    assert encode("t.parquet", "sse-random", "--by", "set", "--quiet")[0] == 0
    schema = pytest.importorskip("pyarrow.parquet").read_schema("t.parquet.encodings.parquet")
    assert schema.metadata[b"shape"] == b"[16, 64]"


def test_the_rows_of_a_set_may_be_in_several_files(encode: Command, folder: Path) -> None:
    first, second = write_parquet(table(slice(70)), folder / "1"), write_parquet(table(slice(70, None)), folder / "2")
    assert encode(str(first), "mine.py:Sum", str(second), "--by", "set", "--out", "e.npz", "--quiet")[0] == 0
    assert_sums("e.npz")


def test_columns_are_selected(encode: Command, folder: Path) -> None:
    write_parquet(table(), folder / "t")
    options = ["--by", "set", "--select", "c", "--out", "e.npz", "--quiet"]
    assert encode("t.parquet", "mine.py:Sum", *options)[0] == 0
    encoded = read("e.npz")
    np.testing.assert_allclose(np.stack([*encoded["encoding"]]), sums([*encoded["id"]])[:, 2:], rtol=1e-5, atol=1e-5)


def test_more_sets_than_memory_holds_are_encoded_in_passes_and_progress_says_so(
    encode: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mbcbench.execution.progress.SECONDS_BETWEEN_LINES", 0.0)
    write_parquet(table(), folder / "t")
    monkeypatch.setattr("mbcbench.streaming.groups.MEMORY_FRACTION", 1e-30)  # one set at a time
    code, out, err = encode("t.parquet", "mine.py:Sum", "--by", "set", "--out", "e.npz")
    assert code == 0
    assert "9 sets of 3 numbers in 9 passes" in out
    assert "pass 4 of 9: " in err
    assert_sums("e.npz")


def test_several_files_are_a_set_each(encode: Command, folder: Path) -> None:
    for name, rows in {"a.npy": slice(50), "b.npy": slice(50, 60), "none.npy": slice(0)}.items():
        np.save(folder / name, X[rows])
    code, out, _ = encode("a.npy", "mine.py:Sum", "b.npy", "none.npy", "--out", "e.npz", "--quiet")
    assert code == 0
    assert "3 sets of 3 numbers, from 60 elements" in out
    encoded = read("e.npz")
    assert encoded["id"].tolist() == ["a.npy", "b.npy", "none.npy"]
    expected = np.stack([X[:50].sum(0), X[50:60].sum(0), X[:0].sum(0)])
    np.testing.assert_allclose(np.stack([*encoded["encoding"]]), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rows", [7 * 12, 10**6])
def test_a_plain_module_encodes_sorted_sets_whole(
    encode: Command, folder: Path, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_files, "READ_BYTES", rows)
    write_parquet(table().sort_values("set"), folder / "t")
    options = ["--by", "set", "--sorted", "--out", "e.npz", "--quiet"]
    assert encode("t.parquet", "mine.py:Plain", *options)[0] == 0
    encoded = read("e.npz")
    assert encoded["id"].tolist() == list(range(9))
    expected = np.stack([np.concatenate([X[number == IDS].max(0), X[number == IDS].min(0)]) for number in range(9)])
    np.testing.assert_array_equal(np.stack([*encoded["encoding"]]), expected)


def test_whole_files_are_sets_for_a_plain_module(encode: Command, folder: Path) -> None:
    for name, rows in {"a.npy": slice(50), "b.npy": slice(50, 60), "none.npy": slice(0)}.items():
        np.save(folder / name, X[rows])
    code, _, err = encode("a.npy", "mine.py:Plain", "b.npy", "none.npy", "--sorted", "--out", "e.npz", "--quiet")
    assert code == 0
    assert "warning: set 'none.npy' has no encoding" in err
    encodings = np.stack([*read("e.npz")["encoding"]])
    np.testing.assert_array_equal(encodings[:2, :3], np.stack([X[:50].max(0), X[50:60].max(0)]))
    assert np.isnan(encodings[2]).all()


@pytest.mark.parametrize("size", [7 * 12, 10**6])
def test_rows_that_are_not_sorted_are_reported(
    encode: Command, folder: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_files, "READ_BYTES", size)
    frame = table().sort_values("set")
    write_parquet(pd.concat([frame[:-1], frame[:1], frame[-1:]]), folder / "t")
    code, out, err = encode("t.parquet", "mine.py:Plain", "--by", "set", "--sorted", "--quiet")
    assert (code, out) == (3, "")
    assert "the rows of set 0 do not follow one another; sort the table by set" in err
    assert not Path("t.parquet.encodings.parquet").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("t.parquet mine.py:Plain --by set", "is a plain module, which needs each set whole; give --sorted"),
        ("t.parquet mine.py:ChunkMean --by set", "breaks mbc.partition: the first elements in chunks of 1 + 6"),
        ("t.parquet sse-literal-mean --by set", "breaks mbc.partition"),
        ("t.parquet mine.py:Plain --by set --g sum", "breaks mbc.partition"),
        ("t.parquet mine.py:Plain --by set --g sum --sorted", "leave out --g sum"),
        ("t.parquet mine.py:Sum --by no", "has no column 'no'; it has a, set, b, c"),
        ("t.csv mine.py:Sum --by no", "has no column 'no'; it has a, set, b, c"),
        ("t.parquet mine.py:Sum --by a", "column 'a' holds float; set ids are whole numbers or text"),
        ("x.npy mine.py:Sum --by set", "ends in '.npy'; --by set needs a table with a column of this name"),
        ("t.parquet mine.py:Sum --by set --out e.npy", "ends in '.npy'; for many sets use .parquet, .csv or .npz"),
        ("t.parquet mine.py:Sum --by set --out no/e.npz", "there is no folder no"),
        ("t.parquet mine.py:Sum --by set --states no/s", "there is no folder no"),
        ("t.parquet mine.py:Sum --by set --states s --sorted", "leave one out"),
        ("t.parquet mine.py:Sum --by set --checkpoint c", "--checkpoint is for one set"),
        ("t.parquet mine.py:Sum --by set --chunk 5", "--chunk is for one set"),
        ("x.npy mine.py:Sum --sorted", "--sorted is for many sets"),
        ("x.npy mine.py:Sum --states s", "--states is for many sets"),
        ("x.npy mine.py:Sum x.npy", "x.npy is given more than once"),
        ("x.npy mine.py:Sum x.npy.encoding.npy", "x.npy.encoding.npy is the encoding of another of these files"),
        ("x.npy mine.py:Sum wide.npy --out e.npz", "wide.npy has elements of width 4, and x.npy of 3"),
        ("nan.parquet mine.py:Sum --by set --out e.npz", "nan.parquet: row 57 (counted from 0) is not finite"),
        ("null.parquet mine.py:Sum --by set --out e.npz", "null.parquet: row 57 (counted from 0) has no id of a set"),
        ("null.csv mine.py:Sum --by set --out e.npz", "null.csv: row 57 (counted from 0) has no id of a set"),
        ("t.parquet mine.py:Sum t.csv --by set --out e.npz", "set ids are numbers and text"),
        ("empty.parquet mine.py:Sum --by set --out e.npz", "no rows"),
    ],
)
def test_wrong_usage_is_reported_in_one_line(encode: Command, folder: Path, arguments: str, message: str) -> None:
    write_parquet(table(), folder / "t")
    write_text(table(), folder / "t")
    np.save("x.npy", X)
    np.save("wide.npy", np.zeros((3, 4), np.float32))
    row = np.arange(len(X)) == 57
    write_parquet(table().assign(b=np.where(row, np.nan, X[:, 1])), folder / "nan")
    without_id = table().assign(set=pd.array(IDS, "Int64")).assign(set=lambda frame: frame["set"].mask(row))
    write_parquet(without_id, folder / "null")
    write_text(without_id, folder / "null")
    write_parquet(table()[:0], folder / "empty")
    code, out, err = encode(*arguments.split(), "--quiet")
    assert (code, out, err.count("\n")) == (3, "", 1), err
    assert message in err


def test_an_error_of_the_encoder_is_one_line_and_leaves_no_output(encode: Command, folder: Path) -> None:
    write_parquet(table(), folder / "t")
    code, out, err = encode("t.parquet", "mine.py:Fails", "--by", "set", "--quiet")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "RuntimeError: too large" in err
    assert not Path("t.parquet.encodings.parquet").exists()


class TestStates:
    """States that are kept in a file, to which rows are added."""

    @pytest.mark.parametrize("encoder", ["mine.py:Sum", "mine.py:KeepsLast"])
    @pytest.mark.parametrize("ids", ["int64", "text"])
    def test_rows_that_are_added_later_give_the_encodings_of_the_whole_table(
        self, encode: Command, folder: Path, encoder: str, ids: str
    ) -> None:
        for name, rows in {"1": slice(40), "2": slice(40, 47), "3": slice(47, None)}.items():
            path = write_parquet(table(rows, ids=ids), folder / name)
            options = ["--by", "set", "--states", "s", "--out", "e.npz", "--quiet"]
            code, out, err = encode(str(path), encoder, *options)
            assert code == 0, err
            path.unlink()  # it is not needed again
        assert "from 73 elements" in out
        assert_sums("e.npz", ids=str if ids == "text" else int)

    def test_states_of_a_builtin_are_as_exact(self, encode: Command, folder: Path) -> None:
        paths = [write_parquet(table(rows), folder / name) for name, rows in (("1", slice(40)), ("2", slice(40, None)))]
        for path in paths:
            options = ["--by", "set", "--states", "s", "--out", "added.npz", "--quiet"]
            assert encode(str(path), "attention-pooling", *options)[0] == 0
        whole = write_parquet(table(), folder / "t")
        assert encode(str(whole), "attention-pooling", "--by", "set", "--out", "whole.npz", "--quiet")[0] == 0
        added, expected = read("added.npz"), read("whole.npz")
        assert added["id"].tolist() == expected["id"].tolist()
        np.testing.assert_allclose(
            np.stack([*added["encoding"]]), np.stack([*expected["encoding"]]), rtol=1e-5, atol=1e-6
        )

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ("t.parquet mine.py:Sum --states s", "s contains the rows of t.parquet already; leave this file out"),
            ("u.parquet mine.py:Views --states s", "file of states s belongs to another encoding: encoder was"),
            ("u.parquet mine.py:Sum --states s --seed 4", "seed was 0 and is 4"),
            ("u.parquet mine.py:Sum --select a --states s", "width was 3 and is 1"),
            ("u.parquet mine.py:Sum --states mine.py", "mine.py is not a file of states"),
        ],
    )
    def test_states_that_do_not_fit_are_refused(
        self, encode: Command, folder: Path, arguments: str, message: str
    ) -> None:
        write_parquet(table(), folder / "t")
        write_parquet(table(slice(9)), folder / "u")
        options = ["--by", "set", "--out", "e.npz", "--quiet"]
        assert encode("t.parquet", "mine.py:Sum", "--states", "s", *options)[0] == 0
        before = Path("s").read_bytes()
        code, out, err = encode(*arguments.split(), *options)
        assert (code, out, err.count("\n")) == (3, "", 1)
        assert message in err
        assert Path("s").read_bytes() == before

    @pytest.mark.parametrize("name", ["mine.py:Sum", "mine.py:CountsChunks"])
    @pytest.mark.parametrize("damage", ["ids", "states", "header"])
    def test_damaged_states_are_refused(self, encode: Command, folder: Path, name: str, damage: str) -> None:
        write_parquet(table(), folder / "t")
        options = ["--by", "set", "--states", "s", "--out", "e.npz", "--quiet"]
        assert encode("t.parquet", name, *options)[0] == 0
        content: dict[str, Any] = read_file(Path("s"), {})
        content[damage] = {"ids": {"numbers": torch.arange(7)}, "states": [[torch.ones(7, 2)]], "header": "[]"}[damage]
        write_file(content, Path("s"))
        write_parquet(table(), folder / "u")
        code, out, err = encode("u.parquet", name, *options)
        assert (code, out, err.count("\n")) == (3, "", 1)
        assert "s is not a file of states" in err

    def test_states_that_do_not_fit_into_memory_are_refused(
        self, encode: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_parquet(table(), folder / "t")
        monkeypatch.setattr("mbcbench.streaming.groups.MEMORY_FRACTION", 1e-30)
        code, _, err = encode("t.parquet", "mine.py:Sum", "--by", "set", "--states", "s", "--quiet")
        assert (code, err.count("\n")) == (3, 1)
        assert "the states of more than 1 sets do not fit into" in err
        assert not Path("s").exists()
