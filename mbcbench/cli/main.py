"""The command line. Each command's work is imported when it runs, so that `--help` costs nothing."""

import sys
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mbcbench.cli import compare, encode
from mbcbench.cli import data as cli_data
from mbcbench.errors import BrokenPluginError, ExitCode, UsageError
from mbcbench.execution.suite import DataChoice, Device, Profile

if TYPE_CHECKING:
    from mbcbench.execution.planner import RunOptions

app = typer.Typer(
    name="mbcbench",
    help="Verify, measure and score neural set encoders under mini-batch consistency.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # loading what prints it would double the time of --help
    pretty_exceptions_enable=False,
)

app.add_typer(cli_data.app, name="data")
new = typer.Typer(help="Begin something of your own.", no_args_is_help=True)
app.add_typer(new, name="new")
app.command()(encode.encode)
app.command()(compare.compare)

Depth = Literal["smoke", "quick", "thorough"]
# The profile of the laws that is checked, and the examples where they are more than a leaderboard spends on a law.
DEPTHS: dict[Depth, tuple[Profile, int | None]] = {
    "smoke": ("smoke", None), "quick": ("quick", 600), "thorough": ("thorough", None),
}  # fmt: skip

Profiles = Annotated[Profile, typer.Option("--profile", help="How much to run.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Cells that run at a time.", show_default="cores")]
TimeLimit = Annotated[float | None, typer.Option(min=0.1, help="Seconds a cell may take.", show_default="the suite's")]
MemoryLimit = Annotated[float, typer.Option(min=0.1, help="GiB a cell may use.")]
Out = Annotated[Path, typer.Option(help="Folder that keeps the runs.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]


class Kind(StrEnum):
    """What can be listed."""

    ENCODERS = "encoders"
    LAWS = "laws"
    SUITES = "suites"
    REPORTS = "reports"
    ARTEFACTS = "artefacts"


@app.command()
def run(
    encoder: Annotated[list[str] | None, typer.Option(metavar="TARGET", help="Judge this encoder too.")] = None,
    just_these: Annotated[bool, typer.Option("--just-these", help="Judge those of --encoder and no others.")] = False,
    suite: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Run this suite.", show_default="see: list suites"),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME,...", help="Of the suite, run these experiments alone.")
    ] = None,
    profile: Profiles = "quick",
    data: Annotated[
        DataChoice, typer.Option(help="The paper's data sets where they are present (auto), never, or always.")
    ] = "auto",
    device: Annotated[Device, typer.Option(help="Where models are trained.")] = "cpu",
    seed: Seed = 0,
    jobs: Jobs = None,
    time_limit: TimeLimit = None,
    memory_limit: MemoryLimit = 2.0,
    out: Out = Path(".mbcbench"),
    html: Annotated[Path | None, typer.Option(help="Where the page goes.", show_default="in the run's folder")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Use nothing of earlier runs.")] = False,
    quiet: Quiet = False,
) -> int:
    """Judge all registered encoders and print the leaderboard.

    A suite of experiments, as in --suite paper --only fig3b, has encoders of its own; those of --encoder join them.
    What earlier runs have settled is not run again. TARGET is a registered name, package.module:attr or
    path/to/file.py:attr.
    """
    from mbcbench import registry
    from mbcbench.cli import commands

    named = encoder or []
    if just_these and not named:
        raise UsageError("--just-these judges the encoders given with --encoder alone; give at least one")
    everyone = named if just_these else [*registry.plugins(registry.ENCODERS), *named]
    experiments = tuple(name for names in only or () for name in names.split(","))
    usual = _order(everyone, named, seed, jobs, memory_limit, time_limit)
    order = replace(usual, only=experiments, data=data, device=device)
    return commands.run(order, suite or [], profile, out=out, html=html, fresh=fresh, quiet=quiet)


@app.command()
def check(
    targets: Annotated[list[str], typer.Argument(metavar="TARGET...", help="The encoders to check.")],
    law: Annotated[list[str] | None, typer.Option(metavar="ID", help="Check this law.", show_default="all")] = None,
    profile: Annotated[Depth, typer.Option("--profile", help="How hard to try.")] = "quick",
    examples: Annotated[
        int | None, typer.Option(min=1, help="Examples a law is tried on.", show_default="the profile's")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="TARGET", help="Compare with this function or encoder.", show_default=False)
    ] = None,
    xfails_file: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Expected failures, `law-id: reason` a line.", show_default=False),
    ] = None,
    seed: Seed = 0,
    jobs: Jobs = None,
    time_limit: TimeLimit = None,
    memory_limit: MemoryLimit = 2.0,
    json: Annotated[Path | None, typer.Option(metavar="PATH", help="Write one record a line.")] = None,
    quiet: Quiet = False,
) -> int:
    """Check the laws on encoders and show a counterexample of each that is broken.

    TARGET is a registered name, package.module:attr or path/to/file.py:attr.
    """
    from mbcbench.cli import commands
    from mbcbench.verify.xfails import load_xfails

    order = _order(targets, targets, seed, jobs, memory_limit, time_limit)
    laws_profile, usual = DEPTHS[profile]
    params = {
        "examples": examples or usual,
        "reference": reference,
        "expected_failures": load_xfails(xfails_file, targets) if xfails_file else None,
    }
    given = {name: value for name, value in params.items() if value is not None}
    return commands.check(order, law or [], laws_profile, given, json=json, quiet=quiet)


@app.command()
def repro(where: Annotated[str, typer.Argument(metavar="RECORD", help="A file of records, or FILE:LINE.")]) -> int:
    """Try recorded counterexamples again: those of a run, or of what check --json wrote."""
    from mbcbench.cli import commands

    return commands.repro(where)


@new.command("encoder")
def new_encoder(
    name: Annotated[str, typer.Argument(help="Its registered name, as in my-encoder.")],
    folder: Annotated[Path, typer.Option(help="Where the project's folder goes.", show_default="here")] = Path(),
) -> int:
    """Write a plug-in project: an encoder that works, its entry point and its tests."""
    from mbcbench.cli import scaffold

    project = scaffold.new_encoder(name, folder)
    typer.echo(f"{project}: next, cd {project} && pip install -e . && pytest")
    return ExitCode.AS_CLAIMED


@app.command("list")
def list_(kind: Annotated[Kind | None, typer.Argument(help="What to list.", show_default="all")] = None) -> int:
    """List the registered names."""
    from mbcbench.cli import commands

    return commands.list_plugins([kind] if kind else list(Kind))


@app.command()
def describe(name: Annotated[str, typer.Argument(help="An encoder's TARGET, or law:ID.")]) -> int:
    """Describe an encoder or a law."""
    from mbcbench.cli import commands
    from mbcbench.registry import check_target

    if not name.startswith("law:"):
        check_target(name)
    return commands.describe(name)


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="The path or id of a run.")] = "latest",
    every: Annotated[bool, typer.Option("--all", help="List the runs instead.")] = False,
    html: Annotated[Path | None, typer.Option(metavar="PATH", help="Write the page too.", show_default=False)] = None,
    report: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which report to print.", show_default="what its suites call for")
    ] = None,
    out: Out = Path(".mbcbench"),
) -> int:
    """Print a report of an earlier run."""
    from mbcbench.cli import commands
    from mbcbench.records import store

    return commands.show_all(out) if every else commands.show(store.find(run, out), html, name=report)


@app.command("import-asv")
def import_asv(
    results: Annotated[Path, typer.Argument(help="A results file of ASV, or the folder that holds them.")],
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Add to this run.", show_default="a new one")] = None,
    out: Out = Path(".mbcbench"),
) -> int:
    """Keep what ASV measured as records: with --run, one report shows them beside the others of that run."""
    from mbcbench.cli import commands

    return commands.import_asv(results, run, out)


@app.command()
def report(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN...", help="Paths or ids of runs; several are put together.", show_default="latest"),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="ID,...", help="Draw these alone.", show_default="all")
    ] = None,
    format_: Annotated[
        list[str] | None,
        typer.Option("--format", metavar="NAME,...", help="html, md, latex, csv, png, svg.", show_default="html"),
    ] = None,
    to: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder that the files go to.")] = Path("report"),
    root: Annotated[Path, typer.Option(help="Folder that keeps the runs.")] = Path(".mbcbench"),
) -> int:
    """Draw the leaderboard, tables, figures and the ledger of claims from records. Nothing is trained."""
    from mbcbench.cli import report as drawing
    from mbcbench.records import store

    return drawing.report(
        [store.find(run, root) for run in runs or ["latest"]], _split(only), _split(format_) or ["html"], to
    )


def _split(given: list[str] | None) -> list[str]:
    """The names of options that take several, apart."""
    return [name for names in given or () for name in names.split(",") if name]


@app.command()
def env() -> int:
    """Print versions, hardware and folders."""
    from mbcbench.cli import commands

    return commands.env()


def main(arguments: list[str] | None = None) -> None:
    """The program. Ends with an exit code (see `mbcbench.errors.ExitCode`); wrong usage is one line."""
    try:
        code = app(args=arguments, standalone_mode=False)
    except UsageError as error:
        code = _complain(str(error), ExitCode.USAGE)
    except typer.TyperException as error:
        code = _complain(error.format_message(), ExitCode.USAGE)
    except BrokenPluginError as error:
        code = _complain(str(error), ExitCode.BROKE)
    except OSError as error:  # a full disk, a file that is gone
        code = _complain(str(error), ExitCode.BROKE)
    sys.exit(int(code or 0))


def _order(
    encoders: list[str], named: list[str], seed: int, jobs: int | None, memory: float, seconds: float | None
) -> "RunOptions":
    """What is asked for. Raises UsageError when an encoder can be seen to name nothing."""
    from mbcbench import system
    from mbcbench.execution.planner import RunOptions
    from mbcbench.registry import check_target

    for target in named:
        check_target(target)
    return RunOptions(
        encoders=tuple(dict.fromkeys(encoders)),
        user_encoders=frozenset(named),
        seed=seed,
        jobs=jobs or system.cores(),
        memory_bytes=int(memory * 2**30),
        seconds=seconds,
    )


def _complain(message: str, code: ExitCode) -> ExitCode:
    if message:  # without any argument, the help is all there is to say
        sys.stderr.write(f"mbcbench: {' '.join(message.split())}\n")
    return code


if __name__ == "__main__":
    main()
