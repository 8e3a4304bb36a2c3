"""Settings of pyproject.toml: defaults of the options of `check`, which the command line overrides.

Those of pytest are tested with its plug-in.
"""

from pathlib import Path

import pytest

from mbcbench.errors import UsageError
from mbcbench.verify.settings import KINDS, load_settings
from tests.cli.test_check import command as command  # noqa: PLC0414 # a fixture
from tests.conftest import Command


def write(folder: Path, table: str) -> Path:
    (folder / "pyproject.toml").write_text(f"[tool.other]\nx = 1\n[tool.mbcbench]\n{table}\n")
    return folder


def test_the_nearest_file_counts_and_paths_are_relative_to_it(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    write(tmp_path, "law = 'mbc'")
    write(tmp_path / "a", "weights = 'w.pt'\nlaw = ['mbc', 'hygiene']\nhyper = {heads = 4, kind = 'x'}")
    assert load_settings(inner) == {
        "weights": str(tmp_path / "a" / "w.pt"),
        "law": ["mbc", "hygiene"],
        "hyper": ["heads=4", 'kind="x"'],
    }


def test_a_file_without_the_table_sets_nothing(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert load_settings(tmp_path) == {}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("hyper = {since = 2026-01-01}", "hyper.since = 2026-01-01 is not a number, string, boolean, list or table"),
        (f"hyper = {{a = {'[' * 5000}", "is not valid TOML: maximum recursion depth"),
        ("laws = 'mbc'", "pyproject.toml: [tool.mbcbench] has no key 'laws' (did you mean law"),
        ("dim-in = '3'", "pyproject.toml: [tool.mbcbench]: dim-in = '3' is not an integer"),
        ("device = 'gpu'", "device = 'gpu' is not 'cpu' or 'cuda'"),
        ("profile = 'fast'", "[tool.mbcbench]: profile = 'fast' is not one of smoke, quick, standard, thorough, paper"),
        ("examples = 0", "examples = 0 is not an integer of at least 1"),
        ("seed = true", "seed = True is not an integer"),
        ("law = [1]", "law = [1] is not a string or a list of strings"),
        ("hyper = 'a=1'", "is not a table such as {heads = 4}"),
        ("law = ", "pyproject.toml is not valid TOML"),
    ],
)
def test_a_setting_that_cannot_be_used_names_file_and_key(tmp_path: Path, table: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_settings(write(tmp_path, table))
    assert message in str(caught.value)


def test_check_takes_its_defaults_from_the_file_and_the_command_line_wins(command: Command) -> None:
    write(Path.cwd(), "law = 'mbc.partition'\nexamples = 20\nquiet = true\nprofile = 'smoke'\nxfails-file = 'xfails'")
    Path("xfails").write_text("mbc.partition: it averages\n")
    code, out, err = command("check", "mine.py:SumOfMeans")
    assert (code, err) == (0, "")
    assert "1 xfail in" in out
    out = command("check", "mine.py:SumOfMeans", "--law", "reference.equal")[1]
    assert "1 skip in" in out


def test_an_unknown_key_is_wrong_usage_of_check(command: Command) -> None:
    write(Path.cwd(), "laws = 'mbc'")
    code, out, err = command("check", "mine.py:Sum")
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert "has no key 'laws' (did you mean law" in err


def test_every_key_is_an_option_of_check(command: Command) -> None:
    help_text = command("check", "--help")[1]
    assert all(f"--{key}" in help_text for key in KINDS)


def test_another_value_than_a_table_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool]\nmbcbench = 3\n")
    with pytest.raises(UsageError, match=r"tool\.mbcbench = 3 is not a table; begin it with \[tool\.mbcbench\]"):
        load_settings(tmp_path)


def test_the_documentation_names_every_key() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "check.md").read_text()
    assert all(f"`{key}`" in page for key in KINDS)
