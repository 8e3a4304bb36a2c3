"""The modules of the study and what we make of their failures, read from `tools/field/entries`; imports no package."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ENTRIES = Path(__file__).parent / "entries"
ADAPTERS = "examples/field"
KINDS = ("defect", "by design", "design choice", "adapter", "false alarm of mbcbench")
DEFAULT_WIDTH = 4  # of the elements: two heads fit


@dataclass(frozen=True)
class Judgement:
    """Judgement of a failing law of a module.

    Parameters
    ----------
    kind
        `defect`, `by design` (documented, or what the module is for), `design choice`, `adapter` (of the wrapper around
        it), or `false alarm of mbcbench`.
    reason
        Why, in one or two sentences.
    report
        For a defect, the name of its page in `docs/field`.
    """

    kind: str
    reason: str
    report: str = ""


@dataclass(frozen=True)
class Entry:
    """One module of a package.

    Parameters
    ----------
    package
        Name of the distribution.
    import_name
        Name of the package when it is imported.
    adapters
        File of `examples/field` with the adapters.
    adapter
        Name of the factory in that file.
    module
        What is checked, as its documentation calls it.
    claim
        What its documentation claims.
    width
        Width of the elements.
    skipped
        Laws that are not tried, since they would take minutes.
    judgements
        By law.
    """

    package: str
    import_name: str
    adapters: str
    adapter: str
    module: str
    claim: str
    width: int = DEFAULT_WIDTH
    skipped: tuple[str, ...] = ()
    judgements: Mapping[str, Judgement] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """The target string of `mbcbench check`."""
        return f"{ADAPTERS}/{self.adapters}:{self.adapter}"


def read_entries() -> list[Entry]:
    """Return all entries, by package."""
    reasons = read_reasons()
    return [entry for path in sorted(ENTRIES.glob("*_modules.toml")) for entry in _entries_of(path, reasons)]


@cache
def read_reasons() -> dict[str, Judgement]:
    """Return the reasons that several modules share, by name."""
    return {name: parse_judgement(text, {}) for name, text in _read(ENTRIES / "reasons.toml").items()}


def _entries_of(path: Path, reasons: Mapping[str, Judgement]) -> Iterator[Entry]:
    table = _read(path)
    for module in table["module"]:
        judgements = {law: parse_judgement(text, reasons) for law, text in module.get("laws", {}).items()}
        yield Entry(
            package=module.get("package", table.get("package", "")),
            import_name=module.get("import", table.get("import", "")),
            adapters=f"{path.stem}.py",
            adapter=module["adapter"],
            module=module["module"],
            claim=module["claim"],
            width=module.get("width", table.get("width", DEFAULT_WIDTH)),
            skipped=tuple(module.get("skipped", ())),
            judgements=judgements,
        )


def parse_judgement(text: str, reasons: Mapping[str, Judgement]) -> Judgement:
    """Return a judgement: the name of a shared reason, `kind: reason`, or `defect (report): reason`."""
    if text in reasons:
        return reasons[text]
    head, separator, reason = text.partition(": ")
    kind, _, report = head.rstrip(")").partition(" (")
    if not separator or kind not in KINDS:
        raise ValueError(f"{text!r}: expected a shared reason or 'KIND: reason' with KIND in {', '.join(KINDS)}")
    return Judgement(kind, reason, report)


def _read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))
