"""Details: the fields that only records of one kind have.

A detail is a dataclass where it is written, and a mapping in `Record.detail`, on disk and in frames (`detail.*`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

from mbcbench.types import Hyper, JsonDict, JsonObject


@dataclass(frozen=True, kw_only=True)
class Detail:
    """Base class of details. A mapping has no keys for fields that are None, unless `keeps_none` names them."""

    keeps_none: ClassVar[frozenset[str]] = frozenset()

    def to_dict(self) -> JsonDict:
        """Return the detail as a mapping from keys (`Record.detail`) to values."""
        values = {name: getattr(self, name) for name in self._keys()}
        present = {name: value for name, value in values.items() if value is not None or name in self.keeps_none}
        return {self._keys()[name]: value for name, value in present.items()}

    @classmethod
    def _keys(cls) -> dict[str, str]:
        """Return the key of each field: its name, or `key` in its metadata."""
        return {f.name: f.metadata.get("key", f.name) for f in fields(cls)}


# Laws


@dataclass(frozen=True, kw_only=True)
class UntriedLawDetail(Detail):
    """Detail of a law that was skipped (`examples` is 0), or whose check could not start (None).

    traceback: of the exception that ended it.
    """

    law: str
    examples: int | None = None
    traceback: str | None = None


@dataclass(frozen=True, kw_only=True)
class ErrorDetail(Detail):
    """Detail of a cell that an exception ended. traceback: from the first frame of the user's own code on."""

    traceback: str


@dataclass(frozen=True, kw_only=True)
class PairDetail(Detail):
    """Result of `mbc.partition` for a plain module f and one aggregation g: an entry of `LawDetail.pairs`."""

    keeps_none: ClassVar[frozenset[str]] = frozenset({"counterexample"})

    consistent: bool
    examples: int
    counterexample: JsonObject | None = None


@dataclass(frozen=True, kw_only=True)
class LawDetail(Detail):
    """Detail of a law that was tried.

    bound: the bound of the gap in `Record.value`. scale: magnitude of the encoding there, or None.
    worst_gap: the largest of all examples. relative_bound: the largest ratio of bound and scale of the encoding, of all
    examples: the relative error that a pass leaves open.
    counterexample: for `mbcbench repro`, or None. counterexample_text: the counterexample in words. culprit: part of
    the encoder that breaks the law in the counterexample, if known. reproduce: a program that replays it.
    pairs: for a plain module, the result with each aggregation g.
    traceback: of the encoder's exception, from the first frame of the user's own code on.
    """

    keeps_none: ClassVar[frozenset[str]] = frozenset({"counterexample"})

    law: str
    statement: str
    bound: float
    examples: int
    worst_gap: float
    relative_bound: float | None = None
    scale: float | None = None
    counterexample: JsonObject | None = None
    counterexample_text: str | None = field(default=None, metadata={"key": "text"})
    culprit: str | None = None
    reproduce: str | None = None
    pairs: Mapping[str, PairDetail] | None = None
    traceback: str | None = None

    def to_dict(self) -> JsonDict:
        detail = super().to_dict()
        if self.pairs is not None:
            detail["pairs"] = {aggregation: pair.to_dict() for aggregation, pair in self.pairs.items()}
        return detail


# Tasks


@dataclass(frozen=True, kw_only=True)
class TrainingDetail(Detail):
    """Detail of one training, shared by the records of all its tests.

    data: name of the data set. train_size: elements of a training set. train_loss: mean of the last steps.
    train_seconds: processor time on a CPU, real time on a GPU.
    parameters: of the whole model. curve: pairs of a step and the mean loss of the steps up to it.
    train_baseline: the training loss of the best prediction that ignores the set, where it is known.
    """

    data: str
    train_size: int
    steps: int
    train_seconds: float
    ms_per_step: float
    train_loss: float
    parameters: int
    curve: Sequence[tuple[int, float]]
    train_baseline: float | None = None


@dataclass(frozen=True, kw_only=True)
class CompletionTrainingDetail(TrainingDetail):
    """Detail of a training of `image-completion`.

    plateau: True if `train_loss` is not below `train_baseline`, the loss of a Gaussian fitted to the context (in old
    records: if the test was no better). beats_baseline_at: the first step (of those of the curve) at which the loss was
    below `train_baseline`, or None.
    """

    keeps_none: ClassVar[frozenset[str]] = frozenset({"beats_baseline_at"})

    plateau: bool
    beats_baseline_at: int | None


@dataclass(frozen=True, kw_only=True)
class CentroidTrainingDetail(TrainingDetail):
    """Detail of a training of `centroids`: the episodes, and how encodings are scaled."""

    train_ways: int
    train_support: int
    scale: float | str
    layer_norm: bool


@dataclass(frozen=True, kw_only=True)
class StandardTrainingDetail(TrainingDetail):
    """Detail of a training of the profile `standard`.

    lr: the learning rate. validation_loss, validation_score: on validation data; the score is in the metric of the
    task.
    """

    lr: float
    validation_loss: float
    validation_score: float


@dataclass(frozen=True, kw_only=True)
class ValidationDetail(Detail):
    """Detail of a training that only validation data judge.

    converged_within: largest gain of the score by twice the steps with which a training counts as converged.
    """

    training: StandardTrainingDetail
    converged_within: float

    def to_dict(self) -> JsonDict:
        return {"converged_within": self.converged_within, **self.training.to_dict()}


@dataclass(frozen=True, kw_only=True)
class EvaluationDetail(Detail):
    """Detail of one test of a trained model.

    mode: `one piece` or `streamed`. test_size, chunk_size: elements of a set and of a chunk. order: of a stream.
    aggregation: `own` (the encoder's state), or the g of eq. (1) over chunks encoded on their own.
    num_slots: None if it is that of the training. ways: number of classes.
    baseline, pooled_baseline: values of the metric without an encoder. baseline_name: the method behind them.
    outcomes: of each test item, packed (`mbcbench.records.outcomes`).
    """

    mode: str
    test_size: int
    chunk_size: int
    order: str | None = None
    aggregation: str | None = None
    num_slots: int | None = None
    ways: int | None = None
    baseline: float | None = None
    pooled_baseline: float | None = None
    baseline_name: str | None = None
    outcomes: str | None = None


@dataclass(frozen=True, kw_only=True)
class ScoreDetail(Detail):
    """Detail of a score: the keys of the test and those of the training."""

    test: EvaluationDetail
    training: TrainingDetail

    def to_dict(self) -> JsonDict:
        return self.test.to_dict() | self.training.to_dict()


@dataclass(frozen=True, kw_only=True)
class CompletionsDetail(Detail):
    """Detail of completed images, as numbers from 0 to 255.

    images: `count x P x 3`. order: `count x P`, the order in which contexts take the pixels.
    completions: size of the context -> predicted means, `count x P x 3`.
    """

    images: Sequence[Any]
    order: Sequence[Any]
    completions: Mapping[str, Sequence[Any]]
    training: TrainingDetail

    def to_dict(self) -> JsonDict:
        pictures = {"images": self.images, "order": self.order, "completions": self.completions}
        return pictures | self.training.to_dict()


@dataclass(frozen=True, kw_only=True)
class EmbeddingsDetail(Detail):
    """Detail of the embeddings of `centroids`, as principal components.

    queries: `C x Q x components`. centroids: size of the support -> `C x components`.
    """

    queries: Sequence[Any]
    centroids: Mapping[str, Sequence[Any]]
    training: TrainingDetail

    def to_dict(self) -> JsonDict:
        return {"queries": self.queries, "centroids": self.centroids, **self.training.to_dict()}


# Measurements


@dataclass(frozen=True, kw_only=True)
class CostDetail(Detail):
    """Detail of a cost of encoding one batch.

    n, dim, batch: elements of a set, numbers of an element, sets. input_bytes: of the set, or of the repeated chunk.
    method: of measuring or predicting. median_seconds to sets_per_second: only of the metric `throughput`.
    """

    n: int
    mode: str
    dim: int
    batch: int
    chunk_size: int | None = None
    input_bytes: int
    method: str | None = None
    median_seconds: float | None = None
    iqr_seconds: float | None = None
    repetitions: int | None = None
    seconds_per_element: float | None = None
    sets_per_second: float | None = None


@dataclass(frozen=True, kw_only=True)
class GradientDetail(Detail):
    """Detail of the bias or deviation of a gradient estimator; if that was skipped, only `estimator`.

    gradient_size: elements that a gradient flows through. draws: number of gradients.
    """

    estimator: str
    gradient_size: int | None = None
    train_size: int | None = None
    steps: int | None = None
    draws: int | None = None
    data: str | None = None
    full_norm: float | None = None


@dataclass(frozen=True, kw_only=True)
class ConsistencyDetail(Detail):
    """Detail of the gap between the encodings of a stream and of the whole set."""

    n: int
    chunk_size: int
    order: str
    aggregation: str
    draw: int


@dataclass(frozen=True, kw_only=True)
class ArchitectureDetail(Detail):
    """Detail of the layers of a model: name, description and number of parameters of each."""

    layers: Sequence[Sequence[Any]]


@dataclass(frozen=True, kw_only=True)
class AsvDetail(Detail):
    """Detail of a result of ASV. low, high: its 99 % interval, if ASV has one. hardware: never a host name."""

    keeps_none: ClassVar[frozenset[str]] = frozenset({"low", "high"})

    commit: str
    python: str
    hardware: JsonObject
    low: float | None = None
    high: float | None = None


# Probes (mbcbench.execution.probe)


@dataclass(frozen=True, kw_only=True)
class ProbeDetail(Detail):
    """Base class of details that the main process reads back."""

    @classmethod
    def from_dict(cls, detail: JsonObject) -> Self:
        """Return the detail of a record; keys that are not of this kind are ignored."""
        return cls(**{name: detail[key] for name, key in cls._keys().items() if key in detail})


@dataclass(frozen=True, kw_only=True)
class EncoderDetail(ProbeDetail):
    """Detail of a probe that built an encoder and encoded a batch.

    identity: digests of its source and weights. why_dim_in: reason for the width, if the target declares none.
    weights: part of a file of trained weights that was used, if not all of it.
    """

    summary: str
    paper: str
    hyper: Hyper
    claims: Mapping[str, str]
    breaks: Mapping[str, str]
    slot_readout: str
    streaming: bool
    merge: bool
    mask: bool
    parameters: int
    dim_in: int
    output_shape: Sequence[int]
    identity: Mapping[str, str]
    deliberately_wrong: bool = False
    why_dim_in: str = ""
    weights: str = ""


@dataclass(frozen=True, kw_only=True)
class PlanDetail(ProbeDetail):
    """Detail of a probe that asked a suite for its cells.

    cells: fields of each. needs: fields of the data that each cell needs, in the same order.
    experiments: title, filter and cell keys by name. seconds: the time limit of one cell.
    exclusive: True if no other cell may run at the same time. has_follow_up: True if more cells depend on the records.
    """

    cells: Sequence[JsonObject]
    experiments: Mapping[str, JsonObject]
    seconds: float
    exclusive: bool
    needs: Sequence[Sequence[JsonObject]]
    has_follow_up: bool = False


@dataclass(frozen=True, kw_only=True)
class SourceDetail(ProbeDetail):
    """Detail of a probe that imported a suite. identity: digests of its source and of the harness."""

    identity: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class LawPageDetail(ProbeDetail):
    """Detail of a probe that read a law's page."""

    doc: str


@dataclass(frozen=True, kw_only=True)
class ReplayDetail(ProbeDetail):
    """Detail of a probe that tried a counterexample again; counterexample_text is None if the law held."""

    keeps_none: ClassVar[frozenset[str]] = frozenset({"counterexample_text"})

    counterexample_text: str | None = field(metadata={"key": "text"})
