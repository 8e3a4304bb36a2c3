"""Laws: statements about an encoder that random search tries to falsify."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mbcbench.verify.example import LANES, Case, Drawn
from mbcbench.verify.subject import Subject
from mbcbench.verify.tolerance import Evidence

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


def encodes_sets(subject: Subject) -> str | None:
    """The law speaks of one encoding per set."""
    return "it is a set-to-set layer: one output per element" if subject.layer else None


def maps_elements(subject: Subject) -> str | None:
    """The law speaks of set-to-set layers."""
    return None if subject.layer else "it encodes sets: no output per element"


def has_slots(subject: Subject) -> str | None:
    """The law speaks of slots: a field `slots` (`B x K x h`) of the state."""
    if not subject.streaming:
        return streams(subject)
    start = subject.start(1)
    named = "slots" in start if isinstance(start, dict) else hasattr(start, "slots")
    return None if named else "its state has no field `slots`"


def has_reference(subject: Subject) -> str | None:
    """The law compares with an independent implementation."""
    return None if subject.reference is not None else "no reference implementation is given"


def has_parameters(subject: Subject) -> str | None:
    """The law speaks of trainable parameters."""
    return None if subject.parameters else "it has no trainable parameters"


@dataclass(frozen=True, kw_only=True)
class Law:
    """A falsifiable statement about an encoder.

    check: called with the subject and a drawn case, gives the evidence; the first line of its docstring is the
    statement. requires: what the law needs, each giving the reason where the encoder lacks it.
    side_by_side: whether the sets of a batch are independent examples of it. lanes: the kinds of data it is tried on.
    min_size, max_size: the sets tried. fixed: the cases to try, where they are not drawn. share: the part of the
    examples it is worth (dear laws are tried on fewer). explore: a search of the law's own, called with the trial, the
    subjects, the number of examples, the seed, and whether to shrink.
    classes: for a law that classifies, the words for an encoder that keeps it and for one that does not; only an
    encoder that claims it can then fail. reports: for a law that only measures.
    """

    id: str
    check: Callable[[Subject, Drawn], Evidence]
    requires: tuple[Requirement, ...] = ()
    side_by_side: bool = True
    lanes: tuple[int, ...] = LANES
    min_size: int = 1
    max_size: int = 513
    fixed: tuple[Case, ...] = ()
    share: float = 1.0
    explore: Callable[..., Any] | None = None
    classes: tuple[str, str] | None = None
    reports: bool = False

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
