"""Conclusions about an encoder from the records of a check, as sentences."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mbcbench.errors import STREAMS_GUIDE, XFAILS_GUIDE

if TYPE_CHECKING:
    from mbcbench.records.record import Record
    from mbcbench.types import JsonObject

PARTITION = "mbc.partition"
SIZE, FLOAT32 = "symmetry.size", "numerics.float32"
# In the note of its counterexample, the parts of the law of sizes that are broken.
OTHER_ORDER, REPEATED = "in another order", "repeated"
MASKED = "with masked elements"  # in the note of a law about float32 that breaks where a mask is used


class Question(NamedTuple):
    """A question that most users have, the law that answers it, and the laws that limit a yes.

    limits: the answer if another law is broken, by law, the most severe first.
    """

    name: str
    law: str
    limits: Mapping[str, str]


QUESTIONS = (
    Question("permutation invariant", "symmetry.permutation", {SIZE: "known for small sets only"}),
    Question(
        "safe with masks",
        "symmetry.padding",
        {"mbc.mask": "for whole sets only, not in streams", FLOAT32: "for moderate weights only in float32"},
    ),
    Question(
        "mini-batch consistent",
        PARTITION,
        {
            "mbc.fork": "no; a state cannot be continued twice",
            "mbc.resume": "no; a state that is saved cannot be continued",
            "mbc.order": "for chunks in one order only",
            "mbc.merge": "without merge only",
            "mbc.program": "no; not after every sequence of operations",
            "mbc.large": "for small sets only",
            "numerics.scale": "for data of ordinary scale only",
            "mbc.train": "in eval mode only",
            "mbc.distributed": "in one process only",
            "mbc.gradient": "in value, but not in gradient",
            "mbc.partial_gradient": "in value, but not in the gradient of single chunks",
            "mbc.empty": "yes, except for empty chunks or sets",
            "mbc.memory": "yes, but the state grows with the set",
        },
    ),
)
ANSWERS = {
    "pass": "yes",
    "fail": "no",
    "xfail": "no, as expected",
    "xpass": "yes, though it is declared as broken",
    "undecided": "undecided",
}
HOLDS, FAILS = ("pass", "xpass"), ("fail", "xfail")
# Laws that compare a set in chunks with the set in one piece, and so are broken wherever PARTITION is.
BUILT_ON_PARTITION = (
    "mbc.empty",
    "mbc.gradient",
    "mbc.large",
    "mbc.partial_gradient",
    "mbc.program",
    "mbc.train",
    "numerics.scale",
)
DETERMINISM = "hygiene.determinism"
DEPENDENT = "not deterministic in eval mode"  # in the message of a failure that another law explains
DTYPE = "hygiene.dtype"
FLOAT32_ROUNDING = 1e-5  # a gap up to this, relative to the encoding, is explained by float32
# Most informative first: laws whose failure makes others fail, then those behind the questions, then the rest.
FIRST = (DETERMINISM, DTYPE, *(question.law for question in QUESTIONS))


def conclusions(records: "Iterable[Record]") -> list[str]:
    """Return a sentence for each question whose law was checked."""
    by_law = {record.case: record for record in records}
    return [f"{question.name}: {_answer(question, by_law)}" for question in QUESTIONS if question.law in by_law]


def _answer(question: Question, by_law: "Mapping[str, Record]") -> str:
    record = by_law[question.law]
    if _is_random(record, by_law.get(DETERMINISM)):
        return f"not known; not deterministic ({DETERMINISM})"
    if str(record.status) in HOLDS:
        return _limited(question, by_law) or f"{_own_answer(record)}{_unknown(question, by_law)}"
    return _own_answer(record)


def _is_random(record: "Record", determinism: "Record | None") -> bool:
    """Return True if a record is inconclusive because the encoder is not deterministic."""
    if str(record.status) in HOLDS:
        return determinism is not None and str(determinism.status) in FAILS
    return str(record.status) == "fail" and DEPENDENT in record.message


def _limited(question: Question, by_law: "Mapping[str, Record]") -> str:
    """Return the limits of a yes with the laws that set them, or an empty string if there are none.

    Of the unexpected failures, the most severe one gives the limit; then of the expected ones.
    """
    others = [by_law[law] for law in question.limits if law in by_law]
    broken = [record for record in others if str(record.status) in FAILS and _is_limit(record)]
    clauses = []
    for expected in (False, True):
        records = [record for record in broken if (str(record.status) == "xfail") is expected]
        if records:
            laws = ", ".join(record.case for record in records)
            clauses.append(f"{question.limits[records[0].case]} (broken{', as expected' if expected else ''}: {laws})")
    return "; ".join(clauses)


def _is_limit(record: "Record") -> bool:
    """Return False for a broken law if its note says that another part of it is broken than that of the question."""
    note = str((record.detail.get("counterexample") or {}).get("note", ""))
    if record.case == FLOAT32:
        return MASKED in note
    return record.case != SIZE or REPEATED not in note or OTHER_ORDER in note


def _unknown(question: Question, by_law: "Mapping[str, Record]") -> str:
    """Return a clause with the limiting laws that were tried without a result."""
    others = [by_law[law] for law in question.limits if law in by_law]
    unknown = [record for record in others if str(record.status) not in (*HOLDS, *FAILS, "skip")]
    laws = ", ".join(f"{record.case} ({record.status})" for record in unknown)
    return f"; not known: {laws}" if laws else ""


def _own_answer(record: "Record") -> str:
    """Return the answer of one law, without regard to the others."""
    status = str(record.status)
    answer = ANSWERS.get(status, "not known")
    reason = _of_aggregations(record) if record.detail.get("pairs") else record.message
    if status == "xpass":
        reason = ""
    elif status == "pass" and record.case == PARTITION and not reason:
        reason = "as a stream"
    return f"{answer}; {reason}" if reason else answer


def _of_aggregations(record: "Record") -> str:
    """Return the aggregations of chunk encodings that give the encoding of the set, in words."""
    pairs: Mapping[str, JsonObject] = record.detail["pairs"]
    *others, last = [g for g, pair in pairs.items() if pair["consistent"]] or [""]
    if not last:
        return f"none of the {', '.join(pairs)} of chunk encodings is the encoding of the set"
    return f"with g = {', '.join(others)} or {last}" if others else f"with g = {last}"


def advice(records: "Iterable[Record]") -> list[str]:
    """Return advice for a plain module that is not mini-batch consistent; nothing for other encoders."""
    by_law = {record.case: record for record in records}
    partition = by_law.get(PARTITION)
    if partition is None or str(partition.status) != "fail" or not partition.detail.get("pairs"):
        return []
    if _is_random(partition, by_law.get(DETERMINISM)):
        return []
    is_registered = ":" not in partition.encoder
    declaration = (
        f"add breaks={{{PARTITION!r}: 'reason'}} to its EncoderSpec"
        if is_registered
        else f"write the line `{PARTITION}: reason` into a file, and add --xfails-file FILE"
    )
    return [
        f"To make it consistent, rewrite it as a stream with init_state, update and readout ({STREAMS_GUIDE}).",
        f"If it is not meant to be, {declaration} ({XFAILS_GUIDE}).",
    ]


def by_importance(records: "Iterable[Record]") -> "list[Record]":
    """Return the records sorted by law, the most informative first."""
    order = {law: position for position, law in enumerate(FIRST)}
    return sorted(records, key=lambda record: order.get(record.case, len(order)))


def fold(records: "Sequence[Record]") -> "tuple[list[Record], dict[str, list[Record]]]":
    """Return the records to show, and the failures that another failure explains, by cause.

    If a broken PARTITION explains them, the cause is its id.
    """
    failed = {record.case for record in records if str(record.status) == "fail"}
    shown: list[Record] = []
    folded: dict[str, list[Record]] = {}
    errors: dict[str, Record] = {}
    for record in by_importance(records):
        cause = ""
        if DETERMINISM in failed - {record.case} and DEPENDENT in record.message:
            cause = "an encoder that is not deterministic breaks them too"
        elif DTYPE in failed - {record.case} and _is_float32_rounding(record):
            cause = f"an encoder that rounds to float32 ({DTYPE}) breaks them too"
        elif record.case in BUILT_ON_PARTITION and str(record.status) == "fail" and _breaks_partition(shown):
            cause = PARTITION
        elif str(record.status) == "error" and errors.setdefault(record.message, record) is not record:
            cause = f"they end with the error of {errors[record.message].case}"
        if cause:
            folded.setdefault(cause, []).append(record)
        else:
            shown.append(record)
    return shown, folded


def _breaks_partition(records: "Iterable[Record]") -> bool:
    return any(record.case == PARTITION and str(record.status) == "fail" for record in records)


def _is_float32_rounding(record: "Record") -> bool:
    scale = record.detail.get("scale") or 1.0  # not in records of earlier versions
    return str(record.status) == "fail" and record.value is not None and record.value <= FLOAT32_ROUNDING * scale


def common_error(records: "Sequence[Record]") -> str | None:
    """Return the message if all laws broke for one reason, for example an import that fails, else None."""
    from mbcbench.records.record import NOT_RUN

    messages = {record.message for record in records}
    is_broken = all(str(record.status) in ("error", "crash", "oom", "timeout") for record in records)
    if len(messages) != 1 or not is_broken:
        return None
    message = messages.pop()
    return message if len(records) > 1 or message.startswith(NOT_RUN) else None
