"""`mbcbench repro`: try recorded counterexamples again."""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mbcbench.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from mbcbench.verify.counterexample import RecordedCounterexample


def repro(
    file: Annotated[str, typer.Argument(metavar="RECORDS", help="A file of records, or FILE:LINE for one of them.")],
    encoder: Annotated[
        list[str] | None,
        typer.Option(metavar="TARGET", help="Try those of this encoder only. May be repeated.", show_default="all"),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(metavar="TARGET", help="Reference that was given to check --reference.", show_default=False),
    ] = None,
) -> int:
    """Try recorded counterexamples again: those of a run, or of what check --json wrote.

    \b
    Examples:
      mbcbench repro .mbcbench/runs/NAME/records.jsonl:12
      mbcbench repro laws.jsonl --encoder my.py:Encoder

    An encoder that is not registered and a reference have to be named, since their code is run.

    Exit code 0: the laws hold now; 1: one is still broken; 2: an encoder cannot be built, or takes too much time or
    memory.
    """
    from mbcbench.cli.console import print_error, print_line
    from mbcbench.execution import planner
    from mbcbench.records.detail import ReplayDetail
    from mbcbench.records.record import BROKEN
    from mbcbench.registry import check_target
    from mbcbench.verify.counterexample import read_counterexamples

    broken = 0
    for counterexample in _trusted(file, read_counterexamples(file), encoder or []):
        target, law = counterexample.target, counterexample.law
        check_target(target)
        tried = {**counterexample.example, "reference": _trusted_reference(file, counterexample, reference)}
        params = {"law": law, "tried": tried, "dim_in": counterexample.dim_in}
        record = planner.run_probe("replay", encoder=target, seed=counterexample.seed, **params)
        if record.status in BROKEN:
            print_error(f"{target}, {law}: {record.message}")
            return ExitCode.BROKE
        text = ReplayDetail.from_dict(record.detail).counterexample_text
        broken += text is not None
        print_line(text or f"{law} holds for {target} on the recorded example")
    return ExitCode.LAW_BROKEN if broken else ExitCode.AS_CLAIMED


def _trusted(
    file: str, counterexamples: "Sequence[RecordedCounterexample]", targets: Sequence[str]
) -> "list[RecordedCounterexample]":
    """Return the counterexamples of some targets, or all if there are none.

    Raises UsageError for a target that is neither named nor registered: a file could name any Python function.
    """
    from mbcbench.registry import ENCODERS, plugins

    if targets:
        chosen = [each for each in counterexamples if each.target in targets]
        if not chosen:
            known = ", ".join(dict.fromkeys(each.target for each in counterexamples))
            raise UsageError(f"{file} holds no counterexample of {', '.join(targets)}, but of {known}")
        return chosen
    for each in counterexamples:
        if each.target not in plugins(ENCODERS):
            command = shlex.join(["mbcbench", "repro", file, "--encoder", each.target])
            raise UsageError(f"{file} would run the code of {each.target}; if you trust it: {command}")
    return list(counterexamples)


def _trusted_reference(file: str, counterexample: "RecordedCounterexample", given: str | None) -> str | None:
    """Return the reference to compare with, or None if the law was tried without one that the user gave.

    Raises UsageError if the user does not give it again: a file could name any Python function.
    """
    recorded = counterexample.example.get("reference")
    if recorded is None:
        return None
    if given is not None:
        return given
    if recorded:
        raise UsageError(f"{file} would run the code of {recorded}; if you trust it, add --reference {recorded}")
    raise UsageError(f"{counterexample.target} was compared with an object; give it with --reference TARGET")
