"""Emoji of several vendors: matched by code point or name, split by class, rendered once."""

import json
import sys
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mbcbench.datasets import cache, choose, embedding, emoji
from mbcbench.datasets.emoji import BY_CODE, PACKAGES, Emoji, EmojiClass, EmojiImages, Vendor
from mbcbench.errors import UsageError
from tests.datasets.packages import write_package

CODES = {"1f34e": "red-apple", "1f34f": "green-apple", "1f431-fe0f": "cat", "1f44d": "thumbs-up", "1f44d-1f3fb": "tone"}
ICONS = {name: {"body": f"<g>{name}</g>"} for name in CODES.values()}


def vendor(icons: Mapping[str, Any] = ICONS, names: Mapping[str, str] | None = None, **others: Any) -> Vendor:
    return Vendor({"icons": dict(icons), "width": 32, "height": 32, **others}, names or {})


def vendors(**replaced: Vendor) -> dict[str, Vendor]:
    names = {code.removesuffix("-fe0f"): name for code, name in CODES.items() if name != "tone"}
    return {name: vendor(names=names if name in BY_CODE else None) for name in PACKAGES} | replaced


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write packages with four emoji, of which two are to test on; the renderer paints every drawing in one colour."""
    written = {}
    for name, package in PACKAGES.items():
        files = {emoji.ICONS: json.dumps({"icons": ICONS, "width": 32}).encode()}
        if name in BY_CODE:
            files[emoji.CODES] = json.dumps(CODES).encode()
        written[name] = write_package(package, files)
    monkeypatch.setattr(emoji, "PACKAGES", written)
    monkeypatch.setattr(emoji, "TEST_CLASSES", 2)
    for data in (Emoji, EmojiImages):
        monkeypatch.setattr(data, "packages", tuple(written.values()))
    monkeypatch.setattr(emoji, "render", lambda svg: np.full((3, 64, 64), len(svg), np.uint8))


def test_classes_are_matched_by_code_points_without_skin_tones() -> None:
    classes = emoji.match_classes(vendors())
    assert [one.code for one in classes] == ["1f34e", "1f34f", "1f431", "1f44d"]
    assert classes[0].drawings == dict.fromkeys(PACKAGES, "red-apple")


def test_an_emoji_that_a_vendor_with_code_points_lacks_is_no_class() -> None:
    classes = emoji.match_classes(vendors(twemoji=vendor(names={"1f34e": "red-apple"})))
    assert [one.code for one in classes] == ["1f34e"]


def test_vendors_without_code_points_are_matched_by_the_names_of_the_others() -> None:
    twemoji = vendor({**ICONS, "apple": {"body": ""}}, names={"1f34e": "apple", "1f44d": "thumbs-up"})
    older = vendor({"apple": {"body": ""}})
    apple, thumb = emoji.match_classes(vendors(twemoji=twemoji, emojione=older))
    assert (apple.drawings["emojione"], apple.drawings["noto"]) == ("apple", "red-apple")
    assert "emojione" not in thumb.drawings


def test_a_name_of_several_emoji_matches_none() -> None:
    names = {"1f34e": "apple", "1f34f": "apple"}
    twemoji = vendor({"apple": {"body": ""}}, names=names)
    others = {name: vendor({"apple": {"body": ""}}, names=names) for name in BY_CODE} | {"twemoji": twemoji}
    for one in emoji.match_classes(vendors(**others, emojione=vendor({"apple": {"body": ""}}))):
        assert "emojione" not in one.drawings


def test_a_drawing_that_is_the_mirror_image_of_another_is_not_used() -> None:
    aliases = {"cat": {"parent": "red-apple", "hFlip": True}, "thumbs-up": {"parent": "red-apple"}}
    some = vendor({"red-apple": ICONS["red-apple"]}, aliases=aliases)
    assert [some.resolve(name) for name in ("cat", "thumbs-up", "red-apple", "other")] == [
        None,
        *["red-apple"] * 2,
        None,
    ]


def test_documents_are_square_with_the_drawing_in_the_middle() -> None:
    some = vendor({"flat": {"body": "<g/>", "height": 16, "top": 2}})
    assert 'viewBox="0.0 -6.0 32 32"><g/></svg>' in some.svg("flat")


def test_test_classes_are_drawn_by_all_vendors_and_not_trained_on() -> None:
    classes = [EmojiClass(str(i), dict.fromkeys([*PACKAGES] if i % 2 else BY_CODE, "")) for i in range(20)]
    train, test = emoji.split_classes(classes, 6)
    assert len(test) == 6
    assert all(int(one.code) % 2 for one in test)
    assert sorted(one.code for one in (*train, *test)) == sorted(one.code for one in classes)
    assert emoji.split_classes(classes, 6)[1] == test


def test_the_last_vendors_of_a_test_class_have_no_other_set_in_its_supports() -> None:
    assert set(emoji.TEST_VENDORS) == set(PACKAGES)
    assert set(emoji.TRAIN_VENDORS) == set(BY_CODE)
    assert not any(name.startswith("noto") for name in emoji.TEST_VENDORS[4:])


@pytest.mark.usefixtures("packages")
def test_features_are_by_class_and_vendor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "efficientnet_lite0", lambda: lambda images: images.mean(dim=(2, 3)))
    exemplars = choose("exemplars", "emoji").load()
    assert (exemplars.train.shape, exemplars.test.shape) == ((2, 4, 3), (2, 6, 3))
    assert exemplars.test.dtype == np.float16
    assert Emoji().verify() == "6 packages; 4 cached files"


@pytest.mark.usefixtures("packages")
def test_images_of_training_and_test_classes_are_apart() -> None:
    images = EmojiImages().load(64)
    assert (images.train.shape, images.test.shape) == ((8, 3, 64, 64), (12, 3, 64, 64))
    small = EmojiImages().load(32)
    assert np.array_equal(small.train, images.train[:, :, ::2, ::2])  # drawings of one colour
    with pytest.raises(UsageError, match=r"no images of 48 x 48 pixels; use one of \[32, 64\]"):
        EmojiImages().load(48)


def test_a_smaller_image_has_the_means_of_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 1, 3, 64, 64), dtype=np.uint8)
    small = emoji._reduce(pixels, 32)
    assert abs(int(small[0, 0, 1, 3, 5]) - pixels[0, 0, 1, 6:8, 10:12].mean()) <= 0.5


def test_a_missing_package_is_one_line_with_the_command() -> None:
    with pytest.raises(UsageError, match=r"iconify-json-noto-1\.2\.9\.tgz is missing .* \(npm pack .*put it at"):
        Emoji().load()


def test_a_missing_renderer_is_reported_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(UsageError, match=r"rendered with resvg; install it with: pip install 'mbcbench\[emoji\]'"):
        emoji.render("<svg/>")


def test_drawings_are_rendered_on_white() -> None:
    pytest.importorskip("resvg_py")
    drawing = emoji.render(vendor({"dot": {"body": '<rect width="16" height="32" fill="#f00"/>'}}).svg("dot"))
    assert drawing.shape == (3, 64, 64)
    assert drawing[:, 32, 10].tolist() == [255, 0, 0]
    assert drawing[:, 32, 50].tolist() == [255, 255, 255]


def test_the_key_of_the_drawings_depends_on_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[str] = []
    monkeypatch.setattr(cache, "cached_arrays", lambda key, make: keys.append(key))
    emoji.rasters()
    monkeypatch.setattr(emoji, "PACKAGES", {"other": SimpleNamespace(sha256="1" * 64)})
    emoji.rasters()
    assert keys[0] != keys[1]
