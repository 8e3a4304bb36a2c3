"""Verdicts by laws: one counterexample outweighs any number of passes, and an identity needs no training."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from mbcbench.paper import Model, encoder_of

from ..columns import Row
from .verdicts import Outcome, Part

COUNTED = ("pass", "xpass", "ok")  # statuses of a law that found no counterexample


@dataclass(frozen=True)
class Holds:
    """A law that models keep. models: labels; the label of an encoder with default hyper-parameters is its name."""

    law: str
    models: tuple[str, ...]
    if_kept: Outcome = "confirmed"
    if_broken: Outcome = "refuted"

    @property
    def encoders(self) -> tuple[str, ...]:
        """Encoders of the models."""
        return tuple(map(encoder_of, self.models))


def breaks(law: str, models: tuple[str, ...]) -> Holds:
    """Return the test that models break a law."""
    return Holds(law, models, if_kept="refuted", if_broken="confirmed")


def has_no_effect(law: str, models: tuple[Model, ...]) -> Holds:
    """Return the test that something has no effect: models break the law that it has one, for any training.

    If the law is kept, there may be an effect, and nothing is decided.
    """
    return Holds(law, tuple(m.label for m in models), if_kept="undecided", if_broken="no difference")


def judge_law(test: Holds, model: str, rows: pd.DataFrame) -> Part:
    """Judge a law of one model. rows: its records."""
    records = rows[rows["suite"].eq("laws") & rows["case"].eq(test.law)]
    name = f"{model}, {test.law}"
    has_counterexample = records["detail.counterexample"].notna()
    broken = records[records["status"].isin(["fail", "xfail"]) | (records["status"].eq("ok") & has_counterexample)]
    if len(broken):
        return Part(test.if_broken, f"{name}: {describe_counterexample(broken.iloc[0].to_dict())}")
    kept = records[records["status"].isin(COUNTED)]
    if len(kept):
        return Part(test.if_kept, f"{name}: no counterexample in {_count_examples(kept)} examples")
    why = "no record" if records.empty else ", ".join(sorted(set(records["status"])))
    return Part("undecided", f"{name}: {why}", "mbcbench run --suite laws")


def _count_examples(rows: pd.DataFrame) -> str:
    counts = pd.to_numeric(rows["detail.examples"])
    return f"{int(counts.sum())}" if counts.notna().any() else "the"


def describe_counterexample(record: Row) -> str:
    """Return the smallest counterexample in one line: `n = 2 in chunks 1 + 1, off by 0.77`."""
    example = record["detail.counterexample"]
    if not isinstance(example, Mapping):
        return str(record["message"] or "broken")
    text = f"n = {example['n']}" if "n" in example else "one example"
    if example.get("sizes"):
        text += f" in chunks {' + '.join(map(str, example['sizes']))}"
    value = float(record["value"])
    return f"{text}, off by {value:.2g}" if value < float("inf") else f"{text}: {record['message'] or 'broken'}"
