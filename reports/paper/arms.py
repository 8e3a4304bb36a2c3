"""Three arms of the reproduction: the paper's text, its published code, and a repaired version."""

from collections.abc import Iterator

import pandas as pd

from mbcbench.paper import (
    DEEPSETS_MEAN,
    ONE_PIECE,
    PAPER_ARM,
    PUBLISHED_1,
    PUBLISHED_32,
    PUBLISHED_ARM,
    SMALL_IMAGES,
    SMALL_TRAIN_SIZE,
    SSE_1,
    SSE_32,
)
from mbcbench.reporting import Artefact
from mbcbench.types import JsonDict

from ..captions import join_sentences
from ..columns import Row
from ..selection import ARM_NAMES, label_models, mean_by_seed, select
from ..stats import Estimate

REPAIRED = "repaired"
RIVAL, LEAD = DEEPSETS_MEAN.label, "NLL less DeepSets'"
# Each arm with its Slot Set Encoders.
ARMS = {
    PAPER_ARM: (SSE_1.label, SSE_32.label),
    PUBLISHED_ARM: (PUBLISHED_1.label, PUBLISHED_32.label),
    "": (SSE_1.label, SSE_32.label),
}


def arms(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the NLL of the models of each arm and of its baseline, and the difference to DeepSets, paired by seed."""
    rows = label_models(frame)
    return pd.DataFrame([row for arm, models in ARMS.items() for row in _rows(rows, arm, (RIVAL, *models))])


def _rows(rows: pd.DataFrame, arm: str, models: tuple[str, ...]) -> Iterator[JsonDict]:
    case = "-".join(filter(None, (str(SMALL_IMAGES["case"]), arm)))
    size = {"detail.train_size": SMALL_TRAIN_SIZE, "detail.test_size": SMALL_TRAIN_SIZE}
    of_arm = select(rows, {**SMALL_IMAGES, **ONE_PIECE, **size, "case": case})
    words = ARM_NAMES.get(arm, "")
    rival = mean_by_seed(of_arm[of_arm["model"].eq(f"{RIVAL} {words}".strip())])
    for model in models:
        records = of_arm[of_arm["model"].eq(f"{model} {words}".strip())]
        if records.empty:
            continue
        values = mean_by_seed(records)
        own, lead = Estimate.of(values), Estimate.of((values - rival).dropna())
        yield {
            "arm": words or REPAIRED,
            "model": model,
            "NLL": own.mean,
            "±": own.half,
            "baseline": pd.to_numeric(records["detail.baseline"]).mean(),
            LEAD: lead.mean if model != RIVAL and lead.seeds else None,
            f"{LEAD} ±": lead.half if model != RIVAL and lead.seeds else None,
            "seeds": own.seeds,
            "steps": int(records["detail.steps"].iloc[0]),
            "parameters": int(records["detail.parameters"].iloc[0]),
            "data": records["detail.data"].iloc[0],
        }


def describe_leads(data: pd.DataFrame) -> str:
    """Return the differences to DeepSets in each arm."""
    sentences = []
    for arm in data["arm"].unique():
        rows = data[data["arm"].eq(arm)].dropna(subset=[LEAD]).to_dict("records")
        leads = ", ".join(f"{_lead(row)} ({row['model']})" for row in rows)
        sentences.append(f"{str(arm).capitalize()}, the NLL less that of {RIVAL} is {leads}")
    return join_sentences(sentences)


def _lead(row: Row) -> str:
    half = row[f"{LEAD} ±"]
    return f"{row[LEAD]:+.4f}" + ("" if pd.isna(half) else f" ± {half:.4f}")


ARMS_TABLE = Artefact(
    id="arms",
    title="As in the text, as published, and repaired",
    caption="NLL of images of 32 x 32 pixels, from contexts of 200. The text's decoder has a fixed deviation of 1, so "
    "its NLL compares with its own baseline only. The published code sums over the slots, which cancels their "
    "attention. docs/experiments.md lists all that the arms differ in.",
    data=arms,
    result=describe_leads,
    claims=("C10", "C15"),
    make="mbcbench run --suite paper --only arms --profile thorough",
)
