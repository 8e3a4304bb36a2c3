"""Write the results of every encoder from the records of a run: `python tools/results_by_encoder.py RUN > PAGE`."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from template import filled, markdown_table, record_text

import mbcbench
from mbcbench import registry
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.records import store
from mbcbench.reports.aggregation import GROUPS
from mbcbench.reports.formatting import symbol


def outcomes(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a symbol for each encoder (rows) and law (columns); for a law that classifies, the class."""
    laws = frame[frame["suite"].eq("laws")]
    text = laws["status"].map(symbol).where(laws["status"].ne("ok"), laws["message"])
    return laws.assign(text=text).pivot_table(index="encoder", columns="case", values="text", aggfunc="first")


def group_tables(table: pd.DataFrame) -> Iterator[str]:
    """Yield a section with a table for each group of laws."""
    for group in GROUPS:
        laws = [law for law in table.columns if law.startswith(f"{group}.")]
        names = [law.partition(".")[2].replace("_", " ") for law in laws]
        rows = [[encoder, *map(str, row)] for encoder, row in table[laws].iterrows()]
        yield f"### {group}\n\n{markdown_table(['encoder', *names], rows, 'l' + 'c' * len(laws))}"


def broken_laws(frame: pd.DataFrame) -> str:
    """Return a table of what each encoder breaks, with the reason and the smallest set that shows it."""
    rows = frame[frame["suite"].eq("laws") & frame["status"].isin(["xfail", "fail", "xpass"])]
    lines = [_broken_law(row) for row in rows.sort_values(["encoder", "case"]).to_dict("records")]
    return markdown_table(["encoder", "law", "why", "smallest set", "gap"], lines)


def _broken_law(row: Mapping[Any, Any]) -> list[str]:
    counterexample = row["detail.counterexample"]
    if not isinstance(counterexample, Mapping):
        return [row["encoder"], row["case"], row["message"], "", ""]
    return [row["encoder"], row["case"], row["message"], _smallest(counterexample), _gap(counterexample)]


def _smallest(counterexample: Mapping[str, Any]) -> str:
    """Return the size of a counterexample: `n = 3, chunks 1 + 2`."""
    sizes = counterexample["sizes"]
    more = " + ..." if len(sizes) > 6 else ""
    return f"n = {counterexample['n']}, chunks {' + '.join(map(str, sizes[:6]))}{more}"


def _gap(counterexample: Mapping[str, Any]) -> str:
    """Return the gap of a counterexample, or the observation if there is none."""
    return counterexample["error"] or counterexample["note"] or f"{counterexample['gap']:.2g}"


def families(names: list[str]) -> str:
    """Return a table of the encoders and the papers that they come from."""
    specs: list[EncoderSpec] = [registry.plugin(registry.ENCODERS, name).load() for name in names]
    rows = [[name, spec.summary, spec.paper] for name, spec in zip(names, specs, strict=True)]
    return markdown_table(["encoder", "summary", "paper"], rows)


def page(folder: Path) -> str:
    """Return the page of a run."""
    frame = mbcbench.load(folder)
    table = outcomes(frame)
    parts = {
        "RECORDS": record_text(folder),
        "MATRIX": "\n".join(group_tables(table)),
        "BROKEN": broken_laws(frame).rstrip(),
        "FAMILIES": families([str(name) for name in table.index]),
    }
    return filled("results-by-encoder", parts)


if __name__ == "__main__":
    print(page(store.find(sys.argv[1] if len(sys.argv) > 1 else "latest")).rstrip())
