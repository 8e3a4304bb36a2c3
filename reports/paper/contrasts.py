"""Contrasts: weighted sums of measurements that are above zero if a claim of the paper is right."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from mbcbench.paper import (
    DIGITS,
    EXEMPLARS,
    LARGE_IMAGES,
    LARGE_TRAIN_SIZE,
    ONE_PIECE,
    SET_TRANSFORMER,
    SHAPES,
    SMALL_IMAGES,
    SMALL_TRAIN_SIZE,
    SSE_32,
    Filter,
    encoder_of,
    sse,
)

ACCURACY_MARGIN = 0.01  # closer accuracies are on par
NLL_MARGIN = 0.02  # nats; closer NLLs are on par
TIME_MARGIN = 0.25  # times are on par if their ratio is below 2^0.25 = 1.19


class Quantity(NamedTuple):
    """A quantity that contrasts compare, with the words for a difference above and below zero.

    margin: a difference within it does not matter (see docs/analysis-plan.md for the reasons).
    """

    name: str
    above: str
    below: str
    margin: float
    unit: str = ""
    digits: int = 4


NLL = Quantity("NLL", "lower", "higher", NLL_MARGIN, "nats")
ACCURACY = Quantity("accuracy", "higher", "lower", ACCURACY_MARGIN)
LEAD = Quantity("lead in accuracy", "larger", "smaller", ACCURACY_MARGIN)
TRAINING_LOSS = Quantity("mean loss during training", "lower", "higher", NLL_MARGIN, "nats")
TRAINING_TIME = Quantity("log2 of the seconds until the loss is low", "lower", "higher", TIME_MARGIN)


class Term(NamedTuple):
    """A setting and its weight in a contrast."""

    weight: float
    where: Filter


@dataclass(frozen=True)
class Contrast:
    """A weighted sum over settings that is above zero if the claim is right, or zero if it expects equality.

    label: description of the comparison. settings: defaults of all terms; a claim is judged under one of them, the same
    in all its contrasts. column: of the values.
    """

    label: str
    terms: tuple[Term, ...]
    quantity: Quantity = NLL
    settings: tuple[Filter, ...] = ({},)
    expects_equality: bool = False
    column: str = "value"

    def terms_in(self, place: int) -> tuple[Term, ...]:
        """Return the terms in the setting at `place`; a contrast with only one setting always uses that one."""
        return tuple(Term(term.weight, {**self.setting_in(place), **term.where}) for term in self.terms)

    def setting_in(self, place: int) -> Filter:
        """Return the setting at `place`, or the last."""
        return self.settings[min(place, len(self.settings) - 1)]

    @property
    def all_settings(self) -> list[Filter]:
        """The setting of each term, at each place."""
        return [term.where for place in range(len(self.settings)) for term in self.terms_in(place)]

    @property
    def columns(self) -> set[str]:
        """Columns that the settings and the values are in."""
        return {self.column}.union(*self.all_settings)

    @property
    def encoders(self) -> tuple[str, ...]:
        """Encoders of the models that are compared."""
        return tuple(encoder_of(str(term.where["model"])) for term in self.terms)


def train_size_setting(base: Filter, size: int) -> Filter:
    """Return the setting of models trained and tested on `size` elements, in one piece."""
    return {**base, **ONE_PIECE, "detail.train_size": size, "detail.test_size": size}


def image_setting(size: int) -> Filter:
    """Return the setting of models trained and tested on `size` pixels; 1,000 pixels are those of large images."""
    return train_size_setting(LARGE_IMAGES if size == LARGE_TRAIN_SIZE else SMALL_IMAGES, size)


def streamed_setting(chunk: int, size: int) -> Filter:
    """Return the setting of models trained on 1,000 pixels, tested on `size` pixels in chunks."""
    return {**LARGE_IMAGES, "detail.train_size": LARGE_TRAIN_SIZE, "detail.chunk_size": chunk, "detail.test_size": size}


def ways_setting(ways: int) -> Filter:
    """Return the setting of exemplars, with two examples of each class."""
    return {**EXEMPLARS, **ONE_PIECE, "detail.ways": ways, "detail.test_size": 2}


def digits_setting(support: int) -> Filter:
    """Return the setting of digits by the size of the support."""
    return {**DIGITS, **ONE_PIECE, "detail.ways": 10, "detail.test_size": support}


# Clouds in chunks of 100 points, for models trained on 100 points. A cloud of 100 points is one chunk.
STREAMED_CLOUDS: Filter = {**SHAPES, "detail.train_size": 100, "detail.chunk_size": 100}
# Settings of the ablations: the paper's, and that of shorter profiles.
ABLATED = (train_size_setting(LARGE_IMAGES, LARGE_TRAIN_SIZE), train_size_setting(SMALL_IMAGES, SMALL_TRAIN_SIZE))
# Tests in these settings on four chunks, whose encodings are aggregated by g of eq. (1).
CHUNKED: tuple[Filter, ...] = (
    {**LARGE_IMAGES, "detail.train_size": 1000, "detail.test_size": 4000, "detail.chunk_size": 1000},
    {**SMALL_IMAGES, "detail.train_size": 200, "detail.test_size": 800, "detail.chunk_size": 200},
)


def better_than(
    better: str, worse: str, setting: Filter, quantity: Quantity = NLL, *, expects_equality: bool = False
) -> Contrast:
    """Compare two models under one setting."""
    sign = 1 if quantity is ACCURACY else -1
    terms = (Term(sign, {"model": better}), Term(-sign, {"model": worse}))
    return Contrast(f"{better} against {worse}", terms, quantity, (setting,), expects_equality)


def better_in_ablation(better: str, worse: str) -> Contrast:
    """Compare two models of an ablation, in the paper's setting or in the smaller one."""
    terms = (Term(-1, {"model": better}), Term(1, {"model": worse}))
    return Contrast(f"{better} against {worse}", terms, NLL, ABLATED)


def improvement(
    model: str, before: Filter, after: Filter, quantity: Quantity = NLL, change: str | None = None
) -> Contrast:
    """Compare one model under two settings: above zero if it improves from `before` to `after`.

    change: the two settings in words.
    """
    sign = 1 if quantity is ACCURACY else -1
    terms = (Term(sign, {**after, "model": model}), Term(-sign, {**before, "model": model}))
    if change is None:
        changed = {column for column in {**before, **after} if before.get(column) != after.get(column)}
        sides = [describe_setting({c: v for c, v in side.items() if c in changed}) for side in (after, before)]
        change = " against ".join(sides)
    return Contrast(f"{model}: {change}", terms, quantity)


def improves_with_size(model: str, chunk: int, first: int, last: int) -> Contrast:
    """Compare a model after `last` pixels with the same model after the `first`, streamed in chunks."""
    return improvement(model, streamed_setting(chunk, first), streamed_setting(chunk, last))


def chunked_loss(chunk: int, order: str, model: str = SET_TRANSFORMER.label) -> Contrast:
    """Compare one piece with chunks that are encoded on their own and averaged."""
    base = {**SMALL_IMAGES, "detail.train_size": SMALL_TRAIN_SIZE, "detail.test_size": SMALL_TRAIN_SIZE}
    chunks = {**base, **aggregated_by("mean"), "detail.chunk_size": chunk, "detail.order": order}
    whole = {**base, **ONE_PIECE, "detail.chunk_size": SMALL_TRAIN_SIZE}
    kind = "random chunks" if order == "random" else f"chunks in the order of {order},"
    change = f"one piece against the mean over {kind} of {chunk}"
    return improvement(model, chunks, whole, change=change)


def aggregated_by(g: str) -> dict[str, str]:
    """Return the setting of chunks that are encoded on their own and aggregated by `g`."""
    return {"detail.aggregation": g}


def aggregation_contrast(better: str, worse: str, model: str = SSE_32.label) -> Contrast:
    """Compare two g of eq. (1) over the chunk encodings of a model trained with the sum."""
    terms = (Term(-1, {"model": model, **aggregated_by(better)}), Term(1, {"model": model, **aggregated_by(worse)}))
    return Contrast(f"{model}: g={better} against g={worse}", terms, NLL, CHUNKED)


def changed_slots(tested: int, trained: int, model: str = SSE_32.label) -> Contrast:
    """Compare a model tested with another number of slots with one that was trained with `trained` slots."""
    other = sse("random", trained).label
    terms = (Term(-1, {"model": model, "detail.num_slots": tested}), Term(1, {"model": other}))
    label = f"{model} tested with {tested} slots against {other}"
    return Contrast(label, terms, NLL, (image_setting(SMALL_TRAIN_SIZE),), expects_equality=True)


def partition_training(estimator: str, model: str = SSE_32.label) -> Contrast:
    """Compare a model trained on partitions with one trained on full sets, whose NLL should be on par."""
    terms = (Term(-1, {"model": f"{model} {estimator}"}), Term(1, {"model": model}))
    label = f"{model}, {estimator} against full sets"
    return Contrast(label, terms, NLL, (image_setting(LARGE_TRAIN_SIZE),), expects_equality=True)


def partition_speed(estimator: str, quantity: Quantity, model: str = SSE_32.label) -> Contrast:
    """Compare how fast two trainings lower their loss: per step (TRAINING_LOSS) or per second (TRAINING_TIME)."""
    terms = (Term(-1, {"model": f"{model} {estimator}"}), Term(1, {"model": model}))
    label = f"{model}, {estimator} against full sets"
    column = "detail.curve_mean" if quantity is TRAINING_LOSS else "detail.log2_seconds"
    return Contrast(label, terms, quantity, (image_setting(LARGE_TRAIN_SIZE),), column=column)


def lead_growth(model: str, rival: str, few: int, many: int) -> Contrast:
    """Compare a lead in accuracy at many ways with the lead at few."""
    terms = (
        Term(1, {**ways_setting(many), "model": model}),
        Term(-1, {**ways_setting(many), "model": rival}),
        Term(-1, {**ways_setting(few), "model": model}),
        Term(1, {**ways_setting(few), "model": rival}),
    )
    return Contrast(f"{model} over {rival}: {many} ways against {few}", terms, LEAD)


# Settings in words, and settings that are not mentioned.
SETTING_WORDS = {
    "detail.train_size": "trained on {}",
    "detail.test_size": "tested on {}",
    "detail.chunk_size": "chunks of {}",
    "detail.order": "{} order",
    "detail.ways": "{} ways",
    "detail.aggregation": "g = {}",
}
USUAL = ("random", "own")


def describe_setting(where: Mapping[str, object]) -> str:
    """Return a setting in words: `trained and tested on 200, chunks of 50`."""
    sizes = [where.get("detail.train_size"), where.get("detail.test_size")]
    words = []
    for column, phrase in SETTING_WORDS.items():
        value = where.get(column)
        if value is not None and value not in USUAL:
            words.append(phrase.format(value))
    if sizes[0] is not None and sizes[0] == sizes[1]:
        words[:2] = [f"trained and tested on {sizes[0]}"]
    return ", ".join(words)
