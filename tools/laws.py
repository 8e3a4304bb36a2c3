"""Write the page on the laws: `python tools/laws.py > docs/laws.md`."""

import re

from mbcbench import registry
from mbcbench.verify.law import Law, get_law

HEAD = """# The laws

Every law is a plain function that random search tries to falsify; its page is the docstring of that function
(`mbcbench describe ID`). Laws are judged in float64 ([the bound](tolerance.md)). [Controls](controls.md) lists the
deliberately wrong encoders that each law catches, and [Detection](detection.md) the number of examples that takes. This
page is made by `make docs`.
"""


def render_index(laws: list[Law]) -> str:
    """Return a table of the laws, each with a link to its section."""
    rows = [f"| [`{law.id}`](#{anchor(law.id)}) | {law.statement} |" for law in laws]
    return "\n".join(["| law | statement |", "|---|---|", *rows, ""])


def anchor(heading: str) -> str:
    """Return the anchor that code hosts give to a heading in code."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def render_section(law: Law) -> str:
    """Return the page of a law in Markdown."""
    statement, _, explanation = law.page.partition("\n")
    return f"## `{law.id}`\n\n**{statement}**\n{explanation}\n"


def main() -> None:
    """Print the page."""
    laws = [get_law(law_id) for law_id in registry.plugins(registry.LAWS)]
    print(HEAD)
    print(render_index(laws))
    print("\n".join(map(render_section, laws)).rstrip())


if __name__ == "__main__":
    main()
