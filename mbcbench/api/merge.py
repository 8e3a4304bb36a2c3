"""Merge the shards of a run: `mbcbench.merge`, and the body of the command `merge`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mbcbench.api.provenance import ENCODER_SOURCE, HARNESS_SOURCE, SUITE_SOURCE
from mbcbench.errors import UsageError, check_lists
from mbcbench.records import store
from mbcbench.records.cell import Cell
from mbcbench.records.files import is_present, read_cells, read_record_lines
from mbcbench.records.record import BROKEN, Record
from mbcbench.types import JsonDict, JsonObject

# Facts that are equal in all shards.
SAME = ("profile", "seed", "suites", "encoders", "versions", "commit", "reference", "threads", "plan")
EACH = ("run", "created", "hardware")  # listed for every shard
OF_SHARD = ("schema", "run", "created", "shard", "finished")  # not copied to the merged run


def merge(runs: Sequence[str | Path], *, root: str | Path = store.ROOT) -> Path:
    """Merge the shards of a run into one run, as if one machine had made it.

    Parameters
    ----------
    runs
        Paths or ids of the runs of all shards, in any order.
    root
        Folder of the runs.

    Returns
    -------
    Path
        Folder of the new run.

    Raises
    ------
    UsageError
        If a run is not a shard, if a shard is missing, given twice or not finished, or if two shards differ in their
        options, plans, versions, commits or sources.
    """
    check_lists(runs=runs)
    if not runs:
        raise UsageError("there are no runs to merge; give those of all shards")
    shards = [_Shard.read(store.find(run, Path(root))) for run in runs]
    _check_numbers(shards)
    shards.sort(key=lambda shard: shard.index)
    for shard in shards:
        _check_same_run(shards[0], shard)
    for shard in shards:
        shard.check_complete()
    _check_sources(shards)
    run = store.Run.create_from(Path(root), _describe(shards))
    run.plan(_merge_cells(shards), _merge_experiments(shards), shards[0].info["plan"])
    for records in _merge_records(shards).values():
        run.append(records)
    run.finish()
    run.close()
    return run.folder


@dataclass(frozen=True)
class _Shard:
    """The run of a shard. records: by the key of their cell."""

    folder: Path
    info: JsonObject
    index: int
    count: int
    cells: Mapping[str, Cell]
    records: Mapping[str, Sequence[Record]]

    @classmethod
    def read(cls, folder: Path) -> "_Shard":
        """Read the run of a shard. Raises UsageError if the run is not a shard."""
        info = store.info(folder)
        shard = info.get("shard")
        if shard is None:
            raise UsageError(f"{folder} is not a shard: it was made without --shard; leave it out")
        records: dict[str, list[Record]] = {}
        path = folder / store.RECORDS
        for _, line in read_record_lines(path) if is_present(path) else ():
            records.setdefault(line.cell, []).extend(line.records)
        return cls(folder, info, shard["index"], shard["count"], read_cells(folder / store.CELLS), records)

    def check_complete(self) -> None:
        """Raise UsageError if the run of the shard has not ended."""
        missing = len(self.cells.keys() - self.records.keys())
        if missing or not self.info.get("finished"):
            cells = f"{missing} of its {len(self.cells)} cells have no record" if missing else "its run was interrupted"
            raise UsageError(
                f"shard {self.index}/{self.count} ({self.folder}) is not finished: {cells}; give its command "
                "again, which continues from there, and merge the new run instead of this one"
            )


def _check_numbers(shards: Sequence[_Shard]) -> None:
    """Raise UsageError unless the shards are all parts of one division, each given once."""
    first, by_index = shards[0], dict[int, _Shard]()
    for shard in shards:
        if shard.count != first.count:
            raise UsageError(
                f"{first.folder} is shard {first.index}/{first.count} and {shard.folder} is shard "
                f"{shard.index}/{shard.count}; give the shards of one division"
            )
        other = by_index.setdefault(shard.index, shard)
        if other is not shard:
            name = f"shard {shard.index}/{shard.count}"
            if other.folder == shard.folder:
                raise UsageError(f"{name}, {shard.folder}, is given twice; give it once")
            newer = max(other, shard, key=lambda each: str(each.info["created"])).folder
            raise UsageError(
                f"{name} is given twice: {other.folder} and {shard.folder}; leave out one of them, most likely the "
                f"older one ({newer} is newer)"
            )
    missing = [str(index) for index in range(1, first.count + 1) if index not in by_index]
    if missing:
        noun = "shard" if len(missing) == 1 else "shards"
        raise UsageError(f"{noun} {', '.join(missing)} of {first.count} missing; give the runs of all shards")


def _check_same_run(a: _Shard, b: _Shard) -> None:
    """Raise UsageError if two shards differ in a fact that all shards share."""
    for name in SAME:
        ours, theirs = a.info.get(name), b.info.get(name)
        if ours != theirs:
            raise UsageError(
                f"{a.folder} and {b.folder} are not shards of one run: {_explain(name, ours, theirs)}; run the shards "
                "with the same options on the same sources"
            )


def _explain(name: str, ours: object, theirs: object) -> str:
    """Describe how a fact differs between two runs."""
    if name == "plan":
        return "their plans have different cells"
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        name, ours, theirs = next(
            (f"{name} of {key}", ours.get(key), theirs.get(key))
            for key in [*ours, *theirs]
            if ours.get(key) != theirs.get(key)
        )
    if isinstance(ours, list) and isinstance(theirs, list):
        differing = sorted(set(map(str, ours)) ^ set(map(str, theirs)))
        return f"only one of them has the {name} {', '.join(differing)}" if differing else f"their {name} differ"
    return f"the {name} is {ours} and {theirs}"


def _check_sources(shards: Sequence[_Shard]) -> None:
    """Raise UsageError if a suite or an encoder had other sources in another shard.

    Commits do not show this: they may be unknown, dirty or those of another repository.
    """
    known: dict[tuple[str, str], tuple[str, Path]] = {}
    for shard in shards:
        for cell in shard.cells.values():
            owners = {SUITE_SOURCE: cell.suite, HARNESS_SOURCE: cell.suite, ENCODER_SOURCE: cell.encoder}
            for name, owner in owners.items():
                digest = cell.identity.get(name, "")
                other, folder = known.setdefault((name, owner), (digest, shard.folder))
                if digest and other and digest != other:
                    raise UsageError(
                        f"the {name} of {owner} changed between {folder} and {shard.folder}; run the shards again"
                    )


def _describe(shards: Sequence[_Shard]) -> JsonDict:
    """Return the description of the merged run."""
    infos = [shard.info for shard in shards]
    first = {key: value for key, value in infos[0].items() if key not in OF_SHARD}
    return {
        **first,
        "argv": _without_shard(first["argv"]),
        "hardware": _common_hardware([info["hardware"] for info in infos]),
        "shards": [{name: info.get(name) for name in EACH} for info in infos],
    }


def _without_shard(argv: Sequence[str]) -> list[str]:
    """Return a command line without the option --shard."""
    words = list(argv)
    if "--shard" in words:
        position = words.index("--shard")
        del words[position : position + 2]
    return [word for word in words if not word.startswith("--shard=")]


def _common_hardware(machines: Sequence[JsonObject]) -> JsonDict:
    """Return the facts that all machines share, and the names of all processors."""
    same = {name: value for name, value in machines[0].items() if all(m.get(name) == value for m in machines)}
    return {"cpu": " or ".join(dict.fromkeys(str(machine.get("cpu")) for machine in machines)), **same}


def _merge_cells(shards: Iterable[_Shard]) -> list[Cell]:
    """Return the cells of all shards, sorted by suite and case."""
    cells = [cell for shard in shards for cell in shard.cells.values()]
    return sorted(cells, key=lambda cell: (cell.suite, cell.case, cell.encoder, cell.seed, cell.key))


def _merge_experiments(shards: Iterable[_Shard]) -> JsonDict:
    """Return the experiments with the cells of all shards."""
    merged: dict[str, JsonDict] = {}
    for shard in shards:
        for name, experiment in shard.info.get("experiments", {}).items():
            cells = merged[name]["cells"] if name in merged else []
            merged[name] = {**experiment, "cells": [*cells, *experiment["cells"]]}
    return merged


def _merge_records(shards: Iterable[_Shard]) -> dict[str, Sequence[Record]]:
    """Return the records of each cell. If several shards ran the same probe, a broken one takes precedence."""
    merged: dict[str, Sequence[Record]] = {}
    for shard in shards:
        for key, records in shard.records.items():
            if key not in merged or any(record.status in BROKEN for record in records):
                merged[key] = records
    return merged
