"""Checkpoints of a stream: its state, its position, and everything that the encoding depends on; no pickle."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from mbcbench.errors import MALFORMED, UsageError, one_line
from mbcbench.protocol.state import from_bytes, to_bytes
from mbcbench.system import write_atomically
from mbcbench.types import JsonObject, State

SCHEMA = 1
DESCRIPTION = ("a checkpoint of mbcbench encode", "remove it")
WEIGHTS = "weights"  # key of an origin: a digest of the values
WEIGHTS_FILE = "weights file"  # name of their file or None, for messages: the same values in another file are the same
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
    with explain_damage(path, *DESCRIPTION):
        data = path.read_bytes()
        saved: Any = from_bytes(data, None)
        schema, saved_origin, elements = saved["schema"], dict(json.loads(saved["origin"])), saved["elements"]
    if schema != SCHEMA:
        raise UsageError(f"checkpoint {path} has schema {schema} and this mbcbench reads {SCHEMA}; remove it")
    check_origin(path, saved_origin, origin, "checkpoint")
    with explain_damage(path, *DESCRIPTION):
        state: State = from_bytes(data, {"state": start.state})["state"]
        if not isinstance(elements, int) or not 0 <= elements <= origin["shape"][0]:
            raise ValueError(f"it was saved after {elements!r} elements")
    return Position(elements, state)


@contextlib.contextmanager
def explain_damage(path: Path, kind: str, fix: str) -> Iterator[None]:
    """Raise UsageError in place of the exceptions for a file of states that is damaged or of another kind."""
    try:
        yield
    except (OSError, SafetensorError, *MALFORMED) as error:
        raise UsageError(f"{path} is not {kind} ({one_line(error)}); {fix}") from error


def check_origin(path: Path, saved: Origin, origin: Origin, kind: str) -> None:
    """Raise UsageError if a file of this kind belongs to an encoding with another origin."""
    current = json.loads(json.dumps(origin))
    changes = [
        f"weights were {_describe_weights(saved)}, now {_describe_weights(current)}"
        if name == WEIGHTS
        else f"{name} was {saved.get(name)} and is {current.get(name)}"
        for name in sorted((saved.keys() | current.keys()) - {WEIGHTS_FILE})
        if saved.get(name) != current.get(name)
    ]
    if changes:
        raise UsageError(
            f"{kind} {path} belongs to another encoding: {'; '.join(changes)}; repeat the original options, "
            f"or use another {kind}"
        )


def _describe_weights(origin: Origin) -> str:
    """Return the file of the weights, if it is known, and their digest."""
    digest = origin.get(WEIGHTS)
    if WEIGHTS_FILE not in origin:
        return f"those with the digest {digest}"
    return f"{origin[WEIGHTS_FILE] or 'as built'} ({digest})"
