"""The schema of the files of a run, and how files of an older schema are read."""

from collections.abc import Callable, Mapping
from typing import Any

from mbcbench.errors import UsageError

SCHEMA = 2

Fields = dict[str, Any]
Migrations = dict[int, Callable[[Fields], Fields]]


def migrate(fields: Mapping[str, Any], migrations: Migrations) -> Fields:
    """Return decoded JSON in the present schema; fields that name no schema have the first.

    migrations: by schema, the step to the next one. Raises UsageError for a newer schema.
    """
    migrated = dict(fields)
    for schema in range(check_schema(fields), SCHEMA):
        migrated = migrations[schema](migrated)
    return {**migrated, "schema": SCHEMA}


def check_schema(fields: Mapping[str, Any]) -> int:
    """Return the schema that decoded JSON names. Raises UsageError for a newer one."""
    schema = int(fields.get("schema", 1))
    if schema > SCHEMA:
        raise UsageError(f"has schema {schema} and this mbcbench reads up to {SCHEMA}; install a newer mbcbench")
    return schema


def _record_from_1(fields: Fields) -> Fields:
    """Schema 2 renamed the text of a counterexample; it also changed how a run keeps the records of a cell."""
    detail = fields.get("detail", {})
    if "card" not in detail:
        return fields
    return {**fields, "detail": {("text" if key == "card" else key): value for key, value in detail.items()}}


def _run_from_1(fields: Fields) -> Fields:
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
