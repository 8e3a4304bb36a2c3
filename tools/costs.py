"""Write the page on costs from the records of a run: `python tools/costs.py RUN > docs/costs.md`."""

import sys

import pandas as pd
from template import filled, markdown_table, record_text

from mbcbench.records import store
from mbcbench.records.record import frame
from mbcbench.reports.costs import tables
from mbcbench.reports.formatting import facts
from mbcbench.reports.selection import tidy


def page(run: str) -> str:
    """Return the page, with the tables of the costs report."""
    folder = store.find(run)
    records = frame(store.records(folder))
    known = dict(facts(tidy(records), store.info(folder)))
    parts = [section(title, table) for title, table in tables(records).items() if len(table)]
    words = {"MACHINE": f"{known['machine']}, {known['versions']}", "TABLES": "\n".join(parts)}
    return filled("costs", {**words, "RECORDS": record_text(folder)})


def section(title: str, table: pd.DataFrame) -> str:
    """Return a table in Markdown, with its title."""
    return f"**{title}**\n\n{markdown_table(list(table.columns), table.to_numpy().tolist())}\n"


if __name__ == "__main__":
    print(page(sys.argv[1]), end="")
