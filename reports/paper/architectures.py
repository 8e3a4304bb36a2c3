"""Tables 3 to 8 of the paper: the layers that it lists, next to the layers that are built."""

import re
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import pandas as pd

from mbcbench.paper import DEEPSETS_MEAN, Filter
from mbcbench.reporting import Artefact

from ..selection import label_models, select

COLUMNS = ["paper", "built", "parameters", "differs"]
# Patterns for layers as PyTorch prints them, and their form in papers.
SHORT_NAMES = (
    (r"Linear\(in_features=(\d+), out_features=(\d+), bias=True\)", r"Linear(\1, \2)"),
    (r"Linear\(in_features=(\d+), out_features=(\d+), bias=False\)", r"Linear(\1, \2) without bias"),
    (r"Conv2d\((\d+), (\d+), .*\)", r"Conv2d(\1, \2)"),
    (r"MaxPool2d\(kernel_size=(\d+), .*\)", r"MaxPool(\1)"),
    (r"LayerNorm\(\((\d+),\), .*\)", r"LayerNorm(\1)"),
    (r"AdaptiveAvgPool2d\(.*\)", "AvgPool"),
    (r"(?:Batch(Norm))2d\(.*\)", r"Batch\1"),
    (r"(ReLU|LeakyReLU|Flatten|RandomSlots|PlainPooling)\(.*\)", r"\1"),
)


class Line(NamedTuple):
    """A line of the paper's table, the modules that implement it, and their differences from it."""

    paper: str
    modules: tuple[str, ...]
    differs: str = ""


CONV = (
    Line("Conv2d(1, 32), BatchNorm, LeakyReLU, MaxPool(2)", tuple(f"backbone.{index}" for index in range(4))),
    Line("Conv2d(32, 64), BatchNorm, LeakyReLU, MaxPool(2)", tuple(f"backbone.{index}" for index in range(4, 8))),
    Line("Conv2d(64, 128), BatchNorm, LeakyReLU, AvgPool", tuple(f"backbone.{index}" for index in range(8, 13))),
)
LITE = "features of EfficientNet-Lite0 (1,280), not of a ResNet50 (2,048)"
RESNET = Line("ResNet50 (pretrained)", (), f"{LITE}; it is not trained, and not listed")
HIDDEN = "Linear(128, 128), ReLU"
# Artefact -> its title and the lines of the paper's table.
PAPER: dict[str, tuple[str, tuple[Line, ...]]] = {
    "table3": (
        "Table 3: the encoder of image completion",
        (
            Line("Linear(5, 64), ReLU", ("element.0", "element.1")),
            Line("Linear(64, 64), ReLU", ("element.2", "element.3")),
            Line("Linear(64, 64)", ("element.4",)),
            Line("SlotSetEncoder(K=1, h=64, d=64, g=sum, random slots)", ("set",)),
        ),
    ),
    "table4": (
        "Table 4: the decoder of image completion",
        (
            Line(
                HIDDEN,
                ("encoding", "place", "layers.0"),
                "64 of the encoding and two coordinates, not 128",
            ),
            Line(HIDDEN, ("layers.1", "layers.2")),
            Line(HIDDEN, ("layers.3", "layers.4")),
            Line("Linear(128, 3)", ("layers.5",)),
        ),
    ),
    "table5": (
        "Table 5: the Slot Set Encoder on MNIST",
        (
            *CONV,
            Line("SlotSetEncoder(K=32, dim=128)", ("sets.encoder.stack.0",)),
            Line(
                "SlotSetEncoder(K=16, h=128, d=128, g=mean)",
                ("sets.encoder.stack.1",),
                "slots are 64 wide, on which a mean over slots does not depend",
            ),
        ),
    ),
    "table6": (
        "Table 6: DeepSets on MNIST",
        (*CONV, Line("mean pooling", ("sets.encoder",))),
    ),
    "table7": (
        "Table 7: the Slot Set Encoder on ImageNet",
        (RESNET, Line("SlotSetEncoder(K=128, dim=128)", ("sets.encoder",), LITE)),
    ),
    "table8": (
        "Table 8: DeepSets on ImageNet",
        (
            RESNET,
            Line("Linear(128), ReLU, Linear(128)", ("sets.encoder.phi",), LITE),
            Line("mean pooling", ()),
        ),
    ),
}


def layer_table(frame: pd.DataFrame, table: str) -> pd.DataFrame:
    """Return a row for each line of the paper's table, one for other layers, and the sum of parameters."""
    where: Filter = {"suite": "architectures", "case": table}
    if table == "table6":  # old runs built DeepSets with a network, which this table of the paper does not have
        where = {**where, "encoder": DEEPSETS_MEAN.encoder}
    records = select(label_models(frame), where)
    if records.empty:
        return pd.DataFrame(columns=COLUMNS)
    record = records.iloc[-1]
    layers = [Layer(str(place), short_name(str(name)), int(count)) for place, name, count in record["detail.layers"]]
    lines = PAPER[table][1]
    rows = [_row(line, [layer for layer in layers if _is_in(layer, line)]) for line in lines]
    others = [layer for layer in layers if not any(_is_in(layer, line) for line in lines)]
    if others:
        rows.append(_row(Line("", (), "in no line of the paper's"), others))
    rows.append(("", f"all, with {record['model']}", int(record["value"]), ""))
    return pd.DataFrame(rows, columns=COLUMNS)


class Layer(NamedTuple):
    """A layer that was built: its place in the module, its name and its number of parameters."""

    place: str
    name: str
    parameters: int


def _is_in(layer: Layer, line: Line) -> bool:
    return any(layer.place == module or layer.place.startswith(f"{module}.") for module in line.modules)


def _row(line: Line, layers: Sequence[Layer]) -> tuple[str, str, int, str]:
    names = ", ".join(layer.name for layer in layers)
    return line.paper, names, sum(layer.parameters for layer in layers), line.differs


def short_name(layer: str) -> str:
    """Return a layer as papers write it: `Linear(5, 64)`."""
    for pattern, name in SHORT_NAMES:
        layer = re.sub(rf"^{pattern}$", name, layer)
    return layer


def count_differences(data: pd.DataFrame) -> str:
    """Return the number of parameters, and the number of lines that differ from the paper's."""
    lines = data[data["paper"].ne("")]
    differing = int(lines["differs"].ne("").sum())
    return (
        f"{data['parameters'].iloc[-1]:,} parameters; {differing} of {len(lines)} lines differ from the paper's table"
    )


def architecture(table: str, note: str = "") -> Artefact:
    """Return the artefact of a table of layers."""
    return Artefact(
        id=table,
        title=PAPER[table][0],
        caption=f"The lines of the paper's table, the layers that are built, and where they differ.{note}",
        data=partial(layer_table, table=table),
        result=count_differences,
        make="mbcbench run --suite architectures",
    )


TABLE3 = architecture("table3", " With one slot, attention cancels: slots, queries and keys change no output.")
TABLE4, TABLE5, TABLE6, TABLE7, TABLE8 = map(architecture, ("table4", "table5", "table6", "table7", "table8"))
