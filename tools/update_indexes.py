"""Update the summaries in the indexes of encoders, laws, suites, reports and artefacts from the plug-ins themselves.

A new plug-in needs one line in its index, `"name": ("module:ATTRIBUTE", "")`; this program fills in the summary.
"""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mbcbench import registry

REPOSITORY = "mbcbench."  # targets of the plug-ins of this repository


def summary_of(plugin: Any) -> str:
    """Return what a plug-in says about itself in one line: a law's statement, an artefact's title, or the summary."""
    for attribute in ("statement", "title", "summary"):
        if isinstance(getattr(plugin, attribute, None), str):
            return str(getattr(plugin, attribute))
    raise TypeError(f"{plugin!r} has no statement, title or summary")


def stale_summaries(group: str) -> Iterator[tuple[registry.Plugin, str]]:
    """Yield the plug-ins of this repository whose summary in the index is not their own, with their own."""
    for plugin in registry.plugins(group).values():
        if plugin.target.startswith(REPOSITORY):
            summary = summary_of(plugin.load())
            if summary != plugin.summary:
                yield plugin, summary


def replace_summary(text: str, name: str, summary: str) -> str:
    """Return the source of an index with another summary of the entry `name`."""
    entry = re.compile(rf'("{re.escape(name)}":\s*\(\s*"[^"]*",\s*)(?:"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\')')
    quoted = '"' + summary.replace("\\", "\\\\").replace('"', '\\"') + '"'
    replaced, count = entry.subn(lambda match: match[1] + quoted, text)
    if count != 1:
        raise ValueError(f"{count} entries are called {name!r}")
    return replaced


def main() -> None:
    """Rewrite the index files."""
    for group in registry.GROUPS:
        for plugin, summary in list(stale_summaries(group)):
            path = Path(str(importlib.import_module(plugin.entry.module).__file__))
            text = path.read_text(encoding="utf-8")
            start, end = _section(text, plugin.entry.attr)
            section = replace_summary(text[start:end], plugin.name, summary)
            path.write_text(text[:start] + section + text[end:], encoding="utf-8")
            print(f"{plugin.name}: {summary}")


def _section(text: str, name: str) -> tuple[int, int]:
    """Return where the assignment to `name` begins and ends, as a file may hold several indexes."""
    match = re.search(rf"^{name} = Index\(.*?^\)\n", text, flags=re.MULTILINE | re.DOTALL)
    if match is None:
        raise ValueError(f"there is no index {name}")
    return match.span()


if __name__ == "__main__":
    main()
