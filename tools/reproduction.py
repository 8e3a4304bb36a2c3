"""Write docs/reproduction.md from the records of runs: `python tools/reproduction.py RUN...`."""

import sys
from pathlib import Path

import pandas as pd
from template import markdown_table, record_text, write

from mbcbench.records import store
from mbcbench.records.record import frame
from mbcbench.reports.paper.claims_table import claims_table, count_verdicts, describe_effect
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
            "ROBUSTNESS": _robustness(claims),
            "COMPUTE": _compute(rows),
            "RECORDS": "\n\n".join(map(record_text, runs)),
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


def _robustness(claims: pd.DataFrame) -> str:
    """Return how many verdicts other records share, and those that they do not."""
    tried = claims[claims["other records"].ne("")]
    other = [[entry.rsplit(": ", 1)[1] for entry in text.split("; ")] for text in tried["other records"]]
    same = [set(verdicts) == {verdict} for verdicts, verdict in zip(other, tried["verdict"], strict=True)]
    lines = [
        f"{len(tried)} readings were judged again from shorter trainings or on a second data set; {sum(same)} keep "
        "their verdict in all of these."
    ]
    lines += [
        f"- {row['id']} ({row['reading'] or row['claim']}): {row['verdict']}; {row['other records']}"
        for is_same, (_, row) in zip(same, tried.iterrows(), strict=True)
        if not is_same
    ]
    return "\n".join([lines[0], "", *lines[1:]]).rstrip()


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
