"""Mutations of small valid files, drawn by Hypothesis: of bytes, and of the values in JSON."""

import json
import struct
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]

# Numbers at which code goes wrong, as they stand in the headers of files.
NUMBERS = (0, 1, 127, 128, 255, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 10**12, 2**63 - 1, 2**64 - 1)
WORDS = (
    *(struct.pack(order + letter, number) for number in NUMBERS for order, letter in (("<", "Q"), (">", "Q"))),
    *(struct.pack(order + "I", number) for number in NUMBERS if number < 2**32 for order in "<>"),
    b"../../../canary", b"/tmp/canary", b"\x80\x04cos\nsystem\n(S'touch canary'\ntR.", b"nan", b"1e400", b"-1",
    b"[" * 3000, b"999999999999999999999", b"\xff\xfe", b"\n", b",", b" ", b"0",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3, 0.5, 2**31, 2**63, 10**30, -(10**400), float("inf"), float("nan"), "", "x", "0",
    "nan", "\x1b]0;title\x07", "</script><img src=x onerror=alert(1)>", "../../../canary", "/tmp/canary", "os:system",
    "\ud800", "a.b", "fail", "ok", "latest", [], [[]], {}, {"": 0}, [1, "x", None], {"a": {"b": []}}, "x" * 10_000,
)  # fmt: skip
POSITION = st.floats(0, 1, exclude_max=True)
BYTE_CHANGE = st.tuples(
    st.sampled_from(("flip", "overwrite", "insert", "cut", "delete", "repeat")),
    POSITION,
    st.integers(1, 64),
    st.one_of(st.sampled_from(WORDS), st.binary(min_size=1, max_size=8)),
)


def mutate(draw: Draw, name: str, content: bytes) -> bytes:
    """Return another content of a file; `name` says whether it is JSON."""
    if name.endswith((".json", ".jsonl", ".zarray", ".zattrs")) and draw(st.booleans()):
        return _mutate_json(draw, content)
    for change in draw(st.lists(BYTE_CHANGE, min_size=1, max_size=3)):
        content = _change_bytes(content, *change)
    return content


def _change_bytes(content: bytes, kind: str, position: float, length: int, word: bytes) -> bytes:
    start = int(position * (len(content) + 1))
    if kind == "flip" and content:
        start = min(start, len(content) - 1)
        return content[:start] + bytes([content[start] ^ 1 << length % 8]) + content[start + 1 :]
    if kind == "overwrite":
        return content[:start] + word + content[start + len(word) :]
    if kind == "cut":
        return content[:start]
    if kind == "delete":
        return content[:start] + content[start + length :]
    if kind == "repeat":
        return content[: start + length] + content[start:]
    return content[:start] + word + content[start:]


def _mutate_json(draw: Draw, content: bytes) -> bytes:
    """Return the content with another value, key or nesting in one of its lines."""
    try:
        documents = [json.loads(content)]
    except ValueError:
        documents = [json.loads(line) for line in content.splitlines()]
    document = documents[draw(st.integers(0, len(documents) - 1))]
    parents = list(_containers(document))
    parent = parents[draw(st.integers(0, len(parents) - 1))]
    keys: list[Any] = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
    value = draw(st.sampled_from(VALUES))
    kind = draw(st.sampled_from(("replace", "replace", "delete", "add", "whole", "nest")))
    if kind == "whole" or not keys:
        documents[documents.index(document)] = value
    elif kind == "add" and isinstance(parent, dict):
        parent[draw(st.sampled_from(("", "x", "schema", "suite", "records", "cells", "detail")))] = value
    else:
        key = keys[draw(st.integers(0, len(keys) - 1))]
        if kind == "delete":
            del parent[key]
        else:
            parent[key] = [[parent[key]]] if kind == "nest" else value
    return "\n".join([*map(json.dumps, documents), ""]).encode()


def _containers(value: Any) -> "list[Any]":
    """Return the objects and lists in a JSON value, from the outside to the inside."""
    if not isinstance(value, dict | list):
        return []
    children = value.values() if isinstance(value, dict) else value
    return [value, *(inner for child in children for inner in _containers(child))]
