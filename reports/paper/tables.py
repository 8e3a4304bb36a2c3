"""Tables 1 and 2 of the paper: its numbers next to ours, and a counterexample for each failing model."""

import math
from typing import NamedTuple

import pandas as pd

from mbcbench import registry
from mbcbench.paper import CLOUD_SIZES, DEEPSETS_MAX, ONE_PIECE, SET_TRANSFORMER, SHAPES, SSE_16, SSE_DETERMINISTIC_16
from mbcbench.reporting import Artefact
from mbcbench.types import JsonDict

from ..captions import join_sentences
from ..columns import Row
from ..formatting import parameter_range
from ..selection import label_models, select, values_by_seed
from ..stats import Estimate, one_per_seed, summarise_by
from .claim_verdicts import stand_in
from .law_verdicts import describe_counterexample


class Score(NamedTuple):
    """Mean and standard deviation that the paper reports."""

    mean: float
    std: float


def _scores(*values: tuple[float, float]) -> dict[int, Score]:
    """Return scores by the sizes of `CLOUD_SIZES`."""
    return {size: Score(*pair) for size, pair in zip(CLOUD_SIZES, values, strict=True)}


# Table 1: the name of a model in the paper, and its scores by the sizes of `CLOUD_SIZES`.
TABLE1_NAMES = {
    DEEPSETS_MAX.label: "DS",
    SET_TRANSFORMER.label: "ST",
    SSE_DETERMINISTIC_16.label: "SSE(D)",
    SSE_16.label: "SSE(R)",
}
TABLE1_SCORES = {
    DEEPSETS_MAX.label: _scores(
        (0.8428, 0.0027), (0.8518, 0.0032), (0.8574, 0.0017), (0.8528, 0.0020), (0.8883, 0.0008)
    ),
    SET_TRANSFORMER.label: _scores(
        (0.8258, 0.0042), (0.8443, 0.0023), (0.8545, 0.0019), (0.8511, 0.0018), (0.8604, 0.0009)
    ),
    SSE_DETERMINISTIC_16.label: _scores(
        (0.8556, 0.0048), (0.8633, 0.0038), (0.8710, 0.0040), (0.8720, 0.0009), (0.8784, 0.0023)
    ),
    SSE_16.label: _scores((0.8532, 0.0009), (0.8667, 0.0028), (0.8699, 0.0020), (0.8743, 0.0021), (0.8853, 0.0012)),
}
RIVAL = DEEPSETS_MAX.label
LEAD = f"less {RIVAL}"  # column: accuracy minus the rival's


class Failure(NamedTuple):
    """A model that fails according to the paper, and why."""

    name: str
    reason: str


TABLE2_FAILURES = {
    "deepsets-original": Failure("DeepSets (original)", "message passing layers"),
    "set-transformer": Failure("Set Transformer", "self-attention"),
    "fspool": Failure("FSPool", "sorting"),
}
NO_COUNTEREXAMPLE = "no counterexample"
TABLE2_STATUSES = {"pass": NO_COUNTEREXAMPLE, "xpass": NO_COUNTEREXAMPLE, "fail": "fails", "xfail": "fails"}


def table1(frame: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy by model and number of points: the paper's, ours, and our difference to DeepSets, by seed.

    The columns `±` are half the width of 95 % t intervals, and `std` are standard deviations.
    """
    rows = select(label_models(frame), {**SHAPES, **ONE_PIECE})
    rows = rows[rows["detail.test_size"].eq(rows["detail.train_size"])]
    rows = rows.rename(columns={"detail.data": "data", "detail.parameters": "parameters"})
    rows = one_per_seed(rows, ["model", "detail.test_size"])
    keys = ["model", "detail.test_size", "data"]
    means = summarise_by(rows, keys).merge(rows.drop_duplicates(keys)[[*keys, "parameters"]], on=keys)
    return pd.DataFrame([_table1_row(mean, rows) for mean in means.to_dict("records")])


def _table1_row(mean: Row, rows: pd.DataFrame) -> JsonDict:
    model, points = str(mean["model"]), int(mean["detail.test_size"])
    paper = _published(model, points)
    lead = _lead(rows, model, points)
    return {
        "model": model,
        "in the paper": TABLE1_NAMES.get(model, ""),
        "parameters": int(mean["parameters"]) if pd.notna(mean["parameters"]) else None,
        "points": points,
        "paper": paper.mean if paper else None,
        "paper std": paper.std if paper else None,
        "ours": mean["mean"],
        "ours ±": mean["half"],
        "ours std": mean["std"],
        "seeds": int(mean["seeds"]),
        "ours - paper": mean["mean"] - paper.mean if paper else None,
        LEAD: lead.mean if lead else None,
        f"{LEAD} ±": lead.half if lead else None,
        "data": mean["data"] + stand_in(str(mean["data"])),
    }


def _published(model: str, points: int) -> Score | None:
    return TABLE1_SCORES.get(model, {}).get(points)


def _lead(rows: pd.DataFrame, model: str, points: int) -> Estimate | None:
    """Return the paired difference to the rival, or None if there is none."""
    if model == RIVAL:
        return None
    scores = values_by_seed(rows, {"detail.test_size": points, "model": model})
    rival = values_by_seed(rows, {"detail.test_size": points, "model": RIVAL})
    lead = Estimate.of((scores - rival).dropna())
    return lead if lead.seeds else None


def layout_table1(data: pd.DataFrame) -> pd.DataFrame:
    """Return the table in the layout of the paper: a row for each model, then its difference to DeepSets."""
    models = [*(name for name in TABLE1_NAMES if name in set(data["model"])), *_added(data)]
    rows = [_score_cells(data[data["model"].eq(model)]) for model in models]
    rows += [_lead_cells(data[data["model"].eq(model)]) for model in models if model != RIVAL]
    sizes = [f"{points:,}" for points in sorted(set(data["points"]))]
    return pd.DataFrame(rows).reindex(columns=["model", "parameters", *sizes]).fillna("")


def _added(data: pd.DataFrame) -> list[str]:
    return [model for model in dict.fromkeys(data["model"]) if model not in TABLE1_NAMES]


def _score_cells(rows: pd.DataFrame) -> JsonDict:
    first = rows.iloc[0]
    name = f"{first['in the paper']}: {first['model']}" if first["in the paper"] else first["model"]
    cells = {"model": name, "parameters": parameter_range(rows["parameters"])}
    for row in rows.to_dict("records"):
        cells[f"{row['points']:,}"] = f"{_number(row['paper'])} / {_number(row['ours'])} ± {_number(row['ours ±'])}"
    return cells


def _lead_cells(rows: pd.DataFrame) -> JsonDict:
    """Return the paper's difference to DeepSets and ours, and whether our interval contains the paper's."""
    name = rows.iloc[0]["in the paper"] or rows.iloc[0]["model"]
    cells = {"model": f"{name} - {TABLE1_NAMES[RIVAL]}", "parameters": ""}
    for row in rows.dropna(subset=[LEAD]).to_dict("records"):
        theirs, rival = _published(row["model"], row["points"]), _published(RIVAL, row["points"])
        lead = theirs.mean - rival.mean if theirs and rival else math.nan
        text = f"{_number(lead, '+')} / {_number(row[LEAD], '+')} ± {_number(row[f'{LEAD} ±'])}"
        is_inside = abs(lead - row[LEAD]) <= row[f"{LEAD} ±"]
        cells[f"{row['points']:,}"] = text if math.isnan(lead) else f"{text}, {'inside' if is_inside else 'outside'}"
    return cells


def _number(value: float | None, sign: str = "") -> str:
    return "-" if value is None or math.isnan(value) else f"{value:{sign}.3f}"


def compare_with_rival(data: pd.DataFrame) -> str:
    """Return the sizes at which the Slot Set Encoders are more accurate than DeepSets, in words."""
    sentences = []
    for model in (SSE_16.label, SSE_DETERMINISTIC_16.label):
        rows = data[data["model"].eq(model)].dropna(subset=[LEAD])
        if len(rows):
            ahead = [f"{points:,}" for points in rows["points"][rows[LEAD].gt(0)]]
            leads = ", ".join(f"{lead:+.4f}" for lead in rows[LEAD])
            where = f"at {', '.join(ahead)}" if ahead else "at no number of"
            sentences.append(
                f"The mean accuracy of {model} is higher than that of {RIVAL} {where} points "
                f"(differences at {', '.join(f'{points:,}' for points in rows['points'])}: {leads})"
            )
    return join_sentences(sentences)


def table2(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the models that fail according to the paper, our finding, and the smallest counterexample.

    The encoders of users follow: those that are not registered.
    """
    rows = label_models(frame)
    laws = rows[rows["suite"].eq("laws") & rows["case"].eq("mbc.partition")]
    last = laws.drop_duplicates("encoder", keep="last").set_index("encoder")
    of_users = [encoder for encoder in last.index if encoder not in registry.plugins(registry.ENCODERS)]
    encoders = [*(encoder for encoder in TABLE2_FAILURES if encoder in last.index), *of_users]
    return pd.DataFrame([_table2_row(encoder, last.loc[encoder].to_dict()) for encoder in encoders])


def _table2_row(encoder: str, record: Row) -> JsonDict:
    finding = TABLE2_STATUSES.get(record["status"], record["status"])
    in_paper = TABLE2_FAILURES.get(encoder)
    return {
        "model": in_paper.name if in_paper else encoder,
        "encoder": encoder,
        "paper": "fails" if in_paper else "",
        "reason": in_paper.reason if in_paper else "",
        "ours": finding,
        "counterexample": describe_counterexample(record) if finding == "fails" else record["message"],
        "gap": record["value"],
        "bound": record["detail.bound"],
    }


def count_failures(data: pd.DataFrame) -> str:
    """Return the number of models that fail, in words."""
    failing = data[data["ours"].eq("fails")]
    return f"{len(failing)} of {len(data)} models fail mbc.partition in our search for counterexamples"


TABLE1 = Artefact(
    id="table1",
    title="Table 1: accuracy on point clouds",
    caption="Accuracy (higher is better) by the number of points: the paper's / ours. ±: half the 95 % t interval. "
    "Below: differences, paired by seed, and whether the paper's lies inside our interval.",
    data=table1,
    layout=layout_table1,
    result=compare_with_rival,
    claims=("C19",),
    make="mbcbench run --suite paper --only table1",
)
TABLE2 = Artefact(
    id="table2",
    title="Table 2: models that are not consistent",
    caption="A counterexample is the smallest set that was found, with the partition on which the encodings differ. "
    "gap: by how much. bound: the difference that rounding explains.",
    data=table2,
    result=count_failures,
    claims=("C4",),
    make="mbcbench run --suite laws",
)
