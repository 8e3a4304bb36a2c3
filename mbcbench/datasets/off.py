"""Meshes in OFF files, with the malformed headers of ModelNet40 (`OFF490 518 0` on one line).

trimesh.load is not used: it accepts files that are cut off in their faces and vertices that are not finite, and takes
3 to 4 times as long.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mbcbench.datasets.shapes.solids import Mesh


def read_mesh(path: Path) -> Mesh:
    """Return the mesh in a file, its polygons cut into triangles from their first corner.

    Raises ValueError with the reason if the file is not an OFF file, is cut off or has no faces.
    """
    content = path.read_bytes()
    if content[:3] != b"OFF":
        raise ValueError("it does not begin with OFF")
    numbers = np.array(_without_comments(content[3:]).split(), dtype=np.float64)  # ValueError: not a number
    if len(numbers) < 3:
        raise ValueError("it has no counts of vertices and faces")
    if not np.isfinite(numbers[:2]).all():
        raise ValueError("its counts of vertices and faces are not finite")
    vertex_count, face_count = (int(n) for n in numbers[:2])
    end = 3 + 3 * vertex_count
    if vertex_count < 3 or face_count < 1:
        raise ValueError("it has no faces")
    if len(numbers) < end:
        raise ValueError("it is cut off in its vertices")
    faces = _triangles(numbers[end:].astype(np.int64), face_count)
    if faces.min() < 0 or faces.max() >= vertex_count:
        raise ValueError("a face refers to a vertex that does not exist")
    vertices = numbers[3:end].reshape(-1, 3)
    if not np.isfinite(vertices).all():
        raise ValueError("a vertex is not finite")
    return Mesh(vertices, faces)


def _without_comments(content: bytes) -> bytes:
    if b"#" not in content:
        return content
    return b"\n".join(line.partition(b"#")[0] for line in content.splitlines())


def _triangles(numbers: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the triangles of `count` faces, each given as the number of its corners and then the corners."""
    if len(numbers) >= 4 * count and (numbers[: 4 * count : 4] == 3).all():  # triangles only, the usual case
        return numbers[: 4 * count].reshape(-1, 4)[:, 1:]
    triangles: list[tuple[np.int64, np.int64, np.int64]] = []
    start = 0
    for _ in range(count):
        corners = numbers[start + 1 : start + 1 + int(numbers[start])] if start < len(numbers) else numbers[:0]
        if len(corners) < 3 or len(corners) != numbers[start]:
            raise ValueError("it is cut off in its faces")
        triangles += [(corners[0], corners[i], corners[i + 1]) for i in range(1, len(corners) - 1)]
        start += 1 + len(corners)
    return np.array(triangles)
