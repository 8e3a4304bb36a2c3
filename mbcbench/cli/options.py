"""Options that several commands share."""

import math
from pathlib import Path
from typing import Annotated

import typer

from mbcbench.errors import ExitCode
from mbcbench.execution.suite import PROFILES, Profile
from mbcbench.types import Device

LEAST = 0.1  # seconds and GiB
OLD_PROFILES = {"laptop": "thorough"}  # names of earlier releases


def parse_profile(name: str) -> str:
    """Return the name of a profile."""
    name = OLD_PROFILES.get(name, name)
    if name not in PROFILES:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(map(repr, PROFILES))}")
    return name


Profiles = Annotated[
    str,
    typer.Option("--profile", parser=parse_profile, metavar=f"[{'|'.join(PROFILES)}]", help="How much to try."),
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


Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of all random numbers.")]
Jobs = Annotated[int | None, typer.Option(min=1, metavar="N", help="Processes at a time.", show_default="cores")]
TimeLimit = Annotated[
    float | None,
    typer.Option(parser=_parse_number, metavar="SECONDS", help="Time limit of a cell.", show_default="the suite's"),
]
MemoryLimit = Annotated[float, typer.Option(parser=_parse_number, metavar="GIB", help="Memory limit of a cell.")]
DimIn = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Width of the elements.", show_default="one that fits")
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
LawIds = Annotated[
    list[str] | None,
    typer.Option(
        "--law",
        metavar="ID,...",
        help="Check these laws: ids, globs like 'mbc.m*' or groups like mbc.",
        show_default="all",
    ),
]
SkippedLawIds = Annotated[
    list[str] | None, typer.Option("--skip-law", metavar="ID,...", help="Leave these laws out.", show_default=False)
]
Root = Annotated[Path, typer.Option(metavar="DIR", help="Folder of the runs.")]
OldRoot = Annotated[Path | None, typer.Option("--out", hidden=True)]  # the name of --root in earlier releases
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
DEFAULT_ROOT = Path(".mbcbench")


def as_profile(name: str) -> Profile:
    """Return a parsed `--profile` with its type."""
    return next(profile for profile in PROFILES if profile == name)


def show_help_if_bare(context: typer.Context) -> None:
    """Print the help of a group of commands that is called without one, and exit as after wrong usage."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(ExitCode.USAGE)
