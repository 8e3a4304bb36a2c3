"""ImageNet's class folders, with a small network in place of torchvision's."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mbcbench.datasets import choose, embedding
from mbcbench.datasets.imagenet import ImageNet
from mbcbench.errors import UsageError


@pytest.fixture
def images(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of three images to train on and two to test on; features are the mean of each channel."""
    for part, count in (("train", 3), ("val", 2)):
        for brightness, wnid in enumerate(("n01440764", "n01443537"), 1):
            folder = root / "imagenet" / part / wnid
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = np.full((40, 60, 3), 60 * brightness + number, np.uint8)
                Image.fromarray(pixels).save(folder / f"{wnid}_{number}.JPEG")
    monkeypatch.setattr(embedding, "resnet50", lambda weights: lambda batch: batch.mean(dim=(2, 3)))
    monkeypatch.setattr(ImageNet, "_fetch_weights", lambda self, *, offline: root)
    return root / "imagenet"


def test_each_class_is_a_row_of_features_of_its_images(images: Path) -> None:
    exemplars = choose("exemplars").load()
    assert exemplars.train.shape == (2, 3, 3)
    assert exemplars.test.shape == (2, 2, 3)
    assert exemplars.train.dtype == np.float16
    expected = (60 / 255 - 0.485) / 0.229
    assert exemplars.train[0, 0, 0] == pytest.approx(expected, abs=0.02)
    assert exemplars.name == "imagenet"


def test_the_weights_are_downloaded_when_the_features_are_prepared(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[bool] = []
    monkeypatch.setattr(ImageNet, "_fetch_weights", lambda self, *, offline: calls.append(offline))
    ImageNet().prepare("load", {})
    assert calls == [False, True]


def test_every_class_has_as_many_images_as_the_smallest(images: Path) -> None:
    (images / "train" / "n01440764" / "n01440764_1.JPEG").unlink()
    assert ImageNet().load().train.shape == (2, 2, 3)


def test_a_damaged_image_is_reported(images: Path) -> None:
    damaged = images / "val" / "n01443537" / "n01443537_1.JPEG"
    damaged.write_bytes(damaged.read_bytes()[:200])
    for use in (ImageNet().load, ImageNet().verify):
        with pytest.raises(UsageError, match=r"n01443537_1\.JPEG is damaged .*; get ILSVRC2012"):
            use()


def test_a_class_without_images_is_reported(images: Path) -> None:
    for image in (images / "val" / "n01443537").iterdir():
        image.unlink()
    with pytest.raises(UsageError, match=r"no JPEG files in .*val/n01443537; get ILSVRC2012"):
        ImageNet().load()


def test_fetch_says_what_to_put_where() -> None:
    with pytest.raises(UsageError, match=r"needs its licence: .*/imagenet/train/<wnid>/"):
        ImageNet().fetch()


def test_missing_weights_are_reported_in_one_line(root: Path) -> None:
    (root / "imagenet").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"resnet50-0676ba61\.pth is missing .* put it at"):
        ImageNet().verify()
