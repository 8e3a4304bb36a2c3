"""How cost grows with the set: exponents p of cost ~ n^p, fitted to the records of resources."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

UPPER = 4  # the fit takes that many of the largest sizes: below, what does not depend on n still weighs
COSTS = {
    "time": "detail.median_seconds",
    "measured memory": "peak_memory",
    "predicted memory": "predicted_peak_memory",
    "FLOPs": "flops",
}
COLUMNS = ["encoder", "device", "mode", "cost", "exponent", "low", "high", "points", "smallest", "largest"]


def costs(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a measured or predicted cost: encoder, device, mode, cost (see COSTS), n and value.

    frame: see `mbcbench.records.record.frame`. Several seeds give the median.
    """
    asked = dict.fromkeys([*frame.columns, "detail.n", "detail.mode", "detail.median_seconds"])
    rows = frame.reindex(columns=list(asked))
    rows = rows.loc[rows["suite"].eq("resources") & rows["status"].eq("ok")]
    keys = ["encoder", "device", "mode", "cost", "n"]
    if rows.empty:
        return pd.DataFrame(columns=[*keys, "value"])
    parts = []
    for cost, source in COSTS.items():
        timed = source.startswith("detail.")
        part = rows[rows["metric"].eq("throughput" if timed else source)]
        value = part[source] if timed else part["value"]
        parts.append(part.assign(cost=cost, value=value, n=part["detail.n"], mode=part["detail.mode"]))
    whole = pd.concat(parts)[[*keys, "value"]].astype({"n": float, "value": float})
    return whole.groupby(keys, as_index=False, sort=False)[["value"]].median()


def exponents(table: pd.DataFrame) -> pd.DataFrame:
    """The fitted exponent of each encoder, device, mode and cost, with a 95% t interval; see COLUMNS.

    table: as `costs` gives it. The exponent is the slope of least squares of log cost over log n, at the UPPER
    largest sizes at which that cost is known. NaN where there are fewer than two such sizes; the
    interval, NaN with fewer than three, speaks of how straight the line is and not of noise between runs.
    """
    keys = ["encoder", "device", "mode", "cost"]
    rows = [[*key, *_fit(part)] for key, part in table.groupby(keys, sort=False)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _fit(part: pd.DataFrame) -> Sequence[float]:
    upper = part[part["value"].gt(0)].nlargest(UPPER, "n")
    if len(upper) < 2:
        return [np.nan, np.nan, np.nan, len(upper), upper["n"].min(), upper["n"].max()]
    line = stats.linregress(np.log(upper["n"]), np.log(upper["value"]))
    half = stats.t.ppf(0.975, len(upper) - 2) * line.stderr if len(upper) > 2 else np.nan
    return [line.slope, line.slope - half, line.slope + half, len(upper), upper["n"].min(), upper["n"].max()]


def validation(table: pd.DataFrame) -> pd.DataFrame:
    """Measured beside predicted memory wherever both exist, with their ratio.

    table: as `costs` gives it. Columns encoder, device, mode, n, measured, predicted, ratio (measured / predicted).
    """
    keys = ["encoder", "device", "mode", "n"]
    rows = table[table["cost"].str.endswith("memory")]
    wide = rows.pivot_table(index=keys, columns="cost", values="value", sort=False)
    wide = wide.reindex(columns=["measured memory", "predicted memory"]).dropna().reset_index()
    wide.columns = pd.Index([*keys, "measured", "predicted"])
    return wide.assign(ratio=wide["measured"] / wide["predicted"])
