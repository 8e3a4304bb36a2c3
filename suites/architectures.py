"""Layers of the models in the paper's Tables 3 to 8, read from the modules that the experiments build."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import NamedTuple

from torch import nn

from mbcbench import paper
from mbcbench.execution.suite import Request, Suite
from mbcbench.protocol.build import get_spec
from mbcbench.records.cell import Cell
from mbcbench.records.detail import ArchitectureDetail
from mbcbench.records.record import Record
from mbcbench.types import JsonDict

from .metrics import Metric
from .tasks.centroids.prototypical_network import PrototypicalNetwork, conv_net
from .tasks.image_completion.neural_process import NeuralProcess

PARAMETERS = Metric(name="parameters", higher_is_better=None)
CHANNELS = (32, 64, 128)
FEATURES = 1280  # of EfficientNet-Lite0; a ResNet50 has 2,048
MODELS: dict[str, paper.Model] = {
    "table3": paper.SSE_1,
    "table4": paper.SSE_1,
    "table5": paper.DIGIT_HIERARCHY,
    "table6": paper.DEEPSETS_MEAN,
    "table7": paper.SSE_MEAN_128,
    "table8": paper.DEEPSETS_MEAN_128,
}


@dataclass(frozen=True, kw_only=True)
class ArchitectureSettings:
    """Hyper-parameters of the encoder in a table's model."""

    hyper: JsonDict


class Layer(NamedTuple):
    """Layer of a model: name, description and number of own parameters."""

    name: str
    description: str
    parameters: int


def cells(request: Request) -> list[Cell]:
    """Return one cell per table. The requested encoders do not matter: the tables show those of the paper."""
    return [
        Cell(
            suite="architectures",
            case=table,
            encoder=model.encoder,
            params=asdict(ArchitectureSettings(hyper=dict(model.hyper))),
            seed=request.seed,
        )
        for table, model in MODELS.items()
    ]


def run(cell: Cell) -> Iterable[Record]:
    """Yield the number of parameters, with the layers and their parameters in the detail."""
    layers = describe_layers(_build_model(cell, ArchitectureSettings(**cell.params)))
    total = sum(layer.parameters for layer in layers)
    yield PARAMETERS.record(cell, total, ArchitectureDetail(layers=[list(layer) for layer in layers]))


def _build_model(cell: Cell, settings: ArchitectureSettings) -> nn.Module:
    spec, hyper = get_spec(cell.encoder), settings.hyper
    if cell.case in ("table3", "table4"):
        model = NeuralProcess(spec, seed=cell.seed, decoder="paper", layer_norm=False, hyper=hyper)
        if cell.case == "table4":
            return model.decoder
        return nn.ModuleDict({"element": model.element, "set": model.encoder})
    has_features = cell.case in ("table7", "table8")
    backbone, dim = (nn.Identity(), FEATURES) if has_features else (conv_net(CHANNELS), CHANNELS[-1])
    return PrototypicalNetwork(spec, backbone, dim=dim, support=2, seed=cell.seed, hyper=hyper)


def describe_layers(module: nn.Module) -> list[Layer]:
    """Return the layers in the order in which they were created.

    Parameters of a module that belong to no layer, such as slots, are a separate entry.
    """
    layers = []
    for name, part in module.named_modules():
        parameters = sum(weight.numel() for weight in part.parameters(recurse=False))
        is_leaf = not list(part.children())
        if (is_leaf and not isinstance(part, nn.Identity)) or parameters:
            description = str(part) if is_leaf else f"{type(part).__name__} (its own parameters)"
            layers.append(Layer(name, description, parameters))
    return layers


SUITE = Suite(
    name="architectures",
    summary="the layers and parameters of the models in the paper's Tables 3 to 8",
    cells=cells,
    run=run,
    seconds=dict.fromkeys(("smoke", "quick", "thorough", "paper"), 60.0),
)
