"""The badge of a check: what it counts, its colour, and that no name can break its markup."""

from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mbcbench.cli.check_badge import BAD, GOOD, MIXED, NEUTRAL, summarise, write_badge
from mbcbench.cli.main import main
from mbcbench.records.record import Record, Status
from tests.cli.helpers import HONEST

SVG = "{http://www.w3.org/2000/svg}"


def of(statuses: str, encoder: str = "Encoder") -> list[Record]:
    """Return a record for each status, of laws that are numbered."""
    return [
        Record(suite="laws", case=f"law.{number}", encoder=encoder, status=Status(status))
        for number, status in enumerate(statuses.split())
    ]


def drawn(path: Path, records: list[Record], *, interrupted: bool = False) -> ElementTree.Element:
    write_badge(path, records, interrupted=interrupted)
    return ElementTree.parse(path).getroot()


def texts(badge: ElementTree.Element) -> Iterable[str]:
    return [element.text or "" for element in badge.iter(f"{SVG}text")]


@pytest.mark.parametrize(
    ("statuses", "message", "colour"),
    [
        ("pass pass", "2 laws kept", GOOD),
        ("pass skip ok", "1 law kept", GOOD),
        ("pass pass xfail", "2 laws kept, 1 known to be broken", MIXED),
        ("pass undecided", "1 law kept, 1 undecided", MIXED),
        ("pass fail fail", "2 laws broken", BAD),
        ("pass fail xfail crash oom", "1 law broken, 2 not checked", BAD),
        ("error timeout", "2 laws not checked", BAD),
        ("pass xpass", "1 law wrongly declared broken", BAD),
        ("skip ok", "no law applies", NEUTRAL),
        ("", "no law applies", NEUTRAL),
    ],
)
def test_a_badge_counts_what_decides_the_outcome(statuses: str, message: str, colour: str) -> None:
    assert summarise(of(statuses)) == (message, colour)


def test_the_worst_outcome_of_a_law_counts_for_several_encoders() -> None:
    assert summarise([*of("pass pass pass", "a"), *of("pass skip fail", "b")]) == ("1 law broken", BAD)
    assert summarise([*of("pass pass pass", "a"), *of("pass skip pass", "b")]) == ("3 laws kept", GOOD)


def test_a_badge_has_a_title_and_its_message_on_its_colour(tmp_path: Path) -> None:
    badge = drawn(tmp_path / "badge.svg", of("pass pass"))
    assert texts(badge) == ["mbcbench", "2 laws kept"]
    assert [element.attrib["fill"] for element in badge.iter(f"{SVG}rect")][-1] == GOOD
    assert badge.attrib["role"] == "img"
    assert badge.findtext(f"{SVG}title") == badge.attrib["aria-label"] == "mbcbench: 2 laws kept (Encoder)"


def test_the_parts_of_a_badge_fill_its_width_and_their_texts_lie_inside(tmp_path: Path) -> None:
    badge = drawn(tmp_path / "badge.svg", of("pass pass undecided xfail"))
    parts = list(zip(badge.iter(f"{SVG}rect"), badge.iter(f"{SVG}text"), strict=True))
    assert sum(float(box.attrib["width"]) for box, _ in parts) == float(badge.attrib["width"])
    for box, text in parts:
        left, width = float(box.attrib["x"]), float(box.attrib["width"])
        assert left < float(text.attrib["x"])
        assert float(text.attrib["x"]) + float(text.attrib["textLength"]) < left + width


def test_a_badge_refers_to_nothing_outside(tmp_path: Path) -> None:
    drawn(tmp_path / "badge.svg", of("pass"))
    text = (tmp_path / "badge.svg").read_text()
    assert text.count("http") == text.count('xmlns="http') == 1
    assert "href" not in text
    assert "url(" not in text


@pytest.mark.parametrize(
    "name", ["</title><script>alert(1)</script>", 'a" onload="alert(1)', "a&b\x1b[31m\0", "\ud800"]
)
def test_the_name_of_an_encoder_stays_text(tmp_path: Path, name: str) -> None:
    badge = drawn(tmp_path / "badge.svg", of("pass", name))
    readable = "".join(character for character in name if character.isprintable())
    assert badge.findtext(f"{SVG}title") == f"mbcbench: 1 law kept ({readable})"
    assert {element.tag.removeprefix(SVG) for element in badge.iter()} == {"svg", "title", "rect", "text"}
    assert "onload" not in badge.attrib


def test_an_interrupted_check_has_a_badge_without_a_verdict(tmp_path: Path) -> None:
    badge = drawn(tmp_path / "badge.svg", of("pass pass"), interrupted=True)
    assert texts(badge) == ["mbcbench", "check interrupted"]


def test_check_writes_a_badge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "badge.svg"
    arguments = ["check", HONEST, "--law", "mbc.order", "--examples", "20", "--quiet", "--badge", str(path)]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0, capsys.readouterr()
    assert "1 law kept" in path.read_text()


def test_a_badge_that_cannot_be_written_is_refused_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["check", HONEST, "--badge", "nowhere/badge.svg"])
    assert ended.value.code == 3
    assert "cannot write nowhere/badge.svg" in capsys.readouterr().err
