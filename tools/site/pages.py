"""Pages of the documentation site that are made at build time, as a mapping of paths in docs/ to Markdown."""

import re
from itertools import groupby
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
Nav = list[str | dict[str, "Nav"]]
RESULT_GROUPS = ("The paper's claims", "Tables of the paper", "Figures of the paper", "Beyond the paper")


def law_file(law: str) -> str:
    """Return the path of the page of a law."""
    return f"laws/{law}.md"


def law_nav(laws: list[str]) -> Nav:
    """Return a section per group of laws."""
    by_group = groupby(sorted(laws), key=lambda law: law.partition(".")[0])
    return [{group: [law_file(law) for law in members]} for group, members in by_group]


def result_nav() -> Nav:
    """Return the pages of results as docs/results/README.md lists them, and those of docs/field."""
    text = (DOCS / "results" / "README.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (.*)\n((?:(?!## ).*\n?)*)", text, re.MULTILINE)
    listed = {title: re.findall(r"\]\(([\w-]+\.md)\)", body) for title, body in sections}
    results: Nav = [{title: [f"results/{page}" for page in listed[title]]} for title in listed if listed[title]]
    field = sorted(path.relative_to(DOCS).as_posix() for path in (DOCS / "field").glob("*.md"))
    return [*results, {"The state of the field": ["field.md", *field]}]


def gallery() -> str:
    """Return a page with every figure of the results and its result in one sentence."""
    parts = ["# Gallery", "Figures of the results. A figure leads to its page, with the claims and the data behind it."]
    for page in sorted((DOCS / "results").glob("*.md"), key=natural):
        text = page.read_text(encoding="utf-8")
        image = re.search(r"!\[[^\]]*\]\(([\w.-]+\.png)\)", text)
        if image is None:
            continue
        title = text.partition("\n")[0].removeprefix("# ")
        result = re.search(r"\*\*Result:\*\* (.*)", text)
        caption = re.split(r"(?<=[.:;]) ", result[1])[0] if result else ""
        target = f"results/{page.name}"
        parts += [
            f"## {title}",
            f"[![{title}](results/{image[1]})]({target})",
            f"[{title}]({target}). {caption}".strip(),
        ]
    return "\n\n".join(parts) + "\n"


def natural(path: Path) -> list[tuple[int, str]]:
    """Return a sort key that puts fig9 before fig10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.stem)]
