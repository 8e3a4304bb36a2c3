"""Costs against the size of the set, from the records of `resources`, and the exponents p of cost ~ n^p."""

import pandas as pd

from .selection import tidy
from .stats import fit_growth

# The metric of the records of each cost.
COSTS = {
    "time": "throughput",
    "measured memory": "peak_memory",
    "predicted memory": "predicted_peak_memory",
    "FLOPs": "flops",
}
SERIES = ["encoder", "device", "mode", "cost"]
FIT = ["exponent", "low", "high", "points", "smallest", "largest"]


def cost_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each cost, size and seed: the columns of `SERIES`, n, seed and value (seconds, bytes, FLOPs).

    If several runs have the same measurement, the last one counts.
    """
    columns = [*SERIES, "n", "seed"]
    rows = tidy(frame)
    rows = rows[rows["suite"].eq("resources") & rows["status"].eq("ok")]
    parts = []
    for cost, metric in COSTS.items():
        part = rows[rows["metric"].eq(metric)]
        value, n = part["value"].astype(float), part["detail.n"].astype(float)
        if cost == "time":
            value = part["detail.median_seconds"].astype(float).fillna(n / value)
        parts.append(part.assign(cost=cost, mode=part["detail.mode"], n=n, value=value))
    table = pd.concat(parts)[[*columns, "value"]]
    return table.drop_duplicates(columns, keep="last").reset_index(drop=True)


def growth_table(costs: pd.DataFrame) -> pd.DataFrame:
    """Return the fitted exponent of each encoder, device, mode and cost, with its interval: see `stats.Growth`.

    costs: see `cost_table`.
    """
    rows = []
    for key, part in costs.groupby(SERIES, sort=False):
        fit = fit_growth(part["n"], part["value"])
        rows.append([*key, *(getattr(fit, name) for name in FIT)])
    return pd.DataFrame(rows, columns=[*SERIES, *FIT])


def memory_table(costs: pd.DataFrame) -> pd.DataFrame:
    """Return measured and predicted memory wherever both exist, with their ratio.

    costs: see `cost_table`.
    """
    keys = ["encoder", "device", "mode", "n"]
    medians = costs.groupby([*keys, "cost"], sort=False)["value"].median().unstack("cost")
    table = medians.reindex(columns=["measured memory", "predicted memory"]).dropna().reset_index()
    table.columns = pd.Index([*keys, "measured", "predicted"])
    return table.assign(ratio=table["measured"] / table["predicted"])
