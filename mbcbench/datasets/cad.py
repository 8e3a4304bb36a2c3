"""Built in: forty classes of procedural shapes, with the names of ModelNet40's, as points on their surfaces."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mbcbench.datasets import cache, shapes
from mbcbench.datasets.base import CloudDataSet, Clouds
from mbcbench.datasets.shapes import surface
from mbcbench.datasets.shapes.classes import SHAPES
from mbcbench.datasets.shapes.random_choices import Shape
from mbcbench.datasets.shapes.solids import Mesh, merge

TRAIN_PER_CLASS, TEST_PER_CLASS = 50, 20
VARIATION = 0.3  # standard deviation of the logarithm of a shape's stretch along each axis
SHEAR, TWIST = 0.6, 0.8  # in units of the variation
YAW = 0.3  # radians, in either direction
SEED = 41
MODULES = ("random_choices", "furniture", "objects", "solids", "surface")
RECIPE = [Path(__file__), *(Path(shapes.__file__).with_name(f"{name}.py") for name in MODULES)]


class CAD40(CloudDataSet):
    """Shapes of 40 classes, 50 of each to train on and 20 to test on; each split has shapes of its own."""

    name = "cad-40"
    paper = False
    source = "procedural shapes of 40 classes with ModelNet40's names, made with trimesh"
    licence = "MIT, as mbcbench"
    checksums: ClassVar[Mapping[str, str]] = {"recipe": cache.digest(*RECIPE)}

    def load(self, points: int = 2000) -> Clouds:
        return self.load_split(points, 0)

    def load_split(self, points: int, split: int) -> Clouds:
        """Return the clouds of one of any number of draws."""
        key = f"{self.name}-{points}-{split}-{self.sha256[:12]}"
        arrays = cache.cached_arrays(key, lambda: _make_clouds(points, split))
        return Clouds(**arrays, classes=list(SHAPES), name=self.name, source=self.source)

    def path(self) -> Path:
        return Path(__file__)

    def verify(self) -> str:
        return f"made here; {cache.verify_arrays(self.name)}"

    def fetch(self, *, offline: bool = False) -> None:
        self.load()


def _make_clouds(points: int, split: int) -> cache.Arrays:
    arrays: dict[str, NDArray[np.float32] | NDArray[np.int64]] = {}
    for part, (name, count) in enumerate({"train": TRAIN_PER_CLASS, "test": TEST_PER_CLASS}.items()):
        clouds = [
            make_cloud(shape, points, np.random.default_rng((SEED, split, part, label, i)))
            for label, shape in enumerate(SHAPES.values())
            for i in range(count)
        ]
        arrays[name] = np.stack(clouds)
        arrays[f"{name}_labels"] = np.repeat(np.arange(len(SHAPES)), count)
    return arrays


def make_cloud(
    shape: Shape, points: int, rng: np.random.Generator, variation: float = VARIATION
) -> NDArray[np.float32]:
    """Return `points x 3` on the surface of one object of a class."""
    mesh = merge(shape(lambda low, high: float(rng.uniform(low, high))))
    return surface.normalize(surface.sample_surface(deform(mesh, variation, rng), points, rng))


def deform(mesh: Mesh, variation: float, rng: np.random.Generator) -> Mesh:
    """Stretch the mesh along its axes, shear it, twist it around z and turn it a little, all at random."""
    center = (mesh.vertices.max(axis=0) + mesh.vertices.min(axis=0)) / 2
    vertices = mesh.vertices - center
    vertices = vertices / np.abs(vertices).max() * np.exp(rng.normal(0, variation, 3))
    vertices[:, :2] += vertices[:, 2:] * rng.normal(0, SHEAR * variation, 2)
    angle = rng.normal(0, TWIST * variation) * vertices[:, 2] + rng.uniform(-YAW, YAW)
    x, y = vertices[:, 0], vertices[:, 1]
    turned = (np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y, vertices[:, 2])
    return Mesh(np.column_stack(turned), mesh.faces)
