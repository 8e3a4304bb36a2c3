"""The guides can be followed: files are written, commands print what the pages show, and Python blocks end."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import mbcbench
from mbcbench import adapters
from mbcbench.cli.main import program
from tests.conftest import Command

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```(\w+)(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
# Pages whose Python blocks are encoders for `mbcbench check file.py:encoder`, on which these laws are checked.
CONVENTIONS = ("adapters", "masks", "nested-tensors", "pytorch-geometric", "ragged-batches", "streaming-models")
LAWS = [
    "symmetry.permutation", "symmetry.batch", "symmetry.padding", "hygiene.determinism", "hygiene.finite", "mbc.merge",
    "mbc.fork", "mbc.gradient", "mbc.empty", "hygiene.dtype", "substance.elements",
]  # fmt: skip


class Block(NamedTuple):
    """A fenced block of a page: its language, its options by name, and its text."""

    language: str
    options: dict[str, str]
    text: str


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    found = BLOCK.findall((DOCS / f"{page}.md").read_text(encoding="utf-8"))
    return [Block(language, dict(re.findall(r'(\w+)="([^"]*)"', options)), text) for language, options, text in found]


def write(block: Block) -> None:
    """Write a file of a page. Indented code replaces what the file has from its first line on."""
    path = Path(block.options["title"])
    first_line = block.text.partition("\n")[0]
    before = path.read_text().partition(first_line)[0] if first_line.startswith(" ") else ""
    path.write_text(before + block.text)


def run(command: str, program: Command) -> str:
    """Return what a command of this environment prints."""
    name, *arguments = shlex.split(command)
    if name == "mbcbench":
        return program(*arguments)[1]
    assert name == "pytest"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    call = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.run(call, env=environment, capture_output=True, text=True, check=False).stdout


def matches(shown: str, printed: str) -> bool:
    """Return True if the output is as shown, where `...` stands for anything and white space does not count."""
    pattern = ".*?".join(re.escape("".join(part.split())) for part in shown.split("..."))
    printed = re.sub(r" \(\d:\d\d:\d\d\)", "", printed)  # what pytest adds to the seconds of a slow machine
    return re.fullmatch(pattern, "".join(printed.split())) is not None


def follow(page: str, program: Command) -> None:
    """Write the files, run the commands and the Python of a page, from top to bottom."""
    scope: dict[str, Any] = {"__name__": page}
    for block in blocks(page):
        if "title" in block.options:
            write(block)
        elif block.language == "console":
            command, _, shown = block.text.removeprefix("$ ").partition("\n")
            printed = run(command, program)
            assert matches(shown, printed), f"{command}\n{printed}"
        elif block.language == "python":
            exec(compile(block.text, f"{page}.md", "exec"), scope)


@pytest.mark.parametrize("page", ["getting-started", "expected-failures", "states"])
def test_a_guide_can_be_followed(page: str, program: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    sys.path.append(str(tmp_path))  # for this test alone, as all that `program` changes
    follow(page, program)


def name_of(example: str) -> str:
    return str(re.findall(r"^class (\w+)", example, re.MULTILINE)[0])


@pytest.mark.parametrize(
    "example", [block.text for page in CONVENTIONS for block in blocks(page) if block.language == "python"], ids=name_of
)
def test_an_encoder_of_another_convention_can_be_pasted_and_checked(example: str) -> None:
    scope: dict[str, Any] = {"__name__": name_of(example)}
    exec(example, scope)
    result = mbcbench.check(scope["encoder"], laws=LAWS, examples=32)
    assert result.ok, repr(result)


def test_the_page_on_conventions_names_every_adapter() -> None:
    page = (DOCS / "adapters.md").read_text(encoding="utf-8")
    assert all(name in page for name in adapters.__all__)
    assert set(re.findall(r"\| `(\w+)\(", page)) <= set(adapters.__all__)


def commands() -> list[str]:
    """Return the commands of mbcbench that the pages show in blocks of code."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md")))
    lines = re.findall(r"^(?:    |\$ )(mbcbench \w.*)$", text, re.MULTILINE)
    return sorted({line.partition("#")[0].strip() for line in lines})


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_pages_has_the_options_that_it_is_given(command: str) -> None:
    group = program()
    words = shlex.split(command.replace("\\", ""))[1:]
    while words and hasattr(group, "commands"):
        group = group.commands[words.pop(0)]
    group.make_context("mbcbench", words)
