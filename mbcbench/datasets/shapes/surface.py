"""Points on the surface of a mesh.

trimesh.sample.sample_surface is not used: it draws other random numbers from the same generator, so all data would
change, and it needs a trimesh.Trimesh, with which 2,000 points take 0.48 ms in place of 0.25 ms.
"""

import numpy as np
from numpy.typing import NDArray

from mbcbench.datasets.shapes.solids import Mesh


def sample_surface(mesh: Mesh, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw `count` points (`count x 3`), uniform over the surface. Raises ValueError if the mesh has no area."""
    corners = mesh.vertices[mesh.faces]
    origin, along, across = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = np.linalg.norm(np.cross(along, across), axis=1).cumsum()
    if not len(area) or not 0 < area[-1] < np.inf:
        raise ValueError("a mesh without area has no points")
    face = np.searchsorted(area, rng.random(count) * area[-1], side="right").clip(max=len(area) - 1)
    u, v = rng.random((2, count, 1))
    outside = u + v > 1  # in the other half of the parallelogram: reflect it onto the triangle
    u, v = np.where(outside, 1 - u, u), np.where(outside, 1 - v, v)
    points: NDArray[np.float64] = origin[face] + u * along[face] + v * across[face]
    return points


def normalize(points: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the points (`n x 3`) with mean 0, and standard deviation 1 over all coordinates together."""
    centered = points - points.mean(axis=0)
    normalized: NDArray[np.float32] = (centered / centered.std()).astype(np.float32)
    return normalized
