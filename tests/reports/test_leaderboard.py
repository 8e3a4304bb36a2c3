import io
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from mbcbench.records.record import Record, Status, frame
from mbcbench.reporting import Report


def printed(report: Report, table: pd.DataFrame, info: Mapping[str, Any], width: int, encoding: str = "utf-8") -> str:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    Console(file=out, width=width, force_terminal=False, legacy_windows=False).print(report.terminal(table, info))
    out.seek(0)
    return out.read()


def parts(table: pd.DataFrame, info: dict[str, Any]) -> list[tuple[pd.DataFrame, dict[str, Any]]]:
    """Return complete, partial, empty and undescribed runs."""
    partial = [(table[table["suite"] == suite], info) for suite in ("probe", "laws", "point-clouds", "resources")]
    partial += [(table[table["encoder"] == name], {}) for name in ("crashing", "hanging")]
    return [
        (table, info),
        *partial,
        (frame([]), info),
        (pd.DataFrame(), {}),
        (table[table["encoder"] == "leaky"], {"hardware": None}),
    ]


class Page(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def page(report: Report, records: pd.DataFrame, info: dict[str, Any]) -> str:
    return report.html(records, info)


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160])
def test_no_line_is_wider_than_the_terminal(
    report: Report, records: pd.DataFrame, info: dict[str, Any], width: int
) -> None:
    assert max(len(line) for line in printed(report, records, info, width).splitlines()) <= width


@pytest.mark.parametrize("width", [80, 100, 120])
def test_every_name_and_number_is_whole(
    report: Report, records: pd.DataFrame, info: dict[str, Any], width: int
) -> None:
    text = printed(report, records, info, width)
    for word in ("set-transformer", "✗ 3/4", "~ 0/4", "? 1/2", "· 1/2", "! crash", "! 0.950", "2/3", "19.5 MiB"):
        assert word in text


def test_a_wide_terminal_has_badges_accuracy_and_cost_in_one_row(
    report: Report, records: pd.DataFrame, info: dict[str, Any]
) -> None:
    [row] = [line for line in printed(report, records, info, 120).splitlines() if re.match(" +–  sse-random", line)]
    assert re.search(r"✓ 4/4 +✓ 3/3 +✓ 2/2 +0\.906 ±0\.017 .* 2\.1M +19\.5 MiB", row)


def test_failures_are_listed_with_their_counterexample(
    report: Report, records: pd.DataFrame, info: dict[str, Any]
) -> None:
    lines = printed(report, records, info, 160).splitlines()
    assert any(
        line.startswith("✗ leaky  fail  mbc.partition  n = 3, chunks 1 + 2, gap 0.17, bound 3.1e-15: <script>")
        for line in lines
    )
    assert any(
        line.startswith("! crashing  crash  probe, 9 laws, resources, point-clouds × 3  its process ended with signal")
        for line in lines
    )


def test_a_terminal_without_unicode_gets_plain_symbols(
    report: Report, records: pd.DataFrame, info: dict[str, Any]
) -> None:
    assert "x 3/4" in printed(report, records, info, 120, "ascii")


def test_the_machine_the_data_and_the_seeds_are_named(
    report: Report, records: pd.DataFrame, info: dict[str, Any]
) -> None:
    text = printed(report, records, info, 120)
    assert "Example CPU @ 2.50GHz, 2 cores, 8 GiB, 1 thread" in text
    assert "point-clouds (mnist-points)" in text
    assert re.search(r"seeds +0, 1, 2", text)


@pytest.mark.slow
def test_a_part_of_a_run_still_gives_both_reports(report: Report, records: pd.DataFrame, info: dict[str, Any]) -> None:
    for rows, description in parts(records, info):
        assert "mbcbench leaderboard" in printed(report, rows, description, 100)
        assert report.html(rows, description).endswith("</html>")


def test_an_empty_run_says_so(report: Report) -> None:
    assert "There are no records" in printed(report, pd.DataFrame(), {}, 100)
    assert "There are no records" in report.html(pd.DataFrame(), {})


def test_the_page_fetches_nothing(page: str) -> None:
    loading = {"srcset", "data", "poster", "action"}
    for tag, attributes in Page(page).tags:
        assert not loading & attributes.keys()
        assert (attributes.get("src") or "data:image/png;base64,").startswith("data:image/png;base64,")
        if tag == "link":
            assert attributes["href"] == "data:,"
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_what_an_encoder_says_is_never_markup(report: Report, page: str, info: dict[str, Any]) -> None:
    assert "&lt;script&gt;alert(" in page
    assert "<script>alert" not in page
    assert "<b>not markup</b>" not in page
    detail = {"paper": "javascript:alert(1)"}
    evil = frame([Record(suite="probe", case="build", encoder="<img>", status=Status.OK, detail=detail)])
    text = report.html(evil, {**info, "run": "<i>run</i>"})
    assert "javascript:" not in text
    assert "<img" not in text
    assert "<i>" not in text


def test_ids_are_unique_and_links_lead_somewhere(page: str) -> None:
    tags = Page(page).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    inside = [attributes["href"] or "" for tag, attributes in tags if tag == "a" and "href" in attributes]
    assert {link[1:] for link in inside if link.startswith("#")} <= set(ids)


def test_columns_are_sorted_by_buttons_and_cells_carry_their_order(page: str) -> None:
    board = page[page.index('<table class="board">') : page.index("</table>")]
    assert board.count("<button") == board.count('<th scope="col"') == 12
    assert 'data-order="2100000.0"' in board
    [hanging] = re.findall(r'<tr[^>]*>\s*<th scope="row" data-order="hanging">.*?</tr>', board, re.DOTALL)
    assert hanging.count("data-order") == 1 + 3  # the name and the badges; values that lack seeds sort last
    assert "2 of 3 seeds; 1 timeout" in hanging


def test_a_press_puts_the_best_first(page: str) -> None:
    board = page[page.index('<table class="board">') : page.index("</table>")]
    first = {
        label: bool(down) for down, label in re.findall(r'<button type="button"( data-down)?>(.*?)</button>', board)
    }
    assert first["elem/s"]
    assert not first["memory"]


def test_the_counterexample_and_the_way_to_reproduce_it_are_on_the_page(page: str) -> None:
    assert "partition  chunks of 1 and 2" in page
    assert "mbcbench.build(&#39;leaky&#39;, dim_in=1)" in page


def test_the_same_run_gives_the_same_page(
    report: Report, page: str, records: pd.DataFrame, info: dict[str, Any]
) -> None:
    assert report.html(records, info) == page


def test_the_scores_of_several_tasks_stand_in_a_table_of_their_own(
    report: Report, records: pd.DataFrame, info: dict[str, Any]
) -> None:
    detail = {"test_size": 5, "train_size": 5, "mode": "one piece", "ways": 10}
    more = [
        Record(
            suite="centroids", case="mnist-centroids", encoder=name, status=Status.OK, metric="accuracy", value=0.75,
            seed=seed, params={"hyper": {"num_slots": 2}}, detail=detail,
        )
        for name in ("leaky", "sse-random") for seed in (0, 1)
    ]  # fmt: skip
    several = pd.concat([records, frame(more)])
    first, second = report.html(several, info).split('<table class="board">')[1:3]
    assert "cent. @5" not in first
    assert "cent. @5" in second
    assert "acc @100" in second
    text = printed(report, several, info, 160)
    assert "0.750 ±0.000" in text
    assert max(len(line) for line in text.splitlines()) <= 160


def test_one_encoder_is_counted_in_the_singular(report: Report, records: pd.DataFrame) -> None:
    page = report.html(records[records["encoder"] == "deepsets-mean"], {})
    assert re.findall(r"<b>(\d+)</b> ([a-z ]+)", page)[:2] == [("1", "encoder"), ("1", "behaves as claimed")]
