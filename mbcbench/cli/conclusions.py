"""Conclusions about an encoder from the records of a check, as sentences."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from mbcbench.errors import STREAMS_GUIDE, XFAILS_GUIDE

if TYPE_CHECKING:
    from mbcbench.records.record import Record
    from mbcbench.types import JsonObject

# The questions that most users have, and the law that answers each.
PARTITION = "mbc.partition"
QUESTIONS = (
    ("symmetry.permutation", "permutation invariant"),
    ("symmetry.padding", "safe with masks"),
    (PARTITION, "mini-batch consistent"),
)
ANSWERS = {
    "pass": "yes",
    "fail": "no",
    "xfail": "no, as expected",
    "xpass": "yes, though it is declared as broken",
    "undecided": "undecided",
}
DETERMINISM = "hygiene.determinism"
DEPENDENT = "not deterministic in eval mode"  # in the message of a failure that another law explains
DTYPE = "hygiene.dtype"
FLOAT32_ROUNDING = 1e-5  # a gap up to this, relative to the encoding, is explained by float32
# Most telling first: what makes other laws fail, then what a user asks for, then the rest.
FIRST = (DETERMINISM, DTYPE, *(law for law, _ in QUESTIONS))


def conclusions(records: "Iterable[Record]") -> list[str]:
    """Return a sentence for each question whose law was checked."""
    by_law = {record.case: record for record in records}
    return [f"{question}: {_answer(by_law[law])}" for law, question in QUESTIONS if law in by_law]


def _answer(record: "Record") -> str:
    status = str(record.status)
    answer = ANSWERS.get(status, "not known")
    reason = _of_aggregations(record) if record.detail.get("pairs") else record.message
    if status == "xpass":
        reason = ""
    elif status == "pass" and record.case == PARTITION and not reason:
        reason = "as a stream"
    return f"{answer}; {reason}" if reason else answer


def _of_aggregations(record: "Record") -> str:
    """Return which aggregations of chunk encodings give the encoding of the set."""
    pairs: Mapping[str, JsonObject] = record.detail["pairs"]
    consistent = [g for g, pair in pairs.items() if pair["consistent"]]
    if consistent:
        return f"the {' and the '.join(consistent)} of chunk encodings is the encoding of the set"
    return f"none of the {', '.join(pairs)} of chunk encodings is the encoding of the set"


def advice(records: "Iterable[Record]") -> list[str]:
    """Return what a user can do next, where one line says it."""
    by_law = {record.case: record for record in records}
    partition = by_law.get(PARTITION)
    if partition is None or str(partition.status) != "fail" or not partition.detail.get("pairs"):
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
    """Return records with the most telling failure first."""
    order = {law: position for position, law in enumerate(FIRST)}
    return sorted(records, key=lambda record: order.get(record.case, len(order)))


def fold(records: "Sequence[Record]") -> "tuple[list[Record], dict[str, list[Record]]]":
    """Return the failures to show, and by cause those that another failure explains."""
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
        elif str(record.status) == "error" and errors.setdefault(record.message, record) is not record:
            cause = f"they end with the error of {errors[record.message].case}"
        if cause:
            folded.setdefault(cause, []).append(record)
        else:
            shown.append(record)
    return shown, folded


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
