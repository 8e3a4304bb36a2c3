"""Messages point to what their reader has: a wheel has the commands, and the site has the pages."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mbcbench.errors import ADAPTERS_GUIDE, PYG_GUIDE, STREAMS_GUIDE, XFAILS_GUIDE

ROOT = Path(__file__).parents[1]
PAGES = set(re.findall(r"^ *- (.+): [\w/-]+\.md$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
FOLDERS = ("mbcbench", "suites", "encoders")  # reports write the pages of the repository, and may name its files


def messages(path: Path) -> Iterator[str]:
    """Return the strings of a module that are not docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    statements = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in statements:
            yield node.value


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_message_names_a_file_of_the_documentation(folder: str) -> None:
    paths = [path for path in (ROOT / folder).rglob("*.py") if "templates" not in path.parts]
    named = [text for path in paths for text in messages(path) if re.search(r"\bdocs/[\w-]+\.md", text)]
    assert not named


@pytest.mark.parametrize("guide", [ADAPTERS_GUIDE, PYG_GUIDE, STREAMS_GUIDE, XFAILS_GUIDE])
def test_a_message_calls_a_guide_as_the_navigation_of_the_site_does(guide: str) -> None:
    titles = re.findall(r'"([^"]+)"', guide)
    assert titles
    assert set(titles) <= PAGES
