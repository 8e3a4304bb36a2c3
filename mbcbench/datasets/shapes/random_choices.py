"""Random choices of the procedural shapes, all made from `uniform(low, high)`."""

from collections.abc import Callable, Sequence

from mbcbench.datasets.shapes.solids import Mesh

Uniform = Callable[[float, float], float]  # a number between two bounds
Shape = Callable[[Uniform], Sequence[Mesh]]


def coin_flip(uniform: Uniform, probability: float = 0.5) -> bool:
    return uniform(0, 1) < probability


def randint(uniform: Uniform, low: int, high: int) -> int:
    """Return a whole number; both bounds are included."""
    return int(uniform(low, high + 1))
