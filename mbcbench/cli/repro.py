"""`mbcbench repro`: try recorded counterexamples again."""

from typing import Annotated

import typer

from mbcbench.errors import ExitCode


def repro(
    file: Annotated[str, typer.Argument(metavar="RECORDS", help="A file of records, or FILE:LINE for one of them.")],
) -> int:
    """Try recorded counterexamples again: those of a run, or of what check --json wrote.

    \b
    Examples:
      mbcbench repro laws.jsonl
      mbcbench repro .mbcbench/runs/NAME/records.jsonl:12

    Exit code 0: the laws hold now; 1: one is still broken; 2: an encoder cannot be built.
    """
    from mbcbench.cli.console import print_error, print_line
    from mbcbench.execution import planner
    from mbcbench.records.detail import ReplayDetail
    from mbcbench.records.record import BROKEN
    from mbcbench.registry import check_target
    from mbcbench.verify.counterexample import read_counterexamples

    broken = 0
    for counterexample in read_counterexamples(file):
        target, law = counterexample.target, counterexample.law
        check_target(target)
        params = {"law": law, "tried": dict(counterexample.example), "dim_in": counterexample.dim_in}
        record = planner.run_probe("replay", encoder=target, seed=counterexample.seed, **params)
        if record.status in BROKEN:
            print_error(f"{target}, {law}: {record.message}")
            return ExitCode.BROKE
        text = ReplayDetail.from_dict(record.detail).counterexample_text
        broken += text is not None
        print_line(text or f"{law} holds for {target} on the recorded example")
    return ExitCode.LAW_BROKEN if broken else ExitCode.AS_CLAIMED
