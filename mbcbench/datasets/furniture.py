"""Meshes of furniture and other things in homes, drawn by many authors, as points on their surfaces.

They are the models that Debian's package sweethome3d-furniture ships for Sweet Home 3D: five catalogues, each a zip
archive with a list of its models and an OBJ file for each.
"""

import io
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mbcbench.datasets import cache
from mbcbench.datasets.base import CloudDataSet, Clouds
from mbcbench.datasets.parts import Work, compute_in_parts, in_blocks
from mbcbench.datasets.registry_packages import DataSetFromPackages, DebianPackage, package_checksums
from mbcbench.datasets.shapes import surface
from mbcbench.datasets.shapes.solids import Mesh
from mbcbench.errors import require

PACKAGE = DebianPackage(
    "sweethome3d-furniture", "1.8-1", "3ccb90c63f9525e887a767b9cd5c8b6933b8b6b2973a615a5359ee68a2118668"
)
CATALOGUES = ("BlendSwap-CC-0", "BlendSwap-CC-BY", "KatorLegaz", "Reallusion", "Scopia")
INSIDE = "usr/share/sweethome3d/furniture/"
LIST = "PluginFurnitureCatalog.properties"
PROPERTY = re.compile(r"^(name|model|modelRotation)#(\d+)=(.*)$", re.MULTILINE)
UPRIGHT = "1 0 0 0 1 0 0 0 1"  # the rotation of a model that needs none
# Classes, and the last words of the names in the catalogue that belong to each. Models with other names are not used.
CLASSES: dict[str, tuple[str, ...]] = {
    "bed": ("bed",),
    "bottle": ("bottle",),
    "box": ("box",),
    "cabinet": ("cabinet", "wardrobe"),
    "chair": ("chair", "armchair"),
    "door": ("door",),
    "lamp": ("lamp", "light", "lantern"),
    "person": ("female", "male", "girl", "boy"),
    "plant": ("plant", "tree"),
    "socket": ("plug", "socket", "switch"),
    "sofa": ("sofa", "couch"),
    "table": ("table",),
    "window": ("window",),
}
TEST_SHARE = 0.3  # of the models of a class
MODELS_OF_PART = 40  # read by one core in a row: a few seconds, which is what an interruption loses
SEED = 44


class Model(NamedTuple):
    """A model of a catalogue: the index of its class, the path of its OBJ file, and how to rotate it upright."""

    catalogue: zipfile.ZipFile
    label: int
    path: str
    rotation: NDArray[np.float64]


class Furniture(DataSetFromPackages, CloudDataSet):
    """Points on the surfaces of all models of 13 classes, drawn once; 70 % of each class are to train on."""

    name = "furniture"
    packages = (PACKAGE,)
    source = "furniture of Sweet Home 3D (Debian's sweethome3d-furniture): Scopia, Kator Legaz, Reallusion, Blend Swap"
    licence = "CC BY 3.0; those of BlendSwap-CC-0: CC0"
    checksums: ClassVar[Mapping[str, str]] = {
        **package_checksums(packages),
        "recipe": cache.digest(Path(__file__), Path(surface.__file__)),
    }

    def load(self, points: int = 2000) -> Clouds:
        return self.load_split(points, 0)

    def load_split(self, points: int, split: int) -> Clouds:
        """Return the clouds under a random split, drawn class by class. The points are the same in all splits."""
        key = f"{self.name}-{points}-{self.sha256[:12]}"
        arrays = cache.cached_arrays(key, lambda: _make_clouds(key, points))
        clouds, labels = arrays["clouds"], arrays["labels"]
        in_test = draw_test_part(labels, split)
        return Clouds(
            clouds[~in_test], labels[~in_test], clouds[in_test], labels[in_test],
            classes=list(CLASSES), name=self.name, source=self.source,
        )  # fmt: skip

    def fetch(self, *, offline: bool = False) -> None:
        self.fetch_packages(offline=offline)
        self.load()


def draw_test_part(labels: NDArray[np.int64], split: int) -> NDArray[np.bool_]:
    """Return True for a random part of each class."""
    rng = np.random.default_rng((SEED, split))
    in_test = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        in_test[members[: round(TEST_SHARE * len(members))]] = True
    return in_test


def _make_clouds(key: str, points: int) -> cache.Arrays:
    """Draw the points of all models, in the order of the catalogues."""
    names = [f"{INSIDE}{name}.sh3f" for name in CATALOGUES]
    catalogues = [zipfile.ZipFile(io.BytesIO(content)) for _, content in PACKAGE.read(names)]
    models = [model for catalogue in catalogues for model in read_catalogue(catalogue)]

    def compute(block: Sequence[tuple[int, Model]]) -> NDArray[np.float32]:
        clouds = [
            surface.sample_surface(read_mesh(model), points, np.random.default_rng((SEED, number)))
            for number, model in block
        ]
        return np.stack([surface.normalize(cloud) for cloud in clouds])

    blocks = in_blocks(list(enumerate(models)), MODELS_OF_PART)
    clouds = compute_in_parts(key, blocks, compute, Work("furniture", len(models), "models"))
    return {"clouds": clouds, "labels": np.array([model.label for model in models])}


def read_catalogue(catalogue: zipfile.ZipFile) -> Iterator[Model]:
    """Yield the models that belong to a class, in the order of the list."""
    label_of = {word: label for label, words in enumerate(CLASSES.values()) for word in words}
    properties: dict[int, dict[str, str]] = defaultdict(dict)
    for name, number, value in PROPERTY.findall(catalogue.read(LIST).decode("latin-1")):
        properties[int(number)][name] = value.strip()
    for model in properties.values():
        label = label_of.get(model["name"].lower().split()[-1])
        if label is not None:
            rotation = np.array(model.get("modelRotation", UPRIGHT).split(), dtype=np.float64).reshape(3, 3)
            yield Model(catalogue, label, model["model"].lstrip("/"), rotation)


def read_mesh(model: Model) -> Mesh:
    """Return the mesh of a model with z upwards; in the catalogues y is."""
    trimesh = require("trimesh", "meshes are read with trimesh")
    content = io.BytesIO(model.catalogue.read(model.path))
    mesh = trimesh.load(content, file_type="obj", force="mesh", process=False, skip_materials=True)
    x, y, z = (np.asarray(mesh.vertices, dtype=np.float64) @ model.rotation.T).T
    return Mesh(np.column_stack((x, -z, y)), np.asarray(mesh.faces, dtype=np.int64))
