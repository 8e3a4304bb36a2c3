"""The pages of the laws: statement, why, smallest example, fix, limits and controls, from docstrings and records."""

import ast
import re
from functools import cache
from pathlib import Path

from mbcbench import registry
from mbcbench.verify.example import ALL_KINDS, KINDS
from mbcbench.verify.law import FIX_HEADING, Law, get_law

ROOT = Path(__file__).parents[2]
CONTROL = re.compile(r"^\| (\w+) \| (.*?) \| ([\w.]+) \| .*? \| [\d/]+ \| (\d+) \| (.*) \|$", re.MULTILINE)
HEAD = """# The laws

Every law is a plain function that random search tries to falsify. A law has a page, made of the docstring of that
function: why it matters, what breaks it, how to fix a failure, and what it does not look at. `mbcbench describe ID`
prints it in a terminal. Laws are judged in float64 ([the bound](tolerance.md)).
"""


def all_laws() -> list[str]:
    """Return the ids of the registered laws of this repository."""
    return list(registry.plugins(registry.LAWS))


def law_index(laws: list[Law]) -> str:
    """Return the page that lists all laws."""
    rows = [f"| [`{law.id}`](laws/{law.id}.md) | {law.statement} |" for law in sorted(laws, key=lambda law: law.id)]
    return "\n".join([HEAD, "| law | statement |", "|---|---|", *rows, ""])


def law_page(law: Law) -> str:
    """Return the page of one law."""
    _, _, explanation = law.page.partition("\n")
    before, _, fix = explanation.partition(FIX_HEADING)
    parts = [f"# `{law.id}`", f"**{law.statement}**", before.strip()]
    parts += smallest_example(law.id)
    parts += ["## How to fix a failure", capitalised(fix.strip())] if fix else []
    parts += ["## What it does not look at", *limits(law)]
    parts += caught(law.id)
    parts += [f"Try it: `mbcbench check my_encoder.py:MyEncoder --law {law.id}`."]
    return "\n\n".join(parts) + "\n"


def capitalised(text: str) -> str:
    """Return the text with a capital first letter."""
    return text[:1].upper() + text[1:]


def controls(law: str) -> list[tuple[str, str, str, str]]:
    """Return name, defect, number of examples and smallest counterexample of the controls that this law catches."""
    text = (ROOT / "docs" / "controls.md").read_text(encoding="utf-8")
    return [
        (name, defect, tries, where)
        for name, defect, caught_by, tries, where in CONTROL.findall(text)
        if caught_by == law
    ]


@cache
def classes() -> dict[str, list[str]]:
    """Return the lines of each class in tests/controls, without what says which laws it breaks."""
    sources = {}
    for path in sorted((ROOT / "tests" / "controls").glob("*.py")):
        lines = path.read_text(encoding="utf-8").splitlines()
        for node in ast.parse("\n".join(lines)).body:
            if isinstance(node, ast.ClassDef):
                body = lines[node.lineno - 1 : node.end_lineno]
                sources[node.name] = [line for line in body if not re.match(r"\s*(breaks|also)\b.*ClassVar", line)]
    return sources


def smallest_example(law: str) -> list[str]:
    """Return the shortest encoder that breaks the law, and the set on which that is found."""
    sources = classes()
    known = [control for control in controls(law) if control[0] in sources]
    if not known:
        return []
    name, _, _, where = min(known, key=lambda control: len(sources[control[0]]))
    found = f"The search finds it with {where}." if where.strip() else ""
    return ["## A smallest example", f"The shortest encoder of `tests/controls` that breaks this law. {found}".strip(),
            "```python\n" + "\n".join(sources[name]) + "\n```"]  # fmt: skip


def limits(law: Law) -> list[str]:
    """Return what the law leaves out: encoders that skip it, sizes and kinds of data that it does not try."""
    lines = [f"- Other encoders: it requires {requirement(one)}" for one in law.requires]
    lines += [f"- Sets of fewer than {law.min_size} elements."] if law.min_size > 1 else []
    lines += [f"- Sets of more than {law.max_size:,} elements."] if law.explore is None and not law.fixed else []
    left_out = [KINDS[kind] for kind in ALL_KINDS if kind not in law.kinds]
    lines += [f"- Data of these kinds: {', '.join(map(str, left_out))}."] if left_out else []
    if law.measures:
        lines.append("- Right and wrong: it reports a measurement and never fails.")
    if law.classes:
        sorts = f"it sorts encoders into “{law.classes[0]}” and “{law.classes[1]}”"
        lines.append(f"- Right and wrong, unless the encoder claims the law: {sorts}.")
    return ["\n".join(lines)]


def requirement(function: object) -> str:
    """Return the docstring of a requirement as a phrase: `a streaming encoder.`"""
    text = (getattr(function, "__doc__", None) or "").partition("\n")[0]
    return text.removeprefix("Require ")


def caught(law: str) -> list[str]:
    """Return the table of controls that the law catches."""
    rows = [f"| {name} | {defect} | {tries} |" for name, defect, tries, _ in controls(law)]
    if not rows:
        return []
    head = ["| control | defect | sets tried until it is found (median) |", "|---|---|--:|"]
    return [
        "## Which controls it catches",
        "Deliberately wrong encoders ([all of them](../controls.md)).",
        "\n".join(head + rows),
    ]


def law_pages() -> dict[str, str]:
    """Return the pages of the laws by their path in docs/, the index among them."""
    laws = [get_law(law) for law in all_laws()]
    return {"laws.md": law_index(laws), **{f"laws/{law.id}.md": law_page(law) for law in laws}}
