"""The packages that a GPU machine lacks: `wheels.py list` names them, `wheels.py check` imports all with only them.

The machine has PROVIDED and what these need. Versions are those of constraints.txt.
"""

import argparse
import importlib
import importlib.metadata
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parents[2]
PROVIDED = ("torch", "triton", "numpy", "hypothesis")
NEEDED = (
    "scipy", "pandas", "safetensors", "pebble", "typer", "rich", "psutil", "platformdirs", "filelock", "lazy-loader",
    "trimesh", "pytest", "pytest-xdist",
)  # fmt: skip
TARGET = {"python_version": "3.12", "python_full_version": "3.12.0", "sys_platform": "linux", "extra": ""}
MODULES = (
    "gpu_stages.machine", "gpu_stages.fold", "gpu_stages.resources", "gpu_stages.largest", "gpu_stages.encode",
    "gpu_stages.train", "mbcbench.suites.laws", "mbcbench.suites.paper", "mbcbench.verify.checker",
    "mbcbench.pytest_plugin",
)  # fmt: skip


def canonical(name: str) -> str:
    """Return the name of a package as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(names: Iterable[str]) -> set[str]:
    """Return packages and all that they need on the machine, by the metadata of what is installed here."""
    packages: set[str] = set()
    waiting = [canonical(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in packages:
            continue
        try:
            lines = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        packages.add(name)
        requirements = [Requirement(line) for line in lines]
        waiting += [canonical(r.name) for r in requirements if r.marker is None or r.marker.evaluate(TARGET)]
    return packages


def missing(without: Sequence[str] = ()) -> list[str]:
    """Return the packages to bring along."""
    return sorted(closure(NEEDED) - closure(PROVIDED) - {canonical(name) for name in without})


def pinned(names: Iterable[str]) -> list[str]:
    """Return requirements with the versions that are installed here, which constraints.txt pins."""
    return [f"{name}=={importlib.metadata.version(name)}" for name in names]


class OnlyThese:
    """An import hook that hides every installed package but some."""

    def __init__(self, packages: set[str]) -> None:
        modules = importlib.metadata.packages_distributions()
        self._hidden = {m for m, owners in modules.items() if not {canonical(o) for o in owners} & packages}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Refuse a hidden package; leave any other to the usual finders."""
        if name.partition(".")[0] in self._hidden:
            raise ModuleNotFoundError(f"no module named {name!r} on the machine: add its package to NEEDED", name=name)


def check(packages: Sequence[str]) -> None:
    """Import the encoders and all that the stages use, with these packages and PROVIDED alone."""
    hook: Any = OnlyThese({*packages, *closure(PROVIDED), "mbcbench"})
    sys.meta_path.insert(0, hook)
    sys.path.insert(0, str(Path(__file__).parent))
    encoders = [f"mbcbench.encoders.{path.stem}" for path in (REPOSITORY / "encoders").glob("*.py")]
    for module in (*encoders, *MODULES):
        importlib.import_module(module)


def packages_in(folder: Path) -> list[str]:
    """Return the packages of a folder of wheels."""
    return [canonical(path.name.partition("-")[0]) for path in folder.glob("*.whl")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="print the packages to bring along, one per line")
    listing.add_argument("--without", nargs="*", default=[], help="packages that the machine has")
    checking = commands.add_parser("check", help="import all with the packages of a folder of wheels")
    checking.add_argument("folder", type=Path)
    checking.add_argument("--without", nargs="*", default=[], help="packages that the machine has")
    arguments = parser.parse_args()
    if arguments.command == "list":
        print("\n".join(pinned(missing(arguments.without))))
    else:
        check([*packages_in(arguments.folder), *closure(arguments.without)])


if __name__ == "__main__":
    main()
