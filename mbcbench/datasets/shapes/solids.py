"""Solids that procedural shapes are made of, as vertices and faces from trimesh; z points upwards."""

import functools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mbcbench.errors import require

Vector = Sequence[float]
SECTIONS = 20  # corners of a circle
ORIGIN = (0.0, 0.0, 0.0)


class Mesh(NamedTuple):
    """Triangles: vertices (`V x 3`), and for each of `F` faces the indices of its three corners (`F x 3`)."""

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]


def box(size: Vector, center: Vector = ORIGIN) -> Mesh:
    """Return a box of a given width, depth and height."""
    return translate(scale(_unit_box(), size), center)


def cylinder(radius: float, height: float, center: Vector = ORIGIN, axis: str = "z") -> Mesh:
    """Return a cylinder along an axis."""
    return translate(_align(scale(_unit_cylinder(), (radius, radius, height)), axis), center)


def ellipsoid(radii: Vector, center: Vector = ORIGIN) -> Mesh:
    """Return an ellipsoid."""
    return translate(scale(_unit_sphere(), radii), center)


def torus(radius: float, thickness: float, center: Vector = ORIGIN, axis: str = "z") -> Mesh:
    """Return a torus around an axis."""
    mesh = _from_trimesh(_creation().torus(radius, thickness, major_sections=SECTIONS, minor_sections=8))
    return translate(_align(mesh, axis), center)


def revolve(profile: Iterable[Vector], offset: Vector = ORIGIN) -> Mesh:
    """Return the surface that a line of (radius, height) sweeps when it turns around z."""
    mesh = _from_trimesh(_creation().revolve(np.array(list(profile)), sections=SECTIONS, validate=False))
    return translate(mesh, offset)


def prism(corners: Sequence[Vector], depth: float) -> Mesh:
    """Return a convex polygon of (x, z) corners, extruded along y."""
    count = len(corners)
    flat = np.array(corners, dtype=np.float64)
    sides = [np.column_stack((flat[:, 0], np.full(count, y), flat[:, 1])) for y in (-depth / 2, depth / 2)]
    after = np.roll(np.arange(count), -1)
    walls = [(i, after[i], after[i] + count) for i in range(count)] + [
        (i, after[i] + count, i + count) for i in range(count)
    ]
    front = [(0, i, i + 1) for i in range(1, count - 1)]
    back = [(a + count, b + count, c + count) for a, b, c in front]
    return Mesh(np.concatenate(sides), np.array([*walls, *front, *back]))


def rotate(mesh: Mesh, angle: float, axis: str = "x", offset: Vector = ORIGIN) -> Mesh:
    """Rotate the mesh around an axis through the origin (radians), then move it."""
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    vertices = mesh.vertices.copy()
    vertices[:, i] = np.cos(angle) * mesh.vertices[:, i] - np.sin(angle) * mesh.vertices[:, j]
    vertices[:, j] = np.sin(angle) * mesh.vertices[:, i] + np.cos(angle) * mesh.vertices[:, j]
    return Mesh(vertices + np.asarray(offset), mesh.faces)


def translate(mesh: Mesh, offset: Vector) -> Mesh:
    return Mesh(mesh.vertices + np.asarray(offset), mesh.faces)


def scale(mesh: Mesh, factors: Vector) -> Mesh:
    """Stretch the mesh along each axis."""
    return Mesh(mesh.vertices * np.asarray(factors), mesh.faces)


def merge(meshes: Sequence[Mesh]) -> Mesh:
    """Return all meshes as one; parts of one inside another are kept."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    faces = [mesh.faces + start for mesh, start in zip(meshes, starts, strict=True)]
    return Mesh(np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(faces))


@functools.cache  # trimesh takes longer to make it than everything that is done with it
def _unit_box() -> Mesh:
    return _from_trimesh(_creation().box(extents=(1, 1, 1)))


@functools.cache
def _unit_cylinder() -> Mesh:
    return _from_trimesh(_creation().cylinder(1, 1, sections=SECTIONS))


@functools.cache
def _unit_sphere() -> Mesh:
    return _from_trimesh(_creation().icosphere(subdivisions=2))


def _creation() -> Any:
    return require("trimesh.creation", "shapes are made with trimesh")


def _from_trimesh(mesh: Any) -> Mesh:
    return Mesh(np.asarray(mesh.vertices, dtype=np.float64), np.asarray(mesh.faces, dtype=np.int64))


def _align(mesh: Mesh, axis: str) -> Mesh:
    """Turn a mesh along z so that it lies along `axis`."""
    return Mesh(mesh.vertices[:, {"z": [0, 1, 2], "x": [2, 0, 1], "y": [1, 2, 0]}[axis]], mesh.faces)
