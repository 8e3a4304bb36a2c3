"""Interface of a task of the profile `standard`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, NamedTuple, TypeVar

from numpy.typing import NDArray
from torch import Tensor, nn

from mbcbench.datasets import DataSet
from mbcbench.execution.suite import DataNeed
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.records.cell import Cell

from ...metrics import Metric
from ...training_cells import TrainingSettings
from ..set_embedding import SetEmbedding

Role = Literal["search", "final", "doubled"]
Data = TypeVar("Data")


@dataclass(frozen=True, kw_only=True)
class StandardSettings(TrainingSettings):
    """Settings of a cell of the profile `standard`.

    Parameters
    ----------
    role
        `search`: a short training with one learning rate of the grid. `final`: a reported training. `doubled`: a
        training with twice the steps.
    batch_size
        Sets of a step; episodes count as one.
    train_size
        Elements of a set in training.
    data, data_sha256
        Name and digest of the data set.
    variants
        Registered encoders that are trained as this one (`TRAINED_AS`) and tested with its weights.
    """

    role: Role = "final"
    batch_size: int
    train_size: int
    data: str = ""
    data_sha256: str = ""
    variants: tuple[str, ...] = ()


class Validation(NamedTuple):
    """Loss and score (accuracy, or NLL) on the validation data."""

    loss: float
    score: float


class Test(NamedTuple):
    """The test of a trained model.

    sets: `N x n x d` of the largest size n; the first m elements are the set of size m. key: `N x train_size`, by which
    streams sort the elements. outcomes: function from the vectors of the sets to the outcome of each test item: True if
    it is right, or its NLL.
    """

    sets: Tensor
    key: Tensor
    outcomes: Callable[[Tensor], NDArray[Any]]


class StandardTask(ABC, Generic[Data]):
    """A task of the profile `standard`; `Data` is what `load` returns.

    Attributes
    ----------
    suite, case, metric, dataset
        Names of the suite and of the task, the metric of tests, and the only data set.
    settings
        Settings of final trainings.
    search_steps, rates
        Optimizer steps of the search for the learning rate, and its grid.
    other_sizes
        Sizes of sets that are tested in one piece besides that of training.
    converged_within
        Largest gain of the validation score by twice the steps with which a training counts as converged.
    """

    suite: ClassVar[str]
    case: ClassVar[str]
    metric: ClassVar[Metric]
    dataset: ClassVar[DataSet]
    settings: ClassVar[StandardSettings]
    search_steps: ClassVar[int]
    rates: ClassVar[tuple[float, ...]]
    other_sizes: ClassVar[tuple[int, ...]]
    converged_within: ClassVar[float]

    @abstractmethod
    def load(self, seed: int) -> Data:
        """Load the data, split into training, validation and test parts under `seed`."""

    def needs(self, cell: Cell) -> list[DataNeed]:
        """Return the data that `load` loads for a cell."""
        return [DataNeed(name=self.dataset.name)]

    @abstractmethod
    def build(self, spec: EncoderSpec, seed: int) -> nn.Module:
        """Build the model around an encoder, with weights drawn under `seed`."""

    @abstractmethod
    def sets_of(self, model: nn.Module) -> SetEmbedding:
        """Return the part of a model that encodes sets."""

    @abstractmethod
    def batches(self, data: Data, settings: StandardSettings, seed: int) -> Iterator[tuple[Any, Tensor]]:
        """Yield the inputs and targets of each step."""

    @abstractmethod
    def loss(self, output: Any, y: Tensor) -> Tensor:
        """Return the training loss."""

    @abstractmethod
    def baseline(self, data: Data) -> float:
        """Return the training loss of the best prediction that ignores the set."""

    @abstractmethod
    def validate(self, model: nn.Module, data: Data) -> Validation:
        """Evaluate a model on the validation data, in one piece at the size of training."""

    @abstractmethod
    def test(self, model: nn.Module, data: Data) -> Test:
        """Return the test of a trained model, on its device."""
