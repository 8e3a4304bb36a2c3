"""Exemplar classes: distorted views of places in photographs."""

import sys

import numpy as np
import pytest

from mbcbench.datasets import embedding, photo_exemplars
from mbcbench.datasets.photo_exemplars import PhotoExemplars
from mbcbench.datasets.photographs import iter_photographs
from mbcbench.errors import UsageError


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that gives the mean of each channel, and few classes."""
    monkeypatch.setattr(embedding, "efficientnet_lite0", lambda: lambda images: images.mean(dim=(2, 3)))
    for name, value in {"TRAIN_CLASSES": 20, "TRAIN_VIEWS": 2, "TEST_CLASSES": 30, "TEST_VIEWS": 3}.items():
        monkeypatch.setattr(photo_exemplars, name, value)


@pytest.mark.usefixtures("small")
def test_each_class_is_a_row_of_views_that_vary_less_than_classes() -> None:
    exemplars = PhotoExemplars().load()
    assert exemplars.train.shape == (20, 2, 3)
    assert exemplars.test.shape == (30, 3, 3)
    assert exemplars.train.dtype == np.float16
    assert np.array_equal(PhotoExemplars().load().test, exemplars.test)
    test = exemplars.test.astype(np.float64)
    assert test.std(axis=1).mean() < 0.7 * test.mean(axis=1).std(axis=0).mean()


def test_places_and_views_are_those_of_earlier_versions() -> None:
    image = np.random.default_rng(1).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    places = photo_exemplars.choose_places([np.concatenate([image] * 2), image], 5, 3, np.random.default_rng(0))
    assert places.tolist() == [[0, 24, 0], [0, 48, 0], [0, 24, 24], [1, 0, 0], [1, 0, 24]]
    views = photo_exemplars.render_views(
        photo_exemplars.as_pixels(image), np.array([[0, 0], [3, 20]]), np.random.default_rng(0)
    ).numpy()
    weights = np.cos(np.arange(views.size)).reshape(views.shape)
    assert (views.astype(np.float64) * weights).sum() == pytest.approx(46.067, abs=1e-2)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("batches", [1, 3])
def test_views_do_not_depend_on_the_parts_they_are_computed_in(monkeypatch: pytest.MonkeyPatch, batches: int) -> None:
    monkeypatch.setattr(photo_exemplars, "BATCH", 4)
    monkeypatch.setattr(photo_exemplars, "BATCHES_OF_PART", batches)
    rng = np.random.default_rng(photo_exemplars.SEED)
    images = [part.train for part in iter_photographs(photo_exemplars.TRAIN_SHARE, photo_exemplars.GAP)]
    places = photo_exemplars.choose_places(images, 20, photo_exemplars.TRAIN_CAP, rng)
    means = []
    for number, image in enumerate(images):
        corners = np.repeat(places[places[:, 0] == number, 1:], 2, axis=0)
        for start in range(0, len(corners), 4):
            views = photo_exemplars.render_views(photo_exemplars.as_pixels(image), corners[start : start + 4], rng)
            means.append(views.mean(dim=(2, 3)).half().numpy())
    assert np.array_equal(PhotoExemplars().load().train, np.concatenate(means).reshape(20, 2, 3))


def test_places_are_on_a_grid_and_capped_per_photograph() -> None:
    images = list(np.random.default_rng(0).integers(0, 256, (3, 200, 250, 3), dtype=np.uint8))
    places = photo_exemplars.choose_places(images, 40, 15, np.random.default_rng(0))
    assert len(places) == 40
    assert np.bincount(places[:, 0]).max() <= 15
    assert not (places[:, 1:] % photo_exemplars.SPACING).any()
    assert len(np.unique(places, axis=0)) == 40


def test_with_strength_0_a_view_is_the_window_or_its_mirror_image() -> None:
    image = np.random.default_rng(0).integers(0, 256, (100, 120, 3), dtype=np.uint8)
    window = image[20:84, 30:94].transpose(2, 0, 1) / 255
    corners = np.array([[20, 30]] * 8)
    for view in photo_exemplars.render_views(
        photo_exemplars.as_pixels(image), corners, np.random.default_rng(0), strength=0.0
    ).numpy():
        assert min(np.abs(view - window).max(), np.abs(view - window[:, :, ::-1]).max()) < 1e-4


def test_views_differ_and_stay_in_range() -> None:
    image = np.random.default_rng(0).integers(0, 256, (100, 120, 3), dtype=np.uint8)
    views = photo_exemplars.render_views(
        photo_exemplars.as_pixels(image), np.array([[0, 0], [0, 0]]), np.random.default_rng(0)
    )
    assert float((views[0] - views[1]).abs().max()) > 0.1
    assert 0 <= float(views.min()) < float(views.max()) <= 1


def test_a_missing_network_is_reported_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(UsageError, match=r"EfficientNet-Lite0 .* pip install 'mbcbench\[exemplars\]'"):
        PhotoExemplars().load()


def test_the_features_of_different_images_differ() -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    import torch

    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    features = embedding.features(embedding.efficientnet_lite0(), [images[:2], images[2:]])
    assert features.shape == (3, 1280)
    assert np.isfinite(features).all()
    assert np.abs(features[0] - features[2]).max() > 0.1


def test_the_fast_network_has_the_features_of_the_published_one() -> None:
    library = pytest.importorskip("efficientnet_lite_pytorch")
    import torch

    published = library.EfficientNet.from_name("efficientnet-lite0")
    published.load_state_dict(torch.load(embedding.EFFICIENTNET_WEIGHTS.path(), weights_only=True))
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = published.eval().extract_features(2 * images - 1).mean(dim=(2, 3))
        assert float((embedding.efficientnet_lite0()(images) - expected).abs().max()) < 1e-4
