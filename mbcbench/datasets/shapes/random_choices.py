"""How the makers of shapes draw: from `u`, which gives a number between two bounds."""

from collections.abc import Callable, Sequence

from mbcbench.datasets.shapes.solids import Mesh

Draw = Callable[[float, float], float]
Shape = Callable[[Draw], Sequence[Mesh]]


def maybe(u: Draw, chance: float = 0.5) -> bool:
    return u(0, 1) < chance


def some(u: Draw, least: int, most: int) -> int:
    """A whole number, both bounds included."""
    return int(u(least, most + 1))
