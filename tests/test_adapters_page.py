"""Each example of docs/adapters.md is a file that can be pasted and checked."""

import re
from pathlib import Path
from typing import Any

import pytest

import mbcbench
from mbcbench import adapters

PAGE = (Path(__file__).parent.parent / "docs" / "adapters.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
LAWS = [
    "symmetry.permutation", "symmetry.batch", "symmetry.padding", "hygiene.determinism", "hygiene.finite", "mbc.merge",
    "mbc.fork", "mbc.gradient", "mbc.empty", "hygiene.dtype", "substance.elements",
]  # fmt: skip


def name_of(example: str) -> str:
    return str(re.findall(r"^class (\w+)", example, re.MULTILINE)[0])


@pytest.mark.parametrize("example", EXAMPLES, ids=name_of)
def test_an_example_can_be_pasted_and_checked(example: str) -> None:
    scope: dict[str, Any] = {"__name__": name_of(example)}
    exec(example, scope)
    result = mbcbench.check(scope["encoder"], laws=LAWS, examples=32)
    assert result.ok, repr(result)


def test_the_page_names_every_adapter() -> None:
    assert all(name in PAGE for name in adapters.__all__)
    assert set(re.findall(r"\| `(\w+)\(", PAGE)) <= set(adapters.__all__)
