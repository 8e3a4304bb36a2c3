"""Entry point of the program: assemble the commands, and turn errors into one line and an exit code."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Annotated, Any

import typer

import mbcbench
from mbcbench.cli import (
    check,
    compare,
    data,
    describe,
    encode,
    env,
    import_asv,
    list_plugins,
    merge,
    new,
    report,
    repro,
    run,
    show,
)
from mbcbench.cli.console import print_error
from mbcbench.cli.options import show_help_if_bare
from mbcbench.errors import BrokenPluginError, ExitCode, UsageError, is_out_of_memory, one_line
from mbcbench.types import JsonDict

TRACEBACK = "MBCBENCH_TRACEBACK"  # environment variable
EPILOG = """\
Exit codes: 0 as claimed, 1 a law is broken, 2 something broke, 3 wrong usage, 4 a run is worse (compare --fail-on),
130 interrupted.
"""

app = typer.Typer(
    name="mbcbench",
    help="Verify, measure and score neural set encoders under mini-batch consistency.",
    epilog=EPILOG,
    rich_markup_mode=None,  # importing rich would double the time of --help
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
# In the order of --help, with summaries that fit into one line of it.
app.command(short_help="Check the laws on encoders.")(check.check)
app.command(short_help="Run suites on all encoders, print the leaderboard.")(run.run)
app.command("list", short_help="List encoders, laws, suites, reports, artefacts.")(list_plugins.list_)
app.command(short_help="Describe an encoder, a law or another plug-in.")(describe.describe)
app.command(short_help="Print a report of an earlier run, or list the runs.")(show.show)
app.command(short_help="Merge the shards of a run into one run.")(merge.merge)
app.command(short_help="Draw tables, figures and claims as files.")(report.report)
app.command(short_help="Compare two runs: failures, speed, memory, scores.")(compare.compare)
app.command(short_help="Try recorded counterexamples again.")(repro.repro)
app.command(short_help="Encode a file that may be larger than memory.")(encode.encode)
app.command(short_help="Print versions, hardware and folders.")(env.env)
app.command("import-asv", short_help="Store measurements of ASV as records.")(import_asv.import_asv)
app.add_typer(data.app, name="data")
app.add_typer(new.app, name="new")


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"mbcbench {mbcbench.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _program(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    show_help_if_bare(context)
    if context.invoked_subcommand == "check":
        context.default_map = {"check": _check_defaults()}


def _check_defaults() -> JsonDict:
    """Return the defaults of the options of `check` that pyproject.toml sets, by parameter."""
    from mbcbench.verify.settings import load_settings

    return {key.replace("-", "_"): value for key, value in load_settings().items()}


@cache
def program() -> Any:
    """Return the program as one command with subcommands, which typer would otherwise assemble for every call."""
    return typer.main.get_command(app)


def main(arguments: list[str] | None = None) -> None:
    """Run the program. It ends with an exit code (see `mbcbench.errors.ExitCode`)."""
    try:
        with _terminated_as_interrupted():
            code = program()(args=arguments, standalone_mode=False)
        if code == ExitCode.INTERRUPTED and not isinstance(code, ExitCode):  # typer itself prints nothing
            code = _fail("interrupted", ExitCode.INTERRUPTED)
    except UsageError as error:
        code = _fail(str(error), ExitCode.USAGE)
    except typer.TyperException as error:
        code = _fail(_usage_message(error), ExitCode.USAGE)
    except BrokenPluginError as error:
        code = _fail(str(error), ExitCode.BROKE)
    except ModuleNotFoundError as error:  # an extra that is not installed
        code = _fail(one_line(error), ExitCode.BROKE)
    except OSError as error:  # a full disk, a file that vanished
        code = _fail(str(error), ExitCode.BROKE)
    except Exception as error:
        if TRACEBACK in os.environ:
            raise
        reason = "out of memory" if is_out_of_memory(error) else "a fault of mbcbench, please report it"
        code = _fail(f"{reason}: {one_line(error)} ({TRACEBACK}=1 shows the traceback)", ExitCode.BROKE)
    sys.exit(int(code or 0))


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Handle SIGTERM, which `kill` and batch systems send, like Ctrl-C: a last line says what is stored."""
    if threading.current_thread() is not threading.main_thread():  # Python sets handlers in the main thread only
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _usage_message(error: typer.TyperException) -> str:
    """Return what is wrong with the arguments and, unless one value is wrong, the help page that lists them."""
    message = error.format_message().replace("Value error, ", "")
    context = getattr(error, "ctx", None)
    if context is None or type(error) is typer.BadParameter:
        return message
    commands: list[str] = []
    while context.parent is not None:  # the outermost is the program, under any name
        commands.insert(0, context.info_name)
        context = context.parent
    see = " See" if message.endswith("?") else "; see"
    return f"{message.rstrip('.')}{see}: {' '.join(['mbcbench', *commands, '--help'])}"


def _fail(message: str, code: ExitCode) -> ExitCode:
    print_error(message)
    return code


if __name__ == "__main__":
    main()
