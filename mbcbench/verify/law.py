"""Laws: statements about an encoder that random search tries to falsify."""

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mbcbench import registry
from mbcbench.adapters.advice import mask_advice
from mbcbench.errors import ADAPTERS_GUIDE, check_lists
from mbcbench.verify.culprit import Locate
from mbcbench.verify.example import ALL_KINDS, Example, ExampleData
from mbcbench.verify.subject import Subject, slots_of
from mbcbench.verify.tolerance import Comparison

if TYPE_CHECKING:
    from mbcbench.verify.law_run import LawRun, Observation

FIX_HEADING = "How to fix a failure:"  # starts a paragraph of a law's docstring
Requirement = Callable[[Subject], str | None]


def streams(subject: Subject) -> str | None:
    """Require a streaming encoder."""
    return None if subject.streaming else "it does not stream: no init_state, update and readout"


def merges(subject: Subject) -> str | None:
    """Require a streaming encoder with `merge`."""
    return streams(subject) or (None if subject.mergeable else "it has no merge")


def masks(subject: Subject) -> str | None:
    """Require an encoder that takes a mask."""
    return None if subject.takes_mask else f"it takes no argument `mask`{mask_advice(subject.module)}"


def masks_sets(subject: Subject) -> str | None:
    """Require an encoder that takes a mask, in a stream or for whole sets only."""
    if subject.masks_whole_sets and subject.element_axes and not subject.is_layer:
        return f"its output is {subject.output}, and not B x n x d{_select_elements(subject)}"
    return None if subject.masks_whole_sets else masks(subject)


def _select_elements(subject: Subject) -> str:
    """Return advice on how to bring the output of a layer into the layout `B x n x d`."""
    number, extra = subject.element_axes[0]
    first = "out" if number == 1 else f"out.transpose(1, {number})"
    rows = f"[:, {extra}:]" if extra else ""
    return f"; wrap it: mbcbench.adapters.select_output(module, lambda out: {first}{rows}) ({ADAPTERS_GUIDE})"


def encodes_sets(subject: Subject) -> str | None:
    """Require one encoding per set."""
    if subject.is_layer:
        return "it is a set-to-set layer: one output per element"
    return f"it is a set-to-set layer: its output is {subject.output}" if subject.element_axes else None


def maps_elements(subject: Subject) -> str | None:
    """Require a set-to-set layer."""
    return None if subject.element_axes else "it encodes sets: no output per element"


def has_slots(subject: Subject) -> str | None:
    """Require a state with a field `slots` (`B x K x h`)."""
    if not subject.streaming:
        return streams(subject)
    return "its state has no field `slots`" if slots_of(subject.init_state(1)) is None else None


def has_reference(subject: Subject) -> str | None:
    """Require an independent implementation to compare with."""
    return None if subject.reference is not None else "it has no reference to compare with (--reference)"


def admits_nonfinite(subject: Subject) -> str | None:
    """Require an encoder that admits NaN and infinity."""
    return None if subject.domain.admits_nonfinite else "it admits finite elements only, as it declares"


def reads_numbers(subject: Subject) -> str | None:
    """Require elements that can be scaled."""
    return "its elements are tokens, as it declares" if subject.domain.vocabulary else None


def ignores_order(subject: Subject) -> str | None:
    """Require an encoder that does not declare itself order-sensitive."""
    return "it reads the elements in order, as it declares" if subject.domain.order_sensitive else None


def has_parameters(subject: Subject) -> str | None:
    """Require trainable parameters."""
    return None if subject.parameters else "it has no trainable parameters"


class NotApplicable(Exception):  # noqa: N818 # not an error: a law says it of an example
    """Raised by a law that does not apply to an example. The message is the reason."""


class Explore(Protocol):
    """Search of one law, in place of the usual one."""

    def __call__(self, run: "LawRun", *, examples: int, seed: int, shrink: bool) -> "Observation | None":
        """Try about `examples` examples of the run; return a counterexample, or None."""


class Classes(NamedTuple):
    """The two classes into which a classifying law sorts encoders.

    Parameters
    ----------
    if_kept, if_broken
        Name of the class of encoders that keep the law, and of those that break it.
    """

    if_kept: str
    if_broken: str


@dataclass(frozen=True, kw_only=True)
class Law:
    """A falsifiable statement about an encoder.

    There are three sorts. An ordinary law fails for an encoder that breaks it. A law with `classes` sorts encoders into
    two classes, and only an encoder that declares the law, as claimed or broken, can fail it. A law with `measures`
    reports a number and never fails.

    Parameters
    ----------
    id
        Name of the law, `group.name`.
    check
        Function of the encoder under test and an example that returns the comparison, per set of the batch. The first
        line of its docstring is the statement, the rest says why it matters and how to fix a failure.
    requires
        Requirements, each of which returns the reason if the encoder does not meet it. The law is then skipped.
    batched
        True if each set of a batch is an example of its own; False if the law judges a batch as a whole.
    kinds
        Kinds of data to try, as indices into `mbcbench.verify.example.KINDS`.
    min_size, max_size
        Smallest and largest number of elements to try.
    first
        Examples to try before all others.
    then
        Examples to try after the smallest ones.
    fixed
        Examples to try instead of drawn ones.
    budget_fraction
        Fraction of the example budget; expensive laws get less.
    explore
        Search to use in place of the usual one.
    classes
        Names of the classes of a classifying law.
    measures
        True if the law only reports a measurement.
    conditioned
        True if only the condition of the encoding excuses a gap, but not rounding in the encoder's own steps.
    locate
        Function of the encoder and a counterexample that returns the part of the encoder that breaks the law, or an
        empty string if it is not known.
    """

    id: str
    check: Callable[[Subject, ExampleData], Comparison]
    requires: tuple[Requirement, ...] = ()
    batched: bool = True
    kinds: tuple[int, ...] = ALL_KINDS
    min_size: int = 1
    max_size: int = 513
    first: tuple[Example, ...] = ()
    then: tuple[Example, ...] = ()
    fixed: tuple[Example, ...] = ()
    budget_fraction: float = 1.0
    explore: Explore | None = None
    classes: Classes | None = None
    measures: bool = False
    conditioned: bool = False
    locate: Locate | None = None

    @property
    def page(self) -> str:
        """Statement, source, why the law matters and how to fix a failure."""
        return inspect.getdoc(self.check) or ""

    @property
    def statement(self) -> str:
        """The law in one sentence."""
        return self.page.partition("\n")[0]

    @property
    def fix(self) -> str:
        """Advice on how to fix a failure, from the docstring of the check; empty if it has none."""
        _, heading, text = self.page.partition(FIX_HEADING)
        words = text.partition("\n\n")[0].split()
        return " ".join(words) if heading else ""

    @property
    def needs_streaming(self) -> bool:
        """True if a plain module is tried through `ChunkAggregation`."""
        return streams in self.requires or merges in self.requires

    def unmet_requirement(self, subject: Subject) -> str | None:
        """Return the reason why the law does not apply to `subject`, or None."""
        reasons = (requirement(subject) for requirement in self.requires)
        return next((reason for reason in reasons if reason), None)

    def can_fail(self, claims: Mapping[str, str], breaks: Mapping[str, str]) -> bool:
        """Return True if an encoder with these claims and expected failures can fail the law."""
        if self.measures:
            return False
        return self.classes is None or self.id in claims or self.id in breaks

    def describe_outcome(self, *, holds: bool, note: str) -> str:
        """Return the class of an encoder, or the measurement, of a law that cannot fail."""
        if self.classes is None:
            return note
        return self.classes.if_kept if holds else self.classes.if_broken


def get_law(law_id: str) -> Law:
    """Import a law; raise UsageError with similar names if there is none with this id."""
    law: Law = registry.plugin(registry.LAWS, law_id).load()
    return law


def select_laws(law_ids: Collection[str] | None, skip: Collection[str] | None = None) -> list[str]:
    """Return the ids of all laws, or of those in `law_ids`, without those in `skip`.

    See `registry.select` for the patterns in both, and for slow laws, which must be named. Raises UsageError for an id
    that no law has, and if no law is left.
    """
    check_lists(laws=law_ids, skip_laws=skip)
    return registry.select(registry.LAWS, law_ids, skip)
