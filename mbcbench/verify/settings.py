"""Settings: defaults of the options of `mbcbench check` and pytest, in the table [tool.mbcbench] of pyproject.toml."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from mbcbench.errors import UsageError
from mbcbench.registry import did_you_mean
from mbcbench.types import Device, JsonDict, Profile

FILE = "pyproject.toml"
TABLE = "[tool.mbcbench]"


@dataclass(frozen=True)
class Kind:
    """Values of a key: their types, their name in messages, the least number, and the allowed texts (empty for any)."""

    types: tuple[type, ...]
    name: str
    least: float = 0.0
    texts: tuple[str, ...] = ()


TEXT, TEXTS = Kind((str,), "a string"), Kind((str, list), "a string or a list of strings")
COUNT = Kind((int,), "an integer of at least 1", least=1.0)
SEED, NUMBER = Kind((int,), "an integer of at least 0"), Kind((int, float), "a number of at least 0.1", least=0.1)
DEVICE = Kind((str,), "'cpu' or 'cuda'", texts=get_args(Device))
PROFILE = Kind((str,), f"one of {', '.join(get_args(Profile))}", texts=get_args(Profile))
SWITCH, HYPER = Kind((bool,), "true or false"), Kind((dict,), "a table such as {heads = 4}")
KINDS = {
    "law": TEXTS,
    "skip-law": TEXTS,
    "profile": PROFILE,
    "examples": COUNT,
    "reference": TEXT,
    "xfails-file": TEXT,
    "dim-in": COUNT,
    "hyper": HYPER,
    "weights": TEXT,
    "weights-key": TEXT,
    "device": DEVICE,
    "seed": SEED,
    "jobs": COUNT,
    "time-limit": NUMBER,
    "memory-limit": NUMBER,
    "traceback": SWITCH,
    "quiet": SWITCH,
}
PATHS = ("xfails-file", "weights")  # relative to the folder of the file


def load_settings(folder: Path | None = None) -> JsonDict:
    """Return the settings in the nearest pyproject.toml at or above a folder, by default the current one.

    Values are as on the command line: lists of strings for options that may be repeated. Raises UsageError with the
    file and the key if a setting cannot be used.
    """
    start = (folder or Path.cwd()).resolve()
    path = next((path for path in (parent / FILE for parent in (start, *start.parents)) if path.is_file()), None)
    if path is None:
        return {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    tools = content.get("tool", {})
    table = tools.get("mbcbench", {}) if isinstance(tools, Mapping) else {}
    if not isinstance(table, Mapping):
        raise UsageError(f"{path}: tool.mbcbench = {table!r} is not a table; begin it with {TABLE}")
    return {key: _convert(path, key, value) for key, value in table.items()}


def _is_of(kind: Kind, value: Any) -> bool:
    if isinstance(value, bool):  # bool is a subclass of int
        return kind is SWITCH
    if isinstance(value, list) and not all(isinstance(item, str) for item in value):
        return False
    if isinstance(value, int | float) and value < kind.least:
        return False
    return isinstance(value, kind.types) and (not kind.texts or value in kind.texts)


def _convert(path: Path, key: str, value: Any) -> Any:
    where = f"{path}: {TABLE}"
    if key not in KINDS:
        raise UsageError(f"{where} has no key {key!r}{did_you_mean(key, KINDS)}; there are {', '.join(KINDS)}")
    kind = KINDS[key]
    if not _is_of(kind, value):
        raise UsageError(f"{where}: {key} = {value!r} is not {kind.name}")
    if key in PATHS:
        return str(path.parent / Path(str(value)).expanduser())
    if isinstance(value, Mapping):
        return [f"{name}={_to_json(where, name, item)}" for name, item in value.items()]
    return [value] if kind is TEXTS and isinstance(value, str) else value


def _to_json(where: str, name: str, value: Any) -> str:
    try:
        return json.dumps(value)
    except TypeError as error:  # dates and times
        raise UsageError(f"{where}: hyper.{name} = {value} is not a number, string, boolean, list or table") from error
