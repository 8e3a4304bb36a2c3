"""Write the page on the laws: `python tools/laws.py > docs/laws.md`."""

from mbcbench import registry
from mbcbench.verify.law import Law, get_law

HEAD = """# The laws

Every law is a plain function that random search tries to falsify; its page is the docstring of that function
(`mbcbench describe law:ID`). Laws are judged in float64 ([tolerance](tolerance.md)). [controls](controls.md) lists the
deliberately wrong encoders that each law catches, and [detection](detection.md) the number of examples that takes. This
page is made by `make docs`.
"""


def render_section(law: Law) -> str:
    """Return the page of a law in Markdown."""
    statement, _, explanation = law.page.partition("\n")
    return f"## `{law.id}`\n\n**{statement}**\n{explanation}\n"


def main() -> None:
    """Print the page."""
    sections = [render_section(get_law(law_id)) for law_id in registry.plugins(registry.LAWS)]
    print(HEAD)
    print("\n".join(sections).rstrip())


if __name__ == "__main__":
    main()
