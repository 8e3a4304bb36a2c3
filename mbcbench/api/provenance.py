"""Origin of records: commit, date and machine of a run, and sources that have changed since."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mbcbench import registry
from mbcbench.errors import UsageError
from mbcbench.execution import digest
from mbcbench.records import store
from mbcbench.records.cell import Cell
from mbcbench.records.files import read_cells
from mbcbench.records.reference import load, spot_checks
from mbcbench.types import JsonDict

if TYPE_CHECKING:
    import pandas as pd

FACTS = ("run", "created", "versions", "commit", "hardware", "threads")
OWN = "mbcbench."  # prefix of the targets of this distribution's plug-ins
SUITE_SOURCE, HARNESS_SOURCE, ENCODER_SOURCE = "suite source", "harness source", "encoder source"  # keys of identities


def with_origin(info: JsonDict, folders: Iterable[Path], records: "pd.DataFrame") -> JsonDict:
    """Return a description of runs with the origin of each run (`runs`) and of the reference results that they show.

    records: frame of the records of all runs; some may be spot checks of the reference.
    """
    reference = info.get("reference")
    if reference:
        checks = [asdict(check) for check in spot_checks(records)]
        reference = {**reference, "changed": changed_sources(load().cells.values()), "spot_checks": checks}
    return {**info, "runs": [describe_run(folder) for folder in folders], "reference": reference}


def describe_run(folder: Path) -> JsonDict:
    """Return the origin of a run; `changed` lists the suites and encoders whose installed sources differ.

    Facts that run.json lacks are None. Plug-ins of other distributions are not compared.
    """
    info = store.info(folder)
    return {**{name: info.get(name) for name in FACTS}, "changed": changed_sources(_cells(folder))}


def _cells(folder: Path) -> Iterable[Cell]:
    try:
        return read_cells(folder / store.CELLS).values()
    except UsageError:  # the sources of an unreadable run are unknown
        return ()


def changed_sources(cells: Iterable[Cell]) -> dict[str, list[str]]:
    """Return the `suites` and `encoders` of some cells whose installed sources differ from those in their identity."""
    suites: dict[str, Mapping[str, str]] = {}
    encoders: dict[str, Mapping[str, str]] = {}
    for cell in cells:
        if SUITE_SOURCE in cell.identity:
            suites.setdefault(cell.suite, cell.identity)
        if ENCODER_SOURCE in cell.identity:
            encoders.setdefault(cell.encoder, cell.identity)
    return {
        "suites": sorted(name for name, identity in suites.items() if _differs(registry.SUITES, name, identity)),
        "encoders": sorted(name for name, identity in encoders.items() if _differs(registry.ENCODERS, name, identity)),
    }


def _differs(group: str, name: str, identity: Mapping[str, str]) -> bool:
    return any(identity.get(key, value) != value for key, value in installed_sources(group, name).items())


def installed_sources(group: str, name: str) -> dict[str, str]:
    """Return the digests of the installed sources of a plug-in; empty for a target or another distribution."""
    key = SUITE_SOURCE if group == registry.SUITES else ENCODER_SOURCE
    plugin = registry.plugins(group).get(name)
    if plugin is None:
        return {} if ":" in name else {key: "not installed"}
    if not plugin.target.startswith(OWN):
        return {}
    source, harness = _digests(plugin.module)
    return {key: source, HARNESS_SOURCE: harness} if group == registry.SUITES else {key: source}


@cache
def _digests(module: str) -> tuple[str, str]:
    """Return the digest of a module's sources, and that of the parts of the harness that they use."""
    sources = digest.sources_unloaded(module)
    return digest.files(sources), digest.harness(sources)
