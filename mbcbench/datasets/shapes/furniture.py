"""Procedural furniture and fittings.

w, d and h are width (along x), depth (along y) and height (along z), r is a radius, s a side (-1 or 1). Fronts face -y.
"""

import numpy as np

from mbcbench.datasets.shapes.random_choices import Uniform, coin_flip, randint
from mbcbench.datasets.shapes.solids import Mesh, box, cylinder, ellipsoid, revolve, rotate, scale, torus, translate


def _legs(uniform: Uniform, width: float, depth: float, height: float) -> list[Mesh]:
    """Return four legs below z = 0 at the corners, all round or all square."""
    thick, inset = uniform(0.03, 0.08), uniform(0.05, 0.2)
    x, y = width / 2 - inset * width / 2, depth / 2 - inset * depth / 2
    places = [(sx * x, sy * y, -height / 2) for sx in (-1, 1) for sy in (-1, 1)]
    if coin_flip(uniform):
        return [cylinder(thick, height, place) for place in places]
    return [box((2 * thick, 2 * thick, height), place) for place in places]


def _case(width: float, depth: float, height: float, wall: float = 0.05) -> list[Mesh]:
    """Return a box that is open at the front: back, two sides, top and bottom."""
    sides = [box((wall, depth, height), (s * width / 2, 0, 0)) for s in (-1, 1)]
    lids = [box((width, depth, wall), (0, 0, s * height / 2)) for s in (-1, 1)]
    return [*sides, *lids, box((width, wall, height), (0, depth / 2, 0))]


def _shelves(width: float, depth: float, height: float, count: int) -> list[Mesh]:
    return [box((width, depth, 0.04), (0, 0, height * (i / (count + 1) - 0.5))) for i in range(1, count + 1)]


def bathtub(uniform: Uniform) -> list[Mesh]:
    a, b, h, wall = uniform(0.8, 1.2), uniform(0.4, 0.6), uniform(0.4, 0.7), uniform(0.05, 0.12)
    shell = revolve([(0, 0), (0.8, 0), (1, h), (1 - wall, h), (0.75, wall), (0, wall)])
    parts = [scale(shell, (a, b, 1))]
    if coin_flip(uniform):
        parts += [cylinder(0.03, 0.4, (a * 0.9, 0, h + 0.1)), cylinder(0.03, 0.2, (a * 0.8, 0, h + 0.3), "x")]
    return parts


def bed(uniform: Uniform) -> list[Mesh]:
    w, d, h = uniform(1.0, 1.6), uniform(1.7, 2.1), uniform(0.2, 0.4)
    parts = [
        box((w, d, h)),
        box((w, 0.08, uniform(0.5, 1.0)), (0, d / 2, h)),
        *_legs(uniform, w, d, h / 2 + uniform(0.1, 0.3)),
    ]
    pillows = randint(uniform, 1, 2)
    parts += [
        ellipsoid((w / 5, 0.18, 0.08), ((i - (pillows - 1) / 2) * w / 2, d / 2 - 0.3, h / 2 + 0.05))
        for i in range(pillows)
    ]
    return parts + ([box((w, 0.06, 0.4), (0, -d / 2, h / 2))] if coin_flip(uniform) else [])


def bench(uniform: Uniform) -> list[Mesh]:
    w, d, h = uniform(1.6, 2.4), uniform(0.4, 0.6), uniform(0.4, 0.6)
    slats = randint(uniform, 2, 4)
    parts = [box((w, d / slats * 0.8, 0.05), (0, d * ((i + 0.5) / slats - 0.5), 0)) for i in range(slats)]
    if coin_flip(uniform, 0.6):
        parts += [box((w, 0.05, 0.12), (0, d / 2, z)) for z in (0.25, 0.45)]
    return [*parts, *(box((0.08, d, h), (s * w * 0.4, 0, -h / 2)) for s in (-1, 1))]


def bookshelf(uniform: Uniform) -> list[Mesh]:
    w, d, h = uniform(0.7, 1.3), uniform(0.25, 0.45), uniform(1.6, 2.4)
    count = randint(uniform, 3, 6)
    parts = _case(w, d, h) + _shelves(w, d, h, count)
    for i in range(count + 1):
        books, bottom = uniform(0.2, 0.9) * w, h * (i / (count + 1) - 0.5)
        parts.append(
            box(
                (books, d * 0.7, h / (count + 1) * uniform(0.5, 0.9)),
                ((books - w) / 2, 0, bottom + 0.4 * h / (count + 1)),
            )
        )
    return parts


def chair(uniform: Uniform) -> list[Mesh]:
    w, d, h, back = uniform(0.7, 1.0), uniform(0.7, 1.0), uniform(0.5, 0.9), uniform(0.7, 1.2)
    parts = [box((w, d, uniform(0.05, 0.15))), *_legs(uniform, w, d, h)]
    parts.append(rotate(box((w, 0.06, back), (0, 0, back / 2)), -uniform(0, 0.25), "x", (0, d / 2, 0)))
    if coin_flip(uniform, 0.4):
        parts += [box((0.06, d, 0.06), (s * w / 2, 0, 0.3)) for s in (-1, 1)]
        parts += [box((0.06, 0.06, 0.3), (s * w / 2, -d * 0.45, 0.15)) for s in (-1, 1)]
    return parts


def curtain(uniform: Uniform) -> list[Mesh]:
    w, h, waves, deep = uniform(1.4, 2.2), uniform(1.5, 2.2), uniform(3, 8), uniform(0.04, 0.12)
    x = np.linspace(-w / 2, w / 2, 60)
    y = deep * np.sin(x / w * 2 * np.pi * waves)
    vertices = np.concatenate(
        [np.column_stack((x, y * k, np.full(60, z))) for k, z in ((1, 0.0), (uniform(0.5, 1.5), -h))]
    )
    i = np.arange(59)
    faces = np.concatenate([np.column_stack((i, i + 1, i + 60)), np.column_stack((i + 1, i + 61, i + 60))])
    return [Mesh(vertices, faces)] + ([cylinder(0.04, w * 1.1, axis="x")] if coin_flip(uniform, 0.7) else [])


def desk(uniform: Uniform) -> list[Mesh]:
    w, d, h = uniform(1.4, 2.0), uniform(0.6, 0.9), uniform(0.7, 0.9)
    drawers, side = uniform(0.3, 0.5), 1 if coin_flip(uniform) else -1
    parts = [box((w, d, 0.06)), box((drawers, d * 0.9, h), (side * (w - drawers) / 2, 0, -h / 2))]
    parts += [box((drawers * 0.8, 0.06, h / 4), (side * (w - drawers) / 2, -d * 0.47, -h * k)) for k in (0.25, 0.6)]
    if coin_flip(uniform):
        return [
            *parts,
            box((0.06, d * 0.9, h), (-side * w * 0.48, 0, -h / 2)),
            box((w, 0.04, h * 0.6), (0, d * 0.4, -h * 0.3)),
        ]
    return [*parts, *(box((0.07, 0.07, h), (-side * w * 0.46, s * d * 0.42, -h / 2)) for s in (-1, 1))]


def door(uniform: Uniform) -> list[Mesh]:
    w, h, frame = uniform(0.8, 1.1), uniform(1.9, 2.3), uniform(0.06, 0.14)
    parts = [box((w, 0.06, h)), *(box((frame, 0.14, h), (s * (w + frame) / 2, 0, 0)) for s in (-1, 1))]
    parts += [
        box((w + 2 * frame, 0.14, frame), (0, 0, (h + frame) / 2)),
        ellipsoid((0.05, 0.08, 0.05), (w * 0.4, -0.06, 0)),
    ]
    panels = randint(uniform, 0, 3)
    return parts + [
        box((w * 0.6, 0.1, h / panels * 0.6), (0, 0, h * ((i + 0.5) / panels - 0.5))) for i in range(panels)
    ]


def dresser(uniform: Uniform) -> list[Mesh]:
    w, d, h = uniform(1.2, 1.7), uniform(0.5, 0.7), uniform(0.8, 1.2)
    rows, columns = randint(uniform, 2, 4), randint(uniform, 1, 2)
    parts = [box((w, d, h)), *_legs(uniform, w, d, h / 2 + uniform(0.05, 0.2))]
    for i in range(rows):
        for j in range(columns):
            x, z = w * ((j + 0.5) / columns - 0.5), h * ((i + 0.5) / rows - 0.5)
            parts += [
                box((w / columns * 0.85, 0.06, h / rows * 0.8), (x, -d / 2, z)),
                ellipsoid((0.04,) * 3, (x, -d / 2 - 0.06, z)),
            ]
    return parts


def mantel(uniform: Uniform) -> list[Mesh]:
    w, h, d, side = uniform(1.6, 2.2), uniform(1.1, 1.6), uniform(0.25, 0.45), uniform(0.2, 0.4)
    parts = [box((side, d, h), (s * (w - side) / 2, 0, 0)) for s in (-1, 1)]
    parts += [
        box((w, d, side), (0, 0, (h - side) / 2)),
        box((w * uniform(1.05, 1.2), d * 1.3, 0.1), (0, 0, h / 2 + 0.05)),
    ]
    return parts + ([box((w * 1.1, d * 1.5, 0.08), (0, 0, -h / 2))] if coin_flip(uniform) else [])


def night_stand(uniform: Uniform) -> list[Mesh]:
    w, d, h = uniform(0.6, 0.9), uniform(0.5, 0.8), uniform(0.7, 1.0)
    drawers, leg = randint(uniform, 1, 2), uniform(0.1, 0.35)
    parts = [box((w, d, h)), box((w * 1.08, d * 1.08, 0.06), (0, 0, h / 2)), *_legs(uniform, w, d, h / 2 + leg)]
    for i in range(drawers):
        z = h * ((i + 0.5) / drawers - 0.5)
        parts += [
            box((w * 0.85, 0.06, h / drawers * 0.75), (0, -d / 2, z)),
            ellipsoid((0.05,) * 3, (0, -d / 2 - 0.07, z)),
        ]
    return parts


def range_hood(uniform: Uniform) -> list[Mesh]:
    w, d, h, pipe = uniform(1.2, 1.7), uniform(0.7, 1.0), uniform(0.2, 0.6), uniform(0.25, 0.45)
    low, high = np.array([w / 2, d / 2, 0]), np.array([pipe / 2, pipe / 2, h])
    signs = np.array([(-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1)])
    i, after = np.arange(4), np.roll(np.arange(4), -1)
    faces = np.concatenate([np.column_stack((i, after, after + 4)), np.column_stack((i, after + 4, i + 4))])
    hood = Mesh(np.concatenate([signs * low, signs * high]), faces)
    tall = uniform(0.6, 1.2)
    return [hood, box((pipe, pipe, tall), (0, 0, h + tall / 2)), box((w, d, 0.1), (0, 0, -0.05))]


def sink(uniform: Uniform) -> list[Mesh]:
    w, d, deep, rim = uniform(1.0, 1.5), uniform(0.8, 1.0), uniform(0.25, 0.45), uniform(0.06, 0.15)
    parts = [box((rim, d, deep), (s * (w - rim) / 2, 0, 0)) for s in (-1, 1)]
    parts += [box((w, rim, deep), (0, s * (d - rim) / 2, 0)) for s in (-1, 1)] + [box((w, d, 0.05), (0, 0, -deep / 2))]
    if coin_flip(uniform, 0.3):
        parts.append(box((rim, d, deep)))
    tap = uniform(0.3, 0.5)
    return [
        *parts,
        cylinder(0.04, tap, (0, d * 0.45, deep / 2 + tap / 2)),
        cylinder(0.03, 0.35, (0, d * 0.3, deep / 2 + tap), "y"),
    ]


def sofa(uniform: Uniform) -> list[Mesh]:
    w, d, h, arm = uniform(1.6, 2.4), uniform(0.8, 1.0), uniform(0.3, 0.5), uniform(0.15, 0.3)
    parts = [box((w, d, h)), box((w, 0.22, uniform(0.4, 0.7)), (0, d / 2 - 0.1, h * 0.9))]
    tall = h + uniform(0.15, 0.35)
    if coin_flip(uniform):
        parts += [box((arm, d, tall), (s * (w + arm) / 2, 0, (tall - h) / 2)) for s in (-1, 1)]
    else:
        parts += [cylinder(arm / 1.6, d, (s * (w + arm) / 2, 0, tall / 2), "y") for s in (-1, 1)]
    seats = randint(uniform, 2, 3)
    return parts + [
        box((w / seats * 0.94, d * 0.7, 0.14), (w * ((i + 0.5) / seats - 0.5), -0.1, h / 2 + 0.06))
        for i in range(seats)
    ]


def stairs(uniform: Uniform) -> list[Mesh]:
    steps, w, run, rise = randint(uniform, 4, 9), uniform(0.7, 1.2), uniform(0.2, 0.3), uniform(0.15, 0.25)
    solid = coin_flip(uniform)
    parts = []
    for i in range(steps):
        tall = rise * (i + 1) if solid else 0.06
        parts.append(box((w, run, tall), (0, i * run, rise * (i + 1) - tall / 2)))
    return parts


def stool(uniform: Uniform) -> list[Mesh]:
    r, h = uniform(0.35, 0.5), uniform(0.8, 1.3)
    spread, count = uniform(0.05, 0.3), randint(uniform, 3, 4)
    parts = [cylinder(r, uniform(0.06, 0.15))]
    for i in range(count):
        leg = rotate(cylinder(0.04, h, (0, 0, -h / 2)), -spread, "y", (r * 0.7, 0, 0))
        parts.append(rotate(leg, i * 2 * np.pi / count, "z"))
    return parts + ([torus(r * 0.7 + h * spread * 0.6, 0.025, (0, 0, -h * 0.6))] if coin_flip(uniform) else [])


def table(uniform: Uniform) -> list[Mesh]:
    w, d, h = uniform(1.2, 2.2), uniform(0.9, 1.3), uniform(0.5, 0.9)
    if coin_flip(uniform, 0.35):
        return [cylinder(d * 0.6, 0.07), cylinder(0.07, h, (0, 0, -h / 2)), cylinder(d * 0.35, 0.05, (0, 0, -h))]
    return [box((w, d, uniform(0.05, 0.12))), *_legs(uniform, w, d, h)]


def toilet(uniform: Uniform) -> list[Mesh]:
    r, h = uniform(0.35, 0.45), uniform(0.5, 0.7)
    basin = revolve([(0, 0), (r * 0.6, 0), (r * 0.5, h * 0.4), (r, h), (r * 0.8, h), (r * 0.4, h * 0.5), (0, h * 0.45)])
    long = uniform(1.1, 1.4)
    parts = [
        scale(basin, (1, long, 1)),
        box((r * 2, 0.3, uniform(0.5, 0.8)), (0, r * long + 0.1, h + 0.2)),
    ]
    lid = scale(cylinder(r, 0.05), (1, long, 1))
    if coin_flip(uniform):
        return [*parts, translate(lid, (0, 0, h + 0.04))]
    return [*parts, rotate(lid, -1.4, "x", (0, r * long * 0.7, h + r))]


def tv_stand(uniform: Uniform) -> list[Mesh]:
    w, d, h = uniform(1.7, 2.4), uniform(0.4, 0.6), uniform(0.4, 0.7)
    parts = _case(w, d, h) + _shelves(w, d, h, randint(uniform, 0, 1))
    parts += [box((0.05, d, h), (w * (i / 3 - 0.5), 0, 0)) for i in (1, 2)] if coin_flip(uniform, 0.7) else []
    return parts + (_legs(uniform, w, d, h / 2 + uniform(0.1, 0.25)) if coin_flip(uniform) else [])


def wardrobe(uniform: Uniform) -> list[Mesh]:
    w, d, h = uniform(1.0, 1.6), uniform(0.5, 0.7), uniform(1.8, 2.3)
    doors = randint(uniform, 2, 3)
    parts = [box((w, d, h)), box((w * 1.06, d * 1.06, 0.08), (0, 0, h / 2))]
    for i in range(doors):
        x = w * ((i + 0.5) / doors - 0.5)
        parts += [
            box((w / doors * 0.9, 0.05, h * 0.9), (x, -d / 2, 0)),
            box((0.04, 0.08, 0.2), (x + w / doors * 0.35, -d / 2 - 0.05, 0)),
        ]
    return parts
