"""Templates of pages and tables, which lie in `templates/` next to this module."""

from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

FOLDER = Path(__file__).with_name("templates")


def template(name: str) -> Template:
    """Return a template by the name of its file. Variables are escaped in HTML, and undefined ones are an error."""
    if name.endswith(".tex"):
        return _latex().get_template(name)
    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=name.endswith(".html"), undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["groupby_adjacent"] = _group_adjacent
    return environment.get_template(name)


def _group_adjacent(items: Iterable[Any], attribute: str) -> list[tuple[Any, list[Any]]]:
    """Return runs of items that share the value of an attribute, with that value, in their order."""
    return [(value, list(members)) for value, members in groupby(items, key=attrgetter(attribute))]


def _latex() -> Environment:
    """Return an environment whose marks do not clash with the braces of LaTeX, and that escapes by a filter."""
    from .text_tables import escape_latex

    environment = Environment(
        loader=FileSystemLoader(FOLDER), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        block_start_string="<%", block_end_string="%>", variable_start_string="<<", variable_end_string=">>",
        comment_start_string="<#", comment_end_string="#>", keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["latex"] = escape_latex
    return environment
