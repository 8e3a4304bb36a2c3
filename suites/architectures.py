"""Descriptions of the models in the paper's Tables 3 to 8, taken from the modules that the experiments build."""

from collections.abc import Iterable
from typing import Any

from torch import nn

from mbcbench.execution.suite import Request, Suite
from mbcbench.protocol.target import get_spec
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status

from .tasks.centroids.prototypes import PrototypicalNetwork, conv_net
from .tasks.image_completion.neural_process import NeuralProcess

CHANNELS = (32, 64, 128)
FEATURES = 1280  # of EfficientNet-Lite0; a ResNet50 has 2,048
# The table's model: its encoder, hyper-parameters, and what is built around it.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "table3": ("sse-random", {"num_slots": 1}),
    "table4": ("sse-random", {"num_slots": 1}),
    "table5": ("sse-hierarchical", {"num_slots": [32, 16], "aggregate": "mean", "dim": 128}),
    "table6": ("deepsets-mean", {"dim": 128}),
    "table7": ("sse-random-mean", {"num_slots": 128, "dim": 128}),
    "table8": ("deepsets-mean", {"dim": 128}),
}


def cells(request: Request) -> list[Cell]:
    """One cell a table, whatever encoders are judged: the tables are of the paper's."""
    return [
        Cell(suite="architectures", case=table, encoder=encoder, params={"hyper": hyper}, seed=request.seed)
        for table, (encoder, hyper) in MODELS.items()
    ]


def run(cell: Cell) -> Iterable[Record]:
    """One record: the number of parameters, and in its detail the layers, each with its own."""
    layers = described(_model(cell))
    total = sum(count for _, _, count in layers)
    detail = {"layers": [list(layer) for layer in layers]}
    yield cell.record(Status.OK, metric="parameters", value=total, detail=detail)


def _model(cell: Cell) -> nn.Module:
    spec, hyper = get_spec(cell.encoder), cell.params["hyper"]
    if cell.case in ("table3", "table4"):
        model = NeuralProcess(spec, seed=cell.seed, decoder="paper", layer_norm=False, hyper=hyper)
        return (
            model.decoder if cell.case == "table4" else nn.ModuleDict({"element": model.element, "set": model.encoder})
        )
    features = cell.case in ("table7", "table8")
    backbone, dim = (nn.Identity(), FEATURES) if features else (conv_net(CHANNELS), CHANNELS[-1])
    return PrototypicalNetwork(spec, backbone, dim=dim, support=2, seed=cell.seed, hyper=hyper)


def described(module: nn.Module) -> list[tuple[str, str, int]]:
    """The layers in the order in which they were made: where each stands, what it is, and its parameters.

    Parameters that a module holds beside its layers, such as slots, are a row of their own.
    """
    found = []
    for name, part in module.named_modules():
        own = sum(weight.numel() for weight in part.parameters(recurse=False))
        leaf = not list(part.children())
        if (leaf and not isinstance(part, nn.Identity)) or own:
            found.append((name, str(part) if leaf else f"{type(part).__name__} (its own parameters)", own))
    return found


SUITE = Suite(
    name="architectures",
    summary="the layers and parameters of the models in the paper's Tables 3 to 8",
    cells=cells,
    run=run,
    seconds=dict.fromkeys(("smoke", "quick", "thorough", "paper"), 60.0),
)
