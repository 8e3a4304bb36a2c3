"""Procedural furniture and fittings. Widths lie along x, depths along y; fronts face -y."""

import numpy as np

from mbcbench.datasets.shapes.random_choices import Draw, maybe, some
from mbcbench.datasets.shapes.solids import Mesh, ball, box, lathe, moved, ring, rod, scaled, tilted


def _legs(u: Draw, width: float, depth: float, height: float) -> list[Mesh]:
    """Four legs below z = 0, square or round, at the corners."""
    thick, inset = u(0.03, 0.08), u(0.05, 0.2)
    x, y = width / 2 - inset * width / 2, depth / 2 - inset * depth / 2
    places = [(sx * x, sy * y, -height / 2) for sx in (-1, 1) for sy in (-1, 1)]
    if maybe(u):
        return [rod(thick, height, at) for at in places]
    return [box((2 * thick, 2 * thick, height), at) for at in places]


def _case(width: float, depth: float, height: float, wall: float = 0.05) -> list[Mesh]:
    """A box open at the front: back, two sides, top and bottom."""
    sides = [box((wall, depth, height), (s * width / 2, 0, 0)) for s in (-1, 1)]
    lids = [box((width, depth, wall), (0, 0, s * height / 2)) for s in (-1, 1)]
    return [*sides, *lids, box((width, wall, height), (0, depth / 2, 0))]


def _shelves(width: float, depth: float, height: float, count: int) -> list[Mesh]:
    return [box((width, depth, 0.04), (0, 0, height * (i / (count + 1) - 0.5))) for i in range(1, count + 1)]


def bathtub(u: Draw) -> list[Mesh]:
    a, b, h, wall = u(0.8, 1.2), u(0.4, 0.6), u(0.4, 0.7), u(0.05, 0.12)
    shell = lathe([(0, 0), (0.8, 0), (1, h), (1 - wall, h), (0.75, wall), (0, wall)])
    parts = [scaled(shell, (a, b, 1))]
    if maybe(u):
        parts += [rod(0.03, 0.4, (a * 0.9, 0, h + 0.1)), rod(0.03, 0.2, (a * 0.8, 0, h + 0.3), "x")]
    return parts


def bed(u: Draw) -> list[Mesh]:
    w, d, h = u(1.0, 1.6), u(1.7, 2.1), u(0.2, 0.4)
    parts = [box((w, d, h)), box((w, 0.08, u(0.5, 1.0)), (0, d / 2, h)), *_legs(u, w, d, h / 2 + u(0.1, 0.3))]
    pillows = some(u, 1, 2)
    parts += [
        ball((w / 5, 0.18, 0.08), ((i - (pillows - 1) / 2) * w / 2, d / 2 - 0.3, h / 2 + 0.05)) for i in range(pillows)
    ]
    return parts + ([box((w, 0.06, 0.4), (0, -d / 2, h / 2))] if maybe(u) else [])


def bench(u: Draw) -> list[Mesh]:
    w, d, h = u(1.6, 2.4), u(0.4, 0.6), u(0.4, 0.6)
    slats = some(u, 2, 4)
    parts = [box((w, d / slats * 0.8, 0.05), (0, d * ((i + 0.5) / slats - 0.5), 0)) for i in range(slats)]
    if maybe(u, 0.6):
        parts += [box((w, 0.05, 0.12), (0, d / 2, z)) for z in (0.25, 0.45)]
    return [*parts, *(box((0.08, d, h), (s * w * 0.4, 0, -h / 2)) for s in (-1, 1))]


def bookshelf(u: Draw) -> list[Mesh]:
    w, d, h = u(0.7, 1.3), u(0.25, 0.45), u(1.6, 2.4)
    count = some(u, 3, 6)
    parts = _case(w, d, h) + _shelves(w, d, h, count)
    for i in range(count + 1):
        books, bottom = u(0.2, 0.9) * w, h * (i / (count + 1) - 0.5)
        parts.append(
            box((books, d * 0.7, h / (count + 1) * u(0.5, 0.9)), ((books - w) / 2, 0, bottom + 0.4 * h / (count + 1)))
        )
    return parts


def chair(u: Draw) -> list[Mesh]:
    w, d, h, back = u(0.7, 1.0), u(0.7, 1.0), u(0.5, 0.9), u(0.7, 1.2)
    parts = [box((w, d, u(0.05, 0.15))), *_legs(u, w, d, h)]
    parts.append(tilted(box((w, 0.06, back), (0, 0, back / 2)), -u(0, 0.25), "x", (0, d / 2, 0)))
    if maybe(u, 0.4):
        parts += [box((0.06, d, 0.06), (s * w / 2, 0, 0.3)) for s in (-1, 1)]
        parts += [box((0.06, 0.06, 0.3), (s * w / 2, -d * 0.45, 0.15)) for s in (-1, 1)]
    return parts


def curtain(u: Draw) -> list[Mesh]:
    w, h, waves, deep = u(1.4, 2.2), u(1.5, 2.2), u(3, 8), u(0.04, 0.12)
    x = np.linspace(-w / 2, w / 2, 60)
    y = deep * np.sin(x / w * 2 * np.pi * waves)
    vertices = np.concatenate([np.column_stack((x, y * k, np.full(60, z))) for k, z in ((1, 0.0), (u(0.5, 1.5), -h))])
    i = np.arange(59)
    faces = np.concatenate([np.column_stack((i, i + 1, i + 60)), np.column_stack((i + 1, i + 61, i + 60))])
    return [Mesh(vertices, faces)] + ([rod(0.04, w * 1.1, axis="x")] if maybe(u, 0.7) else [])


def desk(u: Draw) -> list[Mesh]:
    w, d, h = u(1.4, 2.0), u(0.6, 0.9), u(0.7, 0.9)
    drawers, side = u(0.3, 0.5), 1 if maybe(u) else -1
    parts = [box((w, d, 0.06)), box((drawers, d * 0.9, h), (side * (w - drawers) / 2, 0, -h / 2))]
    parts += [box((drawers * 0.8, 0.06, h / 4), (side * (w - drawers) / 2, -d * 0.47, -h * k)) for k in (0.25, 0.6)]
    if maybe(u):
        return [
            *parts,
            box((0.06, d * 0.9, h), (-side * w * 0.48, 0, -h / 2)),
            box((w, 0.04, h * 0.6), (0, d * 0.4, -h * 0.3)),
        ]
    return [*parts, *(box((0.07, 0.07, h), (-side * w * 0.46, s * d * 0.42, -h / 2)) for s in (-1, 1))]


def door(u: Draw) -> list[Mesh]:
    w, h, frame = u(0.8, 1.1), u(1.9, 2.3), u(0.06, 0.14)
    parts = [box((w, 0.06, h)), *(box((frame, 0.14, h), (s * (w + frame) / 2, 0, 0)) for s in (-1, 1))]
    parts += [box((w + 2 * frame, 0.14, frame), (0, 0, (h + frame) / 2)), ball((0.05, 0.08, 0.05), (w * 0.4, -0.06, 0))]
    panels = some(u, 0, 3)
    return parts + [
        box((w * 0.6, 0.1, h / panels * 0.6), (0, 0, h * ((i + 0.5) / panels - 0.5))) for i in range(panels)
    ]


def dresser(u: Draw) -> list[Mesh]:
    w, d, h = u(1.2, 1.7), u(0.5, 0.7), u(0.8, 1.2)
    rows, columns = some(u, 2, 4), some(u, 1, 2)
    parts = [box((w, d, h)), *_legs(u, w, d, h / 2 + u(0.05, 0.2))]
    for i in range(rows):
        for j in range(columns):
            x, z = w * ((j + 0.5) / columns - 0.5), h * ((i + 0.5) / rows - 0.5)
            parts += [
                box((w / columns * 0.85, 0.06, h / rows * 0.8), (x, -d / 2, z)),
                ball((0.04,) * 3, (x, -d / 2 - 0.06, z)),
            ]
    return parts


def mantel(u: Draw) -> list[Mesh]:
    w, h, d, side = u(1.6, 2.2), u(1.1, 1.6), u(0.25, 0.45), u(0.2, 0.4)
    parts = [box((side, d, h), (s * (w - side) / 2, 0, 0)) for s in (-1, 1)]
    parts += [box((w, d, side), (0, 0, (h - side) / 2)), box((w * u(1.05, 1.2), d * 1.3, 0.1), (0, 0, h / 2 + 0.05))]
    return parts + ([box((w * 1.1, d * 1.5, 0.08), (0, 0, -h / 2))] if maybe(u) else [])


def night_stand(u: Draw) -> list[Mesh]:
    w, d, h = u(0.6, 0.9), u(0.5, 0.8), u(0.7, 1.0)
    drawers, leg = some(u, 1, 2), u(0.1, 0.35)
    parts = [box((w, d, h)), box((w * 1.08, d * 1.08, 0.06), (0, 0, h / 2)), *_legs(u, w, d, h / 2 + leg)]
    for i in range(drawers):
        z = h * ((i + 0.5) / drawers - 0.5)
        parts += [box((w * 0.85, 0.06, h / drawers * 0.75), (0, -d / 2, z)), ball((0.05,) * 3, (0, -d / 2 - 0.07, z))]
    return parts


def range_hood(u: Draw) -> list[Mesh]:
    w, d, h, pipe = u(1.2, 1.7), u(0.7, 1.0), u(0.2, 0.6), u(0.25, 0.45)
    low, high = np.array([w / 2, d / 2, 0]), np.array([pipe / 2, pipe / 2, h])
    signs = np.array([(-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1)])
    i, after = np.arange(4), np.roll(np.arange(4), -1)
    faces = np.concatenate([np.column_stack((i, after, after + 4)), np.column_stack((i, after + 4, i + 4))])
    hood = Mesh(np.concatenate([signs * low, signs * high]), faces)
    tall = u(0.6, 1.2)
    return [hood, box((pipe, pipe, tall), (0, 0, h + tall / 2)), box((w, d, 0.1), (0, 0, -0.05))]


def sink(u: Draw) -> list[Mesh]:
    w, d, deep, rim = u(1.0, 1.5), u(0.8, 1.0), u(0.25, 0.45), u(0.06, 0.15)
    parts = [box((rim, d, deep), (s * (w - rim) / 2, 0, 0)) for s in (-1, 1)]
    parts += [box((w, rim, deep), (0, s * (d - rim) / 2, 0)) for s in (-1, 1)] + [box((w, d, 0.05), (0, 0, -deep / 2))]
    if maybe(u, 0.3):
        parts.append(box((rim, d, deep)))
    tap = u(0.3, 0.5)
    return [
        *parts,
        rod(0.04, tap, (0, d * 0.45, deep / 2 + tap / 2)),
        rod(0.03, 0.35, (0, d * 0.3, deep / 2 + tap), "y"),
    ]


def sofa(u: Draw) -> list[Mesh]:
    w, d, h, arm = u(1.6, 2.4), u(0.8, 1.0), u(0.3, 0.5), u(0.15, 0.3)
    parts = [box((w, d, h)), box((w, 0.22, u(0.4, 0.7)), (0, d / 2 - 0.1, h * 0.9))]
    tall = h + u(0.15, 0.35)
    if maybe(u):
        parts += [box((arm, d, tall), (s * (w + arm) / 2, 0, (tall - h) / 2)) for s in (-1, 1)]
    else:
        parts += [rod(arm / 1.6, d, (s * (w + arm) / 2, 0, tall / 2), "y") for s in (-1, 1)]
    seats = some(u, 2, 3)
    return parts + [
        box((w / seats * 0.94, d * 0.7, 0.14), (w * ((i + 0.5) / seats - 0.5), -0.1, h / 2 + 0.06))
        for i in range(seats)
    ]


def stairs(u: Draw) -> list[Mesh]:
    steps, w, run, rise = some(u, 4, 9), u(0.7, 1.2), u(0.2, 0.3), u(0.15, 0.25)
    solid = maybe(u)
    parts = []
    for i in range(steps):
        tall = rise * (i + 1) if solid else 0.06
        parts.append(box((w, run, tall), (0, i * run, rise * (i + 1) - tall / 2)))
    return parts


def stool(u: Draw) -> list[Mesh]:
    r, h = u(0.35, 0.5), u(0.8, 1.3)
    spread, count = u(0.05, 0.3), some(u, 3, 4)
    parts = [rod(r, u(0.06, 0.15))]
    for i in range(count):
        leg = tilted(rod(0.04, h, (0, 0, -h / 2)), -spread, "y", (r * 0.7, 0, 0))
        parts.append(tilted(leg, i * 2 * np.pi / count, "z"))
    return parts + ([ring(r * 0.7 + h * spread * 0.6, 0.025, (0, 0, -h * 0.6))] if maybe(u) else [])


def table(u: Draw) -> list[Mesh]:
    w, d, h = u(1.2, 2.2), u(0.9, 1.3), u(0.5, 0.9)
    if maybe(u, 0.35):
        return [rod(d * 0.6, 0.07), rod(0.07, h, (0, 0, -h / 2)), rod(d * 0.35, 0.05, (0, 0, -h))]
    return [box((w, d, u(0.05, 0.12))), *_legs(u, w, d, h)]


def toilet(u: Draw) -> list[Mesh]:
    r, h = u(0.35, 0.45), u(0.5, 0.7)
    basin = lathe([(0, 0), (r * 0.6, 0), (r * 0.5, h * 0.4), (r, h), (r * 0.8, h), (r * 0.4, h * 0.5), (0, h * 0.45)])
    long = u(1.1, 1.4)
    parts = [
        scaled(basin, (1, long, 1)),
        box((r * 2, 0.3, u(0.5, 0.8)), (0, r * long + 0.1, h + 0.2)),
    ]
    lid = scaled(rod(r, 0.05), (1, long, 1))
    if maybe(u):
        return [*parts, moved(lid, (0, 0, h + 0.04))]
    return [*parts, tilted(lid, -1.4, "x", (0, r * long * 0.7, h + r))]


def tv_stand(u: Draw) -> list[Mesh]:
    w, d, h = u(1.7, 2.4), u(0.4, 0.6), u(0.4, 0.7)
    parts = _case(w, d, h) + _shelves(w, d, h, some(u, 0, 1))
    parts += [box((0.05, d, h), (w * (i / 3 - 0.5), 0, 0)) for i in (1, 2)] if maybe(u, 0.7) else []
    return parts + (_legs(u, w, d, h / 2 + u(0.1, 0.25)) if maybe(u) else [])


def wardrobe(u: Draw) -> list[Mesh]:
    w, d, h = u(1.0, 1.6), u(0.5, 0.7), u(1.8, 2.3)
    doors = some(u, 2, 3)
    parts = [box((w, d, h)), box((w * 1.06, d * 1.06, 0.08), (0, 0, h / 2))]
    for i in range(doors):
        x = w * ((i + 0.5) / doors - 0.5)
        parts += [
            box((w / doors * 0.9, 0.05, h * 0.9), (x, -d / 2, 0)),
            box((0.04, 0.08, 0.2), (x + w / doors * 0.35, -d / 2 - 0.05, 0)),
        ]
    return parts
