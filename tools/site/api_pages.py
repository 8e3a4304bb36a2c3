"""The API reference: a page per topic, with the public names of `mbcbench` and of the public sub-modules."""

import ast
from pathlib import Path

from pages import Nav

ROOT = Path(__file__).parents[2]
STUB = ROOT / "mbcbench" / "__init__.pyi"
# Topics of the facade, by the module in which a name is defined; the first prefix that fits decides.
TOPICS = {
    "Check": ("verify.check", "verify.parametrize", "verify.counterexample"),
    "Encode": ("api.encode",),
    "Run and compare": ("api.", "execution.consume", "records.store"),
    "Encoders": ("protocol.",),
    "Write a law": ("verify.law", "verify.subject", "verify.example", "verify.tolerance"),
    "Write a suite": ("execution.suite", "records."),
    "Write a report": ("reporting",),
    "Registry and errors": ("registry", "errors"),
}
MODULES = {
    "mbcbench.adapters": "encoders of other conventions",
    "mbcbench.streaming": "sets larger than memory, and many sets",
    "mbcbench.distributed": "one set over several processes",
    "mbcbench.verify.strategies": "Hypothesis strategies",
    "mbcbench.verify.law": "requirements of laws",
    "mbcbench.verify.observed_subject": "which part of a state breaks a law",
    "mbcbench.verify.culprit": "which submodule breaks a law",
}
# Of a module: its title is that of the page, and a class that the facade has is on another page.
OPTIONS = "    options:\n      show_root_heading: false\n      filters: ['!^_', '!^Law$']\n"


def facade() -> dict[str, str]:
    """Return the module of each name of the facade."""
    imports = [node for node in ast.parse(STUB.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)]
    names = {alias.name: node.module for node in imports if node.module for alias in node.names}
    return {name: module for name, module in names.items() if f"mbcbench.{module}.{name}" not in MODULES}


def topic(module: str) -> str:
    """Return the topic of a module."""
    return next(name for name, prefixes in TOPICS.items() if module.startswith(prefixes))


def file_of(name: str) -> str:
    """Return the path of the page of a topic or a module."""
    return f"api/{name.lower().replace(' ', '-')}.md"


def api_nav() -> Nav:
    """Return the pages of the reference."""
    return [*map(file_of, TOPICS), {"Modules": [file_of(module) for module in MODULES]}]


def api_pages() -> dict[str, str]:
    """Return the pages of the reference by their path in docs/."""
    names = facade()
    by_topic: dict[str, list[str]] = {name: [] for name in TOPICS}
    for name, module in names.items():
        by_topic[topic(module)].append(f"::: mbcbench.{module}.{name}")
    pages = {file_of(name): f"# {name}\n\n" + "\n\n".join(blocks) + "\n" for name, blocks in by_topic.items()}
    for module in MODULES:
        pages[file_of(module)] = f"# `{module}`\n\n::: {module}\n{OPTIONS}"
    return {"api.md": overview(names), **pages}


def overview(names: dict[str, str]) -> str:
    """Return the page that lists all names."""
    lines = [
        "# API reference",
        "",
        "Import these names from `mbcbench` itself. [What is stable](extending.md#what-is-stable)",
    ]
    lines += ["says which of them may change.", "", "| name | topic |", "|---|---|"]
    for name, module in sorted(names.items(), key=lambda item: item[0].lower()):
        page = file_of(topic(module))
        lines.append(f"| [`{name}`]({page}#mbcbench.{module}.{name}) | {topic(module)} |")
    lines += ["", "Public sub-modules:", ""]
    lines += [f"- [`{module}`]({file_of(module)}): {words}" for module, words in MODULES.items()]
    return "\n".join(lines) + "\n"
