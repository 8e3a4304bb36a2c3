"""`mbcbench run`: run suites on encoders and show the leaderboard."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mbcbench.cli.completion import complete_names
from mbcbench.cli.options import (
    DEFAULT_ROOT,
    ComputeDevice,
    DimIn,
    Hyper,
    Jobs,
    LawIds,
    MemoryLimit,
    OldRoot,
    Profiles,
    Quiet,
    Root,
    Seed,
    SkippedLawIds,
    TimeLimit,
    Weights,
    WeightsKey,
    as_profile,
    count,
)
from mbcbench.errors import ExitCode, Interrupted, UsageError
from mbcbench.registry import split_commas

if TYPE_CHECKING:
    from mbcbench.execution.consume import RunResult


def run(
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TARGET",
            help="Run this encoder too. May be repeated.",
            show_default=False,
            autocompletion=complete_names("encoders"),
        ),
    ] = None,
    only_encoders: Annotated[
        bool, typer.Option("--only-encoders", help="Run the encoders of --encoder and no others.")
    ] = False,
    just_these: Annotated[bool, typer.Option("--just-these", hidden=True)] = False,
    suite: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,...",
            help="Run these suites. May be repeated.",
            show_default="see: list suites",
            autocompletion=complete_names("suites", as_list=True),
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME,...", help="Run these experiments of the suite. May be repeated."),
    ] = None,
    profile: Profiles = "quick",
    data: Annotated[
        str,
        typer.Option(
            metavar="auto|built-in|paper|NAME,...",
            help="The paper's data sets if present (auto), never (built-in) or always (paper); or data sets by name.",
        ),
    ] = "auto",
    device: ComputeDevice = "cpu",
    law: LawIds = None,
    skip_law: SkippedLawIds = None,
    dim_in: DimIn = None,
    hyper: Hyper = None,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    seed: Seed = 0,
    jobs: Jobs = None,
    time_limit: TimeLimit = None,
    memory_limit: MemoryLimit = 2.0,
    root: Root = DEFAULT_ROOT,
    old_root: OldRoot = None,
    html: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write the page here.", show_default="in the run's folder")
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(parser=count, metavar="N", help="Trainings per encoder.", show_default="the profile's"),
    ] = None,
    reference: Annotated[
        bool, typer.Option(help="Show the reference results of registered encoders instead of training these.")
    ] = True,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Reuse no records of earlier runs and no reference results.")
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Run the I-th of N parts of the cells; see: merge.", show_default="all"),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Run the cells on the workers of this Dask scheduler, or its file."),
    ] = None,
    quiet: Quiet = False,
) -> int:
    """Run suites on all registered encoders and print the leaderboard.

    TARGET is a registered name, package.module:attr or path/to/file.py:attr. A suite of experiments, like paper, has
    encoders of its own; those of --encoder join them. Cells that an earlier run finished are not run again. --dim-in,
    --hyper and --weights are for the encoders of --encoder, and need --suite laws.

    \b
    Examples:
      mbcbench run
      mbcbench run --suite laws --encoder my.py:Encoder --only-encoders --law mbc
      mbcbench run --encoder my.py:Encoder --profile standard
      mbcbench run --fresh --seeds 1 --suite point-clouds
      mbcbench run --suite paper --only fig3b --profile thorough
      mbcbench run --shard 2/16 --root /shared/runs
      mbcbench run --scheduler tcp://10.0.0.5:8786

    The default suites take about 5 minutes on two cores with the profile quick: scores are reference results, of which
    six are trained again. `--profile standard` trains your encoder in about 10 minutes, so that it is ranked. `--fresh
    --seeds 1 --suite point-clouds` trains all encoders on one task in about 15 minutes. The suite paper takes about 8
    hours with thorough.

    Exit code 0: all laws are as claimed; 1: a law is broken; 2: a cell broke.
    """
    from mbcbench.api.run import run as run_suites
    from mbcbench.cli.console import log_to_stderr, print_interrupted
    from mbcbench.cli.show import print_reports
    from mbcbench.protocol.customize import parse_build_options
    from mbcbench.system import check_writable

    if html is not None:
        if shard:
            raise UsageError("--html: a shard has no page, only the merged run has one; give --html to merge")
        check_writable(html)
    is_about_laws = split_commas(suite) == ["laws"]  # the other suites choose the device themselves
    build = parse_build_options(dim_in, hyper, weights, weights_key, device if is_about_laws else "cpu")
    log_to_stderr()
    try:
        result = run_suites(
            split_commas(suite),
            encoders=encoder or [],
            only_encoders=only_encoders or just_these,
            only=split_commas(only),
            profile=as_profile(profile),
            data=data,
            device=device,
            laws=law,
            skip_laws=skip_law,
            build=build,
            seed=seed,
            jobs=jobs,
            time_limit=time_limit,
            memory_limit=memory_limit,
            root=old_root or root,
            seeds=seeds,
            use_reference=reference,
            fresh=fresh,
            shard=shard,
            scheduler=scheduler,
            quiet=quiet,
        )
    except Interrupted as error:
        return print_interrupted(error)
    assert result.folder is not None
    report_code = ExitCode.AS_CLAIMED if shard else print_reports(result.folder, html, pages=True)
    _print_summary(result, result.folder)
    if shard:
        _print_next(result.folder, shard)
    return max(result.exit_code, report_code)


def _print_next(folder: Path, shard: str) -> None:
    """Print the next step after a shard; only the merged run has reports."""
    from mbcbench.cli.console import print_line

    root, count = folder.parents[1], shard.partition("/")[2]
    option = "" if root == DEFAULT_ROOT else f" --root {root}"
    print_line(f"next      after all shards: mbcbench merge {folder.parent}/*-of-{count}{option}")


def _print_summary(result: "RunResult", folder: Path) -> None:
    from mbcbench.cli.console import print_line
    from mbcbench.errors import plural
    from mbcbench.execution.progress import format_duration
    from mbcbench.records import store
    from mbcbench.records.cache import reasons

    progress = result.progress
    parts = [f"{plural(progress.done, 'cell')}: {progress.done - progress.failed} ok, {progress.failed} failed"]
    if progress.reused:
        parts.append(f"{progress.reused} of {plural(progress.total or 0, 'cell')} reused")
    if progress.misses:
        parts.append(f"{progress.to_run} run: {reasons(progress.misses)}")
    print_line(f"records   {folder / store.RECORDS}")
    print_line(f"{'; '.join(parts)}; {format_duration(progress.elapsed)}")
