"""The claims ledger: what the paper says, as data, and the verdict that the records give."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from mbcbench.reporting import Artefact

from ..statistics import COLUMNS, labelled
from .claim_verdicts import Breaks, Claim, Holds, Verdict, encoders_of, judge
from .contrasts import (
    AS_WRITTEN,
    CAD,
    D16,
    DIGITS,
    DS,
    DS_MAX,
    EXACT,
    LARGE,
    MARGIN,
    NEAR,
    PARTITION,
    PMA,
    R1,
    R16,
    R32,
    SCALES,
    SSE_128,
    ST,
    STACK,
    ablated,
    apart,
    change,
    full,
    grows,
    image,
    lead,
    literal,
    other_slots,
    parts,
    streamed,
    than,
    ways,
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
        "of the whole stack, in one piece",  # streamed, its upper levels are the read-out, behind which the law looks
        "Sec. 2.4",
        "a stack models pairwise and higher-order interactions",
        (Breaks("substance.interactions", ("sse-hierarchical-per-chunk",)),),
    ),
    *(
        Claim(
            "C7",
            reading,
            "Sec. 2.3",
            f"with random slots, K can be changed at test time: the NLL stays within {NEAR}",
            tuple(other_slots(tested, trained) for tested, trained in pairs),
        )
        for reading, pairs in (
            ("half and double", ((16, 32), (64, 32))),
            ("a sixteenth to fourfold", ((2, 32), (8, 32), (128, 32))),
            ("as good as trained with it", ((64, 64), (128, 128))),
        )
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
            f"{sse.partition(' ')[2]}, {n} points",
            "Fig. 3a",
            "SSE has a lower NLL than DeepSets and PMA",
            tuple(than(sse, rival, image(n)) for rival in (DS, PMA)),
        )
        for sse in (R1, R32)
        for n in (200, 400, 500, 1000)
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
    *(
        Claim("C13", reading, "Fig. 3d, Sec. 2.5", f"trained on mini-batches, a model {says}", (test,))
        for how in ("partition", "unbiased")
        for reading, says, test in (
            (f"{how}: faster", "converges faster", parts(how, "detail.beats_baseline_at")),
            (
                f"{how}: generalises",
                f"generalises to the full set (an NLL within {NEAR} of full training's)",
                parts(how, margin=NEAR),
            ),
        )
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
        tuple(ablated(R1, f"sse-random-{g} K=1") for g in ("min", "max")),
    ),
    Claim(
        "C15",
        "",
        "Fig. 4b",
        "random slots beat deterministic slots",
        tuple(ablated(f"sse-random K={k}", f"sse-deterministic K={k}") for k in (1, 32)),
    ),
    Claim(
        "C16",
        "",
        "Fig. 4c",
        "stacking helps, and hurts beyond four levels",
        (
            ablated("sse-hierarchical K=1-1-1-1 h=256", R1),
            ablated("sse-hierarchical K=1-1-1-1 h=256", "sse-hierarchical K=1-1-1-1-1 h=512"),
        ),
    ),
    Claim(
        "C17",
        "",
        "Fig. 7",
        "K between 32 and 128 is best",
        tuple(ablated(f"sse-random K={k}", f"sse-random K={bad}") for k in (32, 64, 128) for bad in (1, 256)),
    ),
    *(
        Claim(
            "C18",
            f"deterministic, K={k}",
            "Fig. 7",
            "a larger slot dimension is better",
            (ablated(f"sse-deterministic K={k} h=256", f"sse-deterministic K={k} h=32"),),
        )
        for k in (1, 32)
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
        "g = max, at 100",
        "Table 1",
        "SSE with the paper's g, over elements, beats DeepSets and Set Transformer",
        tuple(
            than(f"sse-{slots}-max K=16", rival, full(CAD, 100), 1)
            for slots in ("random", "deterministic")
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
    """The ledger as a table: id, verdict, claim, reading, where, why, data, what would decide it, evidence,
    and the encoders that it is tested on."""
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
                "encoders": ", ".join(encoders_of(row.claim)),
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
