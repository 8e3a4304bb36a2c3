"""Run suites on encoders: `mbcbench.run`, and the body of the command `run`."""

import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from mbcbench import registry, system
from mbcbench.errors import Interrupted, UsageError, check_lists, check_positive
from mbcbench.execution import planner
from mbcbench.execution.consume import RunResult, consume
from mbcbench.execution.planner import LAWS_SUITE, RunOptions
from mbcbench.execution.shard import Shard
from mbcbench.execution.suite import PROFILES, SLOW_PROFILES, Profile
from mbcbench.protocol.customize import BuildOptions
from mbcbench.records import store
from mbcbench.records.cache import RunCache
from mbcbench.records.reference import describe, load
from mbcbench.types import Device

logger = logging.getLogger(__name__)


def run(
    suites: Sequence[str] | None = None,
    *,
    encoders: Sequence[str] = (),
    only_encoders: bool = False,
    only: Sequence[str] = (),
    profile: Profile = "quick",
    data: str = "auto",
    device: Device = "cpu",
    laws: Sequence[str] | None = None,
    skip_laws: Sequence[str] | None = None,
    build: BuildOptions | None = None,
    seed: int = 0,
    jobs: int | None = None,
    time_limit: float | None = None,
    memory_limit: float = 2.0,
    root: str | Path = store.ROOT,
    seeds: int | None = None,
    use_reference: bool = True,
    fresh: bool = False,
    shard: str | None = None,
    scheduler: str | None = None,
    quiet: bool = False,
) -> RunResult:
    """Run suites on encoders and store the records in a new run.

    Cells whose records are in an earlier run under `root` are not run again. The scores of registered encoders come
    from the reference results that ship with mbcbench; the profile `quick` repeats some of these trainings as a spot
    check. A script that calls this function needs no `if __name__ == "__main__"`.

    Parameters
    ----------
    suites
        Registered names; by default those marked by `mbcbench list suites`.
    encoders
        Targets to run besides the registered encoders: registered names, `package.module:attr` or
        `path/to/file.py:attr`.
    only_encoders
        Run `encoders` and no others.
    only
        Experiments of the suite to run; by default all of them.
    profile
        How much to run: `smoke`, `quick`, `standard`, `thorough` or `paper`. `standard` trains `encoders` so that they
        are ranked.
    data
        `auto` uses the paper's data sets where they are present, `built-in` never uses them, and `paper` always does.
        Names of data sets, separated by commas, replace the default data sets of the same content.
    device
        Device on which models are trained.
    laws, skip_laws
        Laws that the suite `laws` checks or leaves out: ids, globs (`mbc.m*`) or groups (`mbc`); by default all.
        Profiles up to `standard` leave out slow laws that are not named.
    build
        Width, hyper-parameters, weights and device of `encoders` in the suite `laws`, which must be the only one.
    seed
        Seed of all random numbers.
    jobs
        Processes at a time; by default as many as there are cores.
    time_limit
        Seconds that a cell may take; by default the limit of its suite.
    memory_limit
        GiB that a cell may use.
    root
        Folder of the runs.
    seeds
        Trainings per encoder, in place of the profile's number.
    use_reference
        Use the reference results in place of the trainings that they contain.
    fresh
        Reuse neither records of earlier runs nor reference results: train every encoder again.
    shard
        `I/N` runs the I-th of N parts of the cells. `mbcbench.merge` merges all parts into one run. The spot check is
        drawn with `seed` instead of the date, so that parts that start on different days have the same plan.
    scheduler
        Address or file of a Dask scheduler, on whose workers the cells run. `jobs` then applies to planning only.
    quiet
        Show no progress on standard error.

    Returns
    -------
    RunResult
        `folder` is the folder of the run, `frame` its records, one row each.

    Raises
    ------
    UsageError
        If an argument cannot be used.
    Interrupted
        After Ctrl-C. The records of the cells that ended are stored, and the same call continues from there.
    """
    check_lists(suites=suites, encoders=encoders, only=only, laws=laws, skip_laws=skip_laws)
    check_positive(jobs=jobs, time_limit=time_limit, memory_limit=memory_limit, seeds=seeds)
    if profile not in PROFILES:
        raise UsageError(f"profile={profile!r}: give one of {', '.join(PROFILES)}")
    if only_encoders and not encoders:
        raise UsageError("--only-encoders runs the encoders of --encoder and no others; give at least one")
    if only and not suites:
        raise UsageError("--only selects experiments of a suite; name the suite too: --suite paper")
    names = [registry.plugin(registry.SUITES, name).name for name in suites or registry.default_suites()]
    _check_data(data)
    _check_build(build, names)
    if (laws or skip_laws) and LAWS_SUITE not in names:
        raise UsageError(f"--law and --skip-law: there are no laws in {', '.join(names)}; add --suite {LAWS_SUITE}")
    part = Shard.parse(shard) if shard is not None else None
    all_encoders = encoders if only_encoders else [*registry.plugins(registry.ENCODERS), *encoders]
    options = replace(
        run_options(all_encoders, encoders, seed, jobs, time_limit, memory_limit),
        only=tuple(only), data=data, device=device, seeds=seeds, shard=part, scheduler=scheduler,
        draw=date.today().toordinal() if part is None else seed,
        reference=use_reference and not fresh, build=build or BuildOptions(),
        laws=tuple(registry.select(registry.LAWS, laws or None, skip_laws, slow=profile in SLOW_PROFILES)),
    )  # fmt: skip
    new = store.Run.create(
        Path(root),
        profile=profile,
        seed=seed,
        argv=command_line(),
        reference=describe(load()) if options.reference and load().covers(names, options.encoders) else None,
        shard=part.to_dict() if part is not None else None,
        encoders=options.encoders,
        suites=names,
    )
    earlier = None if fresh else RunCache(Path(root))
    return _run_into(new, options, names, profile, earlier, quiet)


def _check_data(data: str) -> None:
    if data != "auto":
        from mbcbench.datasets import check_choice

        check_choice(data)


def _check_build(build: BuildOptions | None, suites: Sequence[str]) -> None:
    if build is not None and not build.is_default and set(suites) != {LAWS_SUITE}:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in build.to_params())
        raise UsageError(f"{options}: for the suite {LAWS_SUITE} alone; give --suite {LAWS_SUITE} and no other suite")


def _run_into(
    new: store.Run,
    options: RunOptions,
    suites: Sequence[str],
    profile: Profile,
    earlier: RunCache | None,
    quiet: bool,
) -> RunResult:
    """Run the planned cells and store their records in `new`, which is removed on a UsageError."""
    for line in earlier.unreadable if earlier is not None else ():
        logger.warning("skipping an unreadable earlier run: %s", line)
    try:
        result = consume(planner.run_suites(options, suites, profile, earlier), options.jobs, run=new, quiet=quiet)
    except UsageError:
        new.discard()
        raise
    if not result.interrupted:
        new.finish()
    new.close()
    if result.interrupted:
        raise Interrupted(
            f"{result.progress_text}; what ended is kept in {new.folder}, and the same command continues from there"
        )
    return result


def run_options(
    encoders: Sequence[str],
    named: Sequence[str],
    seed: int = 0,
    jobs: int | None = None,
    time_limit: float | None = None,
    memory_limit: float = 2.0,
) -> RunOptions:
    """Return the options of the planner (internal). Raises UsageError if a target in `named` cannot name an encoder."""
    for target in named:
        registry.check_target(target)
    return RunOptions(
        encoders=tuple(dict.fromkeys(encoders)),
        user_encoders=frozenset(named),
        seed=seed,
        jobs=jobs or system.cores(),
        memory_bytes=int(memory_limit * 2**30),
        seconds=time_limit,
    )


def command_line() -> list[str]:
    """Return the command that is running, without the folder of the program (internal)."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]
