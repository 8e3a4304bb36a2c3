"""Generated pages: `docs/_templates/NAME.md` is a Jinja2 template, and `docs/NAME.md` the page made of it."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from tabulate import tabulate

DOCS = Path(__file__).parents[1] / "docs"


def filled(name: str, words: Mapping[str, str]) -> str:
    """Return the page `name`. words: the variables of its template; a missing one is an error."""
    environment = Environment(
        loader=FileSystemLoader(DOCS / "_templates"), undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template(f"{name}.md").render(words)


def write(name: str, words: Mapping[str, str]) -> None:
    """Write the page `name`."""
    (DOCS / f"{name}.md").write_text(filled(name, words), encoding="utf-8")


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]], align: str = "") -> str:
    """Return a Markdown table. align: `l`, `r` or `c` for each column; to the left without."""
    names = {"l": "left", "r": "right", "c": "center"}
    cells = [[" ".join(str(cell).replace("|", r"\|").split()) for cell in row] for row in rows]
    columns = [names[letter] for letter in align or "l" * len(headings)]
    return tabulate(cells, list(headings), tablefmt="pipe", disable_numparse=True, colalign=columns if cells else None)
