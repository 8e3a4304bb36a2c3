"""Write docs/reproduction.md from the records of runs: `python tools/reproduction.py RUN...`."""

import sys
from pathlib import Path

import pandas as pd
from template import markdown_table, origin_text, write

from mbcbench.api.provenance import describe_run
from mbcbench.records import store
from mbcbench.records.record import frame
from mbcbench.reports.paper.claims import CLAIMS
from mbcbench.reports.paper.claims_table import claims_table, count_verdicts, describe_effect, records_for
from mbcbench.reports.paper.robustness import OtherVerdict, other_verdicts
from mbcbench.reports.paper.tables import layout_table1, table1
from mbcbench.reports.paper.verdicts import OUTCOMES
from mbcbench.reports.selection import is_standard, label_models

AREAS = {
    "properties": ("C1", "C2", "C3", "C4", "C5", "C6", "C8"),
    "image completion": ("C7", *(f"C{number}" for number in range(9, 19))),
    "point clouds": ("C19", "C20"),
    "centroids": ("C21", "C22", "C23", "C24"),
}
TASKS = {"image-completion": "image completion", "point-clouds": "point clouds", "centroids": "centroids"}


def main(folders: list[str]) -> None:
    """Write the page."""
    runs = list(map(Path, folders))
    rows = label_models(frame([record for run in runs for record in store.records(run)]))
    claims = claims_table(rows)
    write(
        "reproduction",
        {
            "READINGS": str(len(claims)),
            "CLAIMS": str(claims["id"].nunique()),
            "SUMMARY": f"{count_verdicts(claims)}.",
            "VERDICTS": "\n".join(f"| {outcome} | {_list(claims, outcome)} |" for outcome in OUTCOMES),
            "AREAS": _by_area(claims),
            "DATA": "; ".join(sorted({name for names in claims["data"] for name in names.split("; ")} - {""})),
            "TABLE": _claims(claims),
            "TABLE1": _table1(rows),
            "ROBUSTNESS": _robustness(claims, rows),
            "COMPUTE": _compute(rows),
            "RECORDS": origin_text({"runs": list(map(describe_run, runs))}),
        },
    )


def _list(claims: pd.DataFrame, outcome: str) -> str:
    """Return the readings with a verdict: `C1 (as written), C8`."""
    chosen = claims[claims["verdict"].eq(outcome)]
    return ", ".join(row["id"] + (f" ({row['reading']})" if row["reading"] else "") for _, row in chosen.iterrows())


def _by_area(claims: pd.DataFrame) -> str:
    rows = []
    for area, ids in AREAS.items():
        counts = claims[claims["id"].isin(ids)]["verdict"].value_counts().reindex(OUTCOMES, fill_value=0)
        rows.append([area, *map(str, counts)])
    return markdown_table(["area", *OUTCOMES], rows, "l" + "r" * len(OUTCOMES)).rstrip()


def _claims(claims: pd.DataFrame) -> str:
    rows = [
        [row["id"], row["claim"], row["reading"], row["verdict"], describe_effect(row.to_dict()), _number(row["seeds"])]
        for _, row in claims.iterrows()
    ]
    return markdown_table(["", "claim", "reading", "verdict", "effect", "seeds"], rows, "llllrr").rstrip()


def _number(value: float | None) -> str:
    return "" if value is None or pd.isna(value) else f"{value:g}"


def _table1(rows: pd.DataFrame) -> str:
    table = layout_table1(table1(rows))
    return markdown_table(list(table.columns), table.astype(str).to_numpy().tolist()).rstrip()


def _robustness(claims: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Return how many verdicts other records share, and a table of all of them."""
    records = records_for(CLAIMS, rows)
    judged = [(row, other_verdicts(claim, records)) for claim, (_, row) in zip(CLAIMS, claims.iterrows(), strict=True)]
    tried = [(row, others) for row, others in judged if others]
    verdicts = [{str(row["verdict"]), *(other.verdict for other in others)} for row, others in tried]
    same = sum(len(found) == 1 for found in verdicts)
    opposed = sum({"confirmed", "refuted"} <= found for found in verdicts)
    text = (
        f"{len(tried)} readings were judged again from shorter trainings or on a second data set. {same} keep their "
        f"verdict in all of these, {len(tried) - same - opposed} show no difference or are undecided in some, and "
        f"{opposed} are confirmed by some and refuted by others."
    )
    table = [
        [row["id"], row["reading"] or row["claim"], row["verdict"], describe_effect(row.to_dict()), *_by_kind(others)]
        for row, others in tried
    ]
    columns = ["", "reading", "verdict", "effect", "shorter trainings", "second data set"]
    return f"{text}\n\n{markdown_table(columns, table, 'lllrll').rstrip()}"


def _by_kind(others: list[OtherVerdict]) -> list[str]:
    """Return the verdicts from shorter trainings, and those from other data."""
    shorter = [other for other in others if " steps" in other.records]
    return ["; ".join(map(str, chosen)) for chosen in (shorter, [other for other in others if other not in shorter])]


def _compute(rows: pd.DataFrame) -> str:
    """Return the trainings and core-hours of each task; a training is counted once, with its tests."""
    trainings = rows[rows["suite"].isin([*TASKS]) & ~is_standard(rows)].drop_duplicates("cell")
    hours = pd.to_numeric(trainings["seconds"]).groupby(trainings["suite"]).agg(["size", "sum"])
    table = [[name, f"{hours.at[suite, 'size']:,}", f"{hours.at[suite, 'sum'] / 3600:.1f}"]
             for suite, name in TASKS.items() if suite in hours.index]  # fmt: skip
    total = f"{hours['size'].sum():,} trainings in {hours['sum'].sum() / 3600:.1f} core-hours, with their tests."
    return f"{total}\n\n{markdown_table(['task', 'trainings', 'core-hours'], table, 'lrr').rstrip()}"


if __name__ == "__main__":
    main(sys.argv[1:])
