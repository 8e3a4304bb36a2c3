"""Built in: forty classes of procedural shapes, named as those of ModelNet40, as points on their surfaces."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mbcbench.datasets import cache, shapes
from mbcbench.datasets.base import Clouds, DataSet
from mbcbench.datasets.shapes import surface
from mbcbench.datasets.shapes.classes import SHAPES
from mbcbench.datasets.shapes.random_choices import Shape
from mbcbench.datasets.shapes.solids import Mesh, union

TRAIN_PER_CLASS, TEST_PER_CLASS = 50, 20
VARIATION = 0.3  # of a shape: the deviation of the logarithm of its stretch along each axis
SHEAR, TWIST = 0.6, 0.8  # in units of the variation
YAW = 0.3  # radians, either way
SEED = 41
MODULES = ("random_choices", "furniture", "objects", "solids", "surface")
RECIPE = [Path(__file__), *(Path(shapes.__file__).with_name(f"{name}.py") for name in MODULES)]
POINTS = 2000


def clouds(points: int = POINTS) -> Clouds:
    """Points of 40 classes of shapes, 50 of each to train on and 20 to test on; the same ones always."""
    arrays = cache.keep(_key(points), lambda: _make(points))
    return Clouds(**arrays, classes=list(SHAPES), name=DATA.name, source=DATA.source)


def _make(points: int) -> cache.Arrays:
    sizes = {"train": TRAIN_PER_CLASS, "test": TEST_PER_CLASS}
    made = {}
    for part, (name, count) in enumerate(sizes.items()):
        made[name] = np.stack(
            [
                cloud(shape, points, np.random.default_rng((SEED, part, label, i)))
                for label, shape in enumerate(SHAPES.values())
                for i in range(count)
            ]
        )
        made[f"{name}_labels"] = np.repeat(np.arange(len(SHAPES)), count)
    return made


def cloud(shape: Shape, points: int, rng: np.random.Generator, variation: float = VARIATION) -> NDArray[np.float32]:
    """`points x 3` on the surface of one object of a class."""
    mesh = union(shape(lambda low, high: float(rng.uniform(low, high))))
    return surface.normalised(surface.sample(bent(mesh, variation, rng), points, rng))


def bent(mesh: Mesh, variation: float, rng: np.random.Generator) -> Mesh:
    """The mesh stretched along its axes, sheared, twisted around z and turned a little: each at random."""
    centre = (mesh.vertices.max(axis=0) + mesh.vertices.min(axis=0)) / 2
    vertices = mesh.vertices - centre
    vertices = vertices / np.abs(vertices).max() * np.exp(rng.normal(0, variation, 3))
    vertices[:, :2] += vertices[:, 2:] * rng.normal(0, SHEAR * variation, 2)
    angle = rng.normal(0, TWIST * variation) * vertices[:, 2] + rng.uniform(-YAW, YAW)
    x, y = vertices[:, 0], vertices[:, 1]
    turned = (np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y, vertices[:, 2])
    return Mesh(np.column_stack(turned), mesh.faces)


def _key(points: int) -> str:
    return f"cad-40-{points}-{DATA.sha256[:12]}"


def _verify() -> str:
    return f"made here; {cache.verify(DATA.name)}"


DATA = DataSet(
    name="cad-40",
    kind="clouds",
    paper=False,
    source="procedural shapes of 40 classes with ModelNet40's names, made with trimesh",
    licence="MIT, as mbcbench",
    checksums={"recipe": cache.digest(*RECIPE)},
    load=clouds,
    verify=_verify,
    fetch=lambda offline: clouds(),
    where=lambda: Path(__file__),
)
