"""Generated pages: `docs/_templates/NAME.md` is a Jinja2 template, and `docs/NAME.md` the page made of it."""

from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mbcbench.api.provenance import describe_run
from mbcbench.reports.provenance import record_lines
from mbcbench.reports.text_tables import markdown as markdown_table
from mbcbench.types import JsonObject

__all__ = ["DOCS", "filled", "markdown_table", "origin_text", "record_text", "write"]

DOCS = Path(__file__).parents[1] / "docs"


def filled(name: str, words: Mapping[str, object]) -> str:
    """Return the page `name`. words: the variables of its template; a missing one is an error."""
    environment = Environment(
        loader=FileSystemLoader(DOCS / "_templates"), undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template(f"{name}.md").render(words)


def record_text(folder: Path) -> str:
    """Return the commit and the machine of a run, and a warning if the installed sources are others, as paragraphs."""
    return origin_text({"runs": [describe_run(folder)]})


def origin_text(info: JsonObject) -> str:
    """Return where the records of a described run come from, as paragraphs."""
    return "\n\n".join(f"{line}." for line in record_lines(info))


def write(name: str, words: Mapping[str, object]) -> None:
    """Write the page `name`."""
    (DOCS / f"{name}.md").write_text(filled(name, words), encoding="utf-8")
