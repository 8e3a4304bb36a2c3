"""The study of other packages: its adapters, its judgements, and its adapters of torch under the laws."""

import ast
from pathlib import Path

import entries
import page
import pytest
import reproduce
import run

import mbcbench

ADAPTERS = sorted((entries.ROOT / entries.ADAPTERS).glob("*_modules.py"))
REPORTS = {path.stem for path in reproduce.REPORTS.glob("*.md")}
MAX_LINES = 15
LAWS = ["symmetry.permutation", "symmetry.elements", "symmetry.batch", "hygiene.finite", "mbc.empty", "mbc.fork"]
TORCH = [entry for entry in entries.read_entries() if entry.package == "torch"]


def functions(path: Path) -> list[ast.FunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in tree.body if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("path", ADAPTERS, ids=lambda path: path.stem)
def test_an_adapter_is_short_and_has_an_entry(path: Path) -> None:
    names = {entry.adapter for entry in entries.read_entries() if entry.adapters == path.name}
    assert {node.name for node in functions(path) if run.is_factory(node)} - {"mlp"} == names
    for node in functions(path):
        assert (node.end_lineno or 0) - node.lineno < MAX_LINES, node.name  # the first line counts


def test_every_failure_in_the_records_is_judged() -> None:
    records = run.read_records()
    recorded = [entry for entry in entries.read_entries() if entry.target in records]
    assert [problem for entry in recorded for problem in page.check_judgements(entry, records[entry.target])] == []


def test_every_defect_has_a_report_with_a_reproduction() -> None:
    judgements = [judgement for entry in entries.read_entries() for judgement in entry.judgements.values()]
    assert {judgement.report for judgement in judgements if judgement.kind == "defect"} <= REPORTS
    for name in REPORTS:
        text = (reproduce.REPORTS / f"{name}.md").read_text(encoding="utf-8")
        match = reproduce.BLOCKS.search(text)
        assert match is not None, name
        assert "mbcbench" not in match["code"]
        assert match["output"].strip(), name
        assert all(f"\n{part}: " in text for part in ("To", "Expected", "Cause", "Suggestion")), name


def test_a_judgement_without_a_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="'nonsense': expected a shared reason or 'KIND: reason'"):
        entries.parse_judgement("nonsense", {})


def test_a_failure_without_a_judgement_is_named() -> None:
    entry = entries.Entry("torch", "torch", "torch_modules.py", "module", "nn.Module", "nothing")
    record = {"laws": {"mbc.fork": {"status": "fail"}, "mbc.empty": {"status": "pass"}}}
    assert page.check_judgements(entry, record) == [f"{entry.target}: mbc.fork fails and is not judged"]


@pytest.mark.filterwarnings("ignore:.*nested tensors")
@pytest.mark.parametrize("entry", TORCH, ids=lambda entry: entry.adapter)
def test_an_adapter_of_torch_gives_what_is_recorded(entry: entries.Entry) -> None:
    recorded = run.read_records()[entry.target]["laws"]
    result = mbcbench.check(str(entries.ROOT / entry.target), laws=LAWS, examples=32, dim_in=entry.width)
    statuses = dict(zip(result["case"], result["status"], strict=True))
    assert statuses == {law: recorded[law]["status"] for law in LAWS}
