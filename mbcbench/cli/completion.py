"""Completion of registered names in a shell. No plug-in is imported."""

from collections.abc import Callable, Iterator

Completion = Callable[[str], Iterator[tuple[str, str]]]


def complete_names(*kinds: str, as_list: bool = False) -> Completion:
    """Return a function that yields the registered names that begin with a word, each with its summary.

    Parameters
    ----------
    kinds
        Kinds of plug-ins, such as "encoders".
    as_list
        True if the word may be a comma-separated list, of which the last name is completed.
    """

    def complete(incomplete: str) -> Iterator[tuple[str, str]]:
        from mbcbench import registry

        before, comma, word = incomplete.rpartition(",") if as_list else ("", "", incomplete)
        for kind in kinds:
            for plugin in registry.plugins(f"mbcbench.{kind}").values():
                if plugin.name.startswith(word):
                    yield f"{before}{comma}{plugin.name}", plugin.summary

    return complete
