"""Settings of the image-completion task, and their values in each profile."""

from dataclasses import dataclass

from mbcbench.execution.suite import Profile
from mbcbench.protocol.spec import SlotReadout

from ...training import Schedule
from ...training_cells import TrainingSettings
from ..partitions import Estimator
from .neural_process import DecoderKind
from .pixels import Coordinates
from .protocol import QUICK_TESTS, TESTS_32, CompletionTest, aggregation_tests, slot_tests

TEST_SEED = 30  # of the contexts in tests: the same for every encoder and seed


@dataclass(frozen=True, kw_only=True)
class ImageSettings(TrainingSettings):
    """Settings of a training of a Conditional Neural Process.

    Parameters
    ----------
    size
        Height and width of the images, in pixels.
    train_size
        Pixels of a context in training.
    targets
        Pixels whose colours a step predicts, drawn at random; tests predict all.
    batch_size
        Images of a step.
    coordinates
        `centred`, in [-1, 1], or `unit`, in [0, 1) as in the paper, with which models learn several times slower.
    train_images, test_images
        Images for training and for tests.
    data, data_sha256
        Name and digest of the data set. A name overrides the request.
    """

    size: int = 32
    train_size: int = 200
    targets: int = 128
    batch_size: int = 16
    lr: float = 2e-3
    coordinates: Coordinates = "centred"
    train_images: int = 8000
    test_images: int = 256
    data: str = ""
    data_sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class CompletionSettings(ImageSettings):
    """Settings of the task.

    Parameters
    ----------
    weight_decay, schedule
        See `fit`.
    layer_norm, decoder
        See `NeuralProcess`.
    estimator, gradient_size
        See `Sampling`.
    readout
        Slot read-out in place of the encoder's.
    tests
        Tests of every model.
    kept
        Number of test images whose completions are recorded for pictures, for the first seed.
    test_seed
        Seed of the contexts in tests.
    arm
        Name of a variant of the task, which is a separate case.
    """

    weight_decay: float = 0.0
    schedule: Schedule = "warm-cosine"
    layer_norm: bool = True
    decoder: DecoderKind = "gaussian"
    estimator: Estimator = "full"
    gradient_size: int = 0
    readout: SlotReadout | None = None
    tests: tuple[CompletionTest, ...] = ()
    kept: int = 0
    test_seed: int = TEST_SEED
    arm: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "tests", tuple(CompletionTest(*row) for row in self.tests))  # lists, from JSON


# Learning rates of `thorough` that differ from its usual one: see docs/analysis-plan.md.
RATES = {"deepsets-mean": 1e-3, "sse-hierarchical": 1e-3}
PROFILES: dict[Profile, CompletionSettings] = {
    "smoke": CompletionSettings(
        seeds=1,
        steps=5,
        batch_size=4,
        train_images=50,
        test_images=8,
        tests=(*QUICK_TESTS, *aggregation_tests(200, 50), *slot_tests(50, 8)),
        kept=1,
    ),
    "thorough": CompletionSettings(seeds=6, steps=5000, lr=3e-3, batch_size=8, targets=64, tests=TESTS_32),
    "paper": CompletionSettings(
        seeds=5,
        steps=158_000,  # 200 epochs of CelebA's 202,599 images, 256 at a time
        batch_size=256,
        targets=1024,
        lr=1e-3,
        weight_decay=5e-4,
        schedule="milestones",
        coordinates="unit",
        layer_norm=False,
        decoder="paper",
        tests=TESTS_32,
    ),
}
