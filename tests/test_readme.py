"""The README shows what its commands print and what its numbers count, and its commands run."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import readme

from tests.conftest import Command

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# Added to a command, so that it takes seconds.
SMALL = {
    "mbcbench check": "--law mbc.partition",
    "pytest --mbcbench": "--mbcbench-law mbc.partition -p no:cacheprovider -q",
    "mbcbench run": "--only-encoders --suite laws --law mbc.partition --profile smoke --root runs",
    "mbcbench encode": "",
}
CODES = {"mbcbench encode": 0}  # the others report a broken law


def command_lines() -> list[str]:
    """Return the four ways to use mbcbench."""
    section = README.partition("## Four ways to use it")[2].partition("In Python")[0]
    return [line.partition("#")[0].strip() for line in section.splitlines() if line.startswith("    ")]


def test_the_readme_is_what_make_readme_writes() -> None:
    assert readme.readme() == README


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 120


def test_there_is_a_command_for_each_way() -> None:
    assert [" ".join(line.split()[:2]) for line in command_lines()] == list(SMALL)


def run(name: str, arguments: list[str], program: Command) -> tuple[int, str, str]:
    """Run a program of this environment."""
    if name == "mbcbench":
        return program(*arguments)
    call = [sys.executable, "-m", name, *arguments]
    ended = subprocess.run(call, check=False, capture_output=True, text=True)
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.parametrize("line", command_lines(), ids=lambda line: line.split()[0] + " " + line.split()[1])
def test_the_commands_of_the_readme_run(line: str, program: Command, tmp_path: Path) -> None:
    encoder = (ROOT / "examples" / "chunk_mean.py").read_text(encoding="utf-8")
    (tmp_path / "my_encoder.py").write_text(encoder.replace("ChunkMean", "MyEncoder"), encoding="utf-8")
    np.save(tmp_path / "points.npy", np.random.default_rng(0).standard_normal((50, 3)))
    name = " ".join(line.split()[:2])
    first, *arguments = [*line.split(), *SMALL[name].split()]
    code, out, err = run(first, arguments, program)
    assert code == CODES.get(name, 1), out + err
    assert "Traceback" not in err


def test_links_of_the_readme_lead_to_files() -> None:
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", README)]
    missing = [target for target in targets if "://" not in target and not (ROOT / target).exists()]
    assert not missing
