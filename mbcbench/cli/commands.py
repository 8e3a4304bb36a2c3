"""What the commands do. Their options are in `mbcbench.cli.main`; this module is imported when one of them runs."""

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from mbcbench import registry, system
from mbcbench.cli import tables
from mbcbench.errors import BrokenPluginError, ExitCode, UsageError, one_line
from mbcbench.execution import planner
from mbcbench.execution.planner import Planned, RunOptions, Step, Steps
from mbcbench.execution.progress import Progress, format_duration, watch
from mbcbench.execution.runner import Finished
from mbcbench.execution.suite import PROBE, Profile
from mbcbench.records import store
from mbcbench.records.cache import RunCache
from mbcbench.records.record import BROKEN, Record, frame
from mbcbench.registry import check_target
from mbcbench.reporting import Report
from mbcbench.verify.counterexample import read_counterexamples

if TYPE_CHECKING:
    import pandas as pd

LEADERBOARD = "leaderboard"
EXPERIMENTS = "experiments"
WIDE = 160  # columns, where the output is no terminal


def run(
    order: RunOptions, suites: Sequence[str], profile: Profile, *, out: Path, html: Path | None, **how: bool
) -> ExitCode:
    """Run the suites on the encoders (the leaderboard's where none is named), keep the records, show the reports."""
    if order.only and not suites:
        raise UsageError("--only selects experiments of a suite; name the suite too: --suite paper")
    suites = suites or list(registry.plugins(registry.DEFAULT_SUITES))
    for name in suites:
        registry.plugin(registry.SUITES, name)
    page = html if html is None or html.parent.is_dir() else None
    if html is not None and page is None:
        raise UsageError(f"cannot write {html}: there is no folder {html.parent}")
    told = {"argv": argv(), "encoders": order.encoders, "suites": suites}
    kept = store.Run.create(out, profile=profile, seed=order.seed, **told)
    earlier = None if how["fresh"] else RunCache(out)
    for line in earlier.unreadable if earlier is not None else ():
        complain(f"an earlier run is passed over: {line}")
    try:
        seen = follow(planner.leaderboard(order, suites, profile, earlier), order.jobs, kept=kept, quiet=how["quiet"])
    except UsageError:
        kept.discard()
        raise
    kept.close()
    if seen.interrupted:
        return _interrupted(seen, f"; what ended is kept in {kept.folder}, and the same command goes on from there")
    shown = show(kept.folder, page, pages=True)
    _summary(seen, kept.folder)
    return max(planner.exit_code(seen.records), shown)


def check(
    order: RunOptions,
    laws: Sequence[str],
    profile: Profile,
    params: Mapping[str, Any],
    *,
    json: Path | None,
    quiet: bool,
) -> ExitCode:
    """Check laws on encoders; print a table for each and a card for each counterexample."""
    known = registry.plugins(registry.LAWS)
    for law in laws:
        registry.plugin(registry.LAWS, law)
    if json is not None:
        _try_to_write(json)
    seen = follow(planner.check(order, laws or list(known), profile, params), order.jobs, quiet=quiet)
    records = sorted((r for r in seen.records if r.suite != PROBE), key=_place(order, list(known)))
    if json is not None:
        tables.write_json(json, records)
    _print_laws(order.encoders, records)
    if seen.interrupted:
        return _interrupted(seen, "")
    out().print(f"{tables.counts(records)} in {format_duration(seen.progress.elapsed)}", highlight=False)
    return planner.exit_code(seen.records)


@dataclass
class Seen:
    """What came of a sequence of steps."""

    progress: Progress
    records: list[Record] = field(default_factory=list)
    interrupted: bool = False


def follow(steps: Steps, jobs: int, *, kept: store.Run | None = None, quiet: bool = False) -> Seen:
    """Go through the steps, showing progress and keeping the records; Ctrl-C ends it early."""
    seen = Seen(Progress(jobs))
    with watch(Console(stderr=True), seen.progress, quiet=quiet) as see:
        try:
            with contextlib.closing(steps):
                for step in steps:
                    see(step)
                    _take(step, seen, kept)
        except KeyboardInterrupt:
            seen.interrupted = True
    for record in seen.records:
        if record.case == "plan":
            complain(f"the suite {record.params['suite']} broke: {record.message}")
    return seen


def _take(step: Step, seen: Seen, kept: store.Run | None) -> None:
    if isinstance(step, Planned) and kept is not None:
        kept.plan(step.cells, step.experiments)
    if isinstance(step, Finished):
        records = [r for r in step.records if not (r.case in ("plan", "source") and r.status not in BROKEN)]
        seen.records += records
        if kept is not None:
            kept.append(records)


def show(folder: Path, page: Path | None = None, *, name: str | None = None, pages: bool = False) -> ExitCode:
    """Print a run's reports, those that its suites call for unless one is named.

    page: where the page of the first goes; pages: those of all go into the run's folder.
    """
    info = store.info(folder)
    names = _reports(info) if name is None else [registry.plugin(registry.REPORTS, name).name]
    table = frame(store.records(folder))
    inside = {one: folder / f"{one}.html" for one in names if pages}
    where = inside | ({names[0]: page} if page is not None else {})
    return max(_report(one, table, info, where.get(one)) for one in names)


def _reports(info: Mapping[str, Any]) -> list[str]:
    """The leaderboard, for the suites that run unless others are named; the experiments, for the others."""
    others = info.get("experiments")
    usual = not others or set(info.get("suites", ())) & set(registry.plugins(registry.DEFAULT_SUITES))
    return [*([LEADERBOARD] if usual else []), *([EXPERIMENTS] if others else [])]


def _report(name: str, table: "pd.DataFrame", info: Mapping[str, Any], page: Path | None) -> ExitCode:
    try:
        report: Report = registry.plugin(registry.REPORTS, name).load()
        out().print(report.terminal(table, info))
        if page is not None:
            page.write_text(report.html(table, info), encoding="utf-8")
    except Exception as error:  # a plug-in's own code: the records are safe
        complain(f"the report {name} broke: {one_line(error)}")
        return ExitCode.BROKE
    if page is not None:
        out().print(f"page      {page}", highlight=False, soft_wrap=True)
    return ExitCode.AS_CLAIMED


def import_asv(results: Path, run: str | None, root: Path) -> ExitCode:
    """Add what ASV measured to a run, or keep it as one of its own."""
    from mbcbench.records.asv import read

    records = read(results)
    if run is None:
        kept = store.Run.create(root, profile="asv", seed=0, argv=argv(), encoders=[])
    else:
        kept = store.Run(store.find(run, root))
    kept.append(records)
    kept.close()
    out().print(f"records   {kept.folder / store.RECORDS}", highlight=False, soft_wrap=True)
    return ExitCode.AS_CLAIMED


def show_all(root: Path) -> ExitCode:
    """List the runs under a root, oldest first."""
    table = tables.plain_table("run", "encoders", "records")
    for folder in store.runs(root):
        try:
            encoders = len(store.info(folder)["encoders"])
            table.add_row(folder.name, str(encoders), tables.counts(store.records(folder)))
        except UsageError as error:
            table.add_row(folder.name, "", str(error))
    if table.row_count == 0:
        raise UsageError(f"no run is kept under {root}; make one with: mbcbench run")
    out().print(table)
    return ExitCode.AS_CLAIMED


def list_plugins(kinds: Sequence[str]) -> ExitCode:
    """List the registered names, without importing anything."""
    usual = registry.plugins(registry.DEFAULT_SUITES)
    for kind in kinds:
        suites = kind == "suites"
        table = tables.plain_table("name", "from", "target", *(["runs"] if suites else []), title=kind)
        for plugin in registry.plugins(f"mbcbench.{kind}").values():
            runs = ["by default" if plugin.name in usual else "when named by --suite"] if suites else []
            table.add_row(plugin.name, plugin.distribution, plugin.target, *runs)
        out().print(table)
    return ExitCode.AS_CLAIMED


def describe(name: str) -> ExitCode:
    """Print what is known of an encoder, or the page of a law (`law:ID`)."""
    kind, _, law = name.partition(":")
    if kind == "law":
        registry.plugin(registry.LAWS, law)
        record = planner.run_probe("law", law=law)
    else:
        record = planner.run_probe("build", encoder=name)
    if record.status in BROKEN:
        raise BrokenPluginError(f"{name} broke: {record.message}")
    out().print(
        record.detail["doc"] if kind == "law" else tables.facts(_encoder_facts(name, record.detail)), markup=False
    )
    return ExitCode.AS_CLAIMED


def env() -> ExitCode:
    """Print versions, hardware and folders."""
    import platformdirs
    import torch

    hardware = system.hardware()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    out().print(
        tables.facts(
            system.versions()
            | {"processor": hardware["cpu"], "cores": hardware["cores"]}
            | {"memory": f"{hardware['memory_bytes'] / 2**30:.1f} GiB", "gpu": gpu}
            | {"cache": platformdirs.user_cache_dir("mbcbench", appauthor=False)}
        )
    )
    return ExitCode.AS_CLAIMED


def argv() -> list[str]:
    """The command line, without the folder of the program."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]


def out() -> Console:
    """Standard output; wide where it is no terminal, so that nothing is cut off."""
    return Console() if sys.stdout.isatty() else Console(width=WIDE)


def complain(line: str) -> None:
    """One line to standard error."""
    sys.stderr.write(f"mbcbench: {' '.join(line.split())}\n")


def _place(order: RunOptions, laws: Sequence[str]) -> Callable[[Record], tuple[int, int]]:
    """Where a record belongs: cells end in any order."""
    return lambda record: (order.encoders.index(record.encoder), laws.index(record.case))


def _print_laws(encoders: Sequence[str], records: Sequence[Record]) -> None:
    for encoder in encoders:
        own = [record for record in records if record.encoder == encoder]
        out().print(tables.laws_table(encoder, own))
        for found in filter(None, map(tables.counterexample, own)):
            out().print(found, soft_wrap=True)


def _encoder_facts(name: str, detail: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("summary", "paper", "hyper", "claims", "breaks", "parameters", "slot_readout")
    steps = ["streams" if detail["streaming"] else "plain: forward only"]
    steps += ["merges"] if detail["merge"] else []
    steps += ["takes a mask"] if detail["mask"] else []
    shapes = f"B x n x {detail['dim_in']} -> {' x '.join(['B', *map(str, detail['output_shape'])])}"
    return {"encoder": name, "shapes": shapes, "steps": ", ".join(steps)} | {n: detail[n] for n in kept}


def _summary(seen: Seen, folder: Path) -> None:
    progress = seen.progress
    parts = [f"{progress.done} cells: {progress.done - progress.failed} ok, {progress.failed} failed"]
    if progress.reused:
        parts.append(f"{progress.reused} of {progress.total} cells reused")
    if progress.reasons:
        parts.append(f"{progress.to_run} run: {progress.reasons}")
    out().print(f"records   {folder / store.RECORDS}", highlight=False, soft_wrap=True)
    out().print(f"{'; '.join(parts)}; {format_duration(progress.elapsed)}", highlight=False, soft_wrap=True)


def _interrupted(seen: Seen, kept: str) -> ExitCode:
    total = "an unknown number" if seen.progress.total is None else seen.progress.total
    complain(f"interrupted after {seen.progress.done} of {total} cells{kept}")
    return ExitCode.INTERRUPTED


def _try_to_write(path: Path) -> None:
    try:
        path.write_text("")
    except OSError as error:
        raise UsageError(f"cannot write {path} ({error.strerror}); choose another file") from error


def repro(where: str) -> ExitCode:
    """Try recorded counterexamples again; print the card of each that still breaks its law."""
    broken = 0
    for case in read_counterexamples(where):
        check_target(case.target)
        params = {"law": case.law, "tried": dict(case.example), "dim_in": case.dim_in}
        record = planner.run_probe("replay", encoder=case.target, seed=case.seed, **params)
        if record.status in BROKEN:
            complain(f"{case.target}, {case.law}: {record.message}")
            return ExitCode.BROKE
        text = record.detail["text"]
        broken += text is not None
        out().print(text or f"{case.law} holds for {case.target} on the recorded case", highlight=False, markup=False)
    return ExitCode.LAW_BROKEN if broken else ExitCode.AS_CLAIMED
