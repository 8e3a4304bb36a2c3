"""Checkpoints of a stream: the state, how far it has come, and all that the encoding depends on; no pickle."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from mbcbench.errors import UsageError, one_line
from mbcbench.protocol.state import from_bytes, to_bytes

SCHEMA = 1
Origin = Mapping[str, Any]  # names and plain values


@dataclass(frozen=True)
class Position:
    """How far a stream has come: the state after so many elements."""

    elements: int
    state: Any


def save(path: Path, position: Position, origin: Origin) -> None:
    """Keep a position. A reader, or whoever comes after a crash, finds the checkpoint before or this one, whole."""
    kept = {"schema": SCHEMA, "origin": json.dumps(origin), "elements": position.elements, "state": position.state}
    write_atomically(path, to_bytes(kept))


def load(path: Path, start: Position, origin: Origin) -> Position:
    """The position kept in a file; the types of its state are those of `start`.

    Raises UsageError when the file is no checkpoint, or one of an encoding with another origin.
    """
    try:
        data = path.read_bytes()
        kept: Any = from_bytes(data, None)
        schema, before = kept["schema"], json.loads(kept["origin"])
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is no checkpoint of mbcbench encode ({one_line(error)}); remove it") from error
    if schema != SCHEMA:
        raise UsageError(f"checkpoint {path} has schema {schema} and this mbcbench reads {SCHEMA}; remove it")
    _same(path, before, json.loads(json.dumps(origin)))
    return Position(kept["elements"], _state(data, start.state))


def _state(data: bytes, like: Any) -> Any:
    kept: Any = from_bytes(data, {"state": like})
    return kept["state"]


def _same(path: Path, before: Origin, now: Origin) -> None:
    changed = [
        f"{name} was {before.get(name)} and is {now.get(name)}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]
    if changed:
        raise UsageError(
            f"checkpoint {path} belongs to another encoding: {'; '.join(changed)}; give what it was begun with, "
            "or begin anew with another checkpoint"
        )


def write_atomically(path: Path, data: bytes) -> None:
    """Put `data` in place of a file in one step, on disk before it is seen."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
