"""Settings of the experiments of the Slot Set Encoder paper (arXiv 2103.01615) that suites and reports share.

A model is an encoder with hyper-parameters. A filter selects records for a report: it maps columns of a frame of
records to values (None: missing). This module is plain data and imports neither torch nor pandas.
"""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from mbcbench.types import Hyper, JsonObject

HYPER_SYMBOLS = {"num_slots": "K", "slot_dim": "h", "layers": "layers", "aggregate": "g"}  # shown in labels
DEFAULT_HYPER = {"slot_dim": 64, "num_slots": 1}  # of a Slot Set Encoder whose hyper-parameters do not say
POOLINGS = ("sum", "mean", "max", "min")  # encoders without parameters: the paper's DeepSets as a pooling layer
PUBLISHED_ENCODER = "mbcbench.encoders.sse_published:SSE_PUBLISHED"  # a target: it is not registered
# Names in figures and claims. The paper replaces the pooling layer only (Sections 3.1, 3.2, App. E), so its baselines
# are bare poolings; the encoders with a network of their own have names that say so.
NAMES = {
    **{g: f"DeepSets ({g})" for g in POOLINGS},
    **{f"deepsets-{g}": f"DeepSets ({g}) + network" for g in POOLINGS},
    **{f"sse-{slots}": f"SSE {slots}" for slots in ("random", "deterministic")},
    **{
        f"sse-{slots}-{g}": f"SSE {slots} ({g})"
        for slots in ("random", "deterministic")
        for g in ("mean", "max", "min")
    },
    "sse-hierarchical": "SSE hierarchy",
    "deepsets-original": "DeepSets (original)",
    "pma-block": "PMA",
    "pma": "PMA + network",
    "isab-pma": "Set Transformer",
    "set-transformer": "Set Transformer (stacked)",
    PUBLISHED_ENCODER: "SSE (slots summed)",
}


class Model(NamedTuple):
    """Encoder (the name of a plug-in, or a target) with hyper-parameters."""

    encoder: str
    hyper: Hyper

    @property
    def label(self) -> str:
        """Name in figures and claims, such as `SSE random K=32`."""
        return model_label(self.encoder, self.hyper)


def model_label(encoder: str, hyper: Hyper = MappingProxyType({})) -> str:
    """Return the name of a model: that of the encoder and the hyper-parameters that have a symbol."""
    values = [f"{symbol}={_level(hyper[name])}" for name, symbol in HYPER_SYMBOLS.items() if name in hyper]
    return " ".join([NAMES.get(encoder, encoder), *values])


def encoder_of(label: str) -> str:
    """Return the encoder of a model from the model's label."""
    names = {name: encoder for encoder, name in NAMES.items()}
    matches = [name for name in names if label == name or label.startswith(f"{name} ")]
    return names[max(matches, key=len)] if matches else label.partition(" ")[0]


def _level(value: Any) -> str:
    """Return a value, or those of all levels of a hierarchy: `32-16`."""
    return "-".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def sse(slots: str, k: int, h: int = 64, g: str = "sum") -> Model:
    """Return a Slot Set Encoder with `k` slots (`random` or `deterministic`) of width `h`, aggregated by `g`.

    Defaults are omitted from the hyper-parameters, so that equal trainings share a cell key.
    """
    name = f"sse-{slots}" if g == "sum" else f"sse-{slots}-{g}"
    width = {"slot_dim": h} if h != DEFAULT_HYPER["slot_dim"] else {}
    return Model(name, {"num_slots": k, **width})


def hierarchy(num_slots: Sequence[int], h: int = 64) -> Model:
    """Return a hierarchy of Slot Set Encoders with so many slots on each level, all of width `h`."""
    width = {"slot_dim": h} if h != DEFAULT_HYPER["slot_dim"] else {}
    return Model("sse-hierarchical", {"num_slots": list(num_slots), **width})


# The paper's baselines: poolings behind the element network that all models share.
DEEPSETS_MEAN = Model("mean", {})
DEEPSETS_MAX = Model("max", {})
PMA = Model("pma-block", {})
SET_TRANSFORMER = Model("isab-pma", {})
# Baselines that are deeper than the paper's.
DEEPSETS_MEAN_NETWORK = Model("deepsets-mean", {})
DEEPSETS_MAX_NETWORK = Model("deepsets-max", {})
PMA_NETWORK = Model("pma", {})
SET_TRANSFORMER_STACKED = Model("set-transformer", {})
DEEPSETS_ORIGINAL = Model("deepsets-original", {})
SSE_1 = sse("random", 1)
SSE_16 = sse("random", 16)
SSE_32 = sse("random", 32)
SSE_DETERMINISTIC_16 = sse("deterministic", 16)

# Arms of the reproduction besides the repaired one: the paper's text, and the authors' published code. Their
# cases have the arm in their names.
PAPER_ARM, PUBLISHED_ARM = "paper", "published"
PUBLISHED_1, PUBLISHED_32 = (Model(PUBLISHED_ENCODER, {"num_slots": k}) for k in (1, 32))
PUBLISHED_MODELS = (DEEPSETS_MEAN, PUBLISHED_1, PUBLISHED_32)

# Readings that laws decide without training: in these the attention cancels.
ONE_SLOT = (sse("random", 1), sse("deterministic", 1))
PER_CHUNK_ONE_SLOT = Model("sse-hierarchical-per-chunk", {"num_slots": [32, 1]})

# Centroids: 128 wide. DeepSets is a network and a mean on ImageNet (Table 8), and a mean alone on MNIST (Table 6).
CENTROID_WIDTH = 128
DEEPSETS_MEAN_128 = Model("deepsets-mean", {"dim": CENTROID_WIDTH})
SSE_MEAN_32 = Model("sse-random-mean", {"num_slots": 32, "dim": CENTROID_WIDTH})
SSE_MEAN_128 = Model("sse-random-mean", {"num_slots": 128, "dim": CENTROID_WIDTH})
SSE_DETERMINISTIC_MEAN_16 = Model("sse-deterministic-mean", {"num_slots": 16, "dim": CENTROID_WIDTH})
# Table 5. It is read out as the mean over its slots, in which the attention of its last level cancels.
DIGIT_HIERARCHY = Model("sse-hierarchical", {"num_slots": [32, 16], "aggregate": "mean", "dim": CENTROID_WIDTH})

COMPARED_IN_FIG3 = (DEEPSETS_MEAN, PMA, SSE_1, SSE_32)
COMPARED_IN_TABLE1 = (DEEPSETS_MAX, SET_TRANSFORMER, SSE_DETERMINISTIC_16, SSE_16)
COMPARED_IN_FIG5 = (DEEPSETS_MEAN_128, SSE_MEAN_32, SSE_MEAN_128)
COMPARED_IN_FIG8 = (DEEPSETS_MEAN, SSE_DETERMINISTIC_MEAN_16, DIGIT_HIERARCHY)
# Rows in addition to the paper's.
ADDED_TO_FIG3 = (DEEPSETS_MEAN_NETWORK, PMA_NETWORK)
ADDED_TO_TABLE1 = (DEEPSETS_MAX_NETWORK, SET_TRANSFORMER_STACKED)
ADDED_TO_FIG8 = (DEEPSETS_MEAN_128,)
# The encoders of all experiments. Any other was added by a user.
ENCODERS = (
    *("sse-random", "sse-random-mean", "sse-random-max", "sse-random-min"),
    *("sse-deterministic", "sse-deterministic-max", "sse-deterministic-mean", "sse-hierarchical"),
    *("mean", "max", "pma-block", "isab-pma"),
    *("deepsets-mean", "deepsets-max", "deepsets-original", "pma", "set-transformer"),
)

# Sizes of the sets in training and tests.
SMALL_TRAIN_SIZE, LARGE_TRAIN_SIZE = 200, 1000  # pixels of 32 x 32 and of 64 x 64 images
GRADIENT_SIZE = 200  # pixels that the gradient flows through in training on partitions (Figure 3d)
CLOUD_SIZES = (100, 200, 500, 1000, 5000)  # points (Table 1)

# Filters.
Filter = JsonObject
ONE_PIECE: Filter = {"detail.mode": "one piece"}
TRAINED_SLOTS: Filter = {"detail.num_slots": None}  # tested with as many slots as in training
OWN_STATE: Filter = {"detail.aggregation": "own"}  # chunks aggregated by the encoder, not by a g of eq. (1)
RANDOM_ORDER: Filter = {"detail.order": "random"}
COMPLETION: Filter = {"suite": "image-completion", "metric": "nll"}  # tested in any way
COMPLETION_TRAINED_SLOTS: Filter = {**COMPLETION, **TRAINED_SLOTS}
COMPLETION_OWN_STATE: Filter = {**COMPLETION_TRAINED_SLOTS, **OWN_STATE}
SMALL_IMAGES: Filter = {**COMPLETION_OWN_STATE, **RANDOM_ORDER, "case": "patches-32"}
LARGE_IMAGES: Filter = {**COMPLETION_OWN_STATE, **RANDOM_ORDER, "case": "patches-64"}
CLOUDS: Filter = {"suite": "point-clouds", "metric": "accuracy"}
SHAPES: Filter = {**CLOUDS, "case": "cad-points"}
CENTROIDS: Filter = {"suite": "centroids", "metric": "accuracy"}
EXEMPLARS: Filter = {**CENTROIDS, "case": "exemplar-centroids"}
DIGITS: Filter = {**CENTROIDS, "case": "mnist-centroids"}
EMBEDDINGS: Filter = {**CENTROIDS, "metric": "embeddings"}
DIGIT_EMBEDDINGS: Filter = {**DIGITS, **EMBEDDINGS}


def case_on(data: str, usual: str) -> str:
    """Return the case of a task on an additional data set: `emoji-centroids` where it usually is `exemplar-centroids`.

    The names differ, so that no report mistakes its records for those of the usual data.
    """
    return f"{data}-{usual.rpartition('-')[2]}"


def on_data(where: Filter, data: str) -> Filter:
    """Return a filter that names a case, for the records on an additional data set."""
    return {**where, "case": case_on(data, where["case"])}
