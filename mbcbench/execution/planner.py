"""Plan and run the cells of a command: probe the plug-ins, ask the suites for cells, reuse cached cells, run the rest.

Plug-ins are imported in the processes of cells only. The main process sees their records.
"""

from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mbcbench import registry, system
from mbcbench.errors import UsageError
from mbcbench.execution import runner
from mbcbench.execution.executor import Executor, open_executor, open_local
from mbcbench.execution.runner import Event, Finished, Job, Limits
from mbcbench.execution.shard import Shard, digest_plan
from mbcbench.execution.suite import PROBE, DataNeed, PlanParams, Profile
from mbcbench.protocol.customize import BuildOptions
from mbcbench.records.cache import CacheMiss, RunCache
from mbcbench.records.cell import Cell
from mbcbench.records.detail import EncoderDetail, PlanDetail, SourceDetail
from mbcbench.records.record import BROKEN, NOT_RUN, Record, Status
from mbcbench.types import Device, JsonObject

LAWS_SUITE = "laws"
TRAINING = ("torch._dynamo",)  # imported by the first optimizer of a process, which takes over a second
REGISTERED = ("scipy.special",)  # imported by modules of registered encoders, for their references
PLUGIN_SECONDS = 60.0  # to import a plug-in, and to build an encoder

Identity = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of a command that runs cells.

    user_encoders: encoders given on the command line; if one of them cannot be built, that is a usage error.
    seconds: time limit of a cell, in place of its suite's.
    only: experiments of the suites to run. data, device, seeds, reference, draw: see
    `mbcbench.execution.suite.Request`. build: how the laws build the encoders of the user.
    laws: ids of the laws to check, or none for all. shard: the part of the plan to run, or None for all of it.
    scheduler: address or file of the Dask scheduler whose workers run the cells, or None for this machine.
    """

    encoders: tuple[str, ...]
    user_encoders: frozenset[str]
    seed: int = 0
    jobs: int = 1
    memory_bytes: int = 2 * 2**30
    seconds: float | None = None
    only: tuple[str, ...] = ()
    data: str = "auto"
    device: Device = "cpu"
    seeds: int | None = None
    reference: bool = True
    draw: int = 0
    build: BuildOptions = field(default_factory=BuildOptions)
    laws: tuple[str, ...] = ()
    shard: Shard | None = None
    scheduler: str | None = None

    @property
    def has_filters(self) -> bool:
        """True if an option asks for experiments, data or a device that a suite may not have."""
        return bool(self.only) or self.data != "auto" or self.device != "cpu"

    def limits(self, seconds: float) -> Limits:
        """Return the limits of a cell whose suite allows `seconds`."""
        return Limits(seconds=self.seconds or seconds, memory_bytes=self.memory_bytes)


@dataclass(frozen=True)
class Planned:
    """The plan: all cells so far, the cells of this stage to run, the number of reused cells, and why others are not.

    experiments: by name, the settings of each (see `mbcbench.execution.suite.Experiment`) and the keys of its cells.
    digest: of all cells of the plan, including other shards. workers: number of cells that run at a time, if known.
    hardware: that of a cluster.
    """

    cells: tuple[Cell, ...]
    to_run: tuple[Cell, ...]
    reused: int = 0
    misses: tuple[CacheMiss, ...] = ()
    experiments: Mapping[str, JsonObject] = field(default_factory=dict)
    digest: str = ""
    workers: int = 0
    hardware: JsonObject = field(default_factory=dict)


Step = Event | Planned
Steps = Generator[Step, None, None]


def run_suites(options: RunOptions, suites: Sequence[str], profile: Profile, cache: RunCache | None) -> Steps:
    """Run suites on encoders, except cells that the cache has.

    Raises UsageError if an encoder of the user cannot be used, or an unknown experiment is requested.
    """
    libraries = _libraries(options, suites)
    with (
        open_local(options.jobs, libraries, options.user_encoders) as local,
        open_executor(options.scheduler, local, libraries, options.user_encoders) as executor,
    ):
        yield from _run_suites(options, suites, profile, cache, local, executor)


def _libraries(options: RunOptions, suites: Sequence[str]) -> tuple[str, ...]:
    """Return the libraries that many cells import, which takes long, and that are therefore loaded once."""
    trains = any(registry.plugin(registry.SUITES, suite).trains for suite in suites)
    has_registered = not options.user_encoders.issuperset(options.encoders)
    return (REGISTERED if has_registered else ()) + (TRAINING if trains else ())


def _run_suites(
    options: RunOptions,
    suites: Sequence[str],
    profile: Profile,
    cache: RunCache | None,
    local: Executor,
    executor: Executor,
) -> Steps:
    """Plan on this machine, and run the cells where `executor` does."""
    plan_probes = [_plan_probe(options, suite, profile) for suite in suites]
    plans = yield from _run_probes(options, plan_probes, local)
    work = _select_shard(options.shard, _collect_work(options, plans), plans)
    suites_used = dict.fromkeys(job.cell.suite for job in work.jobs)
    source_probes = [Cell(suite=PROBE, case="source", encoder="", params={"suite": suite}) for suite in suites_used]
    probed = yield from _run_probes(options, [*_build_probes(options, work.jobs), *source_probes], local)
    first = yield from _record_steps(_execute(work, probed, cache, executor))
    follow_up_probes = _follow_up_probes(plans, first.records)
    if follow_up_probes:
        work = _collect_work(options, (yield from _run_probes(options, follow_up_probes, local)))
        yield from _execute(work, probed, cache, executor, first.planned)


def check_laws(options: RunOptions, profile: Profile, params: JsonObject) -> Steps:
    """Check laws on encoders; `params` (examples, reference, expected failures) add to those of the profile.

    Raises UsageError if an encoder of the user cannot be used.
    """
    plan_probe = _plan_probe(options, LAWS_SUITE, profile)
    with open_local(options.jobs, _libraries(options, [LAWS_SUITE]), options.user_encoders) as local:
        probed = yield from _run_probes(options, [*_build_probes(options, ()), plan_probe], local)
        jobs = [
            replace(job, cell=replace(job.cell, params={**job.cell.params, **params}))
            for job in _collect_work(options, probed).jobs
        ]
        yield from _execute(_Work(jobs), probed, None, local)


def run_probe(case: str, *, encoder: str = "", seed: int = 0, **params: Any) -> Record:
    """Return the record of one probe (see `mbcbench.execution.probe`).

    Raises UsageError if its arguments cannot be used.
    """
    cell = Cell(suite=PROBE, case=case, encoder=encoder, seed=seed, params=params)
    events = runner.run([Job(cell, Limits(PLUGIN_SECONDS))], workers=1)
    (record,) = (record for event in events if isinstance(event, Finished) for record in event.records)
    if record.status is Status.USAGE:
        raise UsageError(record.message)
    return record


def _plan_probe(options: RunOptions, suite: str, profile: Profile) -> Cell:
    """Return the probe that asks a suite for its cells."""
    params = PlanParams(
        suite=suite,
        profile=profile,
        data=options.data,
        device=options.device,
        encoders=options.encoders,
        user_encoders=tuple(sorted(options.user_encoders)),
        only=options.only,
        seeds=options.seeds,
        reference=options.reference,
        draw=options.draw,
    )
    return Cell(suite=PROBE, case="plan", encoder="", params=asdict(params), seed=options.seed)


@dataclass
class _Stage:
    """Plan and records of one stage."""

    planned: Planned = field(default_factory=lambda: Planned((), ()))
    records: list[Record] = field(default_factory=list)


def _record_steps(steps: Steps) -> Generator[Step, None, _Stage]:
    """Yield all steps, and return their plan and records."""
    stage = _Stage()
    for step in steps:
        if isinstance(step, Planned):
            stage.planned = step
        if isinstance(step, Finished):
            stage.records += step.records
        yield step
    return stage


def _follow_up_probes(plans: Sequence[Record], records: Sequence[Record]) -> list[Cell]:
    """Return the probes that ask suites for the cells that depend on the records of their first ones."""
    probes = []
    for plan in _sound(plans, "plan"):
        if _has_follow_up(plan):
            suite = plan.params["suite"]
            of_suite = [record.to_fields() for record in records if record.suite == suite]
            params = {**plan.params, "records": of_suite}
            probes.append(Cell(suite=PROBE, case="follow-up", encoder="", params=params, seed=plan.seed))
    return probes


def _build_probes(options: RunOptions, jobs: Iterable[Job]) -> list[Cell]:
    """Return the probes that build encoders: those of the user, and those that the jobs need."""
    from_user = (encoder for encoder in options.encoders if encoder in options.user_encoders)
    encoders = dict.fromkeys([*from_user, *(job.cell.encoder for job in jobs)])
    return [
        Cell(
            suite=PROBE,
            case="build",
            encoder=encoder,
            seed=options.seed,
            params=options.build.to_params() if encoder in options.user_encoders else {},
        )
        for encoder in encoders
    ]


def _run_probes(options: RunOptions, probes: Sequence[Cell], local: Executor) -> Generator[Step, None, list[Record]]:
    """Run probes and return their records in the same order.

    Raises UsageError if something that the user asked for cannot be used.
    """
    records: dict[str, Record] = {}
    jobs = [Job(cell, options.limits(PLUGIN_SECONDS)) for cell in probes]
    for event in local.run(jobs):
        if not isinstance(event, Finished):
            yield event
            continue
        (record,) = event.records
        if record.status is Status.USAGE:
            if record.encoder in options.user_encoders or (record.case == "plan" and options.has_filters):
                raise UsageError(record.message)
            record = replace(record, status=Status.ERROR)  # the plug-in is at fault
        records[event.cell.key] = record
        yield replace(event, records=(record,))
    return [records[probe.key] for probe in probes]


@dataclass(frozen=True)
class _Work:
    """The jobs of the suites that could be planned, and what their experiments show.

    exclusive: suites whose cells run with nothing else at the same time. digest: see `Planned`.
    """

    jobs: Sequence[Job]
    exclusive: Collection[str] = ()
    experiments: Mapping[str, JsonObject] = field(default_factory=dict)
    digest: str = ""


def _collect_work(options: RunOptions, probed: Sequence[Record]) -> _Work:
    """Return the work of all plans among some probes; a cell of two suites is one job."""
    jobs: dict[str, Job] = {}
    exclusive: set[str] = set()
    experiments: dict[str, JsonObject] = {}
    for record in [*_sound(probed, "plan"), *_sound(probed, "follow-up")]:
        suite, plan = record.params["suite"], PlanDetail.from_dict(record.detail)
        for fields, needs in zip(plan.cells, plan.needs, strict=True):
            cell = _customize(options, Cell(**fields))
            if cell is None:
                continue
            job = Job(cell, options.limits(plan.seconds), tuple(DataNeed(**need) for need in needs))
            jobs.setdefault(cell.key, job)
        if plan.exclusive:
            exclusive.add(suite)
        if suite not in registry.default_suites():
            experiments |= plan.experiments
    return _Work(list(jobs.values()), exclusive, experiments)


def _select_shard(shard: Shard | None, work: _Work, plans: Sequence[Record]) -> _Work:
    """Return the part of the work that belongs to a shard, with the digest of all of it."""
    work = replace(work, digest=digest_plan(job.cell for job in work.jobs))
    if shard is None:
        return work
    with_follow_up = {plan.params["suite"] for plan in _sound(plans, "plan") if _has_follow_up(plan)}
    return replace(work, jobs=shard.select(work.jobs, with_follow_up))


def _has_follow_up(plan: Record) -> bool:
    return PlanDetail.from_dict(plan.detail).has_follow_up


def _customize(options: RunOptions, cell: Cell) -> Cell | None:
    """Return the cell of a law with the user's build options for the encoder; None if the law is not requested."""
    if cell.suite != LAWS_SUITE:
        return cell
    if options.laws and cell.case not in options.laws:
        return None
    if cell.encoder not in options.user_encoders:
        return cell
    return replace(cell, params={**cell.params, **options.build.to_params()}, device=options.build.device)


def _sound(probed: Sequence[Record], case: str) -> list[Record]:
    """Return the records of the probes of one kind that succeeded."""
    return [record for record in probed if record.case == case and record.status not in BROKEN]


def _execute(
    work: _Work,
    probed: Sequence[Record],
    cache: RunCache | None,
    executor: Executor,
    before: Planned | None = None,
) -> Steps:
    """Yield the plan; then the cells that cannot run, those that the cache has, and the others as they run.

    before: the plan of the first stage, to which this one adds.
    """
    before = before or Planned((), (), digest=work.digest)
    jobs = _identify(work, probed, executor)
    broken = {record.encoder: record for record in probed if record.case == "build" and record.status in BROKEN}
    lost = [job for job in jobs if job.cell.encoder in broken]
    sound = [job for job in jobs if job.cell.encoder not in broken]
    cached = {job.cell.key: tuple(cache.find(job.cell)) if cache is not None else () for job in sound}
    reused = [job for job in sound if cached[job.cell.key]]
    to_run = [job for job in sound if not cached[job.cell.key]]
    yield Planned(
        cells=(*before.cells, *(job.cell for job in jobs)),
        to_run=tuple(job.cell for job in to_run),
        reused=len(reused),
        misses=tuple(cache.miss(job.cell) for job in to_run) if cache is not None else (),
        experiments={**before.experiments, **_experiments_of(work, jobs)},
        digest=before.digest,
        workers=executor.workers,
        hardware=executor.hardware,
    )
    for job in lost:
        yield Finished(job.cell, (_not_run(job.cell, broken[job.cell.encoder]),))
    for job in reused:
        yield Finished(job.cell, cached[job.cell.key], reused=True)
    to_run = yield from executor.prepare(to_run)
    exclusive = [job for job in to_run if job.cell.suite in work.exclusive]
    concurrent = [job for job in to_run if job.cell.suite not in work.exclusive]
    yield from executor.run(exclusive, exclusive=True)
    yield from executor.run(_interleave_suites(concurrent))


def _identify(work: _Work, probed: Sequence[Record], executor: Executor) -> list[Job]:
    """Return the jobs with the identity of their cells: everything outside the cell that can change its outcome."""
    suites = {r.params["suite"]: SourceDetail.from_dict(r.detail).identity for r in _sound(probed, "source")}
    encoders = {r.encoder: EncoderDetail.from_dict(r.detail).identity for r in _sound(probed, "build")}
    environments = {measured: _environment(executor.processor if measured else "") for measured in (False, True)}
    identified = []
    for job in work.jobs:
        cell, suite, encoder = job.cell, suites.get(job.cell.suite, {}), encoders.get(job.cell.encoder, {})
        identity = {**environments[cell.suite in work.exclusive], **suite, **cell.identity, **encoder}
        identified.append(replace(job, cell=replace(cell, identity=identity)))
    return identified


def _environment(processor: str) -> dict[str, str]:
    """Return the part of the identity that cells of all suites have, with the processor if time or memory is measured.

    Scores and verdicts on laws differ between processors by rounding only, so records of another processor are valid.
    """
    versions = {f"{name} version": version for name, version in system.versions().items()}
    return {**versions, "processor": processor} if processor else versions


def _experiments_of(work: _Work, jobs: Sequence[Job]) -> dict[str, JsonObject]:
    """Return the experiments with the keys of their cells in `jobs`, where cells have an identity."""
    keys = {planned.cell.key: job.cell.key for planned, job in zip(work.jobs, jobs, strict=True)}
    return {
        name: {**experiment, "cells": [keys[key] for key in experiment["cells"] if key in keys]}
        for name, experiment in work.experiments.items()
    }


def _not_run(cell: Cell, cause: Record) -> Record:
    return cell.record(cause.status, message=f"{NOT_RUN}{cause.message}", detail=cause.detail)


def _interleave_suites(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs with the first of each suite in front: an estimate of the time left needs a cell of each."""
    first: dict[str, Job] = {}
    for job in jobs:
        first.setdefault(job.cell.suite, job)
    return [*first.values(), *(job for job in jobs if job is not first[job.cell.suite])]
