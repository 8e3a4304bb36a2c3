"""Check an encoder in this very process: `mbcbench.check`, and what it shares with pytest.

Unlike the command line, nothing here is guarded against an encoder that hangs or kills the process.
"""

import sys
import time
import zlib
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import hypothesis
from torch import nn

from mbcbench import registry
from mbcbench.errors import BrokenPluginError, UsageError, one_line
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.protocol.target import as_spec, element_width, resolve
from mbcbench.records.cell import Cell
from mbcbench.records.record import Record, Status
from mbcbench.verify.examine import Effort, Examination, record
from mbcbench.verify.law import Law
from mbcbench.verify.reference import with_reference
from mbcbench.verify.xfails import ExpectedFailures, expected, expecting

if TYPE_CHECKING:
    from mbcbench.verify.checked import Checked

EXAMPLES = 400
SETS_PER_EXAMPLE = 4  # a Hypothesis profile's max_examples is meant for slower tests


class LawBrokenError(AssertionError):
    """An encoder breaks a law; the message is the card of the counterexample."""


class UnexpectedPassError(AssertionError):
    """An encoder is said to break a law, and no counterexample was found."""


class EncoderRaisedError(AssertionError):
    """An encoder raised on an input that the law allows."""


class Bench:
    """An encoder, examined once and asked for many laws.

    target: a target string, or what one may point to. dim_in: the width of elements, by default any that fits.
    expected_failures: reasons by `law-id`, or `TARGET::law-id`. reference: see `verify.reference.with_reference`.

    Raises UsageError when the target is no encoder, BrokenPluginError when importing it fails.
    """

    def __init__(
        self,
        target: object,
        *,
        dim_in: int | None = None,
        seed: int = 0,
        expected_failures: Mapping[str, str] | None = None,
        reference: object = None,
    ) -> None:
        self.target = target
        self.name, self.live = name_of(target), not isinstance(target, str) and address(target) is None
        spec = resolve(target) if isinstance(target, str) else as_spec(target, self.name)
        self.dim_in = dim_in or element_width(spec)
        self.seed = seed
        spec = expecting(spec, expected_failures or {}, self.name)
        self.spec = spec if reference is None else with_reference(spec, reference, dim_in=self.dim_in)

    @cached_property
    def examination(self) -> Examination:
        """The encoder built, and validated on a small batch; raises UsageError or BrokenPluginError."""
        return Examination(self.spec, dim_in=self.dim_in, seed=self.seed)

    def judge(self, law_id: str, effort: Effort) -> Record:
        """Try to falsify a law; an encoder that cannot be built, or raises, is a record too."""
        began = time.perf_counter()
        law: Law = registry.plugin(registry.LAWS, law_id).load()
        params = {"examples": effort.examples, "seconds": effort.seconds}
        cell = Cell(suite="laws", case=law_id, encoder=self.name, params=params, seed=self.seed, dtype="float64")
        try:
            verdict = self.examination.verdict(law, effort)
        except (UsageError, BrokenPluginError) as error:
            return cell.record(Status.ERROR, message=str(error), detail={"law": law_id})
        except Exception as error:
            return cell.record(Status.ERROR, message=one_line(error), detail={"law": law_id})
        return record(cell, law, verdict, dim_in=self.dim_in, seconds=time.perf_counter() - began, live=self.live)


def check(
    target: object,
    *,
    laws: Collection[str] | None = None,
    examples: int = EXAMPLES,
    seconds: float = 20.0,
    seed: int = 0,
    dim_in: int | None = None,
    expected_failures: ExpectedFailures = None,
    reference: object = None,
) -> "Checked":
    """Try to falsify the laws on one encoder, in this process.

    target: a target string, an EncoderSpec, a module class or factory (called with the element width), or a module.
    laws: ids, by default all. examples: sets a law is tried on. seconds: after which a law draws no new ones.
    dim_in: the width of elements. expected_failures: law id -> reason, where the encoder is known to break one,
    or a file of them (see `mbcbench.verify.xfails.read_xfails`). reference: an independent implementation for the law
    reference.equal (see `mbcbench.verify.reference.with_reference`).

    Gives a frame, one row a law, that shows itself well in a notebook; its `ok` says whether all is as claimed.
    Raises UsageError for what cannot be used, BrokenPluginError when the encoder cannot be imported or built.
    """
    from mbcbench.verify.checked import checked

    if examples < 1:
        raise UsageError(f"examples={examples}: give at least 1")
    entries = expected(expected_failures, [name_of(target)])
    bench = Bench(target, dim_in=dim_in, seed=seed, expected_failures=entries, reference=reference)
    bench.examination  # noqa: B018 # what is wrong with the encoder itself is raised, not repeated per law
    effort = Effort(examples, seconds)
    return checked(bench.judge(law, effort) for law in law_ids(laws))


def law_ids(wanted: Collection[str] | None) -> Sequence[str]:
    """The ids asked for, or all. Raises UsageError for one that no law has."""
    if wanted is None:
        return list(registry.plugins(registry.LAWS))
    if isinstance(wanted, str):
        raise UsageError(f"laws={wanted!r}: give a list of ids, as in laws=[{wanted!r}]")
    for law in wanted:
        registry.plugin(registry.LAWS, law)
    return list(wanted)


def raise_unless_as_claimed(found: Record) -> None:
    """Turn a record that is not as claimed into an AssertionError: a broken law, even an expected one, an unexpected
    pass, or an encoder that raised."""
    __tracebackhide__ = True
    if found.status in (Status.FAIL, Status.XFAIL):
        raise LawBrokenError(explained(found))
    if found.status is Status.XPASS:
        raise UnexpectedPassError(f"{found.case} holds for {found.encoder}: {found.message}")
    if found.status is Status.ERROR:
        raise EncoderRaisedError(explained(found))


def explained(found: Record) -> str:
    """A failure for a reader: the card of the counterexample, and how to see it again."""
    if "card" not in found.detail:
        return f"{found.case} cannot be checked on {found.encoder}: {found.message}"
    said = f"  says      {found.message}\n" if found.message and found.status is not Status.ERROR else ""
    return f"{found.detail['card']}\n{said}\nReproduce it with\n\n{_indented(found.detail['reproduce'])}"


def summary(found: Record) -> str:
    """What became of a law, in a line."""
    numbers = "" if found.value is None else f"gap {found.value:.3g}, bound {found.detail['bound']:.3g}, "
    said = f"; {found.message}" if found.message else ""
    return f"{found.status} ({numbers}{found.detail.get('examples', 0)} examples){said}"


def from_hypothesis(examples: int | None = None) -> Effort:
    """The effort that the active Hypothesis profile asks for: its `max_examples`, and its example database."""
    profile = hypothesis.settings()
    return Effort(examples or SETS_PER_EXAMPLE * profile.max_examples, database=profile.database)


def seed_from_hypothesis() -> int:
    """The seed of `--hypothesis-seed`, or 0."""
    given: object = hypothesis.core.global_force_seed
    if given is None:
        return 0
    return given % 2**32 if isinstance(given, int) else zlib.crc32(str(given).encode())


def name_of(target: Any) -> str:
    """A stable name for a target: its address where it has one, else the name of its spec or class."""
    found = target if isinstance(target, str) else address(target)
    if found is not None:
        return found
    if isinstance(target, EncoderSpec):
        return target.name
    underlying = target
    while hasattr(underlying, "func"):  # functools.partial
        underlying = underlying.func
    return str(getattr(underlying, "__name__", type(underlying).__name__))


def address(target: Any) -> str | None:
    """The target string that leads to a live object, or None where there is none."""
    if isinstance(target, EncoderSpec):
        return target.name if _registered(target) else None
    if isinstance(target, nn.Module) or not hasattr(target, "__qualname__"):
        return None
    home, name = target.__module__, target.__qualname__
    known = home != "__main__" and getattr(sys.modules.get(home), name, None) is target
    return f"{home}:{name}" if known else None


def _registered(spec: EncoderSpec) -> bool:
    found = registry.plugins(registry.ENCODERS).get(spec.name)
    home = sys.modules.get(found.module) if found is not None else None
    return home is not None and found is not None and getattr(home, found.attribute, None) is spec


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.rstrip().splitlines())
