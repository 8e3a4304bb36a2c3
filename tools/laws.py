"""Write the page on the laws: `python tools/laws.py > docs/laws.md`."""

import re
from collections.abc import Sequence

from mbcbench import registry
from mbcbench.verify.example import ALL_KINDS, KINDS, TIE_FREE_KINDS, Example
from mbcbench.verify.law import Law, get_law

HEAD = """# The laws

Every law is a plain function that random search tries to falsify; its page is the docstring of that function
(`mbcbench describe ID`). Laws are judged in float64 ([the bound](tolerance.md)). [Controls](controls.md) lists the
deliberately wrong encoders that each law catches, and [Detection](detection.md) the number of examples that takes. This
page is made by `make docs`.
"""
EFFORT = """## What each law tries

*Elements* is the number of elements of the sets that are drawn, and of sets that are always tried ("in" so many
chunks). *Data* are the kinds of elements in a batch. *Budget* is the share of the examples of a
[profile](profiles.md) that a law gets; expensive laws get less. *Only if* lists what an encoder has to be or to do for
the law to apply. *Part* says whether a failure names the part of the encoder that breaks the law.
"""


def render_index(laws: Sequence[Law]) -> str:
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


def render_effort(laws: Sequence[Law]) -> str:
    """Return a table of what each law tries."""
    rows = [f"| `{law.id}` | {' | '.join(describe(law))} |" for law in laws]
    return "\n".join(
        [EFFORT, "| law | elements | data | budget | only if | part |", "|---|---|---|--:|---|---|", *rows, ""]
    )


def describe(law: Law) -> list[str]:
    """Return the cells of a row of the table."""
    only_if = ", ".join(requirement.__name__.replace("_", " ") for requirement in law.requires)
    return [elements(law), data(law), budget(law), only_if, "yes" if law.locate else ""]


def elements(law: Law) -> str:
    """Return the sizes of the sets that a law tries."""
    if law.fixed:
        return f"{sizes(law.fixed)}, and no others"
    text = "programs" if law.explore else f"{law.min_size} to {law.max_size}"
    return text + "".join(f"; {sizes(given)}" for given in (law.first, law.then) if given)


def sizes(examples: Sequence[Example]) -> str:
    """Return the number of elements of given examples, and of their chunks."""
    return ", ".join(f"{e.n:,} in {len(e.sizes):,}" if len(e.sizes) > 1 else f"{e.n:,}" for e in examples)


def data(law: Law) -> str:
    """Return the kinds of data that a law tries."""
    if law.fixed:
        kinds = sorted({kind for example in law.fixed for kind in example.kinds})
    elif law.kinds == TIE_FREE_KINDS:
        return "without ties"
    else:
        kinds = sorted(set(law.kinds))
    return "all" if tuple(kinds) == ALL_KINDS else ", ".join(KINDS[kind][0] for kind in kinds)


def budget(law: Law) -> str:
    """Return how much of the budget of examples a law has."""
    return "–" if law.fixed else f"{law.budget_fraction:.0%}"


def render_page(laws: Sequence[Law]) -> str:
    """Return the page."""
    return "\n".join([HEAD, render_index(laws), *map(render_section, laws), render_effort(laws)])


def main() -> None:
    """Print the page."""
    print(render_page([get_law(law_id) for law_id in registry.plugins(registry.LAWS)]), end="")


if __name__ == "__main__":
    main()
