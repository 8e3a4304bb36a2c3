"""The leaderboard as a table with one row per encoder, and notes on missing records."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import pandas as pd

from mbcbench.types import JsonObject

from ..aggregation import MISSING, badges, law_matrix, outcomes, summarise_outcomes
from ..captions import list_all
from ..selection import tidy
from .columns import (
    ACCURACY,
    CENTROIDS,
    COMPLETION,
    RESOURCES,
    TASKS,
    ScoreColumn,
    encoders_of,
    score_columns,
    suite_rows,
)
from .ranking import APART, Ranking, rank_encoders

NOT_MEASURED = {
    "laws": "the laws were not checked",
    ACCURACY: "accuracy was not measured",
    RESOURCES: "throughput and memory were not measured",
}
NOTHING_RANKED = (
    "Nothing is ranked: only models trained under the profile standard are (mbcbench run --profile standard). The "
    "scores here are of shorter trainings, which say little about an encoder."
)
MAX_NAMED_LAWS = 3
MAIN_COLUMNS = {ACCURACY: "accuracy", COMPLETION: "nll", CENTROIDS: "centroids", RESOURCES: "throughput"}
PROBE_COLUMNS = {
    "status": "probe",
    "message": "probe.message",
    "detail.summary": "summary",
    "detail.paper": "paper",
    "detail.streaming": "streaming",
}


def leaderboard_table(frame: pd.DataFrame, encoders: Sequence[str] = ()) -> pd.DataFrame:
    """Return one row for each encoder, best first (see `mbcbench.records.record.frame` for the frame).

    rank, low, high, group, mean_rank, reason, is_apart: see `ranking.Ranking`.
    laws.<group>, laws.<group>.status: see `aggregation.badges`.
    <key>, <key>.half, .seeds, .expected, .unlearnt, .status, .lost, .message: of each score column, see
    `aggregation.summarise_outcomes`.
    streaming, summary, paper, probe: results of the probe, and how it ended.
    """
    return ranked_table(frame, encoders)[0]


def ranked_table(frame: pd.DataFrame, encoders: Sequence[str] = ()) -> tuple[pd.DataFrame, Ranking]:
    """Return the table of the leaderboard, and the ranking that it shows."""
    rows = tidy(frame)
    names = encoders_of(rows, {"encoders": encoders})
    ranking = rank_encoders(rows, names)
    parts = [ranking.table, _probes(rows, names), badges(law_matrix(rows, names))]
    scores = score_columns(rows)
    shown = {suite: suite_rows(rows, suite)[0] for suite in {score.suite for score in scores}}
    parts += [_scores(shown[score.suite], score, names) for score in scores]
    table = pd.concat(parts, axis=1).reindex(ranking.order)
    return table.rename_axis("encoder").reset_index(), ranking


def _scores(of_suite: pd.DataFrame, score: ScoreColumn, names: Sequence[str]) -> pd.DataFrame:
    table = summarise_outcomes(outcomes(of_suite, score.metric, score.where, names)).reindex(list(names))
    return table.rename(columns=lambda column: score.key if column == "mean" else f"{score.key}.{column}")


def _probes(rows: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    probes = rows[rows["suite"] == "probe"].drop_duplicates("encoder", keep="last").set_index("encoder")
    return probes[list(PROBE_COLUMNS)].rename(columns=PROBE_COLUMNS).reindex(list(names))


def notes(frame: pd.DataFrame, info: JsonObject, table: pd.DataFrame) -> list[str]:
    """Return notes on suites and encoders without records, missing seeds, and settings that are left out."""
    rows = tidy(frame)
    if rows.empty:
        return ["There are no records: nothing was run, or the run was stopped before its first cell ended."]
    lines = []
    if not info:
        lines.append("There is no description of the run (run.json): machine and versions are unknown.")
    suites = set(rows["suite"])
    for suite, what in NOT_MEASURED.items():
        if suite not in suites:
            lines.append(f"No records of {suite}: {what}.")
    silent = [name for name in table["encoder"] if name not in set(rows["encoder"])]
    if silent:
        lines.append(f"No records at all of {', '.join(silent)}.")
    lines += [f"No record of {gaps} for {list_all(names)}." for gaps, names in _gaps(rows, table, silent).items()]
    for suite in (*TASKS, RESOURCES):
        lines += [f"The records of {suite} are mixed: {note}." for note in suite_rows(rows, suite)[1]]
    return lines + (_unranked(table) if suites & set(TASKS) else [])


def _unranked(table: pd.DataFrame) -> list[str]:
    """Return the encoders that are not ranked, with reasons; one line if none is ranked."""
    if table["rank"].isna().all():
        return [NOTHING_RANKED]
    unranked = table[table["rank"].isna()]
    lines = []
    for reason, names in unranked.groupby("reason", sort=False)["encoder"]:
        words = "Deliberately wrong, shown apart and never ranked" if reason == APART else f"Not ranked ({reason})"
        lines.append(f"{words}: {list_all(list(names))}.")
    return lines


def _gaps(rows: pd.DataFrame, table: pd.DataFrame, silent: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Return the encoders that lack records of other encoders, by the missing records."""
    lacking: defaultdict[str, list[str]] = defaultdict(list)
    matrix = law_matrix(rows, list(table["encoder"]))
    for row in table[~table["encoder"].isin(silent)].to_dict("records"):
        statuses = matrix.loc[row["encoder"]]
        laws = list(statuses.index[statuses.eq(MISSING)])
        gaps = [f"{len(laws)} laws"] if len(laws) > MAX_NAMED_LAWS else laws
        for suite, key in MAIN_COLUMNS.items():
            if MISSING in str(row.get(f"{key}.lost", "")):
                gaps.append(suite)
        if gaps:
            lacking[", ".join(gaps)].append(str(row["encoder"]))
    return lacking
