"""The sources of the documentation site: navigation, links and anchors, and what the hook adds to the pages."""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_pages import api_nav, api_pages, facade
from law_pages import all_laws, law_pages
from links import FENCED, localise, source_pages, targets
from markdown_it import MarkdownIt
from notebook import notebook_page
from pages import Nav, gallery, law_nav, result_nav

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in sorted(DOCS.rglob("*.md"))}
PAGES = {name: text for name, text in PAGES.items() if not name.startswith("_templates/")}
TOUR, TOUR_IMAGES = notebook_page(DOCS / "tour.ipynb")
GENERATED = {**api_pages(), "gallery.md": gallery()}
PAGES["tour.md"] = TOUR


@pytest.fixture(scope="module")
def laws() -> dict[str, str]:
    return law_pages()


def flat(nav: Nav) -> Iterator[str]:
    """Yield the pages of a navigation."""
    for entry in nav:
        if isinstance(entry, str):
            yield entry
        else:
            for pages in entry.values():
                yield from flat(pages)


def anchors(text: str) -> set[str]:
    """Return the anchors of a page: its own, and those that code hosts make of headings."""
    tokens = MarkdownIt().parse(text)
    headings = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings]
    own = re.findall(r'<a id="([^"]+)">', text)
    return {*own, *(re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in plain)}


def test_the_navigation_lists_every_page_once() -> None:
    listed = re.findall(r"[\w./-]+\.md\b", (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2])
    listed += [*flat(law_nav(all_laws())), *flat(result_nav()), *flat(api_nav())]
    assert sorted(listed) == sorted({*PAGES, *GENERATED, *(f"laws/{law}.md" for law in all_laws())})


@pytest.mark.parametrize("name", PAGES)
def test_links_and_anchors_of_a_page_resolve(name: str) -> None:
    for target in targets(PAGES[name], f"docs/{name}"):
        assert (ROOT / target).exists() or posixpath.basename(target) in TOUR_IMAGES, target
    text = "".join(FENCED.split(PAGES[name])[::2])
    for page, anchor in re.findall(r"\]\(([\w./-]*)#([^)]+)\)", text):
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), page)) if page else name
        assert anchor in anchors(PAGES[target]), f"{target}#{anchor}"


def test_the_page_of_a_notebook_shows_its_text_code_and_outputs() -> None:
    assert TOUR.startswith("# A tour on handwritten digits\n")
    assert "```python\nimport matplotlib" in TOUR
    assert re.findall(r"!\[[^\]]+\]\((.*?)\)", TOUR) == list(TOUR_IMAGES) == ["tour-1.png", "tour-2.png"]
    assert all(image.startswith(b"\x89PNG") for image in TOUR_IMAGES.values())
    assert "<th>accuracy</th>" in TOUR


def test_a_link_to_a_notebook_leads_to_its_page() -> None:
    assert localise("[a](tour.ipynb) [b](../docs/tour.ipynb)", "docs/README.md") == "[a](tour.md) [b](tour.md)"


@pytest.mark.parametrize("name", PAGES)
def test_the_text_of_a_link_is_a_title_and_not_the_name_of_a_page(name: str) -> None:
    assert not re.findall(r"\[`?[\w/-]+\.md`?\]\(", PAGES[name])


def test_the_table_of_guides_leads_to_every_guide() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    guides = navigation.partition("- How-to guides:\n")[2].partition("\n  - The laws:")[0]
    assert set(re.findall(r": ([\w-]+\.md)", guides)) <= set(re.findall(r"\(([\w-]+\.md)", PAGES["how-to.md"]))


def test_links_to_files_outside_of_docs_lead_to_pages_with_their_source() -> None:
    sources = source_pages(PAGES)
    assert "source/examples/in_order.py.md" in sources
    assert "[`examples/in_order.py`](source/examples/in_order.py.md)" in localise(
        PAGES["extending.md"], "docs/extending.md"
    )
    assert "class Recurrence" in sources["source/examples/in_order.py.md"]
    assert "](../reliability.md)" in sources["source/SECURITY.md"]


def test_code_is_not_taken_for_a_link() -> None:
    text = "```python\na[0](../b.md)\n```\n`[x](../c.md)` [d](../LICENSE)\n"
    assert localise(text, "docs/a.md") == text.replace("(../LICENSE)", "(source/LICENSE.md)")


def test_every_law_has_a_page(laws: dict[str, str]) -> None:
    assert set(laws) == {"laws.md", *(f"laws/{law}.md" for law in all_laws())}
    assert all("## What it does not look at" in text for name, text in laws.items() if name != "laws.md")


def test_the_page_of_a_law_shows_the_shortest_control_and_all_that_it_catches(laws: dict[str, str]) -> None:
    page = laws["laws/mbc.partition.md"]
    assert page.startswith("# `mbc.partition`\n\n**Any partition of X, streamed, is encoded like X in one piece.**\n")
    assert "| MeanOfChunkMeans | Averages the means of chunks, whatever their sizes. |" in page
    assert page.count("class ") == 1


def test_the_reference_has_every_public_name() -> None:
    text = "\n".join(GENERATED.values())
    assert all(f"::: mbcbench.{module}.{name}\n" in text for name, module in facade().items())


@pytest.mark.parametrize("name", PAGES)
def test_fences_have_no_option_that_the_site_does_not_know(name: str) -> None:
    options = re.findall(r"^```\w+ +(.+)$", PAGES[name], re.MULTILINE)
    assert all(re.fullmatch(r'title="[^"]+"', option) for option in options), options
