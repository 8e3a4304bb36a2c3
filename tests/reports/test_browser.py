"""The site in Chromium, if it is installed: sorting, filters, links to encoders, and the widths of windows."""

import base64
import hashlib
import html
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from browser import BROWSER, HEADLESS

from mbcbench import registry
from mbcbench.cli.check_export import write_html
from mbcbench.records import reference
from mbcbench.records.record import Record, Status, frame
from mbcbench.reporting import Report
from tests.reports.standard_records import Encoder, records_of, standard_frame

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
ARTEFACTS = ("fig1", "standing", "law-matrix", "memory", "claims", "table2")
TRAINED = ("point-clouds", "image-completion", "centroids")
OUTER = """<!doctype html><pre id="answers"></pre>
<script>addEventListener("message", (event) => document.getElementById("answers").append(event.data));</script>
<iframe width="390" height="844" src="page.html"></iframe>
"""
# What the page is asked once it is loaded, and where it leaves the answer.
PROBE = """{
const board = document.querySelector("table.board");
const names = () => [...board.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[0].dataset.order);
const press = (label) => [...board.querySelectorAll("button")].find((b) => b.textContent === label).click();
const answers = { first: names(), width: document.documentElement.scrollWidth, inner: innerWidth };
const over = (one) => !one.closest(".scroll, pre, svg") && one.getBoundingClientRect().right > innerWidth + 1;
answers.wide = [...document.querySelectorAll("main *, header *")].filter(over).map((one) => one.outerHTML.slice(0, 80));
const heads = [...document.querySelectorAll("main tbody th:first-child")];
answers.letters = heads.filter((head) => head.offsetWidth > 0 && head.offsetWidth < 100).map((head) => head.innerText);
press("encoder"); answers.named = names();
press("encoder"); answers.reversed = names();
press("elem/s"); answers.fastest = names();
const filter = document.getElementById("filter").elements;
const set = (name, value) => {
  const input = filter[name];
  if (input.type === "checkbox") input.checked = value; else input.value = value;
  input.dispatchEvent(new Event("input", { bubbles: true }));
};
set("name", "SSE"); answers.sse = names();
set("name", ""); set("consistent", true); answers.consistent = names(); answers.count = filter.count.value;
set("consistent", false); set("ranked", true); answers.ranked = names();
location.hash = "#encoder-leaky";
addEventListener("hashchange", () => {
  answers.open = document.getElementById("encoder-leaky").open;
  parent.postMessage(JSON.stringify(answers), "*");
});
}"""


# What the page with a ranking is asked: where the table ends, and what stays in view when the page is scrolled.
RANKED_PROBE = """{
const table = document.querySelector("table.ranked");
const body = table.tBodies[0];
const visible = (one) => one.getBoundingClientRect().width > 0;
const texts = (row) => [...row.cells].filter(visible).map((cell) => cell.innerText);
const answers = { width: document.documentElement.scrollWidth, inner: innerWidth };
const edge = document.documentElement.clientWidth;
const clipped = (one) => one.scrollWidth > one.clientWidth + 1 || one.getBoundingClientRect().right > edge;
const cells = [...table.querySelectorAll("th, td")].filter(visible);
answers.clipped = cells.filter(clipped).map((cell) => cell.innerText);
answers.head = texts(table.querySelector("tr.columns"));
answers.row = texts(body.rows[0]);
answers.apart = [...document.querySelectorAll("tbody.apart tr[data-place]")].map((row) => row.cells[0].dataset.order);
window.scrollTo(0, body.rows[9].getBoundingClientRect().top + scrollY);
answers.scrolled = scrollY;
answers.top = table.tHead.getBoundingClientRect().top;
window.scrollTo(0, 0);
const order = document.getElementById("filter").elements.order;
const choose = (value) => { order.value = value; order.dispatchEvent(new Event("input", { bubbles: true })); };
choose("family");
answers.families = [...body.rows].filter((row) => row.dataset.place === undefined).map((row) => row.innerText.trim());
answers.first = [...body.rows].slice(0, 3).map((row) => row.cells[0].dataset.order ?? "family");
choose("rank");
answers.restored = [...body.rows].map((row) => Number(row.dataset.place));
parent.postMessage(JSON.stringify(answers), "*");
}"""


@pytest.fixture(scope="module")
def answers(records: pd.DataFrame, info: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the answers of the page in a frame as wide as a phone, and the messages of the console."""
    folder = tmp_path_factory.mktemp("browser")
    write_page(records, info, PROBE, folder)
    return answers_of(folder)


@pytest.fixture(scope="module")
def ranked_page(info: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a page with a ranking."""
    folder = tmp_path_factory.mktemp("ranked")
    write_page(standard_frame(), {**info, "encoders": []}, RANKED_PROBE, folder)
    return folder


@pytest.fixture(scope="module", params=[1280, 390])
def ranked(request: pytest.FixtureRequest, ranked_page: Path) -> dict[str, Any]:
    """Return the answers of a page with a ranking, in a window and on a phone."""
    return answers_of(ranked_page, request.param)


@pytest.fixture(scope="module")
def reference_page(info: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a page with the reference results of all encoders."""
    folder = tmp_path_factory.mktemp("reference")
    names = list(registry.plugins(registry.ENCODERS))
    of_run = [record for name in names for record in records_of(Encoder(name, 0)) if record.suite not in TRAINED]
    described = {**info, "encoders": names, "reference": reference.describe(reference.load())}
    write_page(reference.add_reference(frame(of_run), described), described, RANKED_PROBE, folder)
    return folder


def write_page(records: pd.DataFrame, info: dict[str, Any], probe: str, folder: Path) -> None:
    """Write the page of a site with a script at its end."""
    writer: Report = registry.plugin(registry.REPORTS, "leaderboard").load()
    artefacts = [registry.plugin(registry.ARTEFACTS, name).load() for name in ARTEFACTS]
    page = str(writer.write(artefacts, records, info, ["html"])[0]["index.html"])
    (folder / "page.html").write_text(with_probe(page, probe))


def with_probe(page: str, probe: str) -> str:
    """Return the page with a script at its end, which its policy allows."""
    digest = base64.b64encode(hashlib.sha256(probe.encode()).digest()).decode()
    allowed = re.sub("script-src (&#39;none&#39;|'none')?", f"script-src 'sha256-{digest}' ", page, count=1)
    return allowed.replace("</body>", f"<script>{probe}</script></body>")


def answers_of(folder: Path, width: int = 390) -> dict[str, Any]:
    """Return what the probe in page.html answers, and the messages of the console."""
    outer = folder / "outer.html"
    outer.write_text(OUTER.replace("390", str(width)))
    flags = [*HEADLESS, "--enable-logging=stderr", "--virtual-time-budget=10000"]
    command = [str(BROWSER), *flags, f"--user-data-dir={folder / f'profile-{width}'}", "--dump-dom", outer.as_uri()]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    (answer,) = re.findall(r'<pre id="answers">(.*?)</pre>', ended.stdout, re.DOTALL)
    parsed: dict[str, Any] = json.loads(html.unescape(answer))
    return parsed | {"console": [line for line in ended.stderr.splitlines() if "CONSOLE" in line]}


def test_the_console_is_clean(answers: dict[str, Any]) -> None:
    assert answers["console"] == []


def test_nothing_is_wider_than_a_phone(answers: dict[str, Any]) -> None:
    assert answers["inner"] == 390
    assert answers["width"] <= 390
    assert answers["wide"] == []


def test_no_column_of_names_is_as_narrow_as_a_letter(answers: dict[str, Any]) -> None:
    assert answers["letters"] == []


def test_headings_sort(answers: dict[str, Any]) -> None:
    assert answers["first"][:4] == ["sse-random", "deepsets-mean", "set-transformer", "leaky"]
    assert answers["named"] == sorted(answers["named"])
    assert answers["reversed"] == answers["named"][::-1]
    assert answers["fastest"][:4] == ["deepsets-mean", "leaky", "sse-random", "set-transformer"]
    assert set(answers["fastest"][4:]) == {"crashing", "hanging"}


def test_rows_are_filtered(answers: dict[str, Any]) -> None:
    assert answers["sse"] == ["sse-random"]
    assert set(answers["consistent"]) == {"sse-random", "deepsets-mean"}
    assert answers["count"] == "2 of 6"
    assert answers["ranked"] == []


def test_a_link_to_an_encoder_opens_its_place(answers: dict[str, Any]) -> None:
    assert answers["open"] is True


def test_the_ranked_table_fits_the_window(ranked: dict[str, Any]) -> None:
    assert ranked["console"] == []
    assert ranked["width"] <= ranked["inner"]
    assert ranked["clipped"] == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_the_reference_results_fit_the_window(reference_page: Path, width: int) -> None:
    answers = answers_of(reference_page, width)
    assert answers["width"] <= answers["inner"]
    assert answers["clipped"] == []
    assert len(answers["restored"]) == len(registry.plugins(registry.ENCODERS))


def test_a_phone_leads_with_rank_name_and_score(ranked: dict[str, Any]) -> None:
    rank, name = ranked["row"][0].split()[0], ranked["row"][0]
    assert rank == "1"
    assert "sse-random" in name
    if ranked["inner"] == 390:
        assert [label.split()[0] for label in ranked["head"]] == ["encoder", "points", "images", "centroids"]
        assert ranked["row"][1].startswith(".9")
    else:
        assert len(ranked["head"]) == 1 + 3 * 4 + 2 + 3


def test_the_head_stays_in_view(ranked: dict[str, Any]) -> None:
    assert ranked["scrolled"] > 300
    assert abs(ranked["top"]) <= 1


def test_encoders_are_grouped_by_family_on_demand(ranked: dict[str, Any]) -> None:
    assert ranked["families"][:2] == ["sse", "deepsets"]
    assert ranked["first"][:2] == ["family", "sse-random"]
    assert ranked["restored"] == sorted(ranked["restored"])


def test_deliberately_wrong_encoders_stand_below(ranked: dict[str, Any]) -> None:
    assert ranked["apart"] == ["sse-mean-of-chunk-means"]


# Texts that end an element, an attribute, a script or a style sheet, and do something if the page lets them.
ATTACKS = (
    "</script><img src=x onerror=attacked()>",
    '"><svg onload=attacked()>',
    "'><script>attacked()</script>",
    "</style><script src=https://example.org/x.js></script>",
    "{{ 7 * 7 }}<!--",
    "<a href=javascript:attacked()>",
    "</textarea></title><iframe srcdoc='<script>parent.attacked()</script>'>",
)
# Elements, attributes and addresses that only an attack would bring into the page.
HOSTILE_PROBE = """{
let attacked = 0;
window.attacked = () => { attacked += 1; };
const all = [...document.querySelectorAll("*")];
const answers = { forbidden: [...document.querySelectorAll("iframe, object, embed, base, svg, textarea")].length };
answers.handlers = all.filter((one) => one.getAttributeNames().some((name) => name.startsWith("on"))).length;
answers.scripts = document.scripts.length;
const address = (one) => one.getAttribute("href") ?? one.getAttribute("src") ?? "";
const isSafe = (text) => /^(#|data:image.png|data:,$|https:..arxiv.org.|[.][.].|$)/.test(text);
answers.addresses = all.map(address).filter((text) => !isSafe(text));
answers.shown = document.body.textContent.includes("<" + "/script><img src=x onerror=attacked()>");
document.querySelectorAll("a").forEach((one) => { if (one.hash) one.click(); });
const script = document.createElement("script");
script.textContent = "attacked()";
document.body.append(script);
const image = document.createElement("img");
image.setAttribute("onerror", "attacked()");
image.src = "data:image/png;base64,AA==";
document.body.append(image);
setTimeout(() => { answers.attacked = attacked; parent.postMessage(JSON.stringify(answers), "*"); }, 500);
}"""


def hostile_records() -> list[Record]:
    """Return the records of encoders that attack the page with their names, messages and details."""
    records = []
    for number, attack in enumerate(ATTACKS):
        name = f"{attack}{number}"
        detail = {"summary": attack, "paper": f"javascript:attacked('{attack}')", "parameters": 3, "streaming": True}
        records.append(Record(suite="probe", case="build", encoder=name, status=Status.OK, detail=detail))
        for case, status in (
            ("mbc.partition", Status.FAIL),
            (f"mbc.{attack}", Status.PASS),
            ("mbc.order", Status.CRASH),
        ):
            texts = dict.fromkeys(("text", "reproduce", "statement", "culprit", "traceback"), attack)
            records.append(
                Record(
                    suite="laws", case=case, encoder=name, status=status, metric="gap", value=0.5, message=attack,
                    detail={**texts, "bound": 1e-9, "examples": 3},
                )
            )  # fmt: skip
        detail = {"mode": "one piece", "test_size": 100, "train_size": 100, "data": attack}
        records.append(
            Record(
                suite="point-clouds", case="mnist-points", encoder=name, status=Status.OK, metric="accuracy", value=0.5,
                higher_is_better=True, detail=detail,
            )
        )  # fmt: skip
    return records


def assert_unharmed(answers: dict[str, Any], scripts: int) -> None:
    assert answers["shown"] is True
    assert (answers["forbidden"], answers["handlers"], answers["scripts"]) == (0, 0, scripts)
    assert answers["addresses"] == []
    assert answers["attacked"] == 0
    blocked = [line for line in answers["console"] if "Content Security Policy" in line]
    assert len(blocked) == 2  # the script and the handler that the probe has put there
    assert blocked == answers["console"]


def test_names_and_messages_of_plugins_do_nothing_in_the_site(tmp_path: Path) -> None:
    attack = ATTACKS[0]
    facts = {"run": attack, "profile": attack, "created": attack, "commit": attack, "versions": {attack: attack}}
    info = {**facts, "hardware": {"cpu": attack}, "encoders": [], "suites": [attack]}
    write_page(frame(hostile_records()), info, HOSTILE_PROBE, tmp_path)
    assert_unharmed(answers_of(tmp_path), scripts=2)


@pytest.mark.parametrize("name", ["leaderboard", "experiments", "costs"])
def test_names_and_messages_of_plugins_do_nothing_in_a_report(name: str, tmp_path: Path) -> None:
    attack = ATTACKS[0]
    experiment = {"title": attack, "where": {}, "columns_by": "detail.test_size", "only_train_size": False, "cells": []}
    info = {"run": attack, "profile": attack, "encoders": [], "suites": [attack], "experiments": {attack: experiment}}
    report: Report = registry.plugin(registry.REPORTS, name).load()
    (tmp_path / "page.html").write_text(with_probe(report.html(frame(hostile_records()), info), HOSTILE_PROBE))
    assert_unharmed(answers_of(tmp_path), scripts=2 if name == "leaderboard" else 1)


def test_names_and_messages_of_encoders_do_nothing_on_the_page_of_check(tmp_path: Path) -> None:
    laws = [record for record in hostile_records() if record.suite == "laws"]
    write_html(tmp_path / "page.html", laws)
    page = (tmp_path / "page.html").read_text()
    assert "default-src 'none'" in page
    page = page.replace("default-src 'none'", "default-src 'none'; script-src 'none'").replace(
        "</html>", "</body></html>"
    )
    (tmp_path / "page.html").write_text(with_probe(page, HOSTILE_PROBE))
    assert_unharmed(answers_of(tmp_path), scripts=1)


def test_a_picture_next_to_the_page_is_shown(records: pd.DataFrame, info: dict[str, Any], tmp_path: Path) -> None:
    writer: Report = registry.plugin(registry.REPORTS, "leaderboard").load()
    artefacts = [registry.plugin(registry.ARTEFACTS, "fig1").load()]
    files, _ = writer.write(artefacts, records, info, ["html", "png"])
    picture = files["fig1.png"]
    assert isinstance(picture, bytes)
    (tmp_path / "fig1.png").write_bytes(picture)
    # The virtual time of a headless browser waits for a file that is read, but not for a picture that is decoded.
    probe = """{
      const image = document.querySelector('img[src="fig1.png"]');
      const answer = () => parent.postMessage(JSON.stringify({ width: image.naturalWidth }), "*");
      image.loading = "eager";
      if (image.complete) answer(); else image.addEventListener("load", answer);
    }"""
    (tmp_path / "page.html").write_text(with_probe(str(files["index.html"]), probe))
    answers = answers_of(tmp_path)
    assert answers["width"] > 100
    assert answers["console"] == []
