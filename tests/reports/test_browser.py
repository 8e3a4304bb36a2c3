"""The site in a real browser, where there is one: it sorts, filters, opens what a link names, and fits a phone."""

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

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
ARTEFACTS = ("fig1", "standing", "law-matrix", "memory", "claims", "table2")
OUTER = """<!doctype html><pre id="told"></pre>
<script>addEventListener("message", (event) => document.getElementById("told").append(event.data));</script>
<iframe width="390" height="844" src="page.html"></iframe>
"""
# What the page is asked once it is loaded, and where it leaves the answer.
PROBE = """{
const board = document.querySelector("table.board");
const names = () => [...board.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[0].dataset.order);
const press = (label) => [...board.querySelectorAll("button")].find((b) => b.textContent === label).click();
const told = { first: names(), width: document.documentElement.scrollWidth, inner: innerWidth };
const over = (one) => !one.closest(".scroll, pre, svg") && one.getBoundingClientRect().right > innerWidth + 1;
told.wide = [...document.querySelectorAll("main *, header *")].filter(over).map((one) => one.outerHTML.slice(0, 80));
press("encoder"); told.named = names();
press("encoder"); told.reversed = names();
press("elem/s"); told.fastest = names();
const filter = document.getElementById("filter").elements;
const set = (name, value) => {
  const input = filter[name];
  if (input.type === "checkbox") input.checked = value; else input.value = value;
  input.dispatchEvent(new Event("input", { bubbles: true }));
};
set("name", "SSE"); told.sse = names();
set("name", ""); set("consistent", true); told.consistent = names(); told.count = filter.count.value;
set("consistent", false); set("ranked", true); told.ranked = names();
location.hash = "#encoder-leaky";
addEventListener("hashchange", () => {
  told.open = document.getElementById("encoder-leaky").open;
  parent.postMessage(JSON.stringify(told), "*");
});
}"""


@pytest.fixture(scope="module")
def told(records: pd.DataFrame, info: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the page answered in a frame as wide as a phone, and what the console said."""
    writer: Report = registry.plugin(registry.REPORTS, "leaderboard").load()
    made = [registry.plugin(registry.ARTEFACTS, name).load() for name in ARTEFACTS]
    page = str(writer.write(made, records, info, ["html"])[0]["index.html"])
    folder: Path = tmp_path_factory.mktemp("browser")
    (folder / "page.html").write_text(page.replace("</body>", f"<script>{PROBE}</script></body>"))
    outer = folder / "outer.html"
    outer.write_text(OUTER)
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=10000"]
    command = [str(BROWSER), *flags, f"--user-data-dir={folder / 'profile'}", "--dump-dom", outer.as_uri()]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    (answer,) = re.findall(r'<pre id="told">(.*?)</pre>', ended.stdout, re.DOTALL)
    found: dict[str, Any] = json.loads(html.unescape(answer))
    return found | {"console": [line for line in ended.stderr.splitlines() if "CONSOLE" in line]}


def test_the_console_is_clean(told: dict[str, Any]) -> None:
    assert told["console"] == []


def test_nothing_is_wider_than_a_phone(told: dict[str, Any]) -> None:
    assert told["inner"] == 390
    assert told["width"] <= 390
    assert told["wide"] == []


def test_headings_sort(told: dict[str, Any]) -> None:
    assert told["first"][:4] == ["set-transformer", "sse-random", "deepsets-mean", "leaky"]
    assert told["named"] == sorted(told["named"])
    assert told["reversed"] == told["named"][::-1]
    assert told["fastest"][:4] == ["deepsets-mean", "leaky", "sse-random", "set-transformer"]
    assert set(told["fastest"][4:]) == {"crashing", "hanging"}


def test_rows_are_filtered(told: dict[str, Any]) -> None:
    assert told["sse"] == ["sse-random"]
    assert set(told["consistent"]) == {"sse-random", "deepsets-mean"}
    assert told["count"] == "2 of 6"
    assert set(told["ranked"]) == {"set-transformer", "sse-random", "deepsets-mean", "leaky"}


def test_a_link_to_an_encoder_opens_its_place(told: dict[str, Any]) -> None:
    assert told["open"] is True
