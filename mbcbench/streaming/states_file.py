"""Files with the states of many sets, to which rows can be added later; no pickle."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mbcbench.errors import UsageError
from mbcbench.protocol.state import read_file, write_file
from mbcbench.streaming.checkpoint import Origin, check_origin, explain_damage
from mbcbench.streaming.encode import describe_files
from mbcbench.streaming.encoder import GuardedEncoder
from mbcbench.streaming.group_rows import SetId
from mbcbench.streaming.set_states import BatchedStates, SetStates, StateLayout
from mbcbench.system import replaced_atomically
from mbcbench.types import JsonDict

SCHEMA = 1


@dataclass(frozen=True)
class SavedStates:
    """States of sets, and the files whose rows they contain.

    files: name, size and time of each file.
    """

    ids: Sequence[SetId]
    layout: StateLayout
    states: SetStates
    files: Sequence[list[str | int]]


def save_states(path: Path, saved: SavedStates, origin: Origin) -> None:
    """Replace the file in one step."""
    batched = isinstance(saved.states, BatchedStates)
    header = {
        "schema": SCHEMA,
        "origin": origin,
        "files": [*saved.files],
        "shares_rows": saved.layout.shares_rows if batched else None,
        "bytes_per_set": saved.layout.bytes_per_set,
    }
    content = {"header": json.dumps(header), "ids": _ids_to_tensors(saved.ids), "states": saved.states.saved()}
    with replaced_atomically(path) as part:
        write_file(content, part)


def load_states(path: Path, encoder: GuardedEncoder, origin: Origin) -> SavedStates:
    """Return the states in a file. Raises UsageError for another kind of file, or states of another encoder."""
    with explain_damage(path, "a file of states", "name another with --states"):
        content: JsonDict = read_file(path, {})
        header = json.loads(content["header"])
        if header["schema"] != SCHEMA:
            found = header["schema"]
            raise UsageError(f"{path} has schema {found} and this mbcbench reads {SCHEMA}; write the states again")
        check_origin(path, dict(header["origin"]), origin, "file of states")
        layout = StateLayout(encoder, header["shares_rows"], header["bytes_per_set"])
        ids, states = _ids_from_tensors(content["ids"]), layout.new_states()
        if isinstance(states, BatchedStates):
            states.load(content["states"], len(ids))
        else:  # only the encoder knows the types of its states
            like = {"states": [encoder.init_state()] * len(ids)}
            typed: JsonDict = read_file(path, like)
            states.load(typed["states"], len(ids))
        return SavedStates(ids, layout, states, header["files"])


def refuse_repeated(path: Path, saved: SavedStates, files: Sequence[Path]) -> None:
    """Raise UsageError if the states contain the rows of one of the files."""
    for file, description in zip(files, describe_files(files), strict=True):
        if description in saved.files:
            raise UsageError(f"{path} contains the rows of {file} already; leave this file out")


def _ids_to_tensors(ids: Sequence[SetId]) -> JsonDict:
    if all(isinstance(set_id, int) for set_id in ids):
        return {"numbers": torch.tensor(ids, dtype=torch.int64)}
    texts = [str(set_id).encode() for set_id in ids]
    lengths = torch.tensor([len(text) for text in texts], dtype=torch.int64)
    return {"text": torch.frombuffer(bytearray(b"".join(texts)), dtype=torch.uint8), "lengths": lengths}


def _ids_from_tensors(saved: JsonDict) -> list[SetId]:
    if "numbers" in saved:
        numbers: list[SetId] = saved["numbers"].tolist()
        return numbers
    text, ends = saved["text"].numpy().tobytes(), saved["lengths"].cumsum(0).tolist()
    return [text[start:end].decode() for start, end in zip([0, *ends], ends, strict=False)]
