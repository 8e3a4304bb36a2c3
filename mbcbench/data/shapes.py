"""Forty classes of procedural shapes, with the names of ModelNet40's classes.

What makes a class is its parts; their proportions vary, some parts may be missing, and `cad` bends the whole.
"""

from mbcbench.data import furniture, things
from mbcbench.data.draws import Shape

SHAPES: dict[str, Shape] = {
    shape.__name__.removeprefix("traffic_"): shape
    for shape in (
        things.airplane,
        furniture.bathtub,
        furniture.bed,
        furniture.bench,
        furniture.bookshelf,
        things.bottle,
        things.bowl,
        things.car,
        furniture.chair,
        things.traffic_cone,
        things.cup,
        furniture.curtain,
        furniture.desk,
        furniture.door,
        furniture.dresser,
        things.flower_pot,
        things.glass_box,
        things.guitar,
        things.keyboard,
        things.lamp,
        things.laptop,
        furniture.mantel,
        things.monitor,
        furniture.night_stand,
        things.person,
        things.piano,
        things.plant,
        things.radio,
        furniture.range_hood,
        furniture.sink,
        furniture.sofa,
        furniture.stairs,
        furniture.stool,
        furniture.table,
        things.tent,
        furniture.toilet,
        furniture.tv_stand,
        things.vase,
        furniture.wardrobe,
        things.xbox,
    )
}
