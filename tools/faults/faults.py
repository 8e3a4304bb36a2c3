"""Disturb runs and count what is lost: `python tools/faults/faults.py [--tries N] [--only NAME]`.

Each try disturbs a run of three laws on a sound encoder, or the files of one, and compares the records of the sound
encoder with those of an undisturbed run: status, message and the numbers of the search. --page PATH writes a page of
it; `make faults` writes docs/reliability.md.
"""

import argparse
import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import disturbances
from disturbances import Disturbance
from workload import LAWS, workload


@dataclass(frozen=True)
class Fault:
    """A disturbance with its name in the table, and its tries: a number, or a share of --tries."""

    name: str
    disturb: Disturbance
    share: float = 1.0
    tries: int = 0


FAULTS = (
    Fault("SIGKILL of the main process", disturbances.kill_driver, share=2.5),
    Fault("SIGKILL of a process of a run", disturbances.kill_worker, share=2.5),
    Fault("full disk", disturbances.full_disk),
    Fault("read-only output", disturbances.read_only, tries=1),
    Fault("records cut off in their last line", disturbances.torn_line),
    Fault("two runs with one root", disturbances.two_runs, share=0.2),
    Fault("clock that goes backwards", disturbances.clock_goes_backwards),
    Fault("data file cut off", disturbances.truncated_data, tries=200),
    Fault("prepared data with a changed byte", disturbances.flipped_byte, tries=200),
    Fault("harmful encoder", disturbances.harmful_encoders, tries=1),
)
PAGE = """\
# Reliability

Are records lost or changed if a run is killed, a disk is full or an encoder does harm? We disturb runs and their files,
and count how many survive. Most rows are about a command that tries the laws {laws} on a sound encoder, with the
profile `smoke`. A try is *survived* if two conditions hold: every law of the sound encoder has the same record as in an
undisturbed run (status, message, gap, bound, number of examples), if necessary after the same command was run again;
and no traceback reaches the user.

| disturbance | tries | survived | lost |
|---|--:|--:|--:|
{rows}

`make faults` makes this page. To repeat one row, give its name, up to the colon if there is one (some rows make a
multiple of `--tries`, or always the same number):

    python tools/faults/faults.py --tries {tries} --only '{name}'

{notes}What is done in each row:

{about}

A sound encoder is protected from others by processes, not by a sandbox: an encoder that wants to delete files still can
([security](../SECURITY.md)).
"""


@dataclass
class Count:
    """Tries of a disturbance, and what was lost in them."""

    tries: int = 0
    losses: list[str] = field(default_factory=list)


def count(fault: Fault, tries: int) -> dict[str, Count]:
    """Return the tries of a disturbance; those of harmful encoders one by one."""
    counts: dict[str, Count] = {}
    with workload() as load:
        for what, loss in fault.disturb(load, fault.tries or max(1, round(tries * fault.share))):
            name = f"{fault.name}: {what}" if fault.disturb is disturbances.harmful_encoders else fault.name
            counts.setdefault(name, Count()).tries += 1
            if loss:
                counts[name].losses.append(f"{what}: {loss}")
            print(f"{name}: {what}: {loss or 'survived'}"[:300], file=sys.stderr, flush=True)
    return counts


def page(counts: dict[str, Count], tries: int) -> str:
    """Return the page as Markdown."""
    rows, about = [], []
    for fault in FAULTS:
        lines = {
            name: each for name, each in counts.items() if name == fault.name or name.startswith(f"{fault.name}: ")
        }
        for name, each in lines.items():
            rows.append(f"| {name} | {each.tries} | {each.tries - len(each.losses)} | {len(each.losses)} |")
        if lines:
            doc = " ".join((inspect.getdoc(fault.disturb) or "").split())
            about.append(f"- {fault.name}: {doc}")
    losses = [f"- {name}, {loss}" for name, each in counts.items() for loss in each.losses]
    notes = "\n".join(["Lost:", "", *losses, "", ""]) if losses else ""
    laws = ", ".join(f"`{law}`" for law in LAWS)
    text = {"laws": laws, "rows": "\n".join(rows), "notes": notes, "about": "\n".join(about)}
    return PAGE.format(tries=tries, name=FAULTS[0].name, **text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Disturb runs, print or write the page, and return 1 if something was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=10)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--only", action="append", choices=[fault.name for fault in FAULTS])
    options = parser.parse_args(arguments)
    counts: dict[str, Count] = {}
    for fault in FAULTS:
        if not options.only or fault.name in options.only:
            counts |= count(fault, options.tries)
    text = page(counts, options.tries)
    if options.page is not None:
        options.page.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    return 1 if any(each.losses for each in counts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
