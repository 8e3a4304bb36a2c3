"""Tables 3 to 8: the layers of the modules that were built, beside what the paper says of them."""

import pandas as pd

from mbcbench.report import Artefact

from .samples import labelled, pick

CONV = ("Conv2d(1, 32), BatchNorm, LeakyReLU, MaxPool(2)", "Conv2d(32, 64), BatchNorm, LeakyReLU, MaxPool(2)",
        "Conv2d(64, 128), BatchNorm, LeakyReLU, AvgPool")  # fmt: skip
LINEAR = "Linear(64, 64)"
# What the paper's table lists, and where what is built differs from it.
PAPER: dict[str, tuple[str, tuple[str, ...], str]] = {
    "table3": (
        "Table 3: the encoder of image completion",
        ("Linear(5, 64), ReLU", f"{LINEAR}, ReLU", LINEAR, "SlotSetEncoder(K=1, h=64, d=64, g=sum, random slots)"),
        "As in the table. With one slot, the attention cancels: slots, queries and keys change no output.",
    ),
    "table4": (
        "Table 4: the decoder of image completion",
        ("Linear(128, 128), ReLU", "Linear(128, 128), ReLU", "Linear(128, 128), ReLU", "Linear(128, 3)"),
        "Differs: 128 inputs cannot come of an encoding of 64 and two coordinates; the first layer takes those 66.",
    ),
    "table5": (
        "Table 5: the Slot Set Encoder on MNIST",
        (*CONV, "SlotSetEncoder(K=32, dim=128)", "SlotSetEncoder(K=16, h=128, d=128, g=mean)"),
        "Differs: slots are 64 wide on both levels, on which a mean over slots does not depend.",
    ),
    "table6": (
        "Table 6: DeepSets on MNIST",
        (*CONV, "mean pooling"),
        "Differs: a network for each element precedes the mean.",
    ),
    "table7": (
        "Table 7: the Slot Set Encoder on ImageNet",
        ("ResNet50 (pretrained)", "SlotSetEncoder(K=128, dim=128)"),
        "Differs: features of EfficientNet-Lite0 (1,280), not of a ResNet50 (2,048); they are not listed.",
    ),
    "table8": (
        "Table 8: DeepSets on ImageNet",
        ("ResNet50 (pretrained)", "Linear(128), ReLU, Linear(128)", "mean pooling"),
        "Differs: features of EfficientNet-Lite0 (1,280), not of a ResNet50 (2,048); they are not listed.",
    ),
}


def layers(frame: pd.DataFrame, table: str) -> pd.DataFrame:
    """Columns where, layer, parameters: the layers of one model, and the sum."""
    rows = pick(labelled(frame), {"suite": "architectures", "case": table})
    if rows.empty:
        return pd.DataFrame(columns=["where", "layer", "parameters"])
    held = rows.iloc[-1]
    total = [("", f"all, with {held['model']}", int(held["value"]))]
    return pd.DataFrame([*held["detail.layers"], *total], columns=["where", "layer", "parameters"])


def architecture(table: str) -> Artefact:
    title, told, differs = PAPER[table]
    caption = f"In the paper: {'; '.join(told)}. {differs}"
    return Artefact(
        id=table, title=title, caption=caption, data=lambda frame: layers(frame, table),
        make="mbcbench run --suite architectures",
    )  # fmt: skip


TABLE3, TABLE4, TABLE5, TABLE6, TABLE7, TABLE8 = (architecture(table) for table in PAPER)
