"""Types of the fields of records and runs, by which values are checked when a file is read."""

from collections.abc import Mapping
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

LARGEST = 2**63  # integers beyond it do not fit into the column of a frame

Types = Mapping[str, Any]  # by name: a class, a union of classes, list[...] or Mapping[str, ...]


@cache
def types_of(cls: type) -> Types:
    """Return the types of the fields of a dataclass."""
    return get_type_hints(cls)


def check_types(values: Mapping[str, Any], types: Types) -> None:
    """Raise ValueError with the name and the value for the first value of another type."""
    for name, value in values.items():
        if name not in types or type(value) in _fitting(types[name]):
            continue
        if not _is_of(value, types[name]):
            text = repr(value)
            raise ValueError(f"{name} is {text if len(text) <= 40 else text[:37] + '...'}, not {_words(types[name])}")


@cache
def _fitting(expected: Any) -> frozenset[type]:
    """Return the classes whose instances always fit a type: a fast path, since most values are such instances."""
    options = get_args(expected) if isinstance(expected, UnionType) else (expected,)
    plain = {option for option in options if isinstance(option, type) and option is not int}
    return frozenset(plain | ({dict} if Mapping[str, Any] in options else set()))


def _is_of(value: Any, expected: Any) -> bool:
    """Return True if a JSON value has a type. An integer is also a float, and True is not an integer."""
    if isinstance(expected, UnionType):
        return any(_is_of(value, option) for option in get_args(expected))
    origin, arguments = get_origin(expected), get_args(expected)
    if origin is list:
        return isinstance(value, list) and all(_is_of(item, arguments[0]) for item in value)
    if origin is not None:
        return isinstance(value, Mapping) and all(_is_of(item, arguments[1]) for item in value.values())
    if expected in (int, float) and isinstance(value, int):
        return not isinstance(value, bool) and -LARGEST <= value < LARGEST
    return expected is Any or isinstance(value, expected)


def _words(expected: Any) -> str:
    options = get_args(expected) if isinstance(expected, UnionType) else (expected,)
    return " or ".join(
        "null" if option is type(None) else getattr(option, "__name__", str(option)) for option in options
    )
