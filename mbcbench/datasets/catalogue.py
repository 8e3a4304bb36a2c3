"""All data sets by name, and the choice among those that serve the same."""

from mbcbench.datasets import cad, celeba, imagenet, mnist, mnist_5k, modelnet, photo_exemplars, photographs
from mbcbench.datasets.base import DataSet, Kind
from mbcbench.errors import UsageError

AUTO, BUILT_IN, PAPER = "auto", "built-in", "paper"
DATA_SETS = {
    data.name: data
    for data in (
        mnist_5k.MNIST_5K,
        photographs.DATA,
        cad.DATA,
        photo_exemplars.DATA,
        mnist.DATA,
        celeba.DATA,
        modelnet.DATA,
        imagenet.DATA,
    )
}


def data_set(name: str) -> DataSet:
    """A data set by its name. Raises UsageError with the names there are."""
    if name not in DATA_SETS:
        raise UsageError(f"there is no data set {name!r}; use one of {', '.join(DATA_SETS)}")
    return DATA_SETS[name]


def choose(kind: Kind, data: str = AUTO) -> DataSet:
    """The data set to use, which is its own loader: the one named, or (`auto`) the paper's if present, else built in.

    `paper` and `built-in` name what there is of either.

    Raises UsageError when the one named is not there, or is of another kind.
    """
    able = [one for one in DATA_SETS.values() if one.kind == kind]
    paper, built_in = next(one for one in able if one.paper), next(one for one in able if not one.paper)
    if data == AUTO:
        return paper if paper.present else built_in
    chosen = {PAPER: paper, BUILT_IN: built_in}.get(data) or data_set(data)
    if chosen not in able:
        raise UsageError(f"{data} has {chosen.kind}, not {kind}; use one of {', '.join(one.name for one in able)}")
    if chosen.paper and not chosen.present:
        raise UsageError(f"there is no {chosen.where()}; get {chosen.name}: mbcbench data fetch {chosen.name}")
    return chosen
