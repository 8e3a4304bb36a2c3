"""The made pages: NAME.in.md holds the words, and places in braces that are filled in."""

from collections.abc import Mapping
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def filled(name: str, words: Mapping[str, str]) -> str:
    """The page `name` with each `{KEY}` of its template replaced by what `words` has for it."""
    text = (DOCS / "_templates" / f"{name}.md").read_text(encoding="utf-8")
    for key, value in words.items():
        text = text.replace(f"{{{key}}}", value)
    return text


def write(name: str, words: Mapping[str, str]) -> None:
    """Keep the filled page as NAME.md beside its template."""
    (DOCS / f"{name}.md").write_text(filled(name, words), encoding="utf-8")
