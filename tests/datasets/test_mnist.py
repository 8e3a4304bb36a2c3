"""MNIST's IDX files, compressed or not."""

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mbcbench.datasets import choose
from mbcbench.datasets.mnist import MNIST
from mbcbench.errors import UsageError


def idx_bytes(values: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


@pytest.fixture
def raw(root: Path) -> Path:
    """Three digits to train on and two to test on; the labels are compressed."""
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for part, count in (("train", 3), ("t10k", 2)):
        images = np.arange(count * 28 * 28).reshape(count, 28, 28).astype(np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        labels = gzip.compress(idx_bytes(np.arange(count, dtype=np.uint8)))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(labels)
    return folder


def test_images_and_labels_are_read(raw: Path) -> None:
    digits = MNIST().load()
    assert digits.train.images.shape == (3, 28, 28)
    assert digits.train.images[1, 0, 0] == 28 * 28 % 256
    assert digits.test.labels.tolist() == [0, 1]
    assert digits.name == "mnist"


def test_the_papers_digits_are_chosen_where_they_are_present(raw: Path) -> None:
    assert choose("digits").name == "mnist"


def test_a_missing_file_is_reported_with_its_remedy(raw: Path) -> None:
    (raw / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(UsageError, match=r"no .*t10k-labels-idx1-ubyte\.gz; get it: mbcbench data fetch mnist"):
        choose("digits").load()


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\x08", b"\0\0\x0d\x01" + bytes(5), b"\0\0\x08\x03\0\0\0\x01", b"<html>"]
)
def test_a_file_that_is_not_idx_is_reported(raw: Path, content: bytes) -> None:
    (raw / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(UsageError, match=r"train-images-idx3-ubyte is damaged.*delete"):
        MNIST().load()


def test_a_file_that_is_cut_off_is_reported(raw: Path) -> None:
    for name, words in (("train-images-idx3-ubyte", "is damaged"), ("train-labels-idx1-ubyte.gz", "cannot be read")):
        whole = (raw / name).read_bytes()
        (raw / name).write_bytes(whole[:-3])
        with pytest.raises(UsageError, match=f"{name} {words}"):
            MNIST().load()
        (raw / name).write_bytes(whole)


def test_files_that_do_not_belong_together_are_refused(raw: Path) -> None:
    (raw / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(np.zeros(5, np.uint8))))
    with pytest.raises(UsageError, match="do not belong together"):
        MNIST().load()


def test_verify_finds_a_compressed_file_that_is_not_the_published_one(raw: Path) -> None:
    with pytest.raises(UsageError, match=r"train-labels-idx1-ubyte\.gz is not the published file"):
        MNIST().verify()


@pytest.mark.parametrize("sizes", [(2**31, 2**31, 2**31), (60000, 2**20), ()])
def test_a_header_that_promises_more_than_the_limit_allocates_nothing(raw: Path, sizes: tuple[int, ...]) -> None:
    header = bytes((0, 0, 8, len(sizes))) + np.array(sizes, ">u4").tobytes()
    (raw / "train-images-idx3-ubyte").write_bytes(header + bytes(10))
    with pytest.raises(UsageError, match="is damaged: not an IDX file of bytes, or larger than 256 MiB"):
        MNIST().load()


def test_a_small_file_that_decompresses_to_a_large_one_is_read_to_its_end_only(raw: Path) -> None:
    bomb = gzip.compress(idx_bytes(np.arange(3, dtype=np.uint8)) + bytes(2**25))
    (raw / "t10k-labels-idx1-ubyte.gz").write_bytes(bomb)
    tracemalloc.start()
    with pytest.raises(UsageError, match="not as long as its header says"):
        MNIST().load()
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()
