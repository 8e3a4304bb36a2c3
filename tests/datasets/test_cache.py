"""The cache: arrays are made once, and made again if they are damaged."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from mbcbench.datasets import cache
from mbcbench.errors import UsageError


class Maker:
    """Makes the number seven and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> cache.Arrays:
        self.times += 1
        return {"number": np.full(100, 7)}


def test_arrays_are_made_once() -> None:
    maker = Maker()
    assert [cache.cached_arrays("small-1", maker)["number"][0] for _ in range(2)] == [7, 7]
    assert maker.times == 1


def test_writing_into_an_array_does_not_change_the_cache() -> None:
    cache.cached_arrays("small-1", Maker())["number"][:] = 8
    assert cache.cached_arrays("small-1", Maker())["number"][0] == 7


def test_the_cache_holds_the_arrays_and_their_sums_only() -> None:
    cache.cached_arrays("small-1", Maker())
    assert sorted(path.name for path in cache.array_folder("small-1").iterdir()) == ["SHA256SUMS", "number.npy"]
    assert cache.cached_folders("small") == [cache.array_folder("small-1")]


def test_the_sums_have_the_format_of_sha256sum() -> None:
    cache.cached_arrays("small-1", Maker())
    file = cache.array_folder("small-1") / "number.npy"
    expected = f"{hashlib.sha256(file.read_bytes()).hexdigest()}  number.npy\n"
    assert file.with_name("SHA256SUMS").read_text() == expected


@pytest.mark.parametrize("damage", [b"", b"no array", None])
def test_a_damaged_array_is_made_again(damage: bytes | None) -> None:
    maker = Maker()
    cache.cached_arrays("small-1", maker)
    file = cache.array_folder("small-1") / "number.npy"
    file.write_bytes(file.read_bytes()[:-30] if damage is None else damage)
    assert cache.cached_arrays("small-1", maker)["number"].tolist() == [7] * 100
    assert maker.times == 2


def test_a_missing_array_is_made_again() -> None:
    cache.cached_arrays("small-1", Maker())
    (cache.array_folder("small-1") / "number.npy").unlink()
    assert cache.cached_arrays("small-1", Maker())["number"][0] == 7


def test_arrays_that_cannot_be_made_leave_nothing_in_the_cache() -> None:
    def fail() -> cache.Arrays:
        raise UsageError("no source")

    with pytest.raises(UsageError, match="no source"):
        cache.cached_arrays("small-1", fail)
    assert cache.cached_folders("small") == []


def test_verify_finds_a_changed_byte() -> None:
    cache.cached_arrays("small-1", Maker())
    assert cache.verify_arrays("small") == "1 cached files"
    file = cache.array_folder("small-1") / "number.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(UsageError, match=r"number\.npy is missing or damaged; delete .*small-1"):
        cache.verify_arrays("small")


def test_a_folder_that_cannot_be_made_is_reported_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MBCBENCH_DATA", str(tmp_path / "file" / "below"))
    with pytest.raises(UsageError, match=r"cannot write to .*set MBCBENCH_DATA"):
        cache.cached_arrays("small-1", Maker())


@pytest.mark.parametrize("sums", ["nothing", "0  ../../secret.npy", "0  /secret.npy"])
def test_sums_that_are_damaged_or_name_other_files_are_not_followed(sums: str) -> None:
    cache.cached_arrays("some-1", lambda: {"x": np.arange(3)})
    (cache.array_folder("some-1") / cache.SUMS).write_text(f"{sums}\n")
    with pytest.raises(UsageError, match=r"SHA256SUMS is damaged; delete .*some-1, and it is made again"):
        cache.verify_arrays("some")
    assert cache.cached_arrays("some-1", lambda: {"x": np.arange(4)})["x"].tolist() == [0, 1, 2, 3]


def test_an_array_with_a_damaged_header_is_made_again() -> None:
    cache.cached_arrays("some-1", lambda: {"x": np.arange(3)})
    path = cache.array_folder("some-1") / "x.npy"
    path.write_bytes(path.read_bytes().replace(b"}", b" "))
    assert cache.cached_arrays("some-1", lambda: {"x": np.arange(3)})["x"].tolist() == [0, 1, 2]


def test_an_archive_in_place_of_an_array_is_made_again() -> None:
    cache.cached_arrays("some-1", lambda: {"x": np.arange(3)})
    np.savez(cache.array_folder("some-1") / "x.npz", x=np.arange(3))
    os.replace(cache.array_folder("some-1") / "x.npz", cache.array_folder("some-1") / "x.npy")
    assert cache.cached_arrays("some-1", lambda: {"x": np.arange(4)})["x"].tolist() == [0, 1, 2, 3]
