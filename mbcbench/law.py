"""Laws: statements about an encoder that random search tries to falsify."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from mbcbench.cases import Drawn
from mbcbench.subject import Subject
from mbcbench.tolerance import Evidence

Requirement = Callable[[Subject], str | None]


def streams(subject: Subject) -> str | None:
    """The law speaks of streams."""
    return None if subject.streaming else "it does not stream: no init_state, update and readout"


def merges(subject: Subject) -> str | None:
    """The law speaks of merging streams."""
    return streams(subject) or (None if subject.merges else "it has no merge")


def masks(subject: Subject) -> str | None:
    """The law speaks of masked elements."""
    return None if subject.masks else "it takes no mask"


@dataclass(frozen=True, kw_only=True)
class Law:
    """A falsifiable statement about an encoder.

    check: called with the subject and a drawn case, gives the evidence; the first line of its docstring is the
    statement. requires: what the law needs, each giving the reason where the encoder lacks it. share: the part of the
    examples it is worth (cheap laws on few data, dear ones on fewer). side_by_side: whether the sets of a batch are
    independent examples of it. max_size: the largest set tried.
    """

    id: str
    check: Callable[[Subject, Drawn], Evidence]
    requires: tuple[Requirement, ...] = ()
    share: float = 1.0
    side_by_side: bool = True
    max_size: int = 513

    @property
    def statement(self) -> str:
        """The law in words."""
        return self.page.partition("\n")[0]

    @property
    def page(self) -> str:
        """Statement, source, why it matters, how to fix a failure."""
        return inspect.getdoc(self.check) or ""

    @property
    def speaks_of_streams(self) -> bool:
        """Whether a plain module is asked as a pair (f, g)."""
        return streams in self.requires or merges in self.requires

    def missing(self, subject: Subject) -> str | None:
        """Why the law does not apply to `subject`, or None."""
        return next((reason for need in self.requires if (reason := need(subject))), None)
