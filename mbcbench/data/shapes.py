"""Forty classes of procedural shapes, with the names of ModelNet40's classes: what each is made of.

A shape is a function of `u`, which draws a number between two bounds. Widths lie along x, depths along y; fronts face -y.
Lengths are in units of about half the object. What makes a class is its parts; their proportions vary, some parts may
be missing, and `cad` bends the whole.
"""

from collections.abc import Callable, Sequence

import numpy as np

from mbcbench.data.solids import Mesh, ball, box, cone, lathe, prism, ring, rod, tilted

Draw = Callable[[float, float], float]
Shape = Callable[[Draw], Sequence[Mesh]]


def _maybe(u: Draw, chance: float = 0.5) -> bool:
    return u(0, 1) < chance


def _some(u: Draw, least: int, most: int) -> int:
    """A whole number, both bounds included."""
    return int(u(least, most + 1))


def _legs(u: Draw, width: float, depth: float, height: float) -> list[Mesh]:
    """Four legs below z = 0, square or round, at the corners."""
    thick, inset = u(0.03, 0.08), u(0.05, 0.2)
    x, y = width / 2 - inset * width / 2, depth / 2 - inset * depth / 2
    places = [(sx * x, sy * y, -height / 2) for sx in (-1, 1) for sy in (-1, 1)]
    if _maybe(u):
        return [rod(thick, height, at) for at in places]
    return [box((2 * thick, 2 * thick, height), at) for at in places]


def _case(width: float, depth: float, height: float, wall: float = 0.05) -> list[Mesh]:
    """A box open at the front: back, two sides, top and bottom."""
    sides = [box((wall, depth, height), (s * width / 2, 0, 0)) for s in (-1, 1)]
    lids = [box((width, depth, wall), (0, 0, s * height / 2)) for s in (-1, 1)]
    return [*sides, *lids, box((width, wall, height), (0, depth / 2, 0))]


def _shelves(width: float, depth: float, height: float, count: int) -> list[Mesh]:
    return [box((width, depth, 0.04), (0, 0, height * (i / (count + 1) - 0.5))) for i in range(1, count + 1)]


def airplane(u: Draw) -> list[Mesh]:
    length, span, chord = u(1.6, 2.4), u(1.4, 2.4), u(0.25, 0.5)
    radius = u(0.09, 0.18)
    tail = length / 2 - 0.15
    parts = [rod(radius, length, axis="y"), ball((radius, 0.3, radius), (0, -length / 2, 0))]
    parts += [box((span, chord, 0.04), (0, u(-0.2, 0.2), u(-0.08, 0.08)))]
    parts += [box((span * u(0.3, 0.45), chord * 0.6, 0.03), (0, tail, 0.05)), box((0.03, 0.3, 0.4), (0, tail, 0.25))]
    engines = _some(u, 0, 2)
    return parts + [rod(0.07, 0.3, (s * span * 0.17 * (i + 1), 0, -0.1), "y") for i in range(engines) for s in (-1, 1)]


def bathtub(u: Draw) -> list[Mesh]:
    a, b, h, wall = u(0.8, 1.2), u(0.4, 0.6), u(0.4, 0.7), u(0.05, 0.12)
    shell = lathe([(0, 0), (0.8, 0), (1, h), (1 - wall, h), (0.75, wall), (0, wall)])
    parts = [Mesh(shell.vertices * (a, b, 1), shell.faces)]
    if _maybe(u):
        parts += [rod(0.03, 0.4, (a * 0.9, 0, h + 0.1)), rod(0.03, 0.2, (a * 0.8, 0, h + 0.3), "x")]
    return parts


def bed(u: Draw) -> list[Mesh]:
    w, d, h = u(1.0, 1.6), u(1.7, 2.1), u(0.2, 0.4)
    parts = [box((w, d, h)), box((w, 0.08, u(0.5, 1.0)), (0, d / 2, h)), *_legs(u, w, d, h / 2 + u(0.1, 0.3))]
    pillows = _some(u, 1, 2)
    parts += [ball((w / 5, 0.18, 0.08), ((i - (pillows - 1) / 2) * w / 2, d / 2 - 0.3, h / 2 + 0.05)) for i in range(pillows)]
    return parts + ([box((w, 0.06, 0.4), (0, -d / 2, h / 2))] if _maybe(u) else [])


def bench(u: Draw) -> list[Mesh]:
    w, d, h = u(1.6, 2.4), u(0.4, 0.6), u(0.4, 0.6)
    slats = _some(u, 2, 4)
    parts = [box((w, d / slats * 0.8, 0.05), (0, d * ((i + 0.5) / slats - 0.5), 0)) for i in range(slats)]
    if _maybe(u, 0.6):
        parts += [box((w, 0.05, 0.12), (0, d / 2, z)) for z in (0.25, 0.45)]
    return [*parts, *(box((0.08, d, h), (s * w * 0.4, 0, -h / 2)) for s in (-1, 1))]


def bookshelf(u: Draw) -> list[Mesh]:
    w, d, h = u(0.7, 1.3), u(0.25, 0.45), u(1.6, 2.4)
    count = _some(u, 3, 6)
    parts = _case(w, d, h) + _shelves(w, d, h, count)
    for i in range(count + 1):
        books, bottom = u(0.2, 0.9) * w, h * (i / (count + 1) - 0.5)
        parts.append(box((books, d * 0.7, h / (count + 1) * u(0.5, 0.9)), ((books - w) / 2, 0, bottom + 0.4 * h / (count + 1))))
    return parts


def bottle(u: Draw) -> list[Mesh]:
    r, neck, h, shoulder = u(0.25, 0.4), u(0.07, 0.13), u(1.5, 2.2), u(0.5, 0.7)
    top = h * (shoulder + u(0.08, 0.2))
    return [lathe([(0, 0), (r, 0), (r, h * shoulder), (neck, top), (neck, h), (neck * 1.2, h), (neck * 1.2, h + 0.08), (0, h + 0.08)])]


def bowl(u: Draw) -> list[Mesh]:
    h, wall, foot = u(0.4, 0.9), u(0.03, 0.1), u(0.3, 0.5)
    angles = np.linspace(0, np.pi / 2, 7)
    outer = [(foot + (1 - foot) * np.sin(t), h * (1 - np.cos(t))) for t in angles]
    inner = [(max(r - wall, 0), max(z, wall)) for r, z in reversed(outer)]
    return [lathe([(0, 0), *outer, *inner, (0, wall)])]


def car(u: Draw) -> list[Mesh]:
    length, w, h = u(1.9, 2.4), u(0.8, 1.0), u(0.25, 0.4)
    cabin, back = u(0.8, 1.3), u(-0.1, 0.3)
    slope = u(0.1, 0.35)
    roof = prism([(-cabin / 2, 0), (cabin / 2, 0), (cabin / 2 - slope, 0.4), (-cabin / 2 + slope, 0.4)], w * 0.9)
    r = u(0.17, 0.24)
    wheels = [rod(r, 0.15, (sx * length * 0.32, sy * w / 2, -h / 2), "y") for sx in (-1, 1) for sy in (-1, 1)]
    body = [box((length, w, h)), Mesh(roof.vertices + (back, 0, h / 2), roof.faces)]
    return [tilted(part, np.pi / 2, "z") for part in (*body, *wheels)]


def chair(u: Draw) -> list[Mesh]:
    w, d, h, back = u(0.7, 1.0), u(0.7, 1.0), u(0.5, 0.9), u(0.7, 1.2)
    parts = [box((w, d, u(0.05, 0.15))), *_legs(u, w, d, h)]
    parts.append(tilted(box((w, 0.06, back), (0, 0, back / 2)), -u(0, 0.25), "x", (0, d / 2, 0)))
    if _maybe(u, 0.4):
        parts += [box((0.06, d, 0.06), (s * w / 2, 0, 0.3)) for s in (-1, 1)]
        parts += [box((0.06, 0.06, 0.3), (s * w / 2, -d * 0.45, 0.15)) for s in (-1, 1)]
    return parts


def traffic_cone(u: Draw) -> list[Mesh]:
    r, h, top = u(0.4, 0.7), u(1.2, 2.0), u(0.0, 0.1)
    parts = [lathe([(0, 0), (r, 0), (top, h), (0, h)])]
    return parts + ([box((2.4 * r, 2.4 * r, 0.08))] if _maybe(u, 0.6) else [])


def cup(u: Draw) -> list[Mesh]:
    r, h, wall, flare = u(0.4, 0.6), u(0.7, 1.2), u(0.03, 0.08), u(0.75, 1.0)
    body = lathe([(0, 0), (r * flare, 0), (r, h), (r - wall, h), (r * flare - wall, wall), (0, wall)])
    return [body, ring(h * u(0.22, 0.32), u(0.03, 0.06), (r * 1.05, 0, h * 0.5), "y")]


def curtain(u: Draw) -> list[Mesh]:
    w, h, waves, deep = u(1.4, 2.2), u(1.5, 2.2), u(3, 8), u(0.04, 0.12)
    x = np.linspace(-w / 2, w / 2, 60)
    y = deep * np.sin(x / w * 2 * np.pi * waves)
    vertices = np.concatenate([np.column_stack((x, y * k, np.full(60, z))) for k, z in ((1, 0.0), (u(0.5, 1.5), -h))])
    i = np.arange(59)
    faces = np.concatenate([np.column_stack((i, i + 1, i + 60)), np.column_stack((i + 1, i + 61, i + 60))])
    return [Mesh(vertices, faces)] + ([rod(0.04, w * 1.1, axis="x")] if _maybe(u, 0.7) else [])


def desk(u: Draw) -> list[Mesh]:
    w, d, h = u(1.4, 2.0), u(0.6, 0.9), u(0.7, 0.9)
    drawers, side = u(0.3, 0.5), 1 if _maybe(u) else -1
    parts = [box((w, d, 0.06)), box((drawers, d * 0.9, h), (side * (w - drawers) / 2, 0, -h / 2))]
    parts += [box((drawers * 0.8, 0.06, h / 4), (side * (w - drawers) / 2, -d * 0.47, -h * k)) for k in (0.25, 0.6)]
    if _maybe(u):
        return [*parts, box((0.06, d * 0.9, h), (-side * w * 0.48, 0, -h / 2)), box((w, 0.04, h * 0.6), (0, d * 0.4, -h * 0.3))]
    return [*parts, *(box((0.07, 0.07, h), (-side * w * 0.46, s * d * 0.42, -h / 2)) for s in (-1, 1))]


def door(u: Draw) -> list[Mesh]:
    w, h, frame = u(0.8, 1.1), u(1.9, 2.3), u(0.06, 0.14)
    parts = [box((w, 0.06, h)), *(box((frame, 0.14, h), (s * (w + frame) / 2, 0, 0)) for s in (-1, 1))]
    parts += [box((w + 2 * frame, 0.14, frame), (0, 0, (h + frame) / 2)), ball((0.05, 0.08, 0.05), (w * 0.4, -0.06, 0))]
    panels = _some(u, 0, 3)
    return parts + [box((w * 0.6, 0.1, h / panels * 0.6), (0, 0, h * ((i + 0.5) / panels - 0.5))) for i in range(panels)]


def dresser(u: Draw) -> list[Mesh]:
    w, d, h = u(1.2, 1.7), u(0.5, 0.7), u(0.8, 1.2)
    rows, columns = _some(u, 2, 4), _some(u, 1, 2)
    parts = [box((w, d, h)), *_legs(u, w, d, h / 2 + u(0.05, 0.2))]
    for i in range(rows):
        for j in range(columns):
            x, z = w * ((j + 0.5) / columns - 0.5), h * ((i + 0.5) / rows - 0.5)
            parts += [box((w / columns * 0.85, 0.06, h / rows * 0.8), (x, -d / 2, z)), ball((0.04,) * 3, (x, -d / 2 - 0.06, z))]
    return parts


def flower_pot(u: Draw) -> list[Mesh]:
    r, h, foot = u(0.4, 0.6), u(0.6, 0.9), u(0.6, 0.85)
    pot = lathe([(0, 0), (r * foot, 0), (r, h), (r * 1.1, h), (r * 1.1, h + 0.1), (r * 0.9, h + 0.1), (r * 0.9, h * 0.9), (0, h * 0.9)])
    stems = _some(u, 2, 5)
    parts = [pot]
    for _ in range(stems):
        x, y, tall = u(-0.3, 0.3), u(-0.3, 0.3), u(0.4, 0.9)
        parts += [rod(0.02, tall, (x, y, h + tall / 2)), ball((u(0.1, 0.2), u(0.1, 0.2), 0.08), (x, y, h + tall))]
    return parts


def glass_box(u: Draw) -> list[Mesh]:
    w, d, h, edge = u(0.8, 1.4), u(0.8, 1.4), u(0.8, 1.4), u(0.02, 0.06)
    parts = [box((w, d, edge), (0, 0, s * h / 2)) for s in ((-1, 1) if _maybe(u) else (-1,))]
    parts += [box((edge, d, h), (s * w / 2, 0, 0)) for s in (-1, 1)]
    return parts + [box((w, edge, h), (0, s * d / 2, 0)) for s in (-1, 1)]


def guitar(u: Draw) -> list[Mesh]:
    deep, neck, r = u(0.08, 0.2), u(0.9, 1.3), u(0.35, 0.5)
    upper, gap = r * u(0.65, 0.85), r * u(0.9, 1.2)
    body = [rod(r, deep, axis="y"), rod(upper, deep, (0, 0, gap), "y")]
    top = gap + upper + neck
    return [*body, box((0.1, 0.06, neck + 0.2), (0, -deep / 2, top - neck / 2)), box((0.18, 0.06, 0.25), (0, -deep / 2, top + 0.1))]


def keyboard(u: Draw) -> list[Mesh]:
    w, d = u(1.8, 2.2), u(0.5, 0.8)
    rows, columns = _some(u, 4, 6), _some(u, 12, 16)
    size = (w / columns * 0.7, d / rows * 0.7, 0.06)
    places = [((j + 0.5) / columns - 0.5, (i + 0.5) / rows - 0.5) for i in range(rows) for j in range(columns)]
    one = box(size, (0, 0, 0.06))
    keys = [Mesh(one.vertices + (x * w * 0.95, y * d * 0.9, 0), one.faces) for x, y in places]
    return [box((w, d, u(0.05, 0.1))), *keys]


def lamp(u: Draw) -> list[Mesh]:
    h, r, shade, top = u(1.0, 2.0), u(0.25, 0.45), u(0.35, 0.6), u(0.4, 0.9)
    cover = lathe([(shade, 0), (shade * top, u(0.3, 0.6))], (0, 0, h))
    return [rod(r, 0.08), rod(u(0.02, 0.06), h, (0, 0, h / 2)), cover, ball((0.1, 0.1, 0.12), (0, 0, h + 0.1))]


def laptop(u: Draw) -> list[Mesh]:
    w, d, thick = u(1.2, 1.6), u(0.8, 1.1), u(0.04, 0.1)
    screen = box((w, thick, d), (0, 0, d / 2))
    return [box((w, d, thick)), tilted(screen, -u(0.0, 0.7), "x", (0, d / 2, 0)), box((w * 0.8, d * 0.4, 0.05), (0, d * 0.1, thick / 2))]


def mantel(u: Draw) -> list[Mesh]:
    w, h, d, side = u(1.6, 2.2), u(1.1, 1.6), u(0.25, 0.45), u(0.2, 0.4)
    parts = [box((side, d, h), (s * (w - side) / 2, 0, 0)) for s in (-1, 1)]
    parts += [box((w, d, side), (0, 0, (h - side) / 2)), box((w * u(1.05, 1.2), d * 1.3, 0.1), (0, 0, h / 2 + 0.05))]
    return parts + ([box((w * 1.1, d * 1.5, 0.08), (0, 0, -h / 2))] if _maybe(u) else [])


def monitor(u: Draw) -> list[Mesh]:
    w, h, stand = u(1.3, 2.0), u(0.8, 1.2), u(0.2, 0.5)
    parts = [box((w, u(0.05, 0.2), h)), box((w * 0.9, 0.03, h * 0.85), (0, -0.1, 0))]
    parts.append(rod(u(0.04, 0.1), stand, (0, 0, -(h + stand) / 2)))
    foot = -h / 2 - stand
    return [*parts, rod(u(0.25, 0.4), 0.05, (0, 0, foot)) if _maybe(u) else box((u(0.5, 0.8), 0.4, 0.05), (0, 0, foot))]


def night_stand(u: Draw) -> list[Mesh]:
    w, d, h = u(0.6, 0.9), u(0.5, 0.8), u(0.7, 1.0)
    drawers, leg = _some(u, 1, 2), u(0.1, 0.35)
    parts = [box((w, d, h)), box((w * 1.08, d * 1.08, 0.06), (0, 0, h / 2)), *_legs(u, w, d, h / 2 + leg)]
    for i in range(drawers):
        z = h * ((i + 0.5) / drawers - 0.5)
        parts += [box((w * 0.85, 0.06, h / drawers * 0.75), (0, -d / 2, z)), ball((0.05,) * 3, (0, -d / 2 - 0.07, z))]
    return parts


def person(u: Draw) -> list[Mesh]:
    torso, leg, arm = u(0.6, 0.8), u(0.8, 1.0), u(0.6, 0.8)
    stride, lift = u(0.0, 0.5), u(0.0, 1.3)
    parts = [ball((u(0.2, 0.3), 0.15, torso / 2)), ball((0.13, 0.14, 0.17), (0, 0, torso / 2 + 0.2))]
    for s in (-1, 1):
        limb = rod(0.07, arm, (0, 0, -arm / 2))
        parts.append(tilted(limb, -s * (0.15 + lift), "y", (s * 0.25, 0, torso * 0.4)))
        parts.append(tilted(rod(0.09, leg, (0, 0, -leg / 2)), s * stride, "x", (s * 0.12, 0, -torso * 0.4)))
    return parts


def piano(u: Draw) -> list[Mesh]:
    w, d, h = u(1.4, 1.8), u(0.4, 0.6), u(1.0, 1.4)
    parts = [box((w, d, h)), box((w, 0.35, 0.1), (0, -d / 2 - 0.15, -h * u(0.0, 0.15)))]
    parts += [box((0.1, 0.1, h * 0.45), (s * w * 0.45, -d / 2 - 0.25, -h * 0.28)) for s in (-1, 1)]
    return parts + ([box((0.7, 0.3, 0.06), (0, -d / 2 - 0.7, -h * 0.2))] if _maybe(u, 0.4) else [])


def plant(u: Draw) -> list[Mesh]:
    r, h = u(0.2, 0.35), u(0.3, 0.5)
    parts = [lathe([(0, 0), (r * 0.8, 0), (r, h), (0, h)])]
    for i in range(_some(u, 6, 12)):
        long, bend = u(0.5, 1.1), u(0.2, 1.2)
        leaf = tilted(ball((0.09, 0.02, long / 2), (0, 0, long / 2)), bend, "x")
        parts.append(tilted(leaf, i * 2.4 + u(0, 0.6), "z", (0, 0, h)))
    return parts


def radio(u: Draw) -> list[Mesh]:
    w, d, h = u(1.2, 1.7), u(0.3, 0.5), u(0.7, 1.0)
    parts = [box((w, d, h))]
    parts += [rod(h * u(0.22, 0.32), 0.08, (s * w * 0.27, -d / 2, 0), "y") for s in ((-1, 1) if _maybe(u) else (-1,))]
    if _maybe(u, 0.6):
        parts.append(tilted(rod(0.02, u(0.6, 1.0), (0, 0, 0.4)), u(-0.6, 0.6), "y", (w * 0.4, 0, h / 2)))
    return parts + ([tilted(ring(w * 0.3, 0.03), np.pi / 2, "x", (0, 0, h / 2))] if _maybe(u, 0.6) else [])


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
    if _maybe(u, 0.3):
        parts.append(box((rim, d, deep)))
    tap = u(0.3, 0.5)
    return [*parts, rod(0.04, tap, (0, d * 0.45, deep / 2 + tap / 2)), rod(0.03, 0.35, (0, d * 0.3, deep / 2 + tap), "y")]


def sofa(u: Draw) -> list[Mesh]:
    w, d, h, arm = u(1.6, 2.4), u(0.8, 1.0), u(0.3, 0.5), u(0.15, 0.3)
    parts = [box((w, d, h)), box((w, 0.22, u(0.4, 0.7)), (0, d / 2 - 0.1, h * 0.9))]
    tall = h + u(0.15, 0.35)
    if _maybe(u):
        parts += [box((arm, d, tall), (s * (w + arm) / 2, 0, (tall - h) / 2)) for s in (-1, 1)]
    else:
        parts += [rod(arm / 1.6, d, (s * (w + arm) / 2, 0, tall / 2), "y") for s in (-1, 1)]
    seats = _some(u, 2, 3)
    return parts + [box((w / seats * 0.94, d * 0.7, 0.14), (w * ((i + 0.5) / seats - 0.5), -0.1, h / 2 + 0.06)) for i in range(seats)]


def stairs(u: Draw) -> list[Mesh]:
    steps, w, run, rise = _some(u, 4, 9), u(0.7, 1.2), u(0.2, 0.3), u(0.15, 0.25)
    solid = _maybe(u)
    parts = []
    for i in range(steps):
        tall = rise * (i + 1) if solid else 0.06
        parts.append(box((w, run, tall), (0, i * run, rise * (i + 1) - tall / 2)))
    return parts


def stool(u: Draw) -> list[Mesh]:
    r, h = u(0.35, 0.5), u(0.8, 1.3)
    spread, count = u(0.05, 0.3), _some(u, 3, 4)
    parts = [rod(r, u(0.06, 0.15))]
    for i in range(count):
        leg = tilted(rod(0.04, h, (0, 0, -h / 2)), -spread, "y", (r * 0.7, 0, 0))
        parts.append(tilted(leg, i * 2 * np.pi / count, "z"))
    return parts + ([ring(r * 0.7 + h * spread * 0.6, 0.025, (0, 0, -h * 0.6))] if _maybe(u) else [])


def table(u: Draw) -> list[Mesh]:
    w, d, h = u(1.2, 2.2), u(0.9, 1.3), u(0.5, 0.9)
    if _maybe(u, 0.35):
        return [rod(d * 0.6, 0.07), rod(0.07, h, (0, 0, -h / 2)), rod(d * 0.35, 0.05, (0, 0, -h))]
    return [box((w, d, u(0.05, 0.12))), *_legs(u, w, d, h)]


def tent(u: Draw) -> list[Mesh]:
    w, d, h = u(1.2, 1.8), u(1.4, 2.2), u(0.8, 1.3)
    if _maybe(u, 0.4):
        return [ball((w / 2, w / 2, h)), box((w * 0.5, d * 0.5, 0.04))]
    return [prism([(-w / 2, 0), (w / 2, 0), (u(-0.1, 0.1), h)], d), box((w * 1.1, d * 1.1, 0.03))]


def toilet(u: Draw) -> list[Mesh]:
    r, h = u(0.35, 0.45), u(0.5, 0.7)
    bowl_ = lathe([(0, 0), (r * 0.6, 0), (r * 0.5, h * 0.4), (r, h), (r * 0.8, h), (r * 0.4, h * 0.5), (0, h * 0.45)])
    long = u(1.1, 1.4)
    parts = [Mesh(bowl_.vertices * (1, long, 1), bowl_.faces), box((r * 2, 0.3, u(0.5, 0.8)), (0, r * long + 0.1, h + 0.2))]
    lid = Mesh(rod(r, 0.05).vertices * (1, long, 1), rod(r, 0.05).faces)
    if _maybe(u):
        return [*parts, Mesh(lid.vertices + (0, 0, h + 0.04), lid.faces)]
    return [*parts, tilted(lid, -1.4, "x", (0, r * long * 0.7, h + r))]


def tv_stand(u: Draw) -> list[Mesh]:
    w, d, h = u(1.7, 2.4), u(0.4, 0.6), u(0.4, 0.7)
    parts = _case(w, d, h) + _shelves(w, d, h, _some(u, 0, 1))
    parts += [box((0.05, d, h), (w * (i / 3 - 0.5), 0, 0)) for i in (1, 2)] if _maybe(u, 0.7) else []
    return parts + (_legs(u, w, d, h / 2 + u(0.1, 0.25)) if _maybe(u) else [])


def vase(u: Draw) -> list[Mesh]:
    h, foot, belly, neck, lip = u(1.2, 1.9), u(0.2, 0.3), u(0.35, 0.6), u(0.12, 0.25), u(0.2, 0.4)
    outer = [(foot, 0), (belly, h * u(0.25, 0.5)), (neck, h * 0.8), (lip, h)]
    heights = np.linspace(0, h, 10)
    radii = np.interp(heights, [z for _, z in outer], [r for r, _ in outer])
    return [lathe([(0, 0), *zip(radii, heights, strict=True), (lip * 0.85, h), (neck * 0.7, h * 0.8), (0, h * 0.7)])]


def wardrobe(u: Draw) -> list[Mesh]:
    w, d, h = u(1.0, 1.6), u(0.5, 0.7), u(1.8, 2.3)
    doors = _some(u, 2, 3)
    parts = [box((w, d, h)), box((w * 1.06, d * 1.06, 0.08), (0, 0, h / 2))]
    for i in range(doors):
        x = w * ((i + 0.5) / doors - 0.5)
        parts += [box((w / doors * 0.9, 0.05, h * 0.9), (x, -d / 2, 0)), box((0.04, 0.08, 0.2), (x + w / doors * 0.35, -d / 2 - 0.05, 0))]
    return parts


def xbox(u: Draw) -> list[Mesh]:
    w, d, h = u(1.0, 1.4), u(0.9, 1.2), u(0.2, 0.4)
    parts = [box((w, d, h)), box((w * 0.5, 0.04, h * 0.25), (-w * 0.1, -d / 2, h * 0.1)), rod(h * 0.15, 0.05, (w * 0.35, -d / 2, 0), "y")]
    if _maybe(u):
        parts.append(rod(min(w, d) * 0.3, 0.04, (0, 0, h / 2)))
    return [tilted(part, np.pi / 2, "y") for part in parts] if _maybe(u, 0.4) else parts


SHAPES: dict[str, Shape] = {
    shape.__name__.removeprefix("traffic_"): shape
    for shape in (
        airplane, bathtub, bed, bench, bookshelf, bottle, bowl, car, chair, traffic_cone, cup, curtain, desk, door,
        dresser, flower_pot, glass_box, guitar, keyboard, lamp, laptop, mantel, monitor, night_stand, person, piano,
        plant, radio, range_hood, sink, sofa, stairs, stool, table, tent, toilet, tv_stand, vase, wardrobe, xbox,
    )
}  # fmt: skip
