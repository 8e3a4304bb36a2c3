"""Procedural vehicles, containers, devices, people and plants.

w, d and h are width (along x), depth (along y) and height (along z), r is a radius, s a side (-1 or 1). Fronts face -y.
"""

import numpy as np

from mbcbench.datasets.shapes.random_choices import Uniform, coin_flip, randint
from mbcbench.datasets.shapes.solids import Mesh, box, cylinder, ellipsoid, prism, revolve, rotate, torus, translate


def airplane(uniform: Uniform) -> list[Mesh]:
    length, span, chord = uniform(1.6, 2.4), uniform(1.4, 2.4), uniform(0.25, 0.5)
    radius = uniform(0.09, 0.18)
    tail = length / 2 - 0.15
    parts = [cylinder(radius, length, axis="y"), ellipsoid((radius, 0.3, radius), (0, -length / 2, 0))]
    parts += [box((span, chord, 0.04), (0, uniform(-0.2, 0.2), uniform(-0.08, 0.08)))]
    parts += [
        box((span * uniform(0.3, 0.45), chord * 0.6, 0.03), (0, tail, 0.05)),
        box((0.03, 0.3, 0.4), (0, tail, 0.25)),
    ]
    engines = randint(uniform, 0, 2)
    return parts + [
        cylinder(0.07, 0.3, (s * span * 0.17 * (i + 1), 0, -0.1), "y") for i in range(engines) for s in (-1, 1)
    ]


def bottle(uniform: Uniform) -> list[Mesh]:
    r, neck, h, shoulder = uniform(0.25, 0.4), uniform(0.07, 0.13), uniform(1.5, 2.2), uniform(0.5, 0.7)
    top = h * (shoulder + uniform(0.08, 0.2))
    return [
        revolve(
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


def bowl(uniform: Uniform) -> list[Mesh]:
    h, wall, foot = uniform(0.4, 0.9), uniform(0.03, 0.1), uniform(0.3, 0.5)
    angles = np.linspace(0, np.pi / 2, 7)
    outer = [(foot + (1 - foot) * np.sin(t), h * (1 - np.cos(t))) for t in angles]
    inner = [(max(r - wall, 0), max(z, wall)) for r, z in reversed(outer)]
    return [revolve([(0, 0), *outer, *inner, (0, wall)])]


def car(uniform: Uniform) -> list[Mesh]:
    length, w, h = uniform(1.9, 2.4), uniform(0.8, 1.0), uniform(0.25, 0.4)
    cabin, back = uniform(0.8, 1.3), uniform(-0.1, 0.3)
    slope = uniform(0.1, 0.35)
    roof = prism([(-cabin / 2, 0), (cabin / 2, 0), (cabin / 2 - slope, 0.4), (-cabin / 2 + slope, 0.4)], w * 0.9)
    r = uniform(0.17, 0.24)
    wheels = [cylinder(r, 0.15, (sx * length * 0.32, sy * w / 2, -h / 2), "y") for sx in (-1, 1) for sy in (-1, 1)]
    body = [box((length, w, h)), translate(roof, (back, 0, h / 2))]
    return [rotate(part, np.pi / 2, "z") for part in (*body, *wheels)]


def traffic_cone(uniform: Uniform) -> list[Mesh]:
    r, h, top = uniform(0.4, 0.7), uniform(1.2, 2.0), uniform(0.0, 0.1)
    parts = [revolve([(0, 0), (r, 0), (top, h), (0, h)])]
    return parts + ([box((2.4 * r, 2.4 * r, 0.08))] if coin_flip(uniform, 0.6) else [])


def cup(uniform: Uniform) -> list[Mesh]:
    r, h, wall, flare = uniform(0.4, 0.6), uniform(0.7, 1.2), uniform(0.03, 0.08), uniform(0.75, 1.0)
    body = revolve([(0, 0), (r * flare, 0), (r, h), (r - wall, h), (r * flare - wall, wall), (0, wall)])
    return [body, torus(h * uniform(0.22, 0.32), uniform(0.03, 0.06), (r * 1.05, 0, h * 0.5), "y")]


def flower_pot(uniform: Uniform) -> list[Mesh]:
    r, h, foot = uniform(0.4, 0.6), uniform(0.6, 0.9), uniform(0.6, 0.85)
    pot = revolve(
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
    stems = randint(uniform, 2, 5)
    parts = [pot]
    for _ in range(stems):
        x, y, tall = uniform(-0.3, 0.3), uniform(-0.3, 0.3), uniform(0.4, 0.9)
        parts += [
            cylinder(0.02, tall, (x, y, h + tall / 2)),
            ellipsoid((uniform(0.1, 0.2), uniform(0.1, 0.2), 0.08), (x, y, h + tall)),
        ]
    return parts


def glass_box(uniform: Uniform) -> list[Mesh]:
    w, d, h, edge = uniform(0.8, 1.4), uniform(0.8, 1.4), uniform(0.8, 1.4), uniform(0.02, 0.06)
    parts = [box((w, d, edge), (0, 0, s * h / 2)) for s in ((-1, 1) if coin_flip(uniform) else (-1,))]
    parts += [box((edge, d, h), (s * w / 2, 0, 0)) for s in (-1, 1)]
    return parts + [box((w, edge, h), (0, s * d / 2, 0)) for s in (-1, 1)]


def guitar(uniform: Uniform) -> list[Mesh]:
    deep, neck, r = uniform(0.08, 0.2), uniform(0.9, 1.3), uniform(0.35, 0.5)
    upper, gap = r * uniform(0.65, 0.85), r * uniform(0.9, 1.2)
    body = [cylinder(r, deep, axis="y"), cylinder(upper, deep, (0, 0, gap), "y")]
    top = gap + upper + neck
    return [
        *body,
        box((0.1, 0.06, neck + 0.2), (0, -deep / 2, top - neck / 2)),
        box((0.18, 0.06, 0.25), (0, -deep / 2, top + 0.1)),
    ]


def keyboard(uniform: Uniform) -> list[Mesh]:
    w, d = uniform(1.8, 2.2), uniform(0.5, 0.8)
    rows, columns = randint(uniform, 4, 6), randint(uniform, 12, 16)
    size = (w / columns * 0.7, d / rows * 0.7, 0.06)
    places = [((j + 0.5) / columns - 0.5, (i + 0.5) / rows - 0.5) for i in range(rows) for j in range(columns)]
    key = box(size, (0, 0, 0.06))
    keys = [translate(key, (x * w * 0.95, y * d * 0.9, 0)) for x, y in places]
    return [box((w, d, uniform(0.05, 0.1))), *keys]


def lamp(uniform: Uniform) -> list[Mesh]:
    h, r, shade, top = uniform(1.0, 2.0), uniform(0.25, 0.45), uniform(0.35, 0.6), uniform(0.4, 0.9)
    cover = revolve([(shade, 0), (shade * top, uniform(0.3, 0.6))], (0, 0, h))
    return [
        cylinder(r, 0.08),
        cylinder(uniform(0.02, 0.06), h, (0, 0, h / 2)),
        cover,
        ellipsoid((0.1, 0.1, 0.12), (0, 0, h + 0.1)),
    ]


def laptop(uniform: Uniform) -> list[Mesh]:
    w, d, thick = uniform(1.2, 1.6), uniform(0.8, 1.1), uniform(0.04, 0.1)
    screen = box((w, thick, d), (0, 0, d / 2))
    return [
        box((w, d, thick)),
        rotate(screen, -uniform(0.0, 0.7), "x", (0, d / 2, 0)),
        box((w * 0.8, d * 0.4, 0.05), (0, d * 0.1, thick / 2)),
    ]


def monitor(uniform: Uniform) -> list[Mesh]:
    w, h, stand = uniform(1.3, 2.0), uniform(0.8, 1.2), uniform(0.2, 0.5)
    parts = [box((w, uniform(0.05, 0.2), h)), box((w * 0.9, 0.03, h * 0.85), (0, -0.1, 0))]
    parts.append(cylinder(uniform(0.04, 0.1), stand, (0, 0, -(h + stand) / 2)))
    foot = -h / 2 - stand
    return [
        *parts,
        cylinder(uniform(0.25, 0.4), 0.05, (0, 0, foot))
        if coin_flip(uniform)
        else box((uniform(0.5, 0.8), 0.4, 0.05), (0, 0, foot)),
    ]


def person(uniform: Uniform) -> list[Mesh]:
    torso, leg, arm = uniform(0.6, 0.8), uniform(0.8, 1.0), uniform(0.6, 0.8)
    stride, lift = uniform(0.0, 0.5), uniform(0.0, 1.3)
    parts = [ellipsoid((uniform(0.2, 0.3), 0.15, torso / 2)), ellipsoid((0.13, 0.14, 0.17), (0, 0, torso / 2 + 0.2))]
    for s in (-1, 1):
        limb = cylinder(0.07, arm, (0, 0, -arm / 2))
        parts.append(rotate(limb, -s * (0.15 + lift), "y", (s * 0.25, 0, torso * 0.4)))
        parts.append(rotate(cylinder(0.09, leg, (0, 0, -leg / 2)), s * stride, "x", (s * 0.12, 0, -torso * 0.4)))
    return parts


def piano(uniform: Uniform) -> list[Mesh]:
    w, d, h = uniform(1.4, 1.8), uniform(0.4, 0.6), uniform(1.0, 1.4)
    parts = [box((w, d, h)), box((w, 0.35, 0.1), (0, -d / 2 - 0.15, -h * uniform(0.0, 0.15)))]
    parts += [box((0.1, 0.1, h * 0.45), (s * w * 0.45, -d / 2 - 0.25, -h * 0.28)) for s in (-1, 1)]
    return parts + ([box((0.7, 0.3, 0.06), (0, -d / 2 - 0.7, -h * 0.2))] if coin_flip(uniform, 0.4) else [])


def plant(uniform: Uniform) -> list[Mesh]:
    r, h = uniform(0.2, 0.35), uniform(0.3, 0.5)
    parts = [revolve([(0, 0), (r * 0.8, 0), (r, h), (0, h)])]
    for i in range(randint(uniform, 6, 12)):
        long, bend = uniform(0.5, 1.1), uniform(0.2, 1.2)
        leaf = rotate(ellipsoid((0.09, 0.02, long / 2), (0, 0, long / 2)), bend, "x")
        parts.append(rotate(leaf, i * 2.4 + uniform(0, 0.6), "z", (0, 0, h)))
    return parts


def radio(uniform: Uniform) -> list[Mesh]:
    w, d, h = uniform(1.2, 1.7), uniform(0.3, 0.5), uniform(0.7, 1.0)
    parts = [box((w, d, h))]
    parts += [
        cylinder(h * uniform(0.22, 0.32), 0.08, (s * w * 0.27, -d / 2, 0), "y")
        for s in ((-1, 1) if coin_flip(uniform) else (-1,))
    ]
    if coin_flip(uniform, 0.6):
        parts.append(
            rotate(cylinder(0.02, uniform(0.6, 1.0), (0, 0, 0.4)), uniform(-0.6, 0.6), "y", (w * 0.4, 0, h / 2))
        )
    return parts + ([rotate(torus(w * 0.3, 0.03), np.pi / 2, "x", (0, 0, h / 2))] if coin_flip(uniform, 0.6) else [])


def tent(uniform: Uniform) -> list[Mesh]:
    w, d, h = uniform(1.2, 1.8), uniform(1.4, 2.2), uniform(0.8, 1.3)
    if coin_flip(uniform, 0.4):
        return [ellipsoid((w / 2, w / 2, h)), box((w * 0.5, d * 0.5, 0.04))]
    return [prism([(-w / 2, 0), (w / 2, 0), (uniform(-0.1, 0.1), h)], d), box((w * 1.1, d * 1.1, 0.03))]


def vase(uniform: Uniform) -> list[Mesh]:
    h, foot, belly, neck, lip = (
        uniform(1.2, 1.9),
        uniform(0.2, 0.3),
        uniform(0.35, 0.6),
        uniform(0.12, 0.25),
        uniform(0.2, 0.4),
    )
    outer = [(foot, 0), (belly, h * uniform(0.25, 0.5)), (neck, h * 0.8), (lip, h)]
    heights = np.linspace(0, h, 10)
    radii = np.interp(heights, [z for _, z in outer], [r for r, _ in outer])
    return [revolve([(0, 0), *zip(radii, heights, strict=True), (lip * 0.85, h), (neck * 0.7, h * 0.8), (0, h * 0.7)])]


def xbox(uniform: Uniform) -> list[Mesh]:
    w, d, h = uniform(1.0, 1.4), uniform(0.9, 1.2), uniform(0.2, 0.4)
    parts = [
        box((w, d, h)),
        box((w * 0.5, 0.04, h * 0.25), (-w * 0.1, -d / 2, h * 0.1)),
        cylinder(h * 0.15, 0.05, (w * 0.35, -d / 2, 0), "y"),
    ]
    if coin_flip(uniform):
        parts.append(cylinder(min(w, d) * 0.3, 0.04, (0, 0, h / 2)))
    return [rotate(part, np.pi / 2, "y") for part in parts] if coin_flip(uniform, 0.4) else parts
