"""Write the page on costs from the records of a run: `python tools/costs.py RUN > docs/costs.md`."""

import importlib
import sys
from collections.abc import Iterator

from template import filled

from mbcbench import registry
from mbcbench.records import store
from mbcbench.records.record import frame


def page(run: str) -> str:
    """The page, its tables those of the costs report."""
    folder = store.find(run)
    module = importlib.import_module(registry.plugin(registry.REPORTS, "costs").module)
    info, table = store.info(folder), frame(store.records(folder))
    told = dict(module.facts(module.tidy(table), info))
    tables = "\n".join(markdown(module.tables(module.tidy(table))))
    return filled("costs", {"MACHINE": f"{told['machine']}, {told['versions']}", "TABLES": tables})


def markdown(tables: dict[str, tuple[list[str], list[list[str]]]]) -> Iterator[str]:
    """The tables that have rows, each under its title."""
    for title, (headings, rows) in tables.items():
        if rows:
            lines = [headings, ["---"] * len(headings), *rows]
            yield "\n".join([f"**{title}**", "", *(f"| {' | '.join(line)} |" for line in lines), ""])


if __name__ == "__main__":
    print(page(sys.argv[1]), end="")
