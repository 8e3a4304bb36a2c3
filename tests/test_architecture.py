"""Who imports whom, and what is installed."""

import ast
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLUGINS = ("encoders", "suites", "reports")
TEMPLATES = ROOT / "mbcbench/cli/templates"
PROJECT_PAGES = (
    "CHANGELOG.md",
    "CITATION.cff",
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
)  # in MANIFEST.in


def imports(path: Path, *, everywhere: bool) -> Iterator[tuple[int, str]]:
    """Yield the modules that a file imports, with the level of relative imports; `everywhere`: in functions too."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree) if everywhere else at_module_level(tree.body):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""
            yield from ((node.level, f"{node.module or ''}.{alias.name}".strip(".")) for alias in node.names)


def at_module_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run when a module is imported."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try) and not is_for_types(node):
            yield from at_module_level([*node.body, *node.orelse])


def is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def python_files(folder: str) -> list[Path]:
    """Return the modules of a folder. Templates are not modules."""
    return sorted(path for path in (ROOT / folder).rglob("*.py") if TEMPLATES not in path.parents)


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def test_packages_import_only_lower_layers() -> None:
    """`[tool.importlinter]` in pyproject.toml says which package may import which."""
    # In a process of its own: import-linter disables the loggers of all modules that are imported already.
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("path", names([p for folder in PLUGINS for p in python_files(folder)]))
def test_a_plugin_imports_mbcbench_and_its_own_siblings(path: str) -> None:
    depth = len(Path(path).parts) - 1  # a level beyond it would leave the plug-in's folder
    for level, name in imports(ROOT / path, everywhere=True):
        assert level <= depth, f"{name or '.'} is not a sibling"
        top = name.split(".")[0]
        assert level > 0 or top not in PLUGINS, f"import {name} relatively"
        assert level > 0 or not name.startswith(tuple(f"mbcbench.{folder}" for folder in PLUGINS)), name


@pytest.mark.parametrize("path", names(python_files("mbcbench")))
def test_mbcbench_names_no_plugin(path: str) -> None:
    installed_names = tuple(f"mbcbench.{folder}" for folder in PLUGINS)
    names_of_plugins = [
        name
        for _, name in imports(ROOT / path, everywhere=True)
        if name.split(".")[0] in PLUGINS or name.startswith(installed_names)
    ]
    assert not names_of_plugins


def packages() -> dict[str, Path]:
    """Return the packages of pyproject.toml with their folders."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    renamed = {f"mbcbench.{folder}": folder for folder in PLUGINS}

    def folder(package: str) -> Path:
        for installed, source in renamed.items():
            if package == installed or package.startswith(f"{installed}."):
                return ROOT / source / package[len(installed) + 1 :].replace(".", "/")
        return ROOT / package.replace(".", "/")

    return {package: folder(package) for package in settings["packages"]}


def test_every_folder_with_an_init_is_a_package() -> None:
    folders = {p.parent for top in ("mbcbench", *PLUGINS) for p in python_files(top) if p.name == "__init__.py"}
    assert set(packages().values()) == folders


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    source = folder / "source"
    copy_source(source)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(source)]
    ended = subprocess.run(build, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return folder


@pytest.mark.slow
def test_the_wheel_holds_every_python_file_and_all_data(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    files = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert files == expected_files()


def test_the_wheel_has_its_licence_and_is_small(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    infos = zipfile.ZipFile(wheel).infolist()
    assert [info.filename.partition(".dist-info/")[2] for info in infos if info.filename.endswith("LICENSE")] == [
        "licenses/LICENSE"
    ]
    data = sum(info.compress_size for info in infos if "/reference_data/" in info.filename)
    assert data <= 2 * 2**20
    assert wheel.stat().st_size - data <= 2**20


def test_the_sdist_holds_the_sources_and_the_pages_of_the_project(dist: Path) -> None:
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as sdist:
        names = {member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile()}
    made = {name for name in names if ".egg-info/" in name or name in ("PKG-INFO", "setup.cfg")}
    sources = {str(path.relative_to(ROOT)) for path in source_files()}
    assert names - made == sources


def copy_source(to: Path) -> None:
    """Copy what a build needs, so that it leaves nothing in the repository."""
    for path in source_files():
        target = to / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())


def source_files() -> list[Path]:
    loose = [ROOT / name for name in ("MANIFEST.in", "pyproject.toml", "README.md", "LICENSE", *PROJECT_PAGES)]
    inside = [p for top in ("mbcbench", *PLUGINS) for p in (ROOT / top).rglob("*") if p.is_file()]
    return loose + [p for p in inside if "__pycache__" not in p.parts and ".egg-info" not in str(p)]


def expected_files() -> set[str]:
    """Return the files of the packages, with data, as a wheel names them."""
    code = (".py", ".pyi", ".typed")
    paths = {
        f"{package.replace('.', '/')}/{path.name}"
        for package, folder in packages().items()
        for path in folder.iterdir()
        if path.suffix in code or path.name == "py.typed"
    }
    pages = (ROOT / "reports" / "templates").iterdir()
    reference = (ROOT / "mbcbench" / "records" / "reference_data").glob("*")
    projects = [path for path in TEMPLATES.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return (
        paths
        | {f"mbcbench/reports/templates/{path.name}" for path in pages}
        | {str(path.relative_to(ROOT)) for path in (*projects, *reference)}
    )
