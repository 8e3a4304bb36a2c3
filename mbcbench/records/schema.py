"""Schema of the files of a run, and the migrations that read files of an older schema."""

import json
import re
from collections.abc import Callable
from typing import Any

from mbcbench.errors import UsageError
from mbcbench.types import JsonDict, JsonObject

SCHEMA = 2
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
CONTROL_IN_JSON = re.compile(r"[\x7f-\x9f]|\\u00[0189]|\\u007f|\\[bfr]", re.IGNORECASE)  # or escaped in JSON

Fields = JsonDict
Migrations = dict[int, Callable[[Fields], Fields]]


def read_json(text: str) -> Any:
    """Decode JSON and escape control characters, which could otherwise control a terminal."""
    content = json.loads(text)
    return _write_out(content) if CONTROL_IN_JSON.search(text) else content


def _write_out(value: Any) -> Any:
    if isinstance(value, str):
        return CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", value)
    if isinstance(value, dict):
        return {_write_out(key): _write_out(item) for key, item in value.items()}
    return [_write_out(item) for item in value] if isinstance(value, list) else value


def migrate(fields: JsonObject, migrations: Migrations) -> Fields:
    """Return decoded JSON in the present schema; fields that name no schema have the first.

    migrations: by schema, the step to the next one. Raises UsageError for a newer schema.
    """
    migrated = dict(fields)
    for schema in range(check_schema(fields), SCHEMA):
        migrated = migrations[schema](migrated)
    return {**migrated, "schema": SCHEMA}


def check_schema(fields: JsonObject) -> int:
    """Return the schema that decoded JSON names. Raises UsageError for a newer one."""
    schema = max(int(fields.get("schema", 1)), 1)
    if schema > SCHEMA:
        raise UsageError(f"has schema {schema} and this mbcbench reads up to {SCHEMA}; install a newer mbcbench")
    return schema


def _record_from_1(fields: Fields) -> Fields:
    """Rename the text of a counterexample. Schema 2 also changed how a run stores the records of a cell."""
    detail = fields.get("detail", {})
    if "card" not in detail:
        return fields
    return {**fields, "detail": {("text" if key == "card" else key): value for key, value in detail.items()}}


def _run_from_1(fields: Fields) -> Fields:
    """Rename the profile `laptop` and two fields of the experiments."""
    renamed = {"across": "columns_by", "as_trained": "only_train_size"}
    migrated = dict(fields)
    if fields.get("profile") == "laptop":
        migrated["profile"] = "thorough"
    if "experiments" in fields:
        migrated["experiments"] = {
            name: {renamed.get(key, key): value for key, value in experiment.items()}
            for name, experiment in fields["experiments"].items()
        }
    return migrated


RECORD_MIGRATIONS: Migrations = {1: _record_from_1}
RUN_MIGRATIONS: Migrations = {1: _run_from_1}
