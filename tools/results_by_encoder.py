"""Write the results of every encoder from the records of a run: `python tools/results_by_encoder.py RUN > PAGE`."""

import sys
from collections.abc import Iterator, Mapping

import pandas as pd
from template import filled

import mbcbench
from mbcbench import registry
from mbcbench.protocol.spec import EncoderSpec

SYMBOLS = {"pass": "✓", "xfail": "~", "skip": "–", "fail": "✗", "xpass": "?", "ok": ""}
GROUPS = ("mbc", "symmetry", "hygiene", "numerics", "substance", "reference")


def matrix(frame: pd.DataFrame) -> pd.DataFrame:
    """Encoder x law: a symbol for each status; of a law that classifies, the word."""
    laws = frame[frame["suite"].eq("laws")]
    shown = laws["status"].map(lambda status: SYMBOLS.get(status, f"! {status}"))
    shown = shown.where(laws["status"].ne("ok"), laws["message"])
    return laws.assign(shown=shown).pivot_table(index="encoder", columns="case", values="shown", aggfunc="first")


def tables(found: pd.DataFrame) -> Iterator[str]:
    """A Markdown table per group of laws."""
    for group in GROUPS:
        laws = [law for law in found.columns if law.startswith(f"{group}.")]
        yield f"### {group}\n"
        yield "| encoder | " + " | ".join(law.partition(".")[2].replace("_", " ") for law in laws) + " |"
        yield "|---|" + ":-:|" * len(laws)
        for encoder, row in found[laws].iterrows():
            yield f"| {encoder} | " + " | ".join(str(cell) for cell in row) + " |"
        yield ""


def broken(frame: pd.DataFrame) -> Iterator[str]:
    """What each encoder breaks, with the reason and the smallest set that shows it."""
    yield "| encoder | law | why | smallest set | gap |\n|---|---|---|---|---|"
    rows = frame[frame["suite"].eq("laws") & frame["status"].isin(["xfail", "fail", "xpass"])]
    for row in rows.sort_values(["encoder", "case"]).to_dict("records"):
        found = row["detail.counterexample"]
        yield f"| {row['encoder']} | {row['case']} | {row['message']} | {smallest(found)} | {gap(found)} |"
    yield ""


def smallest(found: object) -> str:
    """The size of a counterexample in words."""
    if not isinstance(found, Mapping):
        return ""
    sizes = found["sizes"]
    return f"n = {found['n']}, chunks {' + '.join(map(str, sizes[:6]))}{' + ...' * (len(sizes) > 6)}"


def gap(found: object) -> str:
    """The gap of a counterexample, or what was seen."""
    if not isinstance(found, Mapping):
        return ""
    return found["error"] or found["note"] or f"{found['gap']:.2g}"


def families(names: list[str]) -> Iterator[str]:
    """What each encoder is, and where it comes from."""
    yield "| encoder | what it is | paper |\n|---|---|---|"
    for name in names:
        spec: EncoderSpec = registry.plugin(registry.ENCODERS, name).load()
        yield f"| {name} | {spec.summary} | {spec.paper} |"
    yield ""


def page(frame: pd.DataFrame) -> str:
    """The whole page."""
    found = matrix(frame)
    parts = {
        "MATRIX": "\n".join(tables(found)),
        "BROKEN": "\n".join(broken(frame)),
        "FAMILIES": "\n".join(families(list(found.index))),
    }
    return filled("results-by-encoder", parts)


def main() -> None:
    frame = mbcbench.load(sys.argv[1] if len(sys.argv) > 1 else "latest")
    print(page(frame).rstrip())


if __name__ == "__main__":
    main()
