"""Emoji as classes for few-shot learning: each class is drawn by several vendors, independently of one another.

The drawings are SVG images in packages of npm, rendered once. They are given as features of EfficientNet-Lite0, which
was trained on ImageNet, and as images to complete.
"""

import io
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mbcbench.datasets import cache, embedding
from mbcbench.datasets.base import ExemplarDataSet, Exemplars, PatchDataSet, Patches
from mbcbench.datasets.parts import Work, compute_in_parts, in_blocks
from mbcbench.datasets.registry_packages import DataSetFromPackages, NpmPackage, package_checksums
from mbcbench.errors import require

if TYPE_CHECKING:
    from torch import Tensor


def _package(name: str, version: str, sha256: str) -> NpmPackage:
    return NpmPackage(f"@iconify-json/{name}", version, sha256)


# The order is that of a class's drawings: supports are taken from the first vendors and queries from the last ones, so
# they are by different hands. Noto has been redrawn since its first version, yet both are in the supports.
BY_CODE = {
    "noto": _package("noto", "1.2.9", "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad"),
    "openmoji": _package("openmoji", "1.2.29", "03181e2c156cab35cf4a62f1f7886bd971d59212e75ac3f189d5a4cae3930fc5"),
    "twemoji": _package("twemoji", "1.2.5", "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7"),
    "fluent": _package(
        "fluent-emoji-flat", "1.2.6", "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175"
    ),
}
# Packages without code points: their drawings are found by the names that the others give to a code point.
BY_NAME = {
    "noto-v1": _package("noto-v1", "1.2.5", "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37"),
    "emojione": _package("emojione", "1.2.3", "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e"),
}
TRAIN_VENDORS = ("noto", "openmoji", "twemoji", "fluent")
TEST_VENDORS = ("noto", "noto-v1", "openmoji", "emojione", "twemoji", "fluent")
TEST_CLASSES = 1000  # drawn at random from those that all six vendors have; the others are to train on
PACKAGES = {**BY_CODE, **BY_NAME}
SKIN_TONES = {"1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"}
VARIATION_SELECTOR = "fe0f"  # asks for an emoji in place of a text symbol; vendors differ in where they write it
SIZE = 64  # pixels of a drawing
SIZES = (32, 64)
DRAWINGS_OF_PART = 256  # about two seconds of one core, which is what an interruption loses
SEED = 45
RECIPE = Path(__file__)
ICONS, CODES = "package/icons.json", "package/chars.json"
DEFAULT_SIDE = 16  # of an icon whose file does not say (the format's default)
SETS = "emoji of six sets (Noto and its first version, OpenMoji, EmojiOne, Twemoji, Fluent)"
LICENCE = "Noto: Apache-2.0; OpenMoji: CC BY-SA 4.0; EmojiOne, Twemoji: CC BY 4.0; Fluent: MIT"

Arrays = cache.Arrays


class EmojiClass(NamedTuple):
    """An emoji: its code points, and for each vendor that has drawn it the name of the drawing."""

    code: str
    drawings: Mapping[str, str]


class Vendor(NamedTuple):
    """Drawings of a vendor: the file icons.json of its package, and their names by code point, if it has these."""

    icons: Mapping[str, Any]
    names: Mapping[str, str]

    def resolve(self, name: str) -> str | None:
        """Return the drawing with this name, or None if there is none, or only a mirrored or turned one."""
        alias = self.icons.get("aliases", {}).get(name)
        if alias is None:
            return name if name in self.icons["icons"] else None
        return alias["parent"] if set(alias) == {"parent"} else None

    def svg(self, name: str) -> str:
        """Return a drawing as a square document, with the drawing in its middle."""
        icon = self.icons["icons"][name]
        left, top = (icon.get(side, self.icons.get(side, 0)) for side in ("left", "top"))
        width, height = (icon.get(side, self.icons.get(side, DEFAULT_SIDE)) for side in ("width", "height"))
        side = max(width, height)
        left, top = left - (side - width) / 2, top - (side - height) / 2
        names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        return f'<svg {names} viewBox="{left} {top} {side} {side}">{icon["body"]}</svg>'


def read_vendors() -> dict[str, Vendor]:
    """Return all vendors. Raises UsageError if a package is missing or damaged."""
    return {name: _read_vendor(package, has_codes=name in BY_CODE) for name, package in PACKAGES.items()}


def _read_vendor(package: NpmPackage, *, has_codes: bool) -> Vendor:
    files = dict(package.read([ICONS, CODES] if has_codes else [ICONS]))
    names = json.loads(files[CODES]) if has_codes else {}
    return Vendor(json.loads(files[ICONS]), {_plain(code): name for code, name in names.items() if _is_plain(code)})


def _is_plain(code: str) -> bool:
    return not SKIN_TONES & set(code.split("-"))


def _plain(code: str) -> str:
    return "-".join(point for point in code.split("-") if point != VARIATION_SELECTOR)


def match_classes(vendors: Mapping[str, Vendor]) -> list[EmojiClass]:
    """Return the emoji that all vendors of `BY_CODE` have drawn, in the order of their code points.

    The drawings of the other vendors are those with one of the names that these give to the code points. Names that are
    given to several emoji are not used.
    """
    codes_of: dict[str, set[str]] = defaultdict(set)
    for vendor in BY_CODE:
        for code, name in vendors[vendor].names.items():
            codes_of[name].add(code)
    classes = []
    for code in sorted(set.intersection(*(set(vendors[vendor].names) for vendor in BY_CODE))):
        by_vendor = {vendor: [vendors[vendor].names[code]] for vendor in BY_CODE}
        names = sorted({name for (name,) in by_vendor.values() if len(codes_of[name]) == 1})
        resolved = {
            vendor: [drawing for name in by_vendor.get(vendor, names) if (drawing := vendors[vendor].resolve(name))]
            for vendor in PACKAGES
        }
        if all(resolved[vendor] for vendor in BY_CODE):
            classes.append(EmojiClass(code, {vendor: first[0] for vendor, first in resolved.items() if first}))
    return classes


def split_classes(classes: Sequence[EmojiClass], test_classes: int) -> tuple[list[EmojiClass], list[EmojiClass]]:
    """Return the classes to train on and those to test on, which all vendors have drawn."""
    complete = [place for place, emoji in enumerate(classes) if len(emoji.drawings) == len(PACKAGES)]
    chosen = set(np.random.default_rng(SEED).permutation(complete)[:test_classes].tolist())
    train = [emoji for place, emoji in enumerate(classes) if place not in chosen]
    return train, [classes[place] for place in sorted(chosen)]


def render(svg: str) -> NDArray[np.uint8]:
    """Return a drawing on white, `3 x 64 x 64`. Raises UsageError if the renderer is missing."""
    resvg = require("resvg_py", "emoji are rendered with resvg")
    require("PIL", "images are read with Pillow")
    from PIL import Image

    png = resvg.svg_to_bytes(svg_string=svg, width=SIZE, height=SIZE, background="white", skip_system_fonts=True)
    with Image.open(io.BytesIO(bytes(png))) as image:
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


def rasters() -> Arrays:
    """Return the drawings of all classes, `C x V x 3 x 64 x 64`, `train` and `test`; rendered once.

    Raises UsageError if a package or the renderer is missing.
    """
    key = f"{Emoji.name}-rasters-{cache.digest(*(package.sha256 for package in PACKAGES.values()), RECIPE)[:12]}"
    return cache.cached_arrays(key, lambda: _render_all(key))


def _render_all(key: str) -> Arrays:
    vendors = read_vendors()
    parts = split_classes(match_classes(vendors), TEST_CLASSES)
    drawings = [
        vendors[vendor].svg(emoji.drawings[vendor])
        for classes, names in zip(parts, (TRAIN_VENDORS, TEST_VENDORS), strict=True)
        for emoji in classes
        for vendor in names
    ]
    work = Work("emoji", len(drawings), "drawings")
    blocks = in_blocks(drawings, DRAWINGS_OF_PART)
    pixels = compute_in_parts(key, blocks, lambda block: np.stack([render(svg) for svg in block]), work)
    train = len(parts[0]) * len(TRAIN_VENDORS)
    return {
        "train": pixels[:train].reshape(-1, len(TRAIN_VENDORS), *pixels.shape[1:]),
        "test": pixels[train:].reshape(-1, len(TEST_VENDORS), *pixels.shape[1:]),
    }


class Emoji(DataSetFromPackages, ExemplarDataSet):
    """1,000 classes of six drawings to test on, by vendor, and all others, of four drawings, to train on."""

    name = "emoji"
    packages = tuple(PACKAGES.values())
    source = f"{SETS}, as features of EfficientNet-Lite0"
    licence = LICENCE
    checksums: ClassVar[Mapping[str, str]] = {
        **package_checksums(packages),
        "efficientnet-lite0-57934424.pth": embedding.EFFICIENTNET_WEIGHTS.sha256,
        "recipe": cache.digest(RECIPE, Path(embedding.__file__)),
    }

    def load(self) -> Exemplars:
        key = f"{self.name}-{self.sha256[:12]}"
        arrays = cache.cached_arrays(key, lambda: _make_features(key))
        return Exemplars(arrays["train"], arrays["test"], name=self.name, source=self.source)

    def fetch(self, *, offline: bool = False) -> None:
        self.fetch_packages(offline=offline)
        self.load()


def _make_features(key: str) -> Arrays:
    pixels = rasters()
    network = embedding.efficientnet_lite0()
    train, test = (pixels[part].reshape(-1, 3, SIZE, SIZE) for part in ("train", "test"))

    def compute(block: Sequence[NDArray[np.uint8]]) -> NDArray[np.float16]:
        return embedding.features(network, [_as_batch(block)])

    with embedding.one_thread_each():
        blocks = in_blocks([*train, *test], DRAWINGS_OF_PART)
        features = compute_in_parts(key, blocks, compute, Work("emoji", len(train) + len(test), "drawings"))
    return {
        "train": features[: len(train)].reshape(*pixels["train"].shape[:2], -1),
        "test": features[len(train) :].reshape(*pixels["test"].shape[:2], -1),
    }


def _as_batch(drawings: Sequence[NDArray[np.uint8]]) -> "Tensor":
    import torch

    return torch.from_numpy(np.stack(drawings)).float() / 255


class EmojiImages(DataSetFromPackages, PatchDataSet):
    """The drawings of `emoji` as images to complete, with its classes to train on and to test on, in random order."""

    name = "emoji-images"
    packages = Emoji.packages
    sizes = SIZES
    source = SETS
    licence = LICENCE
    checksums: ClassVar[Mapping[str, str]] = {**package_checksums(packages), "recipe": cache.digest(RECIPE)}

    def load(self, size: int = 32) -> Patches:
        """Return the images. Raises UsageError for another size."""
        self.check_size(size)
        arrays = rasters()
        if size != SIZE:
            arrays = cache.cached_arrays(f"{self.name}-{size}-{self.sha256[:12]}", lambda: _reduce_all(size))
        rng = np.random.default_rng(SEED)
        train, test = (rng.permutation(arrays[part].reshape(-1, 3, size, size)) for part in ("train", "test"))
        return Patches(train, test, name=self.name, source=self.source)

    def fetch(self, *, offline: bool = False) -> None:
        self.fetch_packages(offline=offline)
        for size in SIZES:
            self.load(size)


def _reduce_all(size: int) -> Arrays:
    """Return the drawings at a smaller size; each pixel is a mean."""
    return {part: _reduce(pixels, size) for part, pixels in rasters().items()}


def _reduce(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    factor = SIZE // size
    blocks = pixels.reshape(*pixels.shape[:3], size, factor, size, factor)
    means: NDArray[np.float32] = blocks.mean(axis=(4, 6), dtype=np.float32)
    return means.round().astype(np.uint8)
