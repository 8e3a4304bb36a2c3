"""The page on extending mbcbench shows code that works: what `mbcbench new` writes (see tests/cli/test_new.py)."""

import re
import sys
from pathlib import Path

import pytest

import mbcbench
from mbcbench import registry
from mbcbench.cli.new import KINDS, new_project
from tests.conftest import Plugins

PAGE = (Path(__file__).parent.parent / "docs" / "extending.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_shows_what_is_generated(kind: str, tmp_path: Path) -> None:
    project = new_project(kind, "my.doubling" if kind == "law" else f"my-{kind}", tmp_path)
    assert (project / project.name.replace("-", "_") / f"{kind}.py").read_text() in BLOCKS
    assert f"mbcbench new {kind} {'my.doubling' if kind == 'law' else project.name}" in PAGE


def test_the_index_on_the_page_registers_laws(plugins: Plugins) -> None:
    (source,) = (block for block in BLOCKS if "Index(" in block)
    plugins.module("my_index", source)
    plugins.module("doubling", "LAW = 1")
    plugins.add("laws", "builtin", "my_index:LAWS")
    sys.modules.pop("my_index", None)
    law = registry.plugin(registry.LAWS, "my.doubling")
    assert (law.summary, law.load()) == ("Doubling every element doubles the encoding.", 1)


def test_the_page_names_every_group() -> None:
    assert set(re.findall(r"`(mbcbench\.\w+)` \| `mbcbench\.", PAGE)) == set(registry.GROUPS)


def test_the_page_names_public_names_only() -> None:
    public = set(vars(mbcbench)["__all__"])
    names = set(re.findall(r"\bmbcbench\.([A-Za-z]\w*)", "".join(BLOCKS)))
    assert names - {"registry", "verify"} <= public
