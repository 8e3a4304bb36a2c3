"""Checkpoints of a stream: its state, its position, and everything that the encoding depends on; no pickle."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from mbcbench.errors import UsageError, one_line
from mbcbench.protocol.state import from_bytes, to_bytes
from mbcbench.system import write_atomically
from mbcbench.types import JsonObject, State

SCHEMA = 1
Origin = JsonObject  # what an encoding depends on: plain values by name


@dataclass(frozen=True)
class Position:
    """A place in a stream: the number of elements before it, and their state."""

    elements: int
    state: State


def save(path: Path, position: Position, origin: Origin) -> None:
    """Replace the checkpoint in one step: after a crash the file is either the previous one or this one."""
    saved = {"schema": SCHEMA, "origin": json.dumps(origin), "elements": position.elements, "state": position.state}
    write_atomically(path, to_bytes(saved))


def load(path: Path, start: Position, origin: Origin) -> Position:
    """Return the position saved in a file; the types of its state are those of the state of `start`.

    Raises UsageError if the file is not a checkpoint, or belongs to an encoding with another origin.
    """
    try:
        data = path.read_bytes()
        saved: Any = from_bytes(data, None)
        schema, saved_origin = saved["schema"], json.loads(saved["origin"])
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is not a checkpoint of mbcbench encode ({one_line(error)}); remove it") from error
    if schema != SCHEMA:
        raise UsageError(f"checkpoint {path} has schema {schema} and this mbcbench reads {SCHEMA}; remove it")
    check_origin(path, saved_origin, origin, "checkpoint")
    return Position(saved["elements"], _state(data, start.state))


def _state(data: bytes, like: State) -> State:
    saved: Any = from_bytes(data, {"state": like})
    return saved["state"]


def check_origin(path: Path, saved: Origin, origin: Origin, kind: str) -> None:
    """Raise UsageError if a file of this kind belongs to an encoding with another origin."""
    current = json.loads(json.dumps(origin))
    changes = [
        f"{name} was {saved.get(name)} and is {current.get(name)}"
        for name in sorted(saved.keys() | current.keys())
        if saved.get(name) != current.get(name)
    ]
    if changes:
        raise UsageError(
            f"{kind} {path} belongs to another encoding: {'; '.join(changes)}; repeat the original options, "
            f"or use another {kind}"
        )
