"""Compare two runs: `mbcbench.compare`, and the body of the command `compare`."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from mbcbench.errors import UsageError, one_line
from mbcbench.records import store
from mbcbench.records.compare import MINIMUM, Options, Quantity
from mbcbench.records.compare import compare as compare_frames
from mbcbench.records.record import frame


def compare(
    a: str | Path,
    b: str | Path,
    *,
    min_effect: Mapping[Quantity, float] | None = None,
    root: str | Path = store.ROOT,
) -> pd.DataFrame:
    """Compare two runs: failures, changes of time, memory and scores, and results that cannot be compared.

    Parameters
    ----------
    a, b
        Paths or ids of the earlier and the later run; a folder of runs (`--root`) means its latest.
    min_effect
        Smallest change that counts, by quantity: for `time` and `memory` the distance of a ratio from one, for `score`
        a difference. By default 0.10, 0.05 and 0.01.
    root
        Folder of the runs.

    Returns
    -------
    DataFrame
        One row per change. `kind` is its kind; `change` is b / a for times and memory and b - a for scores; `low` and
        `high` are its 95 % interval over seeds.

    Raises
    ------
    UsageError
        For an unknown run, or one that cannot be read.
    """
    for name, value in (min_effect or {}).items():
        if name not in MINIMUM or not value >= 0:
            raise UsageError(f"min_effect={{{name!r}: {value}}}: give {', '.join(MINIMUM)} a number of at least 0")
    options = Options({**MINIMUM, **(min_effect or {})})
    before, after = (_frame_with_machine(store.find(run, Path(root))) for run in (a, b))
    try:
        return compare_frames(before, after, options)
    except (TypeError, ValueError) as error:  # an entry of the parameters or details has another type
        raise UsageError(
            f"{a} and {b} cannot be compared ({one_line(error)}); one was not written by mbcbench"
        ) from error


def _frame_with_machine(folder: Path) -> pd.DataFrame:
    """Return the records of a run, with its schema, processor and number of threads."""
    info = store.info(folder)
    processor = info.get("hardware", {}).get("cpu")
    return frame(store.records(folder)).assign(schema=info["schema"], processor=processor, threads=info.get("threads"))
