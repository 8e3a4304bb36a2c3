"""Settings of the point-cloud task, and their values in each profile."""

from dataclasses import dataclass

from mbcbench.execution.suite import Profile
from mbcbench.protocol.spec import SlotReadout

from ...training import Schedule
from ...training_cells import TrainingSettings
from ..classifier import Architecture

TEST_SEED = 20  # of the points in tests: the same for every encoder and seed


@dataclass(frozen=True, kw_only=True)
class PointCloudSettings(TrainingSettings):
    """Settings of a training on point clouds.

    Parameters
    ----------
    width, architecture
        See `SetClassifier`.
    readout
        Slot read-out in place of the encoder's.
    weight_decay, schedule
        See `fit`.
    batch_size, train_size
        Clouds of a batch, and points of each.
    test_sizes
        Points of the sets that are encoded in one piece.
    streamed_sizes, chunk_size
        Points of the sets that are streamed, and of their chunks.
    data, test_seed
        Name of the data set, which overrides the request, or its digest; and seed of the points in tests.
    """

    width: int = 64
    architecture: Architecture = "small"
    readout: SlotReadout | None = None
    weight_decay: float = 0.0
    schedule: Schedule = "warm-cosine"
    batch_size: int = 64
    train_size: int = 100
    test_sizes: tuple[int, ...] = (50, 100, 200, 500, 1000)
    streamed_sizes: tuple[int, ...] = (200, 500, 1000)
    chunk_size: int = 100
    data: str = ""
    test_seed: int = TEST_SEED


@dataclass(frozen=True, kw_only=True)
class DigitCloudSettings(PointCloudSettings):
    """MNIST digits: the number of images for training and for tests."""

    train_images: int = 4000
    test_images: int = 1000


@dataclass(frozen=True, kw_only=True)
class ShapeCloudSettings(PointCloudSettings):
    """Shapes of forty classes, unless they come from an additional data set.

    Parameters
    ----------
    points
        Points that are drawn from each shape beforehand.
    augment
        Rotate clouds about the vertical axis by U(-0.1, 0.1) pi, and scale them by U(0.8, 1.25) along each axis
        (arXiv 1703.06114).
    data_sha256
        Digest of the data set.
    """

    points: int = 2000
    augment: bool = False
    test_sizes: tuple[int, ...] = (100, 200, 300, 400, 500, 2000)
    streamed_sizes: tuple[int, ...] = (200, 300, 400, 500)
    data_sha256: str = ""


# Learning rates of `thorough` on shapes that differ from its usual one: see docs/analysis-plan.md.
RATES = {"set-transformer": 3e-3, "sse-random": 3e-3, "sse-hierarchical": 3e-3}
DIGIT_PROFILES: dict[Profile, DigitCloudSettings] = {
    "smoke": DigitCloudSettings(seeds=1, steps=5, batch_size=8, train_images=100, test_images=20),
    "thorough": DigitCloudSettings(seeds=5, steps=2000),
    "paper": DigitCloudSettings(seeds=5, steps=12_500, width=256, lr=1e-3),  # 200 epochs
}
SHAPE_PROFILES: dict[Profile, ShapeCloudSettings] = {
    "smoke": ShapeCloudSettings(seeds=1, steps=5, batch_size=8, test_sizes=(100,), streamed_sizes=(200,)),
    "quick": ShapeCloudSettings(
        seeds=1, steps=200, lr=5e-3, batch_size=32, test_sizes=(100, 500), streamed_sizes=(500,)
    ),
    "thorough": ShapeCloudSettings(seeds=6, steps=7000, batch_size=32, lr=1e-2, test_sizes=(100, 200, 300, 400, 500)),
    "paper": ShapeCloudSettings(
        seeds=5,
        steps=30_800,  # 200 epochs of 9,843 shapes
        width=256,
        architecture="deepsets",
        lr=1e-3,
        weight_decay=5e-4,
        schedule="milestones",
        points=10_000,
        augment=True,
    ),
}
