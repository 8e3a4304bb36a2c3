"""Procedural vehicles, vessels, devices and what lives. Widths lie along x, depths along y; fronts face -y."""

import numpy as np

from mbcbench.datasets.shapes.random_choices import Draw, maybe, some
from mbcbench.datasets.shapes.solids import Mesh, ball, box, lathe, moved, prism, ring, rod, tilted


def airplane(u: Draw) -> list[Mesh]:
    length, span, chord = u(1.6, 2.4), u(1.4, 2.4), u(0.25, 0.5)
    radius = u(0.09, 0.18)
    tail = length / 2 - 0.15
    parts = [rod(radius, length, axis="y"), ball((radius, 0.3, radius), (0, -length / 2, 0))]
    parts += [box((span, chord, 0.04), (0, u(-0.2, 0.2), u(-0.08, 0.08)))]
    parts += [box((span * u(0.3, 0.45), chord * 0.6, 0.03), (0, tail, 0.05)), box((0.03, 0.3, 0.4), (0, tail, 0.25))]
    engines = some(u, 0, 2)
    return parts + [rod(0.07, 0.3, (s * span * 0.17 * (i + 1), 0, -0.1), "y") for i in range(engines) for s in (-1, 1)]


def bottle(u: Draw) -> list[Mesh]:
    r, neck, h, shoulder = u(0.25, 0.4), u(0.07, 0.13), u(1.5, 2.2), u(0.5, 0.7)
    top = h * (shoulder + u(0.08, 0.2))
    return [
        lathe(
            [
                (0, 0),
                (r, 0),
                (r, h * shoulder),
                (neck, top),
                (neck, h),
                (neck * 1.2, h),
                (neck * 1.2, h + 0.08),
                (0, h + 0.08),
            ]
        )
    ]


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
    body = [box((length, w, h)), moved(roof, (back, 0, h / 2))]
    return [tilted(part, np.pi / 2, "z") for part in (*body, *wheels)]


def traffic_cone(u: Draw) -> list[Mesh]:
    r, h, top = u(0.4, 0.7), u(1.2, 2.0), u(0.0, 0.1)
    parts = [lathe([(0, 0), (r, 0), (top, h), (0, h)])]
    return parts + ([box((2.4 * r, 2.4 * r, 0.08))] if maybe(u, 0.6) else [])


def cup(u: Draw) -> list[Mesh]:
    r, h, wall, flare = u(0.4, 0.6), u(0.7, 1.2), u(0.03, 0.08), u(0.75, 1.0)
    body = lathe([(0, 0), (r * flare, 0), (r, h), (r - wall, h), (r * flare - wall, wall), (0, wall)])
    return [body, ring(h * u(0.22, 0.32), u(0.03, 0.06), (r * 1.05, 0, h * 0.5), "y")]


def flower_pot(u: Draw) -> list[Mesh]:
    r, h, foot = u(0.4, 0.6), u(0.6, 0.9), u(0.6, 0.85)
    pot = lathe(
        [
            (0, 0),
            (r * foot, 0),
            (r, h),
            (r * 1.1, h),
            (r * 1.1, h + 0.1),
            (r * 0.9, h + 0.1),
            (r * 0.9, h * 0.9),
            (0, h * 0.9),
        ]
    )
    stems = some(u, 2, 5)
    parts = [pot]
    for _ in range(stems):
        x, y, tall = u(-0.3, 0.3), u(-0.3, 0.3), u(0.4, 0.9)
        parts += [rod(0.02, tall, (x, y, h + tall / 2)), ball((u(0.1, 0.2), u(0.1, 0.2), 0.08), (x, y, h + tall))]
    return parts


def glass_box(u: Draw) -> list[Mesh]:
    w, d, h, edge = u(0.8, 1.4), u(0.8, 1.4), u(0.8, 1.4), u(0.02, 0.06)
    parts = [box((w, d, edge), (0, 0, s * h / 2)) for s in ((-1, 1) if maybe(u) else (-1,))]
    parts += [box((edge, d, h), (s * w / 2, 0, 0)) for s in (-1, 1)]
    return parts + [box((w, edge, h), (0, s * d / 2, 0)) for s in (-1, 1)]


def guitar(u: Draw) -> list[Mesh]:
    deep, neck, r = u(0.08, 0.2), u(0.9, 1.3), u(0.35, 0.5)
    upper, gap = r * u(0.65, 0.85), r * u(0.9, 1.2)
    body = [rod(r, deep, axis="y"), rod(upper, deep, (0, 0, gap), "y")]
    top = gap + upper + neck
    return [
        *body,
        box((0.1, 0.06, neck + 0.2), (0, -deep / 2, top - neck / 2)),
        box((0.18, 0.06, 0.25), (0, -deep / 2, top + 0.1)),
    ]


def keyboard(u: Draw) -> list[Mesh]:
    w, d = u(1.8, 2.2), u(0.5, 0.8)
    rows, columns = some(u, 4, 6), some(u, 12, 16)
    size = (w / columns * 0.7, d / rows * 0.7, 0.06)
    places = [((j + 0.5) / columns - 0.5, (i + 0.5) / rows - 0.5) for i in range(rows) for j in range(columns)]
    one = box(size, (0, 0, 0.06))
    keys = [moved(one, (x * w * 0.95, y * d * 0.9, 0)) for x, y in places]
    return [box((w, d, u(0.05, 0.1))), *keys]


def lamp(u: Draw) -> list[Mesh]:
    h, r, shade, top = u(1.0, 2.0), u(0.25, 0.45), u(0.35, 0.6), u(0.4, 0.9)
    cover = lathe([(shade, 0), (shade * top, u(0.3, 0.6))], (0, 0, h))
    return [rod(r, 0.08), rod(u(0.02, 0.06), h, (0, 0, h / 2)), cover, ball((0.1, 0.1, 0.12), (0, 0, h + 0.1))]


def laptop(u: Draw) -> list[Mesh]:
    w, d, thick = u(1.2, 1.6), u(0.8, 1.1), u(0.04, 0.1)
    screen = box((w, thick, d), (0, 0, d / 2))
    return [
        box((w, d, thick)),
        tilted(screen, -u(0.0, 0.7), "x", (0, d / 2, 0)),
        box((w * 0.8, d * 0.4, 0.05), (0, d * 0.1, thick / 2)),
    ]


def monitor(u: Draw) -> list[Mesh]:
    w, h, stand = u(1.3, 2.0), u(0.8, 1.2), u(0.2, 0.5)
    parts = [box((w, u(0.05, 0.2), h)), box((w * 0.9, 0.03, h * 0.85), (0, -0.1, 0))]
    parts.append(rod(u(0.04, 0.1), stand, (0, 0, -(h + stand) / 2)))
    foot = -h / 2 - stand
    return [*parts, rod(u(0.25, 0.4), 0.05, (0, 0, foot)) if maybe(u) else box((u(0.5, 0.8), 0.4, 0.05), (0, 0, foot))]


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
    return parts + ([box((0.7, 0.3, 0.06), (0, -d / 2 - 0.7, -h * 0.2))] if maybe(u, 0.4) else [])


def plant(u: Draw) -> list[Mesh]:
    r, h = u(0.2, 0.35), u(0.3, 0.5)
    parts = [lathe([(0, 0), (r * 0.8, 0), (r, h), (0, h)])]
    for i in range(some(u, 6, 12)):
        long, bend = u(0.5, 1.1), u(0.2, 1.2)
        leaf = tilted(ball((0.09, 0.02, long / 2), (0, 0, long / 2)), bend, "x")
        parts.append(tilted(leaf, i * 2.4 + u(0, 0.6), "z", (0, 0, h)))
    return parts


def radio(u: Draw) -> list[Mesh]:
    w, d, h = u(1.2, 1.7), u(0.3, 0.5), u(0.7, 1.0)
    parts = [box((w, d, h))]
    parts += [rod(h * u(0.22, 0.32), 0.08, (s * w * 0.27, -d / 2, 0), "y") for s in ((-1, 1) if maybe(u) else (-1,))]
    if maybe(u, 0.6):
        parts.append(tilted(rod(0.02, u(0.6, 1.0), (0, 0, 0.4)), u(-0.6, 0.6), "y", (w * 0.4, 0, h / 2)))
    return parts + ([tilted(ring(w * 0.3, 0.03), np.pi / 2, "x", (0, 0, h / 2))] if maybe(u, 0.6) else [])


def tent(u: Draw) -> list[Mesh]:
    w, d, h = u(1.2, 1.8), u(1.4, 2.2), u(0.8, 1.3)
    if maybe(u, 0.4):
        return [ball((w / 2, w / 2, h)), box((w * 0.5, d * 0.5, 0.04))]
    return [prism([(-w / 2, 0), (w / 2, 0), (u(-0.1, 0.1), h)], d), box((w * 1.1, d * 1.1, 0.03))]


def vase(u: Draw) -> list[Mesh]:
    h, foot, belly, neck, lip = u(1.2, 1.9), u(0.2, 0.3), u(0.35, 0.6), u(0.12, 0.25), u(0.2, 0.4)
    outer = [(foot, 0), (belly, h * u(0.25, 0.5)), (neck, h * 0.8), (lip, h)]
    heights = np.linspace(0, h, 10)
    radii = np.interp(heights, [z for _, z in outer], [r for r, _ in outer])
    return [lathe([(0, 0), *zip(radii, heights, strict=True), (lip * 0.85, h), (neck * 0.7, h * 0.8), (0, h * 0.7)])]


def xbox(u: Draw) -> list[Mesh]:
    w, d, h = u(1.0, 1.4), u(0.9, 1.2), u(0.2, 0.4)
    parts = [
        box((w, d, h)),
        box((w * 0.5, 0.04, h * 0.25), (-w * 0.1, -d / 2, h * 0.1)),
        rod(h * 0.15, 0.05, (w * 0.35, -d / 2, 0), "y"),
    ]
    if maybe(u):
        parts.append(rod(min(w, d) * 0.3, 0.04, (0, 0, h / 2)))
    return [tilted(part, np.pi / 2, "y") for part in parts] if maybe(u, 0.4) else parts
