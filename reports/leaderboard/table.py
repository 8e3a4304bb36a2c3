"""The leaderboard as a table: one row an encoder; and what the run does not say."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ..aggregation import MISSING, badges, law_matrix, outcomes, summarise, tidy
from .columns import (  # fmt: skip
    ACCURACY,
    CENTROIDS,
    COMPLETION,
    RESOURCES,
    TASKS,
    Slot,
    encoders_of,
    slots,
    suite_rows,
)
from .ranking import losses, standing


def leaderboard_table(frame: pd.DataFrame, encoders: Sequence[str] = ()) -> pd.DataFrame:
    """One row an encoder, best first (see `mbcbench.records.record.frame` for the frame).

    rank, mean_rank, borda: over all tasks; NaN unless every seed of every task gave a value (see `standing`).
    laws.<group>, laws.<group>.status: see `evidence.badges`.
    <slot>, <slot>.half, .seeds, .expected, .undecided, .status, .lost, .message: see `slots` and `evidence.summarise`.
    streaming, summary, paper, probe: what the probe found, and how it ended.
    """
    frame = tidy(frame)
    names = encoders_of(frame, {"encoders": encoders})
    parts = [standing(losses(frame, names)), _probe(frame, names), badges(law_matrix(frame, names))]
    parts += [_measured(frame, slot, names) for slot in slots(frame)]
    table = pd.concat(parts, axis=1).rename_axis("encoder").reset_index()
    return table.sort_values("rank", kind="stable", na_position="last", ignore_index=True)


def _measured(frame: pd.DataFrame, slot: Slot, names: Sequence[str]) -> pd.DataFrame:
    rows, _ = suite_rows(frame, slot.suite)
    found = summarise(outcomes(rows, slot.metric, slot.at, names)).reindex(list(names))
    return found.rename(columns={c: f"{slot.key}.{c}" if c != "mean" else slot.key for c in found.columns})


def _probe(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    columns = {"status": "probe", "message": "probe.message"}
    columns |= {f"detail.{name}": name for name in ("summary", "paper", "streaming")}
    probes = frame[frame["suite"] == "probe"].drop_duplicates("encoder", keep="last").set_index("encoder")
    return probes[list(columns)].rename(columns=columns).reindex(list(names))


def notes(frame: pd.DataFrame, info: Mapping[str, Any], table: pd.DataFrame) -> list[str]:
    """What the run does not say: suites and encoders without records, seeds that are missing, settings left out."""
    frame = tidy(frame)
    if frame.empty:
        return ["There are no records: nothing was run, or the run was stopped before its first cell ended."]
    found = [] if info else ["There is no description of the run (run.json): machine and versions are unknown."]
    measured = {
        "laws": "the laws were not checked",
        ACCURACY: "accuracy was not measured",
        RESOURCES: "throughput and memory were not measured",
    }
    present = set(frame["suite"])
    found += [f"No records of {suite}: {what}." for suite, what in measured.items() if suite not in present]
    silent = [name for name in table["encoder"] if name not in set(frame["encoder"])]
    found += [f"No records at all of {', '.join(silent)}."] if silent else []
    found += [f"No record of {what} for {name}." for name, what in _gaps(frame, table, silent)]
    for suite in (*TASKS, RESOURCES):
        found += [f"The records of {suite} are mixed: {note}." for note in suite_rows(frame, suite)[1]]
    if present & set(TASKS) and table["rank"].isna().any():
        names = ", ".join(table.loc[table["rank"].isna(), "encoder"])
        found.append(f"Not ranked, since not every seed of every task gave a score: {names}.")
    return found


def _gaps(frame: pd.DataFrame, table: pd.DataFrame, silent: Sequence[str]) -> list[tuple[str, str]]:
    """Encoders that lack some of the records which others have, and which."""
    matrix = law_matrix(frame, list(table["encoder"]))
    found = []
    for row in table[~table["encoder"].isin(silent)].to_dict("records"):
        laws = [law for law in matrix.columns if matrix.at[row["encoder"], law] == MISSING]
        gaps = laws if len(laws) <= 3 else [f"{len(laws)} laws"]
        keys = {ACCURACY: "accuracy", COMPLETION: "nll", CENTROIDS: "centroids", RESOURCES: "throughput"}
        for suite, key in keys.items():
            gaps += [suite] if MISSING in str(row.get(f"{key}.lost", "")) else []
        found += [(str(row["encoder"]), ", ".join(gaps))] if gaps else []
    return found
