"""Settings of the centroid task, and their values in each profile."""

from dataclasses import dataclass, replace
from typing import TypeVar

from mbcbench.execution.suite import Profile
from mbcbench.protocol.spec import SlotReadout

from ...training import Schedule
from ...training_cells import TrainingSettings
from .prototypical_network import Scale

Settings = TypeVar("Settings", bound="CentroidSettings")

SUPPORTS = (1, 2, 5, 10, 20, 50, 100, 200, 400)  # the built-in digits have 400 of each class to train on
LARGE_SUPPORTS = {"fashion-mnist": (1000, 2000, 6000)}  # beyond these, up to the number of examples of a class
VIEWS = {"emoji": (4, 2)}  # of a test class: drawings for supports, and drawings by other vendors for queries
TEST_SEED = 40  # of the supports in tests: the same for every encoder and seed


@dataclass(frozen=True, kw_only=True)
class CentroidSettings(TrainingSettings):
    """Settings of a training of a prototypical network.

    Parameters
    ----------
    weight_decay, schedule
        See `fit`.
    train_ways, train_support
        Classes of a training episode, and examples in the support of each, with as many queries.
    scale, layer_norm
        See `PrototypicalNetwork`.
    readout
        Slot read-out in place of the encoder's.
    ways, supports
        Numbers of classes, and of examples in a support, in tests: all pairs are tested.
    repeats
        Random supports of each size that tests average over.
    chunk_size
        Examples per chunk when the largest support is streamed.
    data, data_sha256, test_seed
        Name and digest of the data set (a name overrides the request), and seed of the supports in tests.
    """

    lr: float = 1e-3
    weight_decay: float = 0.0
    schedule: Schedule = "warm-cosine"
    train_ways: int = 5
    train_support: int = 10
    scale: Scale = 1.0
    layer_norm: bool = True
    readout: SlotReadout | None = None
    ways: tuple[int, ...] = (5, 10)
    supports: tuple[int, ...] = SUPPORTS
    repeats: int = 10
    chunk_size: int = 10
    data: str = ""
    data_sha256: str = ""
    test_seed: int = TEST_SEED


@dataclass(frozen=True, kw_only=True)
class DigitCentroidSettings(CentroidSettings):
    """MNIST digits, encoded by a convolutional network that is trained too.

    Parameters
    ----------
    channels
        Output channels of each convolution.
    embeddings
        True to record the embeddings of queries and centroids, for the first seed.
    """

    channels: tuple[int, ...] = (32, 64, 128)
    embeddings: bool = False


@dataclass(frozen=True, kw_only=True)
class ExemplarCentroidSettings(CentroidSettings):
    """Views of image patches, as features of a pretrained network that is not trained further.

    Parameters
    ----------
    pool
        Views of a test class that supports are drawn from.
    queries
        Views of a test class after these, which are classified.
    """

    pool: int = 10
    queries: int = 4
    weight_decay: float = 5e-4
    train_ways: int = 20
    train_support: int = 2
    ways: tuple[int, ...] = (5, 20, 100, 1000)
    supports: tuple[int, ...] = (1, 2, 5, 10)
    repeats: int = 1
    chunk_size: int = 2


DIGIT_PROFILES: dict[Profile, DigitCentroidSettings] = {
    "smoke": DigitCentroidSettings(seeds=1, steps=5, channels=(4, 8, 16), supports=(1, 10), repeats=2),
    "thorough": DigitCentroidSettings(seeds=6, steps=2000, lr=3e-3, channels=(16, 32, 64)),
    "paper": DigitCentroidSettings(
        seeds=5,
        steps=50_000,  # 50 epochs, assumed to have a thousand episodes each
        weight_decay=5e-4,
        schedule="milestones",
        layer_norm=False,
    ),
}
EXEMPLAR_PROFILES: dict[Profile, ExemplarCentroidSettings] = {
    "smoke": ExemplarCentroidSettings(seeds=1, steps=5, supports=(2,), repeats=1),
    "thorough": ExemplarCentroidSettings(seeds=6, steps=2000),
    "paper": ExemplarCentroidSettings(seeds=5, steps=50_000, schedule="milestones", layer_norm=False),
}


def fit_to_data(settings: Settings, data: str) -> Settings:
    """Return the settings of a training on a data set, adapted to its number of examples.

    Unusual sizes of supports stay as they are if they fit into the pool.
    """
    if isinstance(settings, DigitCentroidSettings) and settings.supports == SUPPORTS and data in LARGE_SUPPORTS:
        return replace(settings, supports=(*SUPPORTS, *LARGE_SUPPORTS[data]))
    if isinstance(settings, ExemplarCentroidSettings) and data in VIEWS:
        pool, queries = VIEWS[data]
        supports = sorted({*(size for size in settings.supports if size < pool), pool})
        return replace(settings, pool=pool, queries=queries, supports=tuple(supports))
    return settings
