"""Schema of the files of a run, and the migrations that read files of an older schema."""

from collections.abc import Callable

from mbcbench.errors import UsageError
from mbcbench.types import JsonDict, JsonObject

SCHEMA = 2

Fields = JsonDict
Migrations = dict[int, Callable[[Fields], Fields]]


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
