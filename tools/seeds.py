"""Judge sound encoders under many seeds and count the verdicts that change: writes docs/seeds.md.

The encoders are the registered ones and the correct, the ill-conditioned and the cancelling ones of `tests/controls`.
Each is built and searched under every seed. Finished judgements are kept in .seeds, and in docs/seeds.jsonl.xz when the
page is written; they are not repeated as long as the sources of mbcbench do not change. Where only some laws have
changed, `--law` judges these again: the page shows the latest judgement of each encoder, seed and law, and the commits.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from template import DOCS, markdown_table, write

from mbcbench import registry
from mbcbench.execution import digest
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.verify.checker import Budget, Checker

sys.path.insert(0, str(DOCS.parent))
from tests.controls.base import CORRECT
from tests.controls.cancelling import CANCELLING
from tests.controls.conditioned import CONDITIONED


class Effort(NamedTuple):
    """Examples per law, and the number of seeds."""

    examples: int
    seeds: int


KEPT = DOCS.parent / ".seeds"
PACKED = DOCS / "seeds.jsonl.xz"
EFFORTS = {"quick": Effort(256, 30), "check": Effort(600, 20)}
EXPENSIVE = ("mbc.large", "mbc.program")  # left out for the encoders of the tests
ALARMS = ("fail", "error", "xpass", "timeout", "oom")


@dataclass(frozen=True)
class Subject:
    """An encoder and the laws that it must keep, or breaks as it says."""

    name: str
    kind: str
    target: str | EncoderSpec
    laws: Sequence[str]


def subjects() -> Iterator[Subject]:
    """Yield every encoder."""
    laws = registry.select(registry.LAWS, None)  # without slow ones
    for name in registry.plugins(registry.ENCODERS):
        yield Subject(name, "registered", name, laws)
    algebra = [law for law in laws if law.startswith(("mbc.", "symmetry.", "numerics.scale")) and law not in EXPENSIVE]
    # Plain poolings do not claim to be consistent for any g.
    symmetry = ("symmetry.permutation", "symmetry.elements", "symmetry.batch")
    groups = (
        ("correct", CORRECT, algebra),
        ("ill-conditioned", CONDITIONED, algebra),
        ("cancelling", CANCELLING, symmetry),
    )
    for kind, encoders, kept in groups:
        for encoder in encoders:
            yield Subject(encoder.__name__, kind, EncoderSpec(name=encoder.__name__, factory=encoder), kept)


def judge(subject: Subject, laws: Sequence[str], effort: str, seed: int) -> list[dict[str, object]]:
    """Return the verdicts of some laws on one encoder under one seed."""
    checker = Checker(subject.target, dim_in=None if subject.kind == "registered" else 3, seed=seed)
    records = [checker.judge(law, Budget(EFFORTS[effort].examples)) for law in laws]
    key = {"encoder": subject.name, "kind": subject.kind, "effort": effort, "seed": seed}
    sources = {"commit": commit(), "sources": digest.installed()}
    return [{**key, **sources, "law": record.case, "status": str(record.status)} for record in records]


def judge_all(effort: str, path: Path, selected: Collection[str]) -> None:
    """Judge what is not yet in the file, by the selected laws."""
    frame = read_judgements(path.parent)
    of_today = frame[(frame["effort"] == effort) & (frame["sources"] == digest.installed())]
    done = set(of_today[["encoder", "seed", "law"]].itertuples(index=False, name=None))
    for seed in range(EFFORTS[effort].seeds):
        for subject in subjects():
            laws = [law for law in subject.laws if law in selected and (subject.name, seed, law) not in done]
            if laws:
                verdicts = judge(subject, laws, effort, seed)
                with path.open("a") as file:
                    file.writelines(f"{json.dumps(row)}\n" for row in verdicts)
        print(f"{effort}: seed {seed} done", flush=True)


@cache
def commit() -> str:
    """Return the abbreviated commit of this checkout, as it was at the first call."""
    call = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(call, cwd=DOCS.parent, capture_output=True, text=True, check=True).stdout.strip()


def changes(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs of encoder and law that have several verdicts, or an alarm, with their counts."""
    counts = frame.pivot_table(index=["effort", "encoder", "law"], columns="status", aggfunc="size", fill_value=0)
    is_alarm = counts[[status for status in ALARMS if status in counts]].sum(axis=1) > 0
    return counts[((counts > 0).sum(axis=1) > 1) | is_alarm]


def summary_rows(frame: pd.DataFrame, changed: pd.DataFrame) -> Iterator[list[str]]:
    """Yield a row for each effort and kind of encoder."""
    alarms = frame["status"].isin(ALARMS)
    different = frame.set_index(["effort", "encoder", "law"]).index.isin(changed.index)
    for (effort, kind), part in frame.groupby(["effort", "kind"], sort=False):
        pairs = part.loc[different[part.index], ["encoder", "law"]].drop_duplicates()
        numbers = part["encoder"].nunique(), part["seed"].nunique(), len(part), alarms[part.index].sum(), len(pairs)
        yield [str(effort), str(kind), *(f"{number:,}" for number in numbers)]


def change_table(changed: pd.DataFrame) -> str:
    """Return a row for each pair of encoder and law in Markdown."""
    verdicts = (", ".join(f"{n} {status}" for status, n in row.items() if n) for _, row in changed.iterrows())
    rows = [[*map(str, index), text] for index, text in zip(changed.index, verdicts, strict=True)]
    return markdown_table(["effort", "encoder", "law", "verdicts"], rows).rstrip() if rows else "None."


def source_rows(frame: pd.DataFrame) -> Iterator[list[str]]:
    """Yield a row for each commit whose judgements are shown: all laws, or the names of those judged again."""
    num_laws = frame["law"].nunique()
    parts = sorted(frame.groupby("commit"), key=lambda part: -len(part[1]))
    for name, part in parts:
        laws = sorted(part["law"].unique())
        efforts = (f"{n} of {effort}" for effort, n in part.groupby("effort", sort=False)["seed"].nunique().items())
        named = "all" if len(laws) == num_laws else ", ".join(laws)
        yield [str(name), named, ", ".join(efforts), f"{len(part):,}"]


def main() -> None:
    """Judge, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--effort", choices=EFFORTS, action="append", help="by default both")
    parser.add_argument("--law", action="append", help="judge only these laws, as in `mbcbench check --law`")
    options = parser.parse_args()
    torch.set_num_threads(1)
    KEPT.mkdir(exist_ok=True)
    for effort in options.effort or [*EFFORTS]:
        judge_all(effort, KEPT / f"{effort}.jsonl", registry.select(registry.LAWS, options.law))
    write_page(read_judgements(KEPT))


def read_judgements(kept: Path, packed: Path = PACKED) -> pd.DataFrame:
    """Return the latest judgement of each encoder, effort, seed and law: of the packed ones and of those in `kept`."""
    paths = [path for path in (packed, *(kept / f"{effort}.jsonl" for effort in EFFORTS)) if path.exists()]
    columns = ["effort", "encoder", "kind", "seed", "law", "status", "commit", "sources"]
    frames = [pd.read_json(path, lines=True, dtype={"commit": str, "sources": str}) for path in paths]
    frame = pd.concat([pd.DataFrame(columns=columns), *frames], ignore_index=True)
    latest = frame.drop_duplicates(["effort", "encoder", "seed", "law"], keep="last")
    order = {"effort": False, "kind": False, "encoder": True, "law": True, "seed": True}  # True for ascending
    return latest.sort_values([*order], ascending=[*order.values()], ignore_index=True)


def write_page(frame: pd.DataFrame) -> None:
    """Write the page, and pack the judgements that it shows."""
    frame.to_json(PACKED, orient="records", lines=True, compression="xz")
    changed = changes(frame)
    headings = ["effort", "encoders", "number", "seeds", "judgements", "alarms", "verdicts that change"]
    seeds = frame.groupby("effort")["seed"].nunique()
    words = {
        "SUMMARY": markdown_table(headings, list(summary_rows(frame, changed)), "llrrrrr").rstrip(),
        "CHANGES": change_table(changed),
        "EFFORTS": {name: Effort(effort.examples, seeds.get(name, 0)) for name, effort in EFFORTS.items()},
        "SOURCES": markdown_table(["commit", "laws", "seeds", "judgements"], list(source_rows(frame)), "lllr").rstrip(),
    }
    write("seeds", words)


if __name__ == "__main__":
    main()
