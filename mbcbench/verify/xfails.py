"""Expected failures: laws that an encoder is known to break, with the reason, where its spec does not say so itself."""

import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mbcbench import registry
from mbcbench.errors import UsageError
from mbcbench.protocol.spec import EncoderSpec

OF = "::"
ExpectedFailures = Mapping[str, str] | str | Path | None


def expected(given: ExpectedFailures, targets: Collection[str]) -> dict[str, str]:
    """Expected failures of the named targets, reason by key (see `read_xfails`), given as they are or in a file.

    Raises UsageError when the file cannot be read, or an entry matches no law or none of the targets.
    """
    entries = read_xfails(Path(given)) if isinstance(given, str | Path) else dict(given or {})
    _validate(entries, targets)
    return entries


def read_xfails(path: Path) -> dict[str, str]:
    """The expected failures of a file, reason by key; a key is `law-id` or `TARGET::law-id`.

    A `.toml` file holds `"key" = "reason"`, any other file lines `key: reason`, empty lines and `#` comments.
    Raises UsageError naming file and line when it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read the expected failures in {path}: {error.strerror}") from error
    rows = _toml(path, text) if path.suffix == ".toml" else _lines(path, text)
    found: dict[str, str] = {}
    for where, key, reason in rows:
        if key in found:
            raise UsageError(f"{where}: {key} is listed twice; remove one")
        found[key] = reason
    return found


def _lines(path: Path, text: str) -> Iterator[tuple[str, str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where = f"{path}, line {number}"
        key, colon, reason = line.strip().partition(": ")
        if not colon or not reason.strip():
            raise UsageError(f"{where}: {line.strip()!r} gives no reason; write `law-id: reason`")
        yield where, key.strip(), reason.strip()


def _toml(path: Path, text: str) -> Iterator[tuple[str, str, str]]:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is no TOML: {error}") from error
    for key, reason in _flat(table):
        if not isinstance(reason, str) or not reason.strip():
            raise UsageError(f'{path}: {key} = {reason!r} gives no reason; write "law-id" = "reason"')
        yield str(path), key, reason


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`mbc.partition = "..."` without quotes is a table in TOML."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _validate(entries: Mapping[str, str], targets: Collection[str]) -> None:
    laws = registry.plugins(registry.LAWS)
    for key in entries:
        target, _, law = key.rpartition(OF)
        if law not in laws:
            raise UsageError(f"expected failure {key!r}: no law is called {law!r}{registry.did_you_mean(law, laws)}")
        if target and target not in targets:
            raise UsageError(
                f"expected failure {key!r}: {target!r} is not being checked{registry.did_you_mean(target, targets)}"
            )


def expecting(spec: EncoderSpec, entries: Mapping[str, str], target: str) -> EncoderSpec:
    """`spec`, said to break the laws that `entries` name for every target or for `target`."""
    own = {key.rpartition(OF)[2]: reason for key, reason in entries.items() if key.rpartition(OF)[0] in ("", target)}
    claims = {law: why for law, why in spec.claims.items() if law not in own}
    return replace(spec, claims=claims, breaks={**spec.breaks, **own})
