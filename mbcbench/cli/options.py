"""Options that several commands share."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from mbcbench.cli.completion import complete_names
from mbcbench.cli.console import print_error
from mbcbench.errors import ExitCode
from mbcbench.execution.suite import PROFILES, Profile
from mbcbench.types import Device

LEAST = 0.1  # seconds and GiB
OLD_PROFILES = {"laptop": "thorough"}  # names of earlier releases


def parse_profile(name: str) -> str:
    """Return the name of a profile."""
    if name in OLD_PROFILES:
        print_error(f"the profile {name} is called {OLD_PROFILES[name]} now")
        name = OLD_PROFILES[name]
    if name not in PROFILES:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(map(repr, PROFILES))}")
    return name


def complete_profile(incomplete: str) -> list[str]:
    """Return the names of profiles that begin with a word."""
    return [name for name in PROFILES if name.startswith(incomplete)]


Profiles = Annotated[
    str,
    typer.Option(
        "--profile",
        parser=parse_profile,
        metavar=f"[{'|'.join(PROFILES)}]",
        help="How much to try.",
        autocompletion=complete_profile,
    ),
]


def _parse_number(text: str) -> float:
    """Return a number of at least 0.1. Reject NaN and infinity."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not LEAST <= value < math.inf:
        raise typer.BadParameter(f"{text!r} is not a number of at least {LEAST}")
    return value


LARGEST = 2**63 - 1  # the largest seed that PyTorch accepts


def whole_number(least: int, most: int = LARGEST) -> Callable[[str], int]:
    """Return a parser of whole numbers of at least `least`, up to `most`."""
    span = f"of at least {least}" if most == LARGEST else f"from {least} to {most}"

    def parse(text: str) -> int:
        value = int(text) if re.fullmatch("[+-]?[0-9]{1,20}", str(text)) else None
        if value is None or not least <= value <= most:
            raise typer.BadParameter(f"{text!r} is not a whole number {span}")
        return value

    return parse


count = whole_number(1)

Seed = Annotated[int, typer.Option(parser=whole_number(0), metavar="N", help="Seed of all random numbers.")]
Jobs = Annotated[int | None, typer.Option(parser=count, metavar="N", help="Processes at a time.", show_default="cores")]
TimeLimit = Annotated[
    float | None,
    typer.Option(parser=_parse_number, metavar="SECONDS", help="Time limit of a cell.", show_default="the suite's"),
]
MemoryLimit = Annotated[float, typer.Option(parser=_parse_number, metavar="GIB", help="Memory limit of a cell.")]
DimIn = Annotated[
    int | None, typer.Option(parser=count, metavar="N", help="Width of the elements.", show_default="one that fits")
]
Hyper = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="A hyper-parameter. May be repeated.", show_default="the spec's"),
]
Weights = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="Trained weights: a state_dict, or a checkpoint with one.", show_default=False),
]
WeightsKey = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="The part of that file to use.", show_default="the only one that fits"),
]
ComputeDevice = Annotated[Device, typer.Option("--device", help="Compute on this device.")]


def _parse_law(text: str) -> str:
    """Return an id or a pattern. Reject an empty text, as from an unset variable: it would select all laws."""
    if not text.strip(" ,"):
        raise typer.BadParameter(f"{text!r} names no law; leave the option out for all laws")
    return text


LawIds = Annotated[
    list[str] | None,
    typer.Option(
        "--law",
        parser=_parse_law,
        metavar="ID,...",
        help="Check these laws: ids, globs like 'mbc.m*' or groups like mbc.",
        show_default="all",
        autocompletion=complete_names("laws", as_list=True),
    ),
]
SkippedLawIds = Annotated[
    list[str] | None,
    typer.Option(
        "--skip-law",
        parser=_parse_law,
        metavar="ID,...",
        help="Leave these laws out.",
        show_default=False,
        autocompletion=complete_names("laws", as_list=True),
    ),
]
Root = Annotated[Path, typer.Option(metavar="DIR", help="Folder of the runs.")]


def _parse_old_root(text: str) -> Path:
    print_error("the option --out is called --root now")
    return Path(text)


OldRoot = Annotated[Path | None, typer.Option("--out", parser=_parse_old_root, hidden=True)]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
DEFAULT_ROOT = Path(".mbcbench")


def as_profile(name: str) -> Profile:
    """Return a parsed `--profile` with its type."""
    return next(profile for profile in PROFILES if profile == name)


def show_help_if_bare(context: typer.Context) -> None:
    """Print the help of a command group that is called without a command, and exit as for wrong usage."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(ExitCode.USAGE)
