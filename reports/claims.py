"""The claims ledger: what the paper says, as data, and the verdict that the records give."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mbcbench.report import Artefact

from .claim_tests import Breaks, Claim, Contrast, Holds, Verdict, judge
from .samples import COLUMNS, labelled

NLL = {"suite": "image-completion", "metric": "nll", "detail.aggregation": "own"}
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


def than(better: str, worse: str, at: Mapping[str, Any], sign: int = -1, **more: Any) -> Contrast:
    """One model against another under one setting; sign: -1 where lower is better."""
    sides = ((sign, {**at, "model": better}), (-sign, {**at, "model": worse}))
    return Contrast(f"{better} against {worse}{_at(at)}", sides, **more)


def change(model: str, base: Mapping[str, Any], to: Mapping[str, Any], since: Mapping[str, Any], sign: int) -> Contrast:
    """One model under one setting against another: positive where it gained."""
    own = {**base, "model": model}
    sides = ((sign, {**own, **to}), (-sign, {**own, **since}))
    return Contrast(f"{model}:{_at(to)} against{_at(since)}", sides)


def _at(where: Mapping[str, Any]) -> str:
    names = ("train_size", "test_size", "chunk_size", "order", "ways", "aggregation")
    told = [f"{name.replace('_', ' ')} {where[f'detail.{name}']}" for name in names if f"detail.{name}" in where]
    return f" ({', '.join(told)})" if told else ""


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


ABLATED = full(SMALL, 200)
LITERAL = {**NLL, "case": "patches-32", "detail.train_size": 200, "detail.mode": "streamed", "detail.order": "random"}


def literal(better: str, worse: str) -> Contrast:
    """g of eq. (1) over the chunk encodings of a model trained with the sum."""
    chunks = {**LITERAL, "detail.test_size": (200, 800), "detail.chunk_size": (50, 200), "model": R32}
    sides = ((-1, {**chunks, "detail.aggregation": better}), (1, {**chunks, "detail.aggregation": worse}))
    return Contrast(f"{R32}: g={better} against g={worse}", sides)


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

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "C1",
        "as written",
        "Prop. 2.1, App. C.1",
        "f and g of Algorithm 1 are MBC for g in {sum, mean, max, min}",
        (Holds(PARTITION, AS_WRITTEN),),
    ),
    Claim(
        "C1",
        "exact states",
        "Prop. 2.1, App. C.1",
        "with states that keep counts and extrema, they are MBC",
        (Holds(PARTITION, EXACT),),
    ),
    Claim(
        "C2",
        "",
        "Prop. 2.2, App. C.2",
        "invariant to permutations of elements, equivariant to those of slots",
        (
            Holds("symmetry.permutation", ("sse-random", "sse-deterministic")),
            Holds("symmetry.slots", ("sse-random", "sse-deterministic")),
        ),
    ),
    Claim(
        "C3", "", "Sec. 2.3", "a softmax, even over the slots, breaks MBC", (Breaks(PARTITION, ("sse-softmax-slots",)),)
    ),
    Claim(
        "C4",
        "",
        "Table 2",
        "original DeepSets, Set Transformer and FSPool fail MBC",
        (Breaks(PARTITION, ("deepsets-original", "set-transformer", "fspool")),),
    ),
    Claim(
        "C5",
        "run per chunk",
        "Sec. 2.4, eq. 6",
        "the hierarchy is MBC",
        (Holds(PARTITION, ("sse-hierarchical-per-chunk",)),),
    ),
    Claim(
        "C5", "level by level", "Sec. 2.4, eq. 6", "the hierarchy is MBC", (Holds(PARTITION, ("sse-hierarchical",)),)
    ),
    Claim(
        "C6",
        "",
        "Sec. 2.4",
        "a stack models pairwise and higher-order interactions",
        (Breaks("substance.interactions", ("sse-hierarchical",)),),
    ),
    Claim(
        "C7",
        "",
        "Sec. 2.3",
        "with random slots, K can be changed at test time",
        (),
        "a suite that tests a trained model with another K",
    ),
    Claim(
        "C8",
        "",
        "Sec. 2.1, 2.3",
        "sets of any size: memory does not grow with n",
        (Holds("mbc.memory", ("sse-random", "deepsets-mean")), Holds("mbc.large", ("sse-random", "deepsets-mean"))),
    ),
    *(
        Claim(
            "C9",
            f"{order}, chunks of {chunk}",
            "Fig. 2",
            "a Set Transformer loses likelihood on mini-batches",
            (apart(chunk, order),),
        )
        for order in ("random", "rows")
        for chunk in (50, 10, 1)
    ),
    *(
        Claim(
            "C10",
            f"K={k}",
            "Fig. 3a",
            "SSE has a lower NLL than DeepSets and PMA at 200, 400, 500 and 1000 points",
            tuple(than(sse, rival, image(n)) for n in (200, 400, 500, 1000) for rival in (DS, PMA)),
        )
        for k, sse in ((1, R1), (32, R32))
    ),
    *(
        Claim(
            name,
            reading,
            where,
            says,
            (
                *(grows(chunk, first, last, model) for model in (DS, R1, R32) if reading == "improve"),
                *(
                    than(sse, DS, {**LARGE, **streamed(chunk, n)})
                    for sse in (R1, R32)
                    for n in sizes
                    if reading == "ahead"
                ),
            ),
        )
        for name, where, chunk, first, last, sizes in (
            ("C11", "Fig. 3b", 1000, 1000, 4000, (2000, 3000, 4000)),
            ("C12", "Fig. 3c", 100, 100, 500, (200, 300, 400, 500)),
        )
        for reading, says in (
            ("improve", f"trained on 1000, DeepSets and SSE improve as {sizes[0]}-{last} points stream in"),
            ("ahead", f"trained on 1000, SSE stays ahead of DeepSets at {sizes[0]}-{last} points"),
        )
    ),
    Claim(
        "C13",
        "",
        "Fig. 3d, Sec. 2.5",
        "trained on mini-batches, a model converges faster and generalises",
        tuple(
            Contrast(
                f"{model}: trained on partitions against full sets",
                (
                    (-1, {**image(1000), "model": model, "params.estimator": "partition"}),
                    (1, {**image(1000), "model": model, "params.estimator": "full"}),
                ),
            )
            for model in (DS, R32)
        ),
        "models trained with the estimator `partition`, which no experiment has",
    ),
    Claim(
        "C14",
        "g over chunk encodings",
        "Fig. 4a",
        "mean and sum beat min and max",
        tuple(literal(a, b) for a in ("mean", "sum") for b in ("min", "max")),
    ),
    Claim(
        "C14",
        "trained with g",
        "Fig. 4a",
        "the sum beats the exact elementwise min and max",
        tuple(than(R1, f"sse-random-{g} K=1", ABLATED) for g in ("min", "max")),
    ),
    Claim(
        "C15",
        "",
        "Fig. 4b",
        "random slots beat deterministic slots",
        tuple(than(f"sse-random K={k}", f"sse-deterministic K={k}", ABLATED) for k in (1, 32)),
    ),
    Claim(
        "C16",
        "",
        "Fig. 4c",
        "stacking helps, and hurts beyond four levels",
        (
            than("sse-hierarchical K=1-1-1-1 h=256", R1, ABLATED),
            than("sse-hierarchical K=1-1-1-1 h=256", "sse-hierarchical K=1-1-1-1-1 h=512", ABLATED),
        ),
    ),
    Claim(
        "C17",
        "",
        "Fig. 7",
        "K between 32 and 128 is best",
        tuple(than(f"sse-random K={k}", f"sse-random K={bad}", ABLATED) for k in (32, 64, 128) for bad in (1, 256)),
    ),
    Claim(
        "C18",
        "deterministic",
        "Fig. 7",
        "a larger slot dimension is better",
        (than("sse-deterministic K=32 h=256", "sse-deterministic K=32 h=32", ABLATED),),
    ),
    Claim(
        "C19",
        "below 5000",
        "Table 1",
        "SSE beats DeepSets and Set Transformer",
        tuple(
            than(sse, rival, full(CAD, n), 1)
            for n in (100, 200, 500, 1000)
            for sse in (R16, D16)
            for rival in (DS_MAX, ST)
        ),
    ),
    Claim(
        "C19",
        "at 5000",
        "Table 1",
        f"DeepSets is on par with SSE (within {MARGIN})",
        (than(R16, DS_MAX, full(CAD, 5000), 1, margin=MARGIN),),
    ),
    Claim(
        "C20",
        "DeepSets degrades",
        "Fig. 4d",
        "trained on 100 points, DeepSets degrades at 200-500",
        tuple(
            change(DS_MAX, {**CAD, "detail.train_size": 100}, {"detail.test_size": 100}, {"detail.test_size": n}, 1)
            for n in (200, 500)
        ),
    ),
    Claim(
        "C20",
        "SSE improves",
        "Fig. 4d",
        "trained on 100 points, SSE improves at 200-500",
        tuple(
            change(R16, {**CAD, "detail.train_size": 100}, {"detail.test_size": n}, {"detail.test_size": 100}, 1)
            for n in (200, 500)
        ),
    ),
    *(
        Claim(
            "C21",
            reading,
            "Fig. 5",
            "the harder the way, the larger SSE's lead over DeepSets",
            (lead(SSE_128 + sse, DS + rival, 5, 1000),),
        )
        for reading, sse, rival in SCALES
    ),
    Claim(
        "C22",
        "level",
        "Fig. 6",
        f"SSE and DeepSets are level at 20 ways (within {MARGIN})",
        (than(SSE_128, DS, ways(20), 1, margin=MARGIN),),
    ),
    Claim("C22", "ahead", "Fig. 6", "SSE is ahead at 1000 ways", (than(SSE_128, DS, ways(1000), 1),)),
    *(
        Claim(
            "C23",
            reading,
            "Fig. 8",
            "on MNIST, SSE is ahead of DeepSets at every size of the support",
            tuple(than(STACK + sse, DS + rival, {**DIGITS, "detail.test_size": n}, 1) for n in (1, 10, 100)),
        )
        for reading, sse, rival in SCALES
    ),
    Claim(
        "C24",
        "",
        "Fig. 9, 10",
        "centroids get more accurate as more of the set is encoded",
        tuple(change(m, DIGITS, {"detail.test_size": 100}, {"detail.test_size": 1}, 1) for m in (DS, STACK)),
    ),
)


@dataclass(frozen=True)
class Row:
    """A claim with its verdict."""

    claim: Claim
    verdict: Verdict


def verdicts(rows: pd.DataFrame, claims: Sequence[Claim] = CLAIMS) -> list[Row]:
    """Every claim judged on labelled rows (see `samples.labelled`)."""
    rows = rows[list(COLUMNS)]
    return [Row(claim, judge(claim, rows)) for claim in claims]


def ledger(rows: pd.DataFrame) -> pd.DataFrame:
    """The ledger as a table: id, verdict, claim, reading, where, why, data, what would decide it, evidence."""
    return pd.DataFrame(
        [
            {
                "id": row.claim.id,
                "verdict": row.verdict.verdict,
                "claim": row.claim.says,
                "reading": row.claim.reading,
                "where": row.claim.where,
                "why": row.verdict.why,
                "data": row.verdict.data,
                "would decide": row.verdict.would_decide,
                "evidence": row.verdict.evidence,
            }
            for row in verdicts(rows)
        ]
    )


CLAIMS_LEDGER = Artefact(
    id="claims",
    title="The paper's claims",
    caption="Verdicts are computed: laws by counterexample, numbers from differences that are paired by seed, with "
    "Student's 95% intervals. Confirmed: every part is. Refuted: one part is, at a level divided by their number.",
    data=lambda frame: ledger(labelled(frame)),
)
