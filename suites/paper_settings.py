"""Settings of the paper's experiments in each profile.

`thorough` is what the reference reproduction runs; docs/analysis-plan.md has the reasons for its steps and rates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from mbcbench.datasets import Content
from mbcbench.execution.suite import Profile, Request
from mbcbench.paper import CLOUD_SIZES, LARGE_TRAIN_SIZE, PAPER_ARM, SMALL_TRAIN_SIZE

from .tasks.centroids import settings as centroids
from .tasks.centroids.settings import CentroidSettings, DigitCentroidSettings, ExemplarCentroidSettings
from .tasks.image_completion import settings as image_completion
from .tasks.image_completion.protocol import QUICK_TESTS, TESTS_64, one_piece_tests
from .tasks.image_completion.settings import CompletionSettings
from .tasks.point_clouds import settings as point_clouds
from .tasks.point_clouds.settings import ShapeCloudSettings
from .training_cells import choose_dataset

LARGE_SIZE = 64  # pixels
LARGE_STEPS = {"thorough": 4000}
# quick: a look at every experiment in a few minutes. Its trainings are too short for a verdict.
IMAGE_PROFILES: dict[Profile, CompletionSettings] = {
    **image_completion.PROFILES,
    "quick": CompletionSettings(
        seeds=2,
        steps=400,
        lr=5e-3,
        targets=32,
        batch_size=8,
        test_images=32,
        tests=(*QUICK_TESTS, *one_piece_tests(SMALL_TRAIN_SIZE)),
    ),
}
DIGIT_PROFILES: dict[Profile, DigitCentroidSettings] = {
    **centroids.DIGIT_PROFILES,
    "quick": DigitCentroidSettings(
        seeds=2, steps=100, lr=3e-3, train_support=5, channels=(8, 16, 32), supports=(1, 5, 10, 50), repeats=5
    ),
}
EXEMPLAR_PROFILES: dict[Profile, ExemplarCentroidSettings] = {
    **centroids.EXEMPLAR_PROFILES,
    "quick": ExemplarCentroidSettings(seeds=1, steps=100, supports=(1, 2, 5), repeats=1),
}
TABLE1_SIZES: dict[Profile, Sequence[int]] = {
    "smoke": (100,),
    "quick": (100,),
    "thorough": CLOUD_SIZES,
    "paper": CLOUD_SIZES,
}
FEW_MESHES = (100, 200)  # points: training sizes for an additional data set of clouds
# Steps and seeds by the number of points, since steps on more points take longer.
CLOUD_STEPS = {100: 7000, 200: 7000, 500: 2800, 1000: 2800, 5000: 700}
CLOUD_SEEDS = {1000: 3, 5000: 3}
# Learning rates of `thorough` that differ from the usual one, by encoder and scaling of the encodings: a LayerNorm,
# none, or the number of slots.
Scaling = Literal["norm", "none", "slots"]
EXEMPLAR_RATES: Mapping[tuple[str, Scaling], float] = {
    ("deepsets-mean", "none"): 3e-4,
    ("sse-random-mean", "norm"): 3e-3,
    ("sse-random-mean", "none"): 1e-2,
    ("sse-random-mean", "slots"): 3e-4,
}
DIGIT_RATES: Mapping[tuple[str, Scaling], float] = {
    ("mean", "norm"): 1e-2,
    ("mean", "none"): 1e-2,
    ("deepsets-mean", "norm"): 1e-3,
    ("sse-deterministic-mean", "norm"): 1e-2,
    ("sse-deterministic-mean", "none"): 1e-2,
    ("sse-hierarchical", "norm"): 1e-2,
    ("sse-hierarchical", "slots"): 1e-2,
}
# Fractions of the steps: of additional, shorter trainings of some experiments, and of trainings on additional data.
SMALLER_BUDGETS = (0.1, 0.3)
ADDITIONAL_SHARE = 0.3


def small_images(request: Request, train_size: int = SMALL_TRAIN_SIZE) -> CompletionSettings:
    """Return the settings of images of 32 x 32 pixels."""
    settings = replace(IMAGE_PROFILES[request.profile], train_size=train_size)
    return replace(settings, steps=_steps(request, "patches", settings.steps))


def large_images(request: Request) -> CompletionSettings:
    """Return the settings of images of 64 x 64 pixels, trained on 1,000 of them."""
    settings = IMAGE_PROFILES[request.profile]
    steps = _steps(request, "patches", LARGE_STEPS.get(request.profile, settings.steps))
    return replace(settings, size=LARGE_SIZE, train_size=LARGE_TRAIN_SIZE, tests=TESTS_64, steps=steps)


def arm(request: Request, name: str) -> CompletionSettings:
    """Return the settings of an arm: those of the paper's text or of its published code, with our number of steps.

    Both have coordinates in [0, 1), a learning rate of 1e-3 that is divided by 10 three times, and weight decay. The
    code has a LayerNorm behind the encoding, networks one layer deeper, and outputs a deviation, which the text lacks.
    """
    is_text = name == PAPER_ARM
    return replace(
        small_images(request),
        arm=name,
        coordinates="unit",
        lr=1e-3,
        schedule="milestones",
        weight_decay=5e-4 if is_text else 5e-3,
        layer_norm=not is_text,
        decoder="paper" if is_text else "published",
        tests=one_piece_tests(SMALL_TRAIN_SIZE),
    )


def clouds(request: Request, train_size: int) -> ShapeCloudSettings:
    """Return the settings of shapes; only models of 100 points are tested on more."""
    settings = replace(point_clouds.SHAPE_PROFILES[request.profile], train_size=train_size)
    if request.profile == "paper":
        settings = replace(settings, width=512 if train_size >= 5000 else 256)
    if request.profile == "thorough":
        steps = _steps(request, "clouds", CLOUD_STEPS[train_size])
        seeds = CLOUD_SEEDS.get(train_size, settings.seeds)
        settings = replace(settings, steps=steps, seeds=seeds, points=max(settings.points, train_size))
    if train_size > 100:
        settings = replace(settings, test_sizes=(train_size,), streamed_sizes=(train_size,))
    return settings


def table1_sizes(request: Request) -> Sequence[int]:
    """Return the numbers of points that models of Table 1 are trained on."""
    sizes = TABLE1_SIZES[request.profile]
    return [size for size in sizes if size in FEW_MESHES] if is_additional(request, "clouds") else sizes


def digits(request: Request) -> DigitCentroidSettings:
    """Return the settings of centroids of digits; the longer profiles record embeddings."""
    return replace(DIGIT_PROFILES[request.profile], embeddings=request.profile in ("thorough", "paper"))


def exemplars(request: Request) -> ExemplarCentroidSettings:
    """Return the settings of centroids of exemplars."""
    return EXEMPLAR_PROFILES[request.profile]


def centroid_rate(request: Request, shared: CentroidSettings, encoder: str, scaling: Scaling) -> float:
    """Return the learning rate of a model of centroids."""
    rates = DIGIT_RATES if isinstance(shared, DigitCentroidSettings) else EXEMPLAR_RATES
    return rates.get((encoder, scaling), shared.lr) if request.profile == "thorough" else shared.lr


def _steps(request: Request, content: Content, steps: int) -> int:
    """Return the number of steps; `thorough` trains for fewer on additional data."""
    is_shorter = request.profile == "thorough" and is_additional(request, content)
    return round(ADDITIONAL_SHARE * steps) if is_shorter else steps


def is_additional(request: Request, content: Content) -> bool:
    """Return True if a request chooses an additional data set for a content."""
    return choose_dataset(content, request.data).additional
