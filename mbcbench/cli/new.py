"""`mbcbench new`: write a plug-in project that passes its own tests.

The files of a project are copies of those under `templates/`, in which the words of `_words` are replaced.
"""

import importlib.util
import keyword
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from mbcbench.cli.options import show_help_if_bare
from mbcbench.errors import ExitCode, UsageError

PluginKind = Literal["encoder"]

TEMPLATES = Path(__file__).parent / "templates"
COMMON = "common"  # files of all projects

app = typer.Typer(help="Create a plug-in project.", rich_markup_mode=None)

Folder = Annotated[Path, typer.Option(metavar="DIR", help="Folder of the project's folder.", show_default="here")]


@app.callback(invoke_without_command=True)
def _new(context: typer.Context) -> None:
    show_help_if_bare(context)


@app.command()
def encoder(
    name: Annotated[str, typer.Argument(help="Registered name of the encoder, as in my-encoder.")],
    folder: Folder = Path(),
) -> int:
    """Create a project with an encoder that works, its entry point, its tests and a CI workflow."""
    return _create("encoder", name, folder)


def _create(kind: PluginKind, name: str, folder: Path) -> ExitCode:
    project = new_project(kind, name, folder)
    typer.echo(f"{project}: next, cd {project} && pip install -e '.[dev]' && pytest")
    return ExitCode.AS_CLAIMED


def new_project(kind: PluginKind, name: str, folder: Path = Path()) -> Path:
    """Write a project for a new plug-in to a new folder below `folder`, and return that folder.

    Raises UsageError if the name is unfit or taken, if the project's folder exists, or `folder` does not.
    """
    words = _words(kind, name)
    project = folder / words["my-plugin"]
    if project.exists():
        raise UsageError(f"{project} exists already; choose another name or remove it")
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}; create it first")
    try:
        for path, text in _files(kind):
            file = project / _replace_words(path, words)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(_replace_words(text, words), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write to {project} ({error.strerror}); choose another --folder") from error
    return project


def _files(kind: PluginKind) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each template of a kind of project. `dot-` stands for a leading dot."""
    for root in (TEMPLATES / COMMON, TEMPLATES / kind):
        for path in sorted(root.rglob("*")):
            relative = path.relative_to(root).as_posix()
            if path.is_file() and not re.search(r"(^|/)(\.|__pycache__)", relative):
                yield re.sub(r"(^|/)dot-", r"\1.", relative), path.read_text(encoding="utf-8")


def _words(kind: PluginKind, name: str) -> Mapping[str, str]:
    """Return the words of the templates and what replaces them. Raises UsageError if the name is unfit or taken."""
    from mbcbench import registry

    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise UsageError(f"{name!r} is not a valid name; use lower-case words, as in my-{kind}")
    module = name.replace("-", "_")
    if name in registry.plugins(f"mbcbench.{kind}s"):
        raise UsageError(f"an {kind} called {name!r} is registered already; choose another name")
    if keyword.iskeyword(module) or importlib.util.find_spec(module) is not None:
        raise UsageError(
            f"{name!r} does not work: Python has a module or keyword {module} already; choose another name"
        )
    title = "".join(part.capitalize() for part in name.split("-"))
    return {"my-plugin": name, "my_plugin": module, "MyPlugin": title}


def _replace_words(text: str, words: Mapping[str, str]) -> str:
    return re.sub("|".join(map(re.escape, words)), lambda match: words[match.group()], text)
