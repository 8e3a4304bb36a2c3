"""Patches of the photographs."""

import hashlib

import numpy as np
import pytest

from mbcbench.datasets import photographs
from mbcbench.datasets.photographs import Photographs
from mbcbench.errors import UsageError


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundredth of the patches; all photographs."""
    monkeypatch.setattr(photographs, "TRAIN_COUNT", {32: 80, 64: 40})
    monkeypatch.setattr(photographs, "TEST_COUNT", 40)


@pytest.mark.parametrize(("size", "count"), [(32, 80), (64, 40)])
def test_every_patch_is_rgb_of_the_requested_size_and_not_flat(size: int, count: int) -> None:
    patches = Photographs().load(size)
    assert patches.train.shape == (count, 3, size, size)
    assert patches.test.shape == (40, 3, size, size)
    assert patches.train.dtype == patches.test.dtype == np.uint8
    spread = patches.train.reshape(count, 3, -1).std(axis=2).mean(axis=1)
    assert spread.min() >= photographs.MIN_DEVIATION * 0.999


@pytest.mark.slow
def test_a_split_mirrors_photographs_and_draws_other_patches() -> None:
    image = np.arange(60, dtype=np.uint8).reshape(1, 20, 3)
    sides = [photographs.mirrored_at_random(image, np.random.default_rng(seed)) for seed in range(9)]
    assert {side[0, 0, 0] for side in sides} == {image[0, 0, 0], image[0, -1, 0]}
    first, second = (Photographs().load_split(32, split) for split in (0, 1))
    assert np.array_equal(Photographs().load(32).test, first.test)
    assert not np.array_equal(first.test, second.test)


def test_the_patches_of_an_image_are_those_of_earlier_versions() -> None:
    image = np.random.default_rng(1).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    patches = photographs.cut_patches(image, 32, 50, np.random.default_rng(0))
    assert hashlib.sha256(patches.tobytes()).hexdigest()[:16] == "5503efcc7e066d87"


def test_another_size_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no images of 48 x 48 pixels; use one of \[32, 64\]"):
        Photographs().load(48)


def test_there_is_a_gap_between_the_parts_of_a_photograph() -> None:
    widths = {"chelsea": 451, "china": 640, "coffee": 600}
    parts = photographs.iter_photographs()
    assert set(widths.values()) <= {part.train.shape[1] + part.test.shape[1] + photographs.GAP for part in parts}


def test_only_one_picture_of_the_stereo_pair_is_used() -> None:
    assert [name for name in photographs.PHOTOGRAPHS if "motorcycle" in name] == ["motorcycle_left.png"]


def test_the_deviation_of_a_window_equals_numpys() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    window = image[2:6, 3:7].reshape(-1, 3)
    assert photographs.window_deviation(image, 4).shape == (6, 8)
    assert photographs.window_deviation(image, 4)[2, 3] == pytest.approx(window.std(axis=0).mean())


def test_patches_differ_and_are_not_flat() -> None:
    image = np.full((20, 20, 3), 100, np.uint8)
    image[:4, :4] = np.random.default_rng(0).integers(0, 256, (4, 4, 3))
    cut = photographs.cut_patches(image, 8, 1000, np.random.default_rng(0))
    assert 0 < len(cut) < 25
    assert len(np.unique(cut.reshape(len(cut), -1), axis=0)) == len(cut)
