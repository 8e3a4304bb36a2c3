"""The project that `mbcbench new` writes."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mbcbench.cli.new import new_project
from mbcbench.errors import UsageError


def test_a_new_project_passes_its_own_tests(tmp_path: Path) -> None:
    project = new_project("encoder", "my-encoder", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout
    assert "failed" not in done.stdout


def test_a_new_project_registers_its_encoder(tmp_path: Path) -> None:
    project = new_project("encoder", "my-encoder", tmp_path)
    metadata = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert metadata["entry-points"]["mbcbench.encoders"] == {"my-encoder": "my_encoder:SPEC"}
    assert (project / "README.md").read_text().startswith("# my-encoder\n")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("My Encoder", "'My Encoder' is not a valid name"),
        ("9lives", "is not a valid name"),
        ("a_b", "is not a valid name"),
        ("torch", "has a module or keyword torch"),
        ("class", "has a module or keyword class"),
        ("deepsets-sum", "is registered already"),
    ],
)
def test_an_unfit_name_is_one_line(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        new_project("encoder", name, tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    new_project("encoder", "my-encoder", tmp_path)
    with pytest.raises(UsageError, match="exists already"):
        new_project("encoder", "my-encoder", tmp_path)


def test_the_folder_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        new_project("encoder", "my-encoder", tmp_path / "none")
