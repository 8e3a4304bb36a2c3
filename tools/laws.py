"""The law book as a page: `python tools/laws.py > docs/laws.md`."""

from mbcbench import registry
from mbcbench.verify.law import Law

HEAD = """# The law book

Every law is a plain function that random search tries to falsify; the page of a law is its docstring
(`mbcbench describe law:ID`). The verdict is reached in float64 ([how](verdict.md)); what each law catches is measured
on deliberately wrong encoders ([controls](controls.md)), and how many examples that takes is in
[detection](detection.md). This page is made by `make docs`.
"""


def section(law: Law) -> str:
    """A law's page in Markdown."""
    statement, _, rest = law.page.partition("\n")
    return f"## `{law.id}`\n\n**{statement}**\n{rest}\n"


def main() -> None:
    laws: list[Law] = [plugin.load() for plugin in registry.plugins(registry.LAWS).values()]
    print(HEAD)
    print("\n".join(section(law) for law in laws).rstrip())


if __name__ == "__main__":
    main()
