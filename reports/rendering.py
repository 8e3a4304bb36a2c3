"""Templates of pages and tables, from `templates/` next to this module."""

import base64
import hashlib
from collections.abc import Iterable
from functools import cache
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

FOLDER = Path(__file__).with_name("templates")


def template(name: str) -> Template:
    """Return a template by the name of its file. Variables are escaped in HTML, and undefined ones are an error."""
    return (_latex() if name.endswith(".tex") else _markup()).get_template(name)


@cache  # an environment keeps the templates that it compiled
def _markup() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["groupby_adjacent"] = _group_adjacent
    environment.globals |= {"inline": _inline, "security_policy": security_policy}
    return environment


def _inline(name: str) -> Markup:
    """Return a style sheet or script for inclusion in a page."""
    return Markup((FOLDER / name).read_text(encoding="utf-8"))  # a file of this package


def security_policy(*names: str) -> str:
    """Return the Content-Security-Policy of a page that fetches nothing and runs only its own script.

    names: the style sheets and scripts in the page. Pictures may be in the page or next to it.
    """
    sources = {"style": ["'none'"], "script": ["'none'"]}
    for kind, suffix in (("style", ".css"), ("script", ".js")):
        contents = [_inline(name).encode() for name in names if name.endswith(suffix)]
        digests = [base64.b64encode(hashlib.sha256(content).digest()).decode() for content in contents]
        sources[kind] = [f"'sha256-{digest}'" for digest in digests] or sources[kind]
    return (
        f"default-src 'none'; style-src {' '.join(sources['style'])}; script-src {' '.join(sources['script'])}; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'"
    )


def _group_adjacent(items: Iterable[Any], attribute: str) -> list[tuple[Any, list[Any]]]:
    """Return runs of adjacent items with the same value of an attribute, each with that value."""
    return [(value, list(members)) for value, members in groupby(items, key=attrgetter(attribute))]


@cache
def _latex() -> Environment:
    """Return an environment whose delimiters do not conflict with the braces of LaTeX, with a filter for escaping."""
    from .text_tables import escape_latex

    environment = Environment(
        loader=FileSystemLoader(FOLDER), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        block_start_string="<%", block_end_string="%>", variable_start_string="<<", variable_end_string=">>",
        comment_start_string="<#", comment_end_string="#>", keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["latex"] = escape_latex
    return environment
