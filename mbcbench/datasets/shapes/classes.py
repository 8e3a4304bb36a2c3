"""Forty classes of procedural shapes, with the names of ModelNet40's classes.

The parts of a shape make its class. Their proportions vary, some may be missing, and `cad` deforms the whole shape.
"""

from mbcbench.datasets.shapes import furniture, objects
from mbcbench.datasets.shapes.random_choices import Shape

SHAPES: dict[str, Shape] = {
    shape.__name__.removeprefix("traffic_"): shape
    for shape in (
        objects.airplane,
        furniture.bathtub,
        furniture.bed,
        furniture.bench,
        furniture.bookshelf,
        objects.bottle,
        objects.bowl,
        objects.car,
        furniture.chair,
        objects.traffic_cone,
        objects.cup,
        furniture.curtain,
        furniture.desk,
        furniture.door,
        furniture.dresser,
        objects.flower_pot,
        objects.glass_box,
        objects.guitar,
        objects.keyboard,
        objects.lamp,
        objects.laptop,
        furniture.mantel,
        objects.monitor,
        furniture.night_stand,
        objects.person,
        objects.piano,
        objects.plant,
        objects.radio,
        furniture.range_hood,
        furniture.sink,
        furniture.sofa,
        furniture.stairs,
        furniture.stool,
        furniture.table,
        objects.tent,
        furniture.toilet,
        furniture.tv_stand,
        objects.vase,
        furniture.wardrobe,
        objects.xbox,
    )
}
