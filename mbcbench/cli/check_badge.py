"""Badge of `mbcbench check --badge`: an SVG with the number of laws that hold."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree

from mbcbench.errors import plural
from mbcbench.records.record import BROKEN, Status

if TYPE_CHECKING:
    from mbcbench.records.record import Record

LABEL = "mbcbench"
LABEL_COLOUR = "#424242"
GOOD, MIXED, BAD, NEUTRAL = "#2e7d32", "#8a6d00", "#c62828", "#757575"  # white text on each has a contrast above 4.5
PADDING, HEIGHT = 6, 20  # pixels
NARROW, WIDE = frozenset("fijlrt ,"), frozenset("mw")
FONT = "Verdana,DejaVu Sans,Geneva,sans-serif"


class Group(NamedTuple):
    """Outcomes of laws that a badge counts together."""

    words: str
    statuses: frozenset[Status]
    colour: str


# The most severe first: with several encoders, the most severe outcome of a law counts.
GROUPS = (
    Group("broken", frozenset({Status.FAIL}), BAD),
    Group("not checked", BROKEN, BAD),
    Group("wrongly declared broken", frozenset({Status.XPASS}), BAD),
    Group("undecided", frozenset({Status.UNDECIDED}), MIXED),
    Group("known to be broken", frozenset({Status.XFAIL}), MIXED),
    Group("kept", frozenset({Status.PASS}), GOOD),
)


def write_badge(path: Path, records: "Sequence[Record]", *, interrupted: bool) -> None:
    """Write the badge of a check."""
    message, colour = ("check interrupted", NEUTRAL) if interrupted else summarise(records)
    encoders = list(dict.fromkeys(record.encoder for record in records))
    title = f"{LABEL}: {message}" + (f" ({', '.join(encoders)})" if encoders else "")
    path.write_bytes(ElementTree.tostring(draw(message, colour, title), encoding="utf-8"))


def summarise(records: "Iterable[Record]") -> tuple[str, str]:
    """Return the message and the colour of a badge. If a law is not as claimed, only such laws count."""
    by_law: dict[str, set[Status]] = {}
    for record in records:
        by_law.setdefault(record.case, set()).add(record.status)
    worst = (next((group for group in GROUPS if group.statuses & statuses), None) for statuses in by_law.values())
    counts = Counter(group for group in worst if group is not None)
    bad = [group for group in GROUPS if counts[group] and group.colour == BAD]
    shown = bad or [group for group in reversed(GROUPS) if counts[group]]
    if not shown:
        return "no law applies", NEUTRAL
    first = f"{plural(counts[shown[0]], 'law')} {shown[0].words}"
    return ", ".join([first, *(f"{counts[group]} {group.words}" for group in shown[1:])]), shown[-1].colour


def draw(message: str, colour: str, title: str) -> ElementTree.Element:
    """Return the badge as SVG: the name of the program on the left, the message on the right."""
    title = "".join(character for character in title if character.isprintable())
    widths = [_text_width(text) + 2 * PADDING for text in (LABEL, message)]
    size = {"width": str(sum(widths)), "height": str(HEIGHT)}
    svg = ElementTree.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **size, "role": "img"})
    svg.set("aria-label", title)
    ElementTree.SubElement(svg, "title").text = title
    _add_part(svg, LABEL, LABEL_COLOUR, 0, widths[0])
    _add_part(svg, message, colour, widths[0], widths[1])
    return svg


def _text_width(text: str) -> int:
    """Return the approximate width of a text in Verdana of 11 pixels; `textLength` makes other fonts fit."""
    return round(sum(4 if letter in NARROW else 10.3 if letter in WIDE else 6.8 for letter in text))


def _add_part(svg: ElementTree.Element, text: str, colour: str, x: int, width: int) -> None:
    box = {"x": str(x), "width": str(width), "height": str(HEIGHT), "fill": colour}
    ElementTree.SubElement(svg, "rect", box)
    place = {"x": str(x + PADDING), "y": "14", "textLength": str(width - 2 * PADDING)}
    style = {"fill": "#fff", "font-family": FONT, "font-size": "11"}
    ElementTree.SubElement(svg, "text", {**place, **style}).text = text
