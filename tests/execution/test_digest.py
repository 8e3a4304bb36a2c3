"""Which edits invalidate the cached cells of which suite, tried on a copy of the sources."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from mbcbench.execution import digest
from mbcbench.protocol.build import import_target_module

ROOT = Path(__file__).parents[2]
SUITES = ("laws", "resources", "point-clouds")
EVERY = set(SUITES)
EDITS = {
    "mbcbench/datasets/cad.py": {"point-clouds"},
    "mbcbench/datasets/shapes/objects.py": {"point-clouds"},
    "suites/tasks/point_clouds/suite.py": {"point-clouds"},
    "suites/tasks/point_clouds/sampling.py": {"point-clouds"},
    "suites/training.py": {"point-clouds"},
    "suites/laws/mbc.py": {"laws"},
    "suites/resources/measurement.py": {"resources"},
    "mbcbench/system.py": {"resources"},
    "mbcbench/verify/tolerance.py": {"laws"},
    "mbcbench/protocol/state.py": EVERY,
    "encoders/sse.py": set(),
    "suites/index.py": set(),
    "reports/growth.py": set(),
    "reports/paper/figures.py": set(),
    "mbcbench/cli/main.py": set(),
    "mbcbench/records/store.py": set(),
    "mbcbench/execution/planner.py": set(),
    "mbcbench/streaming/encode.py": set(),
    "mbcbench/pytest_plugin.py": set(),
    "mbcbench/api/run.py": set(),
}
# Calls a function for each value of a list, in a process that has loaded nothing for another one.
FORKS = """
import json, os, sys

def call_each(function, values):
    for value in values:
        if os.fork() == 0:
            function(value)
            sys.stdout.flush()
            os._exit(0)
        assert os.wait()[1] == 0
"""
# Prints the edits that change the identity of each suite.
EDIT = f"""{FORKS}
from pathlib import Path
import mbcbench
from mbcbench.execution.probe import source_identity

root = Path(mbcbench.__file__).parent.parent

def edit(suite):
    before = source_identity(suite)
    for name in json.loads(sys.argv[2]):
        path = root / name
        text = path.read_text()
        path.write_text(text + "\\nEDITED = 1\\n")
        if source_identity(suite) != before:
            print(json.dumps([name, suite]))
        path.write_text(text)

call_each(edit, json.loads(sys.argv[1]))
"""
UNLOADED = f"""{FORKS}
import importlib
import torch
from mbcbench.execution import digest

def compare(module):
    unloaded = digest.sources_unloaded(module)
    assert module not in sys.modules
    importlib.import_module(module)
    assert unloaded == digest.sources([module]), unloaded ^ digest.sources([module])

call_each(compare, json.loads(sys.argv[1]))
"""


def installed(path: str) -> str:
    """Return a path of the repository as it is installed."""
    return path if path.startswith("mbcbench/") else f"mbcbench/{path}"


def invalidated_suites(site: Path) -> Mapping[str, set[str]]:
    """Return the suites whose identity changes, by edited file of a copy of the sources in `site`."""
    shutil.copytree(ROOT / "mbcbench", site / "mbcbench", ignore=shutil.ignore_patterns("__pycache__"))
    for kind in ("encoders", "suites", "reports"):
        shutil.copytree(ROOT / kind, site / "mbcbench" / kind, ignore=shutil.ignore_patterns("__pycache__"))
    paths = {installed(path): path for path in EDITS}
    suites: dict[str, set[str]] = {path: set() for path in EDITS}
    program = [sys.executable, "-c", EDIT, json.dumps(SUITES), json.dumps(list(paths))]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    ended = subprocess.run(program, env=environment, cwd=site, capture_output=True, text=True, check=True)
    for line in ended.stdout.splitlines():
        name, suite = json.loads(line)
        suites[paths[name]].add(suite)
    return suites


def test_an_edit_invalidates_the_suites_that_it_can_change(tmp_path: Path) -> None:
    """All edits in one test, as each suite is loaded once for all of them."""
    assert invalidated_suites(tmp_path) == EDITS


@pytest.mark.parametrize(
    ("source", "modules"),
    [
        ("from mbcbench import build", {"mbcbench/protocol/build.py"}),
        ("from mbcbench.protocol.build import build", {"mbcbench/protocol/build.py"}),
        ("from mbcbench import Suite, Cell", set()),
        ("import mbcbench\nmbcbench.build", {"mbcbench/protocol/build.py", "mbcbench/verify/tolerance.py"}),
    ],
)
def test_the_public_names_stand_for_the_modules_that_define_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, modules: set[str]
) -> None:
    (tmp_path / "suite.py").write_text(source)
    digested: set[Path] = set()
    monkeypatch.setattr(digest, "files", digested.update)
    digest.harness([tmp_path / "suite.py"])
    looked_for = {ROOT / "mbcbench/protocol/build.py", ROOT / "mbcbench/verify/tolerance.py"}
    assert looked_for & digested == {ROOT / module for module in modules}


def test_comments_and_docstrings_do_not_count(tmp_path: Path) -> None:
    def digest_of(text: str) -> str:
        path = tmp_path / "encoder.py"
        path.write_text(text)
        return digest.files([path])

    plain = digest_of("def f(x):\n    return x + 1\n")
    assert digest_of('"""A module."""\n\ndef f(x):\n    """Add one."""\n    return x + 1  # one\n') == plain
    assert digest_of("def f(x):\n    return x + 2\n") != plain
    assert digest_of("def f(x):\n    'a'\n    return 'b'\n") != digest_of("def f(x):\n    'a'\n    return 'c'\n")
    assert digest_of("no python (") != digest_of("no python [")


@pytest.mark.slow
def test_the_sources_of_a_plug_in_are_known_without_importing_it() -> None:
    modules = [f"mbcbench.{name}" for name in ("suites.tasks.image_completion.suite", "suites.laws", "encoders.umbc")]
    call = [sys.executable, "-c", UNLOADED, json.dumps(modules)]
    ended = subprocess.run(call, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_file_in_a_package_counts_with_its_folder_only_where_it_is_loaded_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "encoder.py").write_text("")
    module = import_target_module(f"{tmp_path / 'encoder.py'}:E")
    assert digest.sources([module.__name__]) == {tmp_path / "encoder.py"}
