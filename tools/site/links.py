"""Links from pages to files of the repository outside docs/: these become pages of the site with their source."""

import posixpath
import re
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)")  # the path of a relative link or image
FENCED = re.compile(r"(^```.*?^```\n?|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
RENAMED = {"results/index.html": "results/all.html"}  # on the site, README.md becomes the file of that name
LANGUAGES = {".py": "python", ".sh": "sh", ".toml": "toml", ".yml": "yaml", ".yaml": "yaml", ".json": "json"}


def replace_links(text: str, replace: Callable[[str], str]) -> str:
    """Return Markdown with the path of each relative link replaced; code stays as it is."""
    parts = FENCED.split(text)
    parts[::2] = [LINK.sub(lambda match: replace(match[1]), part) for part in parts[::2]]
    return "".join(parts)


def targets(text: str, path: str) -> list[str]:
    """Return what a file at `path` of the repository links to, as paths of the repository."""
    links: list[str] = []
    replace_links(text, lambda link: links.append(link) or link)  # type: ignore[func-returns-value]
    return [posixpath.normpath(posixpath.join(posixpath.dirname(path), link)) for link in links]


def is_source(target: str) -> bool:
    """Return True for a target that is not a file of docs/ and so needs a page of its own."""
    return not target.startswith("docs/") or (ROOT / target).is_dir()


def source_file(target: str) -> str:
    """Return the path in docs/ of the page that shows a file or a folder of the repository."""
    return f"source/{target}" if target.endswith(".md") else f"source/{target}.md"


def localise(text: str, path: str) -> str:
    """Return the Markdown of the file at `path` of the repository with links that work on the site."""
    page = posixpath.relpath(path, "docs") if path.startswith("docs/") else source_file(path)

    def replace(link: str) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
        destination = source_file(target) if is_source(target) else posixpath.relpath(target, "docs")
        destination = RENAMED.get(destination, destination.removesuffix(".ipynb"))
        destination += ".md" if target.endswith(".ipynb") else ""  # a notebook has a page
        return posixpath.relpath(destination, posixpath.dirname(page) or ".")

    return replace_links(text, replace)


def source_page(target: str) -> str:
    """Return the page of a file or a folder: Markdown as it is, other files as code, a folder as a list."""
    path = ROOT / target
    if path.is_dir():
        return folder_page(target)
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return localise(text, target)
    return f"# `{target}`\n\n```{LANGUAGES.get(path.suffix, 'text')}\n{text}```\n"


def folder_page(target: str) -> str:
    """Return a list of the files in a folder of docs/ and in the folders in it."""
    files = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / target).rglob("*") if path.is_file())
    here = posixpath.dirname(source_file(target))
    links = [f"- [{posixpath.relpath(file, target)}]({posixpath.relpath(file, f'docs/{here}')})" for file in files]
    return "\n".join([f"# `{target}`", "", *links, ""])


def source_pages(pages: dict[str, str]) -> dict[str, str]:
    """Return the pages of all files that `pages` (Markdown by path in docs/) link to, and that those link to."""
    queue = [target for name, text in pages.items() for target in targets(text, f"docs/{name}")]
    sources: dict[str, str] = {}
    while queue:
        target = queue.pop()
        if not is_source(target) or source_file(target) in sources:
            continue
        sources[source_file(target)] = source_page(target)
        if target.endswith(".md"):
            queue += targets((ROOT / target).read_text(encoding="utf-8"), target)
    return sources
