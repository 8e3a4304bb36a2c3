"""Hook of mkdocs: adds the generated pages to the site, and makes links work that lead out of docs/."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

from api_pages import api_nav, api_pages
from law_pages import all_laws, law_pages
from links import RENAMED, localise, source_pages
from mkdocs.structure.files import File, InclusionLevel
from notebook import notebook_page
from pages import DOCS, gallery, law_nav, result_nav
from pymdownx.slugs import slugify

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

SECTIONS = {"The laws": lambda: law_nav(all_laws()), "Results": result_nav, "API reference": api_nav}


def on_config(config: "MkDocsConfig") -> None:
    """Add the generated pages to the navigation; make the anchors those of a code host."""
    for section in config.nav or []:
        for title, pages in section.items():
            if title in SECTIONS:
                pages[1:1] = SECTIONS[title]()  # behind the overview
    config.mdx_configs["toc"] = {**config.mdx_configs.get("toc", {}), "slugify": slugify(case="lower")}


def on_files(files: "Files", config: "MkDocsConfig") -> None:
    """Add the generated pages."""
    written = {file.src_uri: file.content_string for file in files.documentation_pages()}
    tour, images = notebook_page(DOCS / "tour.ipynb")
    listed = {**law_pages(), **api_pages(), "gallery.md": gallery(), "tour.md": tour}
    files.remove(files.src_uris["tour.ipynb"])
    for name, text in listed.items():
        add(files, config, name, text)
    for name, text in source_pages({**written, **listed}).items():
        add(files, config, name, text, InclusionLevel.NOT_IN_NAV)
    for image, content in images.items():
        files.append(File.generated(config, image, content=content))
    for old, new in RENAMED.items():
        files.append(File.generated(config, new, abs_src_path=str(DOCS / old)))


def add(files: "Files", config: "MkDocsConfig", name: str, text: str,
        inclusion: InclusionLevel = InclusionLevel.UNDEFINED) -> None:  # fmt: skip
    """Add a page, in place of one of that name."""
    old = files.get_file_from_path(name)
    if old is not None:
        files.remove(old)
    files.append(File.generated(config, name, content=text, inclusion=inclusion))


def on_page_markdown(markdown: str, page: "Page", **_: object) -> str:
    """Return the page with links that work on the site."""
    uri = page.file.src_uri
    return localise(markdown, f"docs/{uri}") if (DOCS / uri).is_file() and uri != "laws.md" else markdown
