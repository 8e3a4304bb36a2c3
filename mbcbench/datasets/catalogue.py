"""All data sets by name, and the choice between those with the same content."""

from typing import Literal, overload

from mbcbench.datasets.base import (
    CloudDataSet,
    Content,
    DataSet,
    DigitDataSet,
    ExemplarDataSet,
    PatchDataSet,
)
from mbcbench.datasets.cad import CAD40
from mbcbench.datasets.celeba import CelebA
from mbcbench.datasets.emoji import Emoji, EmojiImages
from mbcbench.datasets.fashion import FashionImages, FashionMNIST
from mbcbench.datasets.furniture import Furniture
from mbcbench.datasets.imagenet import ImageNet
from mbcbench.datasets.mnist import MNIST
from mbcbench.datasets.mnist_5k import MNIST_5K
from mbcbench.datasets.modelnet import ModelNet40
from mbcbench.datasets.photo_exemplars import PhotoExemplars
from mbcbench.datasets.photographs import Photographs
from mbcbench.errors import UsageError

AUTO, BUILT_IN, PAPER = KEYWORDS = "auto", "built-in", "paper"
_BUILT_IN = (MNIST_5K, Photographs(), CAD40(), PhotoExemplars())
_PAPER = (MNIST(), CelebA(), ModelNet40(), ImageNet())
_ADDITIONAL = (FashionMNIST(), FashionImages(), Furniture(), Emoji(), EmojiImages())
_ALL = (*_BUILT_IN, *_PAPER, *_ADDITIONAL)
DATA_SETS: dict[str, DataSet] = {data.name: data for data in _ALL}


def data_set(name: str) -> DataSet:
    """Return a data set by its name. Raises UsageError with all names if there is none."""
    if name not in DATA_SETS:
        raise UsageError(f"there is no data set {name!r}; use one of {', '.join(DATA_SETS)}")
    return DATA_SETS[name]


@overload
def choose(content: Literal["digits"], data: str = AUTO) -> DigitDataSet: ...
@overload
def choose(content: Literal["patches"], data: str = AUTO) -> PatchDataSet: ...
@overload
def choose(content: Literal["clouds"], data: str = AUTO) -> CloudDataSet: ...
@overload
def choose(content: Literal["exemplars"], data: str = AUTO) -> ExemplarDataSet: ...
@overload
def choose(content: Content, data: str = AUTO) -> DataSet: ...
def choose(content: Content, data: str = AUTO) -> DataSet:
    """Return the data set to use for some content.

    data: its name; `paper` or `built-in`; or `auto`: the paper's if present, else the built-in one.
    Raises UsageError if the data set is not present or has other content.
    """
    candidates = [candidate for candidate in DATA_SETS.values() if candidate.content == content]
    paper = next(candidate for candidate in candidates if candidate.paper)
    built_in = next(candidate for candidate in candidates if candidate.built_in)
    if data == AUTO:
        return paper if paper.present else built_in
    chosen = {PAPER: paper, BUILT_IN: built_in}.get(data) or data_set(data)
    if chosen not in candidates:
        names = ", ".join(candidate.name for candidate in candidates)
        raise UsageError(f"{data} has {chosen.content}, not {content}; use one of {names}")
    if not chosen.built_in and not chosen.present:
        raise UsageError(f"there is no {chosen.path()}; get {chosen.name}: mbcbench data fetch {chosen.name}")
    return chosen


def check_choice(data: str) -> None:
    """Raise UsageError if `data` is neither a keyword nor names of data sets, at most one of each content."""
    if data in KEYWORDS:
        return
    names: dict[Content, str] = {}
    for name in data.split(","):
        if name not in DATA_SETS:
            raise UsageError(f"--data {data}: expected one of {', '.join((*KEYWORDS, *DATA_SETS))}, not {name!r}")
        other = names.setdefault(DATA_SETS[name].content, name)
        if other != name:
            raise UsageError(f"--data {data}: {other} and {name} both have {DATA_SETS[name].content}; use one of them")


def choice_of(content: Content, data: str) -> str:
    """Return the choice for one content from `data`, the choice for all: a keyword or the name of a data set."""
    if data in KEYWORDS:
        return data
    return next((name for name in data.split(",") if data_set(name).content == content), AUTO)
