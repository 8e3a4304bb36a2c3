"""The site in Chromium, if it is installed: sorting, filters, links to encoders, and the width of a phone."""

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


@pytest.fixture(scope="module")
def answers(records: pd.DataFrame, info: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the answers of the page in a frame as wide as a phone, and the messages of the console."""
    writer: Report = registry.plugin(registry.REPORTS, "leaderboard").load()
    artefacts = [registry.plugin(registry.ARTEFACTS, name).load() for name in ARTEFACTS]
    page = str(writer.write(artefacts, records, info, ["html"])[0]["index.html"])
    folder: Path = tmp_path_factory.mktemp("browser")
    (folder / "page.html").write_text(page.replace("</body>", f"<script>{PROBE}</script></body>"))
    outer = folder / "outer.html"
    outer.write_text(OUTER)
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
    assert answers["first"][:4] == ["set-transformer", "sse-random", "deepsets-mean", "leaky"]
    assert answers["named"] == sorted(answers["named"])
    assert answers["reversed"] == answers["named"][::-1]
    assert answers["fastest"][:4] == ["deepsets-mean", "leaky", "sse-random", "set-transformer"]
    assert set(answers["fastest"][4:]) == {"crashing", "hanging"}


def test_rows_are_filtered(answers: dict[str, Any]) -> None:
    assert answers["sse"] == ["sse-random"]
    assert set(answers["consistent"]) == {"sse-random", "deepsets-mean"}
    assert answers["count"] == "2 of 6"
    assert set(answers["ranked"]) == {"set-transformer", "sse-random", "deepsets-mean", "leaky"}


def test_a_link_to_an_encoder_opens_its_place(answers: dict[str, Any]) -> None:
    assert answers["open"] is True
