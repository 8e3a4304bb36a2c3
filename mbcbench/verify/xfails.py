"""Expected failures: laws that an encoder is known to break, with the reason, listed outside its spec."""

import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mbcbench import registry
from mbcbench.errors import UsageError
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.types import JsonObject

SEPARATOR = "::"
ExpectedFailures = Mapping[str, str] | str | Path | None


def load_xfails(xfails: ExpectedFailures, targets: Collection[str]) -> dict[str, str]:
    """Return the expected failures of the named targets, reason by key, from a mapping or a file (see `read_xfails`).

    Raises UsageError if the file cannot be read, or an entry matches no law or none of the targets.
    """
    reasons = read_xfails(Path(xfails)) if isinstance(xfails, str | Path) else dict(xfails or {})
    _validate(reasons, targets)
    return reasons


def read_xfails(path: Path) -> dict[str, str]:
    """Return the expected failures of a file, reason by key; a key is `law-id` or `TARGET::law-id`.

    A `.toml` file holds `"key" = "reason"`, any other file lines `key: reason`, empty lines and `#` comments. Raises
    UsageError with file and line if it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise UsageError(f"cannot read the expected failures in {path}: {reason}") from error
    entries = _parse_toml(path, text) if path.suffix == ".toml" else _parse_lines(path, text)
    reasons: dict[str, str] = {}
    for where, key, reason in entries:
        if key in reasons:
            raise UsageError(f"{where}: {key} is listed twice; remove one")
        reasons[key] = reason
    return reasons


def with_xfails(spec: EncoderSpec, xfails: Mapping[str, str], target: str) -> EncoderSpec:
    """Return `spec` with the expected failures that `xfails` lists for all targets or for `target`.

    An empty reason withdraws what the spec declares: with other hyper-parameters, the encoder may keep the law.
    """
    listed = {}
    for key, reason in xfails.items():
        key_target, _, law_id = key.rpartition(SEPARATOR)
        if key_target in ("", target):
            listed[law_id] = reason
    breaks = {law_id: reason for law_id, reason in {**spec.breaks, **listed}.items() if reason}
    claims = {law_id: reason for law_id, reason in spec.claims.items() if law_id not in breaks}
    return replace(spec, claims=claims, breaks=breaks)


def _parse_lines(path: Path, text: str) -> Iterator[tuple[str, str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where = f"{path}, line {number}"
        key, colon, reason = line.strip().partition(": ")
        if not colon or not reason.strip():
            raise UsageError(f"{where}: {line.strip()!r} gives no reason; write `law-id: reason`")
        yield where, key.strip(), reason.strip()


def _parse_toml(path: Path, text: str) -> Iterator[tuple[str, str, str]]:
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    for key, reason in _flatten(table):
        if not isinstance(reason, str) or not reason.strip():
            raise UsageError(f'{path}: {key} = {reason!r} gives no reason; write "law-id" = "reason"')
        yield str(path), key, reason


def _flatten(table: JsonObject, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys: `mbc.partition = "..."` without quotes is a nested table in TOML."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _validate(xfails: Mapping[str, str], targets: Collection[str]) -> None:
    laws = registry.plugins(registry.LAWS)
    for key in xfails:
        target, _, law_id = key.rpartition(SEPARATOR)
        if law_id not in laws:
            suggestion = registry.did_you_mean(law_id, laws)
            raise UsageError(f"expected failure {key!r}: no law is called {law_id!r}{suggestion}")
        if target and target not in targets:
            suggestion = registry.did_you_mean(target, targets)
            raise UsageError(f"expected failure {key!r}: {target!r} is not being checked{suggestion}")
