"""What a command has to do, put in order: learn of the plug-ins, plan, reuse, run.

Everything that imports a plug-in happens in cells. The main process sees records only.
"""

from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mbcbench import system
from mbcbench.errors import ExitCode, UsageError
from mbcbench.execution import runner
from mbcbench.execution.runner import Event, Finished, Job, Limits
from mbcbench.execution.suite import PROBE, DataChoice, Device, Profile
from mbcbench.records.cache import RunCache, reasons
from mbcbench.records.cell import Cell
from mbcbench.records.detail import PlanDetail
from mbcbench.records.record import BROKEN, UNEXPECTED, Record, Status
from mbcbench.registry import default_suites

LAWS_SUITE = "laws"
TRAINING = ("torch._dynamo",)  # the first optimizer of a process imports it, for over a second
PLUGIN_SECONDS = 60.0  # to import a plug-in, and to build an encoder


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What is asked for. named: the encoders that the user named, whose faults are wrong usage.

    only: of the suites, only these experiments. data, device: see `mbcbench.execution.suite.Request`.
    seconds: the time limit of a cell, where it is not the suite's own. libraries: see `runner.run`.
    """

    encoders: tuple[str, ...]
    user_encoders: frozenset[str]
    seed: int = 0
    jobs: int = 1
    memory_bytes: int = 2 * 2**30
    seconds: float | None = None
    libraries: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    data: DataChoice = "auto"
    device: Device = "cpu"

    @property
    def has_filters(self) -> bool:
        """Whether suites are asked for something that they may not have."""
        return bool(self.only) or self.data != "auto" or self.device != "cpu"

    def limits(self, seconds: float) -> Limits:
        return Limits(seconds=self.seconds or seconds, memory_bytes=self.memory_bytes)


@dataclass(frozen=True)
class Planned:
    """All cells are known: those to run, how many are reused, and why the others are not.

    experiments: what each of them shows (see `mbcbench.execution.suite.Experiment`), with the keys of its cells.
    """

    cells: tuple[Cell, ...]
    to_run: tuple[Cell, ...]
    reused: int = 0
    reasons: str = ""
    experiments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


Step = Event | Planned
Steps = Generator[Step, None, None]


def leaderboard(options: RunOptions, suites: Sequence[str], profile: Profile, earlier: RunCache | None) -> Steps:
    """Run the suites on the encoders; cells that `earlier` holds are not run again.

    Raises UsageError when an encoder that the user named cannot be used, or an experiment that is asked for is none.
    """
    options = replace(options, libraries=TRAINING)
    plans = [_plan(options, suite, profile) for suite in suites]
    planned = yield from _run_probes(options, plans)
    work = _jobs(options, plans, planned)
    learnt = yield from _run_probes(options, [*_builds(options, work.jobs), *_sources(work.jobs)])
    yield from _execute(options, work, learnt, earlier)


def check(options: RunOptions, laws: Collection[str], profile: Profile, params: Mapping[str, Any]) -> Steps:
    """Check the laws on the encoders; `params` (examples, reference, expected failures) add to the profile's own.

    Raises UsageError when an encoder that the user named cannot be used.
    """
    plan = _plan(options, LAWS_SUITE, profile)
    learnt = yield from _run_probes(options, [*_builds(options, ()), plan])
    jobs = _jobs(options, [plan], learnt).jobs
    chosen = [_with_params(job, params) for job in jobs if job.cell.case in laws]
    yield from _execute(options, _Work(chosen), learnt, None)


def _with_params(job: Job, params: Mapping[str, Any]) -> Job:
    return replace(job, cell=replace(job.cell, params={**job.cell.params, **params}))


def run_probe(case: str, *, encoder: str = "", seed: int = 0, **params: Any) -> Record:
    """Return the record of one probe (see `mbcbench.execution.probe`).

    Raises UsageError when what it asks for cannot be used.
    """
    cell = Cell(suite=PROBE, case=case, encoder=encoder, seed=seed, params=params)
    job = Job(cell, Limits(PLUGIN_SECONDS))
    (record,) = (r for event in runner.run([job], workers=1) if isinstance(event, Finished) for r in event.records)
    if record.status is Status.USAGE:
        raise UsageError(record.message)
    return record


def exit_code(records: Iterable[Record]) -> ExitCode:
    """What the records tell the shell: that something broke weighs more than a broken law."""
    statuses = {record.status for record in records}
    if statuses & BROKEN:
        return ExitCode.BROKE
    return ExitCode.LAW_BROKEN if statuses & UNEXPECTED else ExitCode.AS_CLAIMED


def _builds(options: RunOptions, jobs: Iterable[Job]) -> list[Cell]:
    """Probes of the encoders that the user named and of those that the jobs are about, a suite's own included."""
    named = (encoder for encoder in options.encoders if encoder in options.user_encoders)
    encoders = dict.fromkeys([*named, *(job.cell.encoder for job in jobs)])
    return [Cell(suite=PROBE, case="build", encoder=encoder, seed=options.seed) for encoder in encoders]


def _sources(jobs: Iterable[Job]) -> list[Cell]:
    suites = dict.fromkeys(job.cell.suite for job in jobs)
    return [Cell(suite=PROBE, case="source", encoder="", params={"suite": suite}) for suite in suites]


def _plan(options: RunOptions, suite: str, profile: Profile) -> Cell:
    encoders = {
        "encoders": list(options.encoders),
        "user_encoders": sorted(options.user_encoders),
        "only": list(options.only),
    }
    params = {"suite": suite, "profile": profile, "data": options.data, "device": options.device, **encoders}
    return Cell(suite=PROBE, case="plan", encoder="", params=params, seed=options.seed)


def _run_probes(options: RunOptions, probes: Sequence[Cell]) -> Generator[Step, None, dict[str, Record]]:
    """Run the probes and return their records by cell key.

    Raises UsageError when something that the user asked for cannot be used.
    """
    records: dict[str, Record] = {}
    jobs = [Job(cell, options.limits(PLUGIN_SECONDS)) for cell in probes]
    for event in runner.run(jobs, workers=options.jobs, libraries=options.libraries):
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
    return records


@dataclass(frozen=True)
class _Work:
    """The jobs of the suites that could be planned, and what their experiments show.

    exclusive: the suites whose cells run with nothing else at the same time.
    """

    jobs: Sequence[Job]
    exclusive: Collection[str] = ()
    experiments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def _jobs(options: RunOptions, plans: Sequence[Cell], learnt: Mapping[str, Record]) -> _Work:
    """What is to be done; a cell that two suites want is one job."""
    jobs: dict[str, Job] = {}
    exclusive: set[str] = set()
    experiments: dict[str, Any] = {}
    for plan in plans:
        if learnt[plan.key].status in BROKEN:
            continue
        detail = PlanDetail.from_dict(learnt[plan.key].detail)
        for cell in (Cell(**planned) for planned in detail.cells):
            jobs.setdefault(cell.key, Job(cell, options.limits(detail.seconds)))
        exclusive |= {plan.params["suite"]} if detail.exclusive else set()
        experiments |= detail.experiments if plan.params["suite"] not in default_suites() else {}
    return _Work(list(jobs.values()), exclusive, experiments)


def _execute(options: RunOptions, work: _Work, learnt: Mapping[str, Record], earlier: RunCache | None) -> Steps:
    built = {record.encoder: record for record in learnt.values() if record.case == "build"}
    sources = {r.params["suite"]: r.detail.get("identity", {}) for r in learnt.values() if r.case == "source"}
    environment = _environment()
    jobs = [_identified(job, sources.get(job.cell.suite, {}), built, environment) for job in work.jobs]
    keys = {planned.cell.key: job.cell.key for planned, job in zip(work.jobs, jobs, strict=True)}
    lost, sound = _split(jobs, lambda job: _is_broken(built.get(job.cell.encoder)))
    known, missing = _split(sound, lambda job: earlier is not None and bool(earlier.find(job.cell)))
    yield Planned(
        cells=tuple(job.cell for job in jobs),
        to_run=tuple(job.cell for job in missing),
        reused=len(known),
        reasons=reasons(earlier.miss(job.cell) for job in missing) if earlier is not None else "",
        experiments={n: {**e, "cells": [keys[key] for key in e["cells"]]} for n, e in work.experiments.items()},
    )
    for job in lost:
        yield Finished(job.cell, (_not_run(job.cell, built[job.cell.encoder]),))
    for job in known:
        assert earlier is not None
        yield Finished(job.cell, tuple(earlier.find(job.cell)), reused=True)
    by_itself, together = _split(missing, lambda job: job.cell.suite in work.exclusive)
    yield from runner.run(by_itself, workers=1, libraries=options.libraries)
    yield from runner.run(_interleave_suites(together), workers=options.jobs, libraries=options.libraries)


def _interleave_suites(jobs: Sequence[Job]) -> list[Job]:
    """The jobs with the first of each suite in front: an estimate of the time left needs a cell of each."""
    first: dict[str, Job] = {}
    for job in jobs:
        first.setdefault(job.cell.suite, job)
    return [*first.values(), *(job for job in jobs if job is not first[job.cell.suite])]


def _environment() -> dict[str, str]:
    """What can change any cell's outcome."""
    versions = {f"{name} version": version for name, version in system.versions().items()}
    return {**versions, "processor": system.processor()}


def _identified(job: Job, suite: Mapping[str, str], built: Mapping[str, Record], environment: Mapping[str, str]) -> Job:
    """The job of the cell with everything that can change its outcome."""
    cell = job.cell
    encoder = built[cell.encoder].detail.get("identity", {}) if cell.encoder in built else {}
    return replace(job, cell=replace(cell, identity={**environment, **suite, **cell.identity, **encoder}))


def _is_broken(record: Record | None) -> bool:
    return record is not None and record.status in BROKEN


def _not_run(cell: Cell, cause: Record) -> Record:
    return cell.record(cause.status, message=f"not run, since it cannot be built: {cause.message}")


def _split(jobs: Sequence[Job], test: Callable[[Job], bool]) -> tuple[list[Job], list[Job]]:
    """The jobs that pass the test, and the others."""
    passed = [test(job) for job in jobs]
    return [j for j, yes in zip(jobs, passed, strict=True) if yes], [
        j for j, yes in zip(jobs, passed, strict=True) if not yes
    ]
