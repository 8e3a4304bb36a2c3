"""An artefact is one table or figure: here, how many encoders keep each law."""

import mbcbench
import pandas as pd


def kept_laws(records: pd.DataFrame) -> pd.DataFrame:
    """Return the number of encoders by law and status; empty if there are no records of laws."""
    laws = records[records["suite"] == "laws"]
    if laws.empty:
        return pd.DataFrame()
    counts = laws.groupby(["case", "status"]).size().unstack(fill_value=0)
    return counts.rename_axis(columns=None).reset_index().rename(columns={"case": "law"})


ARTEFACT = mbcbench.Artefact(
    id="PLUGIN_NAME",
    title="Encoders by law",
    caption="How many encoders pass, fail or skip each law.",
    data=kept_laws,
    draw=None,  # or a function of the table that returns a figure of matplotlib
    make="mbcbench run --suite laws",
)
