"""Tables 3 to 8: the layers of the modules that were built, beside those that the paper lists."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from mbcbench.reporting import Artefact

from ..statistics import labelled, pick

COLUMNS = ["paper", "built", "parameters", "differs"]
# What PyTorch prints of a layer, as papers write it.
SHORT = (
    (r"Linear\(in_features=(\d+), out_features=(\d+), bias=True\)", r"Linear(\1, \2)"),
    (r"Linear\(in_features=(\d+), out_features=(\d+), bias=False\)", r"Linear(\1, \2) without bias"),
    (r"Conv2d\((\d+), (\d+), .*\)", r"Conv2d(\1, \2)"),
    (r"MaxPool2d\(kernel_size=(\d+), .*\)", r"MaxPool(\1)"),
    (r"LayerNorm\(\((\d+),\), .*\)", r"LayerNorm(\1)"),
    (r"AdaptiveAvgPool2d\(.*\)", "AvgPool"),
    (r"(?:Batch(Norm))2d\(.*\)", r"Batch\1"),
    (r"(ReLU|LeakyReLU|Flatten|RandomSlots)\(.*\)", r"\1"),
)


class Line(NamedTuple):
    """A line of the paper's table: what it says, the modules that it became, and where these differ from it."""

    paper: str
    modules: tuple[str, ...]
    differs: str = ""


CONV = (
    Line("Conv2d(1, 32), BatchNorm, LeakyReLU, MaxPool(2)", tuple(f"backbone.{at}" for at in range(4))),
    Line("Conv2d(32, 64), BatchNorm, LeakyReLU, MaxPool(2)", tuple(f"backbone.{at}" for at in range(4, 8))),
    Line("Conv2d(64, 128), BatchNorm, LeakyReLU, AvgPool", tuple(f"backbone.{at}" for at in range(8, 13))),
)
LITE = "features of EfficientNet-Lite0 (1,280), not of a ResNet50 (2,048)"
RESNET = Line("ResNet50 (pretrained)", (), f"{LITE}; it is not trained, and not listed")
HIDDEN = "Linear(128, 128), ReLU"
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
        (*CONV, Line("mean pooling", ("sets.encoder",), "a network for each element precedes the mean")),
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


def layers(frame: pd.DataFrame, table: str) -> pd.DataFrame:
    """A row a line of the paper's table, one for what is in no line of it, and the sum of the parameters."""
    rows = pick(labelled(frame), {"suite": "architectures", "case": table})
    if rows.empty:
        return pd.DataFrame(columns=COLUMNS)
    held, lines = rows.iloc[-1], PAPER[table][1]
    built = [(str(where), short(str(what)), int(count)) for where, what, count in held["detail.layers"]]
    found = [_row(line, [layer for layer in built if _within(layer[0], line)]) for line in lines]
    others = [layer for layer in built if not any(_within(layer[0], line) for line in lines)]
    found += [_row(Line("", (), "in no line of the paper's"), others)] if others else []
    return pd.DataFrame([*found, ("", f"all, with {held['model']}", int(held["value"]), "")], columns=COLUMNS)


def _within(where: str, line: Line) -> bool:
    return any(where == name or where.startswith(f"{name}.") for name in line.modules)


def _row(line: Line, built: Sequence[tuple[str, str, int]]) -> tuple[str, str, int, str]:
    told = ", ".join(what for _, what, _ in built)
    return line.paper, told, sum(count for *_, count in built), line.differs


def short(layer: str) -> str:
    """A layer as papers write it: `Linear(5, 64)`."""
    for pattern, told in SHORT:
        layer = re.sub(rf"^{pattern}$", told, layer)
    return layer


def architecture(table: str, note: str = "") -> Artefact:
    caption = f"What the paper lists beside the layers that are built, and where they differ.{note}"
    return Artefact(
        id=table, title=PAPER[table][0], caption=caption, data=lambda frame: layers(frame, table),
        make="mbcbench run --suite architectures",
    )  # fmt: skip


TABLE3 = architecture("table3", " With one slot attention cancels: slots, queries and keys change no output.")
TABLE4, TABLE5, TABLE6, TABLE7, TABLE8 = (architecture(f"table{at}") for at in range(4, 9))
