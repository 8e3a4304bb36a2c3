"""The words that procedural shapes are made of: solids as vertices and faces, z upwards, made by trimesh."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = Sequence[float]
SECTIONS = 20  # corners of what is round
ORIGIN = (0.0, 0.0, 0.0)


class Mesh(NamedTuple):
    """Triangles: vertices `V x 3`, and for each of `F` faces the three vertices it joins."""

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]


def box(size: Vector, at: Vector = ORIGIN) -> Mesh:
    """A box of given width, depth and height around a point."""
    return moved(scaled(_unit_box(), size), at)


def rod(radius: float, height: float, at: Vector = ORIGIN, axis: str = "z") -> Mesh:
    """A cylinder along an axis, around a point."""
    return moved(_along(scaled(_unit_rod(), (radius, radius, height)), axis), at)


def ball(radii: Vector, at: Vector = ORIGIN) -> Mesh:
    """An ellipsoid around a point."""
    return moved(scaled(_unit_ball(), radii), at)


def ring(radius: float, thickness: float, at: Vector = ORIGIN, axis: str = "z") -> Mesh:
    """A torus around an axis."""
    from trimesh.creation import torus

    made = torus(radius, thickness, major_sections=SECTIONS, minor_sections=8)
    return moved(_along(_mesh(made), axis), at)


def lathe(profile: Iterable[Vector], at: Vector = ORIGIN) -> Mesh:
    """What a line of (radius, height) sweeps when it turns around z."""
    from trimesh.creation import revolve

    return moved(_mesh(revolve(np.array(list(profile)), sections=SECTIONS, validate=False)), at)


def prism(corners: Sequence[Vector], depth: float) -> Mesh:
    """A polygon of (x, z) corners, seen from every one of them, drawn out along y."""
    count = len(corners)
    flat = np.array(corners, dtype=np.float64)
    sides = [np.column_stack((flat[:, 0], np.full(count, y), flat[:, 1])) for y in (-depth / 2, depth / 2)]
    after = np.roll(np.arange(count), -1)
    walls = [(i, after[i], after[i] + count) for i in range(count)] + [
        (i, after[i] + count, i + count) for i in range(count)
    ]
    ends = [(0, i, i + 1) for i in range(1, count - 1)]
    faces = np.array([*walls, *ends, *((a + count, b + count, c + count) for a, b, c in ends)])
    return Mesh(np.concatenate(sides), faces)


def tilted(mesh: Mesh, angle: float, axis: str = "x", at: Vector = ORIGIN) -> Mesh:
    """The mesh turned around an axis through the origin (radians), then moved."""
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    turned = mesh.vertices.copy()
    turned[:, i] = np.cos(angle) * mesh.vertices[:, i] - np.sin(angle) * mesh.vertices[:, j]
    turned[:, j] = np.sin(angle) * mesh.vertices[:, i] + np.cos(angle) * mesh.vertices[:, j]
    return Mesh(turned + np.asarray(at), mesh.faces)


def moved(mesh: Mesh, by: Vector) -> Mesh:
    """The mesh elsewhere."""
    return Mesh(mesh.vertices + np.asarray(by), mesh.faces)


def scaled(mesh: Mesh, factors: Vector) -> Mesh:
    """The mesh stretched along each axis."""
    return Mesh(mesh.vertices * np.asarray(factors), mesh.faces)


def union(meshes: Sequence[Mesh]) -> Mesh:
    """All of them as one mesh; what lies inside another stays."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    faces = [mesh.faces + start for mesh, start in zip(meshes, starts, strict=True)]
    return Mesh(np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(faces))


@cache  # making it takes trimesh longer than all that is done with it
def _unit_box() -> Mesh:
    from trimesh.creation import box as make

    return _mesh(make(extents=(1, 1, 1)))


@cache
def _unit_rod() -> Mesh:
    from trimesh.creation import cylinder

    return _mesh(cylinder(1, 1, sections=SECTIONS))


@cache
def _unit_ball() -> Mesh:
    from trimesh.creation import icosphere

    return _mesh(icosphere(subdivisions=2))


def _mesh(made: Any) -> Mesh:
    """Of a trimesh.Trimesh."""
    return Mesh(np.asarray(made.vertices, dtype=np.float64), np.asarray(made.faces, dtype=np.int64))


def _along(mesh: Mesh, axis: str) -> Mesh:
    """A mesh along z, turned to lie along `axis`."""
    return Mesh(mesh.vertices[:, {"z": [0, 1, 2], "x": [2, 0, 1], "y": [1, 2, 0]}[axis]], mesh.faces)
