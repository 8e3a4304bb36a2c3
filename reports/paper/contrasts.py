"""What the paper's claims compare: settings of the records, and differences between them."""

from collections.abc import Mapping
from typing import Any

from .claim_verdicts import Contrast, told

ANY_SLOTS = {"suite": "image-completion", "metric": "nll", "detail.aggregation": "own"}
NLL = {**ANY_SLOTS, "detail.num_slots": None}  # as many as in training
SMALL = {**NLL, "case": "patches-32", "detail.order": "random"}
LARGE = {**NLL, "case": "patches-64", "detail.order": "random"}
CAD = {"suite": "point-clouds", "case": "cad-points", "metric": "accuracy"}
WAYS = {"suite": "centroids", "case": "exemplar-centroids", "metric": "accuracy", "detail.mode": "one piece"}
DIGITS = {**WAYS, "case": "mnist-centroids", "detail.ways": 10}
ONE = {"detail.mode": "one piece"}
R1, R32, DS, PMA = "sse-random K=1", "sse-random K=32", "deepsets-mean", "pma"
D16, R16, DS_MAX, ST = "sse-deterministic K=16", "sse-random K=16", "deepsets-max", "set-transformer"
STACK = "sse-hierarchical K=32-16 g=mean"
MARGIN = 0.01  # accuracies as near as this are on par
NEAR = 0.02  # and so are NLLs as near as this, in nats


def than(better: str, worse: str, at: Mapping[str, Any], sign: int = -1, **more: Any) -> Contrast:
    """One model against another under one setting; sign: -1 where lower is better."""
    return Contrast(f"{better} against {worse}", ((sign, {"model": better}), (-sign, {"model": worse})), (at,), **more)


def ablated(better: str, worse: str) -> Contrast:
    """One model of an ablation against another: in the paper's setting if both are there, or in the smaller one."""
    return Contrast(f"{better} against {worse}", ((-1, {"model": better}), (1, {"model": worse})), ABLATED)


def change(model: str, base: Mapping[str, Any], to: Mapping[str, Any], since: Mapping[str, Any], sign: int) -> Contrast:
    """One model under one setting against another: positive where it gained."""
    own = {**base, "model": model}
    sides = ((sign, {**own, **to}), (-sign, {**own, **since}))
    return Contrast(f"{model}:{told(to)} against{told(since)}", sides)


def full(base: Mapping[str, Any], size: int) -> dict[str, Any]:
    """Trained and tested on so many, in one piece."""
    return {**base, **ONE, "detail.train_size": size, "detail.test_size": size}


def image(size: int) -> dict[str, Any]:
    return full(LARGE if size == 1000 else SMALL, size)


def streamed(chunk: int, size: int) -> dict[str, Any]:
    return {"detail.train_size": 1000, "detail.chunk_size": chunk, "detail.test_size": size}


def grows(chunk: int, first: int, last: int, model: str) -> Contrast:
    return change(model, LARGE, streamed(chunk, last), streamed(chunk, first), -1)


def apart(chunk: int, order: str, model: str = "set-transformer layers=1") -> Contrast:
    """What a model loses when its chunks are encoded on their own and averaged."""
    base = {**SMALL, "detail.train_size": 200, "detail.test_size": 200}
    chunks = {"detail.chunk_size": chunk, "detail.order": order, "detail.aggregation": "mean"}
    return change(model, base, {"detail.chunk_size": 200, "detail.mode": "one piece"}, chunks, -1)


# The settings of ablations, the paper's and where time is short: full sets, and the chunks of g in eq. (1).
ABLATED = (full(LARGE, 1000), full(SMALL, 200))
CHUNKED = tuple(
    {**base, "detail.train_size": train, "detail.test_size": test, "detail.chunk_size": chunk}
    for base, train, test, chunk in ((LARGE, 1000, 4000, 1000), (SMALL, 200, 800, 200))
)


def literal(better: str, worse: str) -> Contrast:
    """g of eq. (1) over the chunk encodings of a model trained with the sum."""
    sides = ((-1, {"model": R32, **over(better)}), (1, {"model": R32, **over(worse)}))
    return Contrast(f"{R32}: g={better} against g={worse}", sides, CHUNKED)


def over(g: str) -> dict[str, str]:
    """Chunks encoded on their own and aggregated by g."""
    return {"detail.aggregation": g}


def other_slots(tested: int, trained: int) -> Contrast:
    """A model of 32 slots that is tested with another number, against one that was trained with this or the first."""
    sides = ((-1, {"model": R32, "detail.num_slots": tested}), (1, {"model": f"sse-random K={trained}"}))
    return Contrast(f"{R32} tested with {tested} slots against K={trained}", sides, (full(SMALL, 200),), margin=NEAR)


def parts(how: str, column: str = "value", **more: Any) -> Contrast:
    """A model trained on partitions, against one trained on full sets."""
    at = image(1000)
    sides = ((-1, {**at, "model": f"{R32} {how}"}), (1, {**at, "model": R32}))
    what = "" if column == "value" else ", steps until better than each channel's mean and deviation"
    return Contrast(f"{R32}, {how} against full sets{what}", sides, column=column, **more)


def ways(count: int, size: int = 2) -> dict[str, Any]:
    return {**WAYS, "detail.ways": count, "detail.test_size": size}


def lead(encoder: str, rival: str, few: int, many: int) -> Contrast:
    """How much larger a lead is at many ways than at few."""
    terms = [
        (s * t, {**ways(n), "model": m}) for t, n in ((1, many), (-1, few)) for s, m in ((1, encoder), (-1, rival))
    ]
    return Contrast(f"lead of {encoder} over {rival}: {many} ways against {few}", tuple(terms))


EXACT = ("sse-random", "sse-random-mean", "sse-random-max", "sse-random-min")
AS_WRITTEN = ("sse-random", "sse-literal-mean", "sse-literal-max", "sse-literal-min")
SSE_128 = "sse-random-mean K=128"
PARTITION = "mbc.partition"
# How the networks of centroids scale an encoding; see `samples.labelled`. A Slot Set Encoder's shrinks with its slots.
SCALES = (
    ("behind a LayerNorm", "", ""),
    ("as in the paper", " no norm", " no norm"),
    ("multiplied by K", " rescaled", " no norm"),
)
