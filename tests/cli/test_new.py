"""The projects that `mbcbench new` writes: they pass their own checks, and mbcbench finds their plug-ins."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mbcbench.cli.new import KINDS, new_project
from mbcbench.errors import UsageError
from tests.conftest import Command

ROOT = Path(__file__).parents[2]
NAMES = {kind: "my.translation" if kind == "law" else f"my-{kind}" for kind in KINDS}


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """New projects by kind, their entry points in folders of metadata as `pip install -e` would leave them."""
    made = {kind: new_project(kind, name, tmp_path_factory.mktemp(kind)) for kind, name in NAMES.items()}
    ended = run_in_each(made, "import setuptools", "setuptools.setup(script_args=['-q', 'egg_info'])")
    assert ended.returncode == 0, ended.stderr
    return made


def run_in_each(projects: dict[str, Path], imports: str, statement: str) -> subprocess.CompletedProcess[str]:
    """Run a statement in the folder of each project, all in one program: most of its time goes into imports."""
    lines = [f"os.chdir({str(project)!r})\n{statement}" for project in projects.values()]
    return run(Path(), "-c", "\n".join(["import os", imports, *lines]))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def project(kind: str, projects: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project of a kind, installed."""
    monkeypatch.syspath_prepend(str(projects[kind]))
    return projects[kind]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def test_new_projects_pass_their_own_tests(projects: dict[str, Path]) -> None:
    ended = run_in_each(projects, "import pytest", "assert pytest.main(['-q', '-p', 'no:cacheprovider']) == 0")
    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.count(" passed") == len(projects)
    assert "failed" not in ended.stdout


@pytest.mark.parametrize("check", [("ruff", "check"), ("ruff", "format", "--check")])
def test_a_new_project_is_clean(project: Path, check: tuple[str, ...]) -> None:
    ended = run(project, "-m", *check, "--isolated", "--config", "line-length=100", "--no-cache", ".")
    assert ended.returncode == 0, ended.stdout


@pytest.mark.slow
def test_new_projects_are_strictly_typed(tmp_path: Path) -> None:
    """All at once, with the settings and the cache of this repository: as strict as those of the projects."""
    projects = [new_project(kind, name, tmp_path) for kind, name in NAMES.items()]
    assert all("strict = true" in (project / "pyproject.toml").read_text() for project in projects)
    files = [
        str(path) for project in projects for path in (project / project.name.replace("-", "_"), project / "tests")
    ]
    environment = {**os.environ, "MYPYPATH": os.pathsep.join(map(str, projects))}
    call = [sys.executable, "-m", "mypy", *files]
    ended = subprocess.run(call, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def test_a_new_project_registers_its_plugin(project: Path, kind: str) -> None:
    metadata = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    module = project.name.replace("-", "_")
    assert metadata["entry-points"] == {
        f"mbcbench.{kind}s": {NAMES[kind]: f"{module}:{KINDS[kind].object_name}"},
    }
    assert (project / "README.md").read_text().startswith(f"# {project.name}\n")
    files = {str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()}
    assert {".gitignore", ".github/workflows/tests.yml", f"{module}/py.typed", f"tests/test_{module}.py"} <= files


def test_mbcbench_lists_and_describes_the_plugin(project: Path, kind: str, program: Command) -> None:
    assert NAMES[kind] in program("list", f"{kind}s")[1]
    code, _, err = program("describe", NAMES[kind])
    assert code == 0, err


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("encoder", "My Encoder", "'My Encoder' is not a valid name; use lower-case words, as in my-encoder"),
        ("encoder", "9lives", "is not a valid name"),
        ("encoder", "a_b", "is not a valid name"),
        ("encoder", "torch", "has a module or keyword torch"),
        ("encoder", "class", "has a module or keyword class"),
        ("encoder", "deepsets-sum", "is registered already"),
        ("law", "translation", "use a group and a name, as in my.law"),
        ("law", "mbc.merge", "the law 'mbc.merge' is registered already"),
        ("suite", "laws", "the suite 'laws' is registered already"),
    ],
)
def test_an_unfit_name_is_one_line(tmp_path: Path, kind: str, name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        new_project(kind, name, tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    new_project("encoder", "my-encoder", tmp_path)
    with pytest.raises(UsageError, match="exists already"):
        new_project("encoder", "my-encoder", tmp_path)


def test_the_folder_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        new_project("encoder", "my-encoder", tmp_path / "none")


def test_the_check_of_a_law_is_named_after_it_and_states_nothing_else(tmp_path: Path) -> None:
    text = (new_project("law", "my.shift", tmp_path) / "my_shift" / "law.py").read_text()
    assert "def check_shift(" in text
    assert '"""Replace this by the statement, as in: ' in text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match=r"cannot write to .*; choose another --folder"):
        new_project("encoder", "my-encoder", tmp_path)
