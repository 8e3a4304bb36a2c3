"""The site: the leaderboard with the artefacts, the claims, and a place for every encoder."""

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest

from mbcbench import registry
from mbcbench.records.record import Record, Status, frame
from mbcbench.reporting import Artefact, Report
from tests.reports.test_leaderboard import Page, parts


def artefacts(*names: str) -> list[Artefact]:
    return [registry.plugin(registry.ARTEFACTS, name).load() for name in names]


def written(
    table: pd.DataFrame, info: Mapping[str, Any], *names: str, formats: tuple[str, ...] = ("html",)
) -> tuple[Mapping[str, str | bytes], Mapping[str, str]]:
    writer: Report = registry.plugin(registry.REPORTS, "leaderboard").load()
    return writer.write(artefacts(*names), table, info, formats)


def site(table: pd.DataFrame, info: Mapping[str, Any], *names: str) -> str:
    return str(written(table, info, *names)[0]["index.html"])


@pytest.fixture(scope="module")
def page(records: pd.DataFrame, info: dict[str, Any]) -> str:
    return site(records, info, "fig1", "claims", "standing", "table2", "law-matrix")


@pytest.mark.slow
def test_the_site_is_the_leaderboards_page_with_more_in_it(
    page: str, report: Report, records: pd.DataFrame, info: dict[str, Any]
) -> None:
    board = re.compile(r'<table class="board">.*?</table>', re.DOTALL)
    assert board.findall(page) == board.findall(report.html(records, info))


def test_ids_are_unique_and_every_link_within_leads_somewhere(page: str) -> None:
    tags = Page(page).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    inside = [attributes["href"] or "" for tag, attributes in tags if tag == "a" and "href" in attributes]
    assert {link[1:] for link in inside if link.startswith("#")} <= set(ids)


def test_the_site_fetches_nothing(page: str) -> None:
    for tag, attributes in Page(page).tags:
        addresses = [attributes[name] or "" for name in ("src", "srcset", "poster", "action") if name in attributes]
        assert all(address.startswith("data:image/png;base64,") for address in addresses)
        assert tag != "link" or attributes["href"] == "data:,"


@pytest.mark.parametrize("name", ["leaderboard", "experiments", "costs"])
def test_a_page_allows_its_own_style_and_script_and_nothing_else(
    name: str, leaky_records: pd.DataFrame, info: dict[str, Any]
) -> None:
    report: Report = registry.plugin(registry.REPORTS, name).load()
    html = report.html(leaky_records, info)
    tags = [attributes for tag, attributes in Page(html).tags if tag == "meta" and "http-equiv" in attributes]
    policy = dict(part.split(" ", 1) for part in str(tags[0]["content"]).split("; "))
    inside = {kind: re.findall(rf"<{kind}>(.*?)</{kind}>", html, re.DOTALL) for kind in ("style", "script")}
    digests = {
        kind: [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
        for kind, texts in inside.items()
    }
    assert policy == {
        "default-src": "'none'", "base-uri": "'none'", "form-action": "'none'", "img-src": "'self' data:",
        "style-src": f"'sha256-{digests['style'][0]}'",
        "script-src": f"'sha256-{digests['script'][0]}'" if name == "leaderboard" else "'none'",
    }  # fmt: skip
    assert [len(texts) for texts in inside.values()] == [1, int(name == "leaderboard")]


def test_an_encoders_place_is_named_after_it_and_holds_its_claims_costs_and_counterexamples(page: str) -> None:
    places = page.split('<details class="encoder" id="encoder-')
    (place,) = [place for place in places if place.startswith('set-transformer"')]
    assert "partition  chunks of 1 and 2" in place
    assert "<b>C4</b>" in place
    assert "Cost against the number of elements n" in place
    assert "MiB at its peak, one piece" in place
    assert re.search(r'<th scope="row">10,000</th>\s*<td>0.0294</td>', place)  # seconds for 10,000 elements
    assert "C17" not in place


def test_the_site_introduces_itself_and_explains_its_words(page: str) -> None:
    assert page.index("A set encoder is a network") < page.index("<nav")
    for word in ("MBC", "law", "slot", "K, h", "PMA", "NLL", "ways", "support", "plateau", "worst score", "group"):
        assert re.search(rf"<dt>[^<]*{re.escape(word)}", page)


def test_the_contents_have_titles_in_the_order_of_their_numbers(page: str) -> None:
    contents = page[page.index('<nav aria-label="Contents">') : page.index("</nav>")]
    titles = re.findall(r'<a href="#([^"]+)">([^<]+)</a>', contents)
    assert titles == [
        ("leaderboard", "Leaderboard"),
        ("matrix", "Law by law"),
        ("encoders", "Encoder by encoder"),
        ("claims", "The paper&#39;s claims"),
        ("table2", "Table 2: models that are not consistent"),
        ("fig1", "Figure 1: Mini-Batch Consistency"),
        ("law-matrix", "Encoders and laws"),
        ("missing", "What is missing"),
    ]
    assert "standing: no records; make them with: mbcbench run --profile standard" in page


def test_an_encoder_that_breaks_a_law_of_mbc_is_marked_beside_its_name(page: str) -> None:
    marks = dict(re.findall(r'<a href="#[^"]*">([^<]*)</a>(?: <abbr [^>]*>(†)</abbr>)?<small>', page))
    assert marks["set-transformer"] == "†"
    assert marks["sse-random"] == ""


def test_a_page_shows_the_picture_beside_it_if_there_is_one(leaky_records: pd.DataFrame, info: dict[str, Any]) -> None:
    files, _ = written(leaky_records, info, "fig1", formats=("html", "png"))
    assert 'src="fig1.png"' in str(files["index.html"])
    assert "fig1.png" in files


def test_names_that_would_share_an_id_do_not() -> None:
    records = [
        Record(suite="probe", case="build", encoder=name, status=Status.OK) for name in ("a:b", "a-b", "a/b", "<a>")
    ]
    tags = Page(site(frame(records), {})).tags
    ids = [attributes["id"] for _, attributes in tags if (attributes.get("id") or "").startswith("encoder-")]
    assert len(set(ids)) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9_.~-]+", name or "") for name in ids)


def test_rows_name_the_traits_that_filter_them(page: str) -> None:
    traits = re.findall(r'<tr data-traits="([^"]*)"[^>]*>\s*<th scope="row" data-order="([^"]*)"', page)
    traits_of = {name: set(words.split()) for words, name in traits}
    assert traits_of["sse-random"] == {"consistent"}
    assert traits_of["set-transformer"] == set()
    assert traits_of["crashing"] == set()


def test_a_part_of_a_run_still_gives_a_site_that_says_what_is_missing(
    records: pd.DataFrame, info: dict[str, Any]
) -> None:
    partial = parts(records, info)
    for rows, description in (partial[index] for index in (2, 5, 7)):  # one suite, one encoder, nothing
        files, missing = written(rows, description, "table1", "claims")
        assert missing == {"table1": "no records; make them with: mbcbench run --suite paper --only table1"}
        assert f"table1: {missing['table1']}" in str(files["index.html"])


def test_an_artefact_that_raises_is_a_line_and_the_others_are_drawn(
    records: pd.DataFrame, info: dict[str, Any]
) -> None:
    def broken(_: pd.DataFrame) -> pd.DataFrame:
        raise ZeroDivisionError("none left")

    writer: Report = registry.plugin(registry.REPORTS, "leaderboard").load()
    both = [Artefact(id="mine", title="t", caption="c", data=broken), *artefacts("fig1")]
    files, missing = writer.write(both, records, info, ["svg"])
    assert missing == {"mine": "broke: ZeroDivisionError: none left"}
    assert list(files) == ["fig1.svg"]


def test_runs_of_different_code_are_distinguished(leaky_records: pd.DataFrame, info: dict[str, Any]) -> None:
    runs = [{"run": name, "versions": {"torch": version}, "commit": None} for name, version in (("r", "2"), ("s", "3"))]
    page = site(leaky_records, {**info, "runs": runs})
    assert "made by different code: run r by torch 2" in page
    assert "made by different code" not in site(leaky_records, {**info, "runs": runs[:1] * 2})


@pytest.mark.slow
def test_the_same_records_give_the_same_bytes_in_every_format(records: pd.DataFrame, info: dict[str, Any]) -> None:
    names = ("fig1", "standing", "profiles", "law-matrix", "memory", "quality-cost", "claims")
    (first, missing), (second, _) = (written(records, info, *names, formats=("html", "latex")) for _ in range(2))
    assert {"index.html", "report.tex", "claims.tex"} <= set(first)
    assert first == second
    assert set(missing) == {"standing", "profiles", "quality-cost"}
