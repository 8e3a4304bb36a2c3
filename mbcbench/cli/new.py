"""`mbcbench new`: write a plug-in project that passes its own tests.

The files of a project are copies of those under `templates/`, in which the words of `_words` are replaced.
"""

import importlib.util
import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from mbcbench.cli.options import show_help_if_bare
from mbcbench.errors import ExitCode, UsageError

TEMPLATES = Path(__file__).parent / "templates"
COMMON = "common"  # files of all projects


@dataclass(frozen=True)
class PluginKind:
    """A kind of plug-in: its group of entry points, the object that is registered, and what a name looks like."""

    name: str
    object_name: str
    pattern: str = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
    advice: str = "use lower-case words, as in my-{}"

    @property
    def group(self) -> str:
        return f"{self.name}s"


KINDS = {
    kind.name: kind
    for kind in (
        PluginKind("encoder", "SPEC"),
        PluginKind("law", "LAW", r"[a-z][a-z0-9]*\.[a-z][a-z0-9_]*", "use a group and a name, as in my.{}"),
        PluginKind("suite", "SUITE"),
        PluginKind("report", "REPORT"),
        PluginKind("artefact", "ARTEFACT"),
    )
}

app = typer.Typer(help="Create a plug-in project.", rich_markup_mode=None)

Folder = Annotated[
    Path, typer.Option(metavar="DIR", help="Folder in which to create the project.", show_default="here")
]


@app.callback(invoke_without_command=True)
def _new(context: typer.Context) -> None:
    show_help_if_bare(context)


@app.command(short_help="A set encoder with its tests.")
def encoder(
    name: Annotated[str, typer.Argument(help="Registered name of the encoder, as in my-encoder.")],
    folder: Folder = Path(),
) -> int:
    """Create a project with an encoder that works, its entry point, its tests and a CI workflow."""
    return _create("encoder", name, folder)


@app.command(short_help="A law with an encoder that keeps it and one that breaks it.")
def law(
    name: Annotated[str, typer.Argument(help="Id of the law, as in my.law.")],
    folder: Folder = Path(),
) -> int:
    """Create a project with a law, its entry point, its tests and a CI workflow."""
    return _create("law", name, folder)


@app.command(short_help="A suite of measurements.")
def suite(
    name: Annotated[str, typer.Argument(help="Registered name of the suite, as in my-suite.")],
    folder: Folder = Path(),
) -> int:
    """Create a project with a suite, its entry point, its tests and a CI workflow."""
    return _create("suite", name, folder)


@app.command(short_help="A report of a run.")
def report(
    name: Annotated[str, typer.Argument(help="Registered name of the report, as in my-report.")],
    folder: Folder = Path(),
) -> int:
    """Create a project with a report, its entry point, its tests and a CI workflow."""
    return _create("report", name, folder)


@app.command(short_help="A table or figure.")
def artefact(
    name: Annotated[str, typer.Argument(help="Registered name of the artefact, as in my-artefact.")],
    folder: Folder = Path(),
) -> int:
    """Create a project with a table or figure, its entry point, its tests and a CI workflow."""
    return _create("artefact", name, folder)


def _create(kind: str, name: str, folder: Path) -> ExitCode:
    project = new_project(kind, name, folder)
    typer.echo(f"{project}: next, cd {project} && pip install -e '.[dev]' && pytest")
    return ExitCode.AS_CLAIMED


def new_project(kind: str, name: str, folder: Path = Path()) -> Path:
    """Write a project for a new plug-in to a new folder below `folder`, and return that folder.

    Raises UsageError if the name is unfit or taken, if the project's folder exists, or `folder` does not.
    """
    words = _words(KINDS[kind], name)
    project = folder / words["my-plugin"]
    if project.exists():
        raise UsageError(f"{project} exists already; choose another name or remove it")
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}; create it first")
    try:
        for path, text in _template_files(kind):
            file = project / _replace_words(path, words)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(_replace_words(text, words), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write to {project} ({error.strerror}); choose another --folder") from error
    return project


def _template_files(kind: str) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each template of a kind of project. `dot-` stands for a leading dot."""
    for root in (TEMPLATES / COMMON, TEMPLATES / kind):
        for path in sorted(root.rglob("*")):
            relative = path.relative_to(root).as_posix()
            if path.is_file() and not re.search(r"(^|/)(\.|__pycache__)", relative):
                yield re.sub(r"(^|/)dot-", r"\1.", relative), path.read_text(encoding="utf-8")


def _words(kind: PluginKind, name: str) -> dict[str, str]:
    """Return the words of the templates and what replaces them. Raises UsageError if the name is unfit or taken."""
    from mbcbench import registry

    if not re.fullmatch(kind.pattern, name):
        raise UsageError(f"{name!r} is not a valid name; {kind.advice.format(kind.name)}")
    if name in registry.plugins(f"mbcbench.{kind.group}"):
        raise UsageError(f"the {kind.name} {name!r} is registered already; choose another name")
    project = re.sub(r"[._]", "-", name)
    module = project.replace("-", "_")
    if keyword.iskeyword(module) or importlib.util.find_spec(module) is not None:
        raise UsageError(f"{name!r} does not work: Python has a module or keyword {module}; choose another name")
    return {
        "my-plugin": project,
        "my_plugin": module,
        "my_law": name.rpartition(".")[2].replace("-", "_"),
        "MyPlugin": "".join(part.capitalize() for part in project.split("-")),
        "PLUGIN_NAME": name,
        "PLUGIN_KIND": f"{'an' if kind.name[0] in 'ae' else 'a'} {kind.name}",
        "PLUGIN_GROUP": kind.group,
        "PLUGIN_OBJECT": kind.object_name,
    }


def _replace_words(text: str, words: dict[str, str]) -> str:
    return re.sub("|".join(map(re.escape, words)), lambda match: words[match.group()], text)
