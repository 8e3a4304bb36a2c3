"""`mbcbench check`: try to falsify the laws on encoders."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mbcbench.cli.completion import complete_names
from mbcbench.cli.options import (
    ComputeDevice,
    DimIn,
    Hyper,
    Jobs,
    LawIds,
    MemoryLimit,
    Profiles,
    Quiet,
    Seed,
    SkippedLawIds,
    TimeLimit,
    Weights,
    WeightsKey,
    as_profile,
    count,
)

if TYPE_CHECKING:
    from mbcbench.execution.suite import Profile
    from mbcbench.records.record import Record

# Examples per law where `check` tries more than a leaderboard does.
EXAMPLES: "dict[Profile, int]" = {"quick": 600, "standard": 600}


def check(
    targets: Annotated[
        list[str],
        typer.Argument(metavar="TARGET", help="Encoders to check.", autocompletion=complete_names("encoders")),
    ],
    law: LawIds = None,
    skip_law: SkippedLawIds = None,
    profile: Profiles = "quick",
    examples: Annotated[
        int | None, typer.Option(parser=count, metavar="N", help="Examples per law.", show_default="the profile's")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="TARGET", help="Compare with this function or encoder.", show_default=False)
    ] = None,
    xfails_file: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Expected failures: lines `law-id: reason`.", show_default=False),
    ] = None,
    dim_in: DimIn = None,
    hyper: Hyper = None,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    device: ComputeDevice = "cpu",
    seed: Seed = 0,
    jobs: Jobs = None,
    time_limit: TimeLimit = None,
    memory_limit: MemoryLimit = 2.0,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show the traceback of each error.")] = False,
    json: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write one record per line.", show_default=False)
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write a test case per law as JUnit XML.", show_default=False)
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="PATH", help="Write a page.", show_default=False)] = None,
    badge: Annotated[Path | None, typer.Option(metavar="PATH", help="Write an SVG badge.", show_default=False)] = None,
    quiet: Quiet = False,
) -> int:
    """Check the laws on encoders and show a counterexample for each law that is broken.

    TARGET is a registered name, package.module:attr or path/to/file.py:attr.

    \b
    Examples:
      mbcbench check sse-random
      mbcbench check my.py:Encoder --law 'mbc,symmetry.p*' --skip-law mbc.large
      mbcbench check my.py:Encoder --profile thorough --junit laws.xml
      mbcbench check my.py:Encoder --dim-in 64 --hyper heads=4 --weights w.pt

    About 10 seconds per encoder with the profile quick, some minutes with thorough. Exit code 0: all laws are as
    claimed; 1: a law is broken; 2: an encoder raised, crashed, or took too much time or memory; 3: an argument cannot
    be used.
    """
    from mbcbench import registry
    from mbcbench.api.run import run_options
    from mbcbench.cli.check_badge import write_badge
    from mbcbench.cli.check_output import print_choices, print_counts, print_laws
    from mbcbench.cli.console import print_interrupted
    from mbcbench.execution import planner
    from mbcbench.execution.consume import consume
    from mbcbench.execution.suite import PROBE, SLOW_PROFILES
    from mbcbench.protocol.customize import parse_build_options
    from mbcbench.system import check_writable
    from mbcbench.verify.xfails import load_xfails

    for path in (json, junit, html, badge):
        if path is not None:
            check_writable(path)
    if reference is not None:
        registry.check_target(reference)
    chosen = as_profile(profile)
    options = replace(
        run_options(targets, targets, seed, jobs, time_limit, memory_limit),
        build=parse_build_options(dim_in, hyper, weights, weights_key, device),
        laws=tuple(registry.select(registry.LAWS, law, skip_law, slow=chosen in SLOW_PROFILES)),
    )
    params = {
        "examples": examples or EXAMPLES.get(chosen),
        "reference": reference,
        "expected_failures": load_xfails(xfails_file, targets) if xfails_file else None,
    }
    steps = planner.check_laws(options, chosen, {name: value for name, value in params.items() if value is not None})
    result = consume(steps, options.jobs, quiet=quiet)
    records = [record for record in result.records if record.suite != PROBE]
    known = list(registry.plugins(registry.LAWS))
    records.sort(key=lambda record: (options.encoders.index(record.encoder), known.index(record.case)))
    _write_files(records, json, junit, html)
    if badge is not None:
        write_badge(badge, records, interrupted=result.interrupted)
    print_choices(result.records)
    print_laws(options.encoders, records, traceback=traceback)
    if result.interrupted:
        return print_interrupted(result.progress_text)
    print_counts(records, result.progress.elapsed)
    return result.exit_code


def _write_files(records: "Sequence[Record]", json: Path | None, junit: Path | None, html: Path | None) -> None:
    from mbcbench.cli.check_export import write_html, write_json, write_junit

    for path, write in ((json, write_json), (junit, write_junit), (html, write_html)):
        if path is not None:
            write(path, records)
