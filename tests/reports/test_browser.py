"""The site in Chromium, if it is installed: sorting, filters, links to encoders, and the widths of windows."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mbcbench import registry
from mbcbench.reporting import Report
from tests.reports.standard_records import standard_frame

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
ARTEFACTS = ("fig1", "standing", "law-matrix", "memory", "claims", "table2")
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
    return ask(records, info, PROBE, 390, tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="module", params=[1280, 390])
def ranked(
    request: pytest.FixtureRequest, info: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Return the answers of a page with a ranking, in a window and on a phone."""
    return ask(
        standard_frame(), {**info, "encoders": []}, RANKED_PROBE, request.param, tmp_path_factory.mktemp("ranked")
    )


def ask(records: pd.DataFrame, info: dict[str, Any], probe: str, width: int, folder: Path) -> dict[str, Any]:
    writer: Report = registry.plugin(registry.REPORTS, "leaderboard").load()
    artefacts = [registry.plugin(registry.ARTEFACTS, name).load() for name in ARTEFACTS]
    page = str(writer.write(artefacts, records, info, ["html"])[0]["index.html"])
    (folder / "page.html").write_text(page.replace("</body>", f"<script>{probe}</script></body>"))
    outer = folder / "outer.html"
    outer.write_text(OUTER.replace("390", str(width)))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=10000"]
    command = [str(BROWSER), *flags, f"--user-data-dir={folder / 'profile'}", "--dump-dom", outer.as_uri()]
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
