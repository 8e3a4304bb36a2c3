"""Reference results: the records of the profile `standard` for the registered encoders, which ship with mbcbench.

The package data are the files of a run (see `mbcbench.records.files`); two of them are compressed. run.json has the
commit, the machine and the date.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mbcbench.errors import MALFORMED, UsageError, one_line
from mbcbench.records import files
from mbcbench.records.cell import Cell
from mbcbench.records.files import encode_cells, encode_records, read_cells, read_records, write_compressed
from mbcbench.records.record import Record, Status
from mbcbench.types import JsonDict, JsonObject

if TYPE_CHECKING:
    import pandas as pd

FOLDER = Path(__file__).with_name("reference_data")
FINAL = "final"  # the role of cells whose records are scores
# Largest difference of a score between two machines: rounding differs, and training amplifies that.
TOLERANCE = {"accuracy": 0.03, "nll": 0.05}


@dataclass(frozen=True)
class Reference:
    """Reference results.

    Attributes
    ----------
    info
        Origin of the results: `commit`, `created`, `hardware`, `versions`. Empty if there are none.
    cells
        Cells by key.
    records
        The records of all cells.
    """

    info: JsonObject = field(default_factory=dict)
    cells: Mapping[str, Cell] = field(default_factory=dict)
    records: tuple[Record, ...] = ()

    def covers(self, suites: Collection[str], encoders: Collection[str]) -> bool:
        """Return True if the reference has trainings of one of these encoders for one of these suites."""
        return any(cell.suite in suites and cell.encoder in encoders for cell in self.cells.values())

    def final_cells(self, case: str) -> list[Cell]:
        """Return the cells of a task whose records are scores, without cells with a record that is not `ok`."""
        broken = {record.cell for record in self.records if record.status is not Status.OK}
        return [
            cell
            for key, cell in self.cells.items()
            if cell.case == case and cell.params["role"] == FINAL and key not in broken
        ]

    def seeds(self, case: str) -> dict[str, set[int]]:
        """Return the seeds for which each encoder has scores on a task."""
        seeds: dict[str, set[int]] = {}
        for record in self.records:
            if record.case == case and record.params["role"] == FINAL and record.status is Status.OK:
                seeds.setdefault(record.encoder, set()).add(record.seed)
        return seeds

    def rates(self, case: str) -> dict[str, float]:
        """Return the learning rate that the search has chosen for each encoder on a task."""
        return {cell.encoder: float(cell.params["lr"]) for cell in self.final_cells(case)}


@cache
def load(folder: Path = FOLDER) -> Reference:
    """Return the reference results in a folder, or empty ones if it has no files.

    Raises UsageError if they are damaged.
    """
    if not (folder / files.INFO).is_file():
        return Reference()
    try:
        info = dict(json.loads((folder / files.INFO).read_text(encoding="utf-8")))
        return Reference(info, read_cells(folder / files.CELLS), tuple(read_records(folder / files.RECORDS)))
    except (OSError, UsageError, *MALFORMED) as error:
        raise UsageError(
            f"the reference results in {folder} are damaged ({one_line(error)}); reinstall mbcbench"
        ) from error


def save(folder: Path, info: JsonObject, cells: Iterable[Cell], records: Iterable[Record]) -> None:
    """Write reference results to a folder."""
    by_key = {cell.key: cell for cell in cells}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / files.INFO).write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
    write_compressed(folder / files.CELLS, encode_cells(by_key.values()))
    write_compressed(folder / files.RECORDS, encode_records(records, by_key))


def describe(reference: Reference) -> JsonDict:
    """Return the entry of run.json for a run that shows reference results."""
    return {name: reference.info[name] for name in ("commit", "created", "hardware") if name in reference.info}


def add_reference(frame: "pd.DataFrame", info: JsonObject) -> "pd.DataFrame":
    """Return the records of a run with the reference scores of its encoders.

    A run that trained an encoder under all seeds of the reference, or that has no reference, shows its own scores. The
    spot checks of others (see `spot_checks`) are left out.

    Parameters
    ----------
    frame
        Records of the run, as `mbcbench.load` returns them.
    info
        Content of run.json; `reference` is missing or None if the run shows no reference results.
    """
    import pandas as pd

    from mbcbench.records.record import frame as as_frame

    if not info.get("reference"):
        return frame
    encoders = set(info.get("encoders") or ())
    rows = as_frame(record for record in load().records if record.encoder in encoders)
    if rows.empty:
        return frame
    expected = _seeds_of_tasks(rows[rows["params.role"].eq(FINAL)])
    own = _seeds_of_tasks(frame)
    shown = {task for task, count in expected.items() if own.get(task, 0) < count}
    return pd.concat([frame[~_belongs(frame, shown)], rows[_belongs(rows, shown)]], ignore_index=True)


def _seeds_of_tasks(rows: "pd.DataFrame") -> dict[tuple[str, str], int]:
    """Return the number of seeds of each task and encoder."""
    seeds: dict[tuple[str, str], set[int]] = {}
    for case, encoder, seed in zip(rows["case"], rows["encoder"], rows["seed"], strict=True):
        seeds.setdefault((case, encoder), set()).add(seed)
    return {task: len(of_task) for task, of_task in seeds.items()}


def _belongs(rows: "pd.DataFrame", tasks: Collection[tuple[str, str]]) -> "pd.Series":
    """Return True for the rows of some tasks and encoders."""
    import pandas as pd

    return pd.Series(
        [task in tasks for task in zip(rows["case"], rows["encoder"], strict=True)], rows.index, dtype=bool
    )


@dataclass(frozen=True)
class SpotCheck:
    """Comparison of a reference cell with the same training on this machine.

    difference: the largest of all tests in one piece, in the metric of the task; infinite if a score is missing. The
    training is reproduced if the difference is within the tolerance.
    """

    case: str
    encoder: str
    seed: int
    difference: float
    tolerance: float


def spot_checks(frame: "pd.DataFrame") -> list[SpotCheck]:
    """Compare the trainings of a run with those of the reference that have the same settings.

    Only tests in one piece are compared: a stream gives an inconsistent encoder inputs unlike those of its training,
    for which small differences grow.
    """
    from mbcbench.records.record import frame as as_frame

    if "params.role" not in frame:
        return []
    trained = set(zip(frame["case"], frame["encoder"], frame["seed"], strict=True))
    rows = as_frame(record for record in load().records if (record.case, record.encoder, record.seed) in trained)
    if rows.empty:
        return []
    by = ["case", "encoder", "seed", "params.lr", "params.steps", "detail.test_size"]
    parts = [part[part["params.role"].eq(FINAL) & part["detail.mode"].eq("one piece")] for part in (frame, rows)]
    own, theirs = (part.drop_duplicates(by).set_index(by)[["value", "metric"]] for part in parts)
    both = own.join(theirs["value"].rename("value.reference"), how="inner")
    both["difference"] = (both["value"] - both["value.reference"]).abs().fillna(float("inf"))
    checks = []
    for (case, encoder, seed, *_), group in both.groupby(by[:3]):
        tolerance = TOLERANCE[group["metric"].iloc[0]]
        checks.append(SpotCheck(str(case), str(encoder), int(str(seed)), float(group["difference"].max()), tolerance))
    return checks
