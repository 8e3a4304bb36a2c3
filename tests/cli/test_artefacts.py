"""Tables and figures from synthetic records: as numbers, and as files of every format."""

import io
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from mbcbench import registry
from mbcbench.execution.suite import Request
from mbcbench.records.record import Record, Status, frame
from mbcbench.reporting import Artefact, Files
from tests.cli.report_records import INFO, artefact, clouds, streams, writer


@pytest.mark.parametrize("name", sorted(registry.plugins(registry.ARTEFACTS)))
def test_an_artefact_of_an_empty_run_is_empty_or_needs_no_record(name: str) -> None:
    loaded = artefact(name)
    assert loaded.id == name
    assert loaded.data(frame([])).empty == (name not in ("claims", "fig1"))


def test_the_exponent_of_a_cost_is_the_slope_of_its_logarithm() -> None:
    rows = frame(
        Record(
            suite="resources",
            case="encode",
            encoder="e",
            status=Status.OK,
            metric="peak_memory",
            value=3.0 * n**1.5,
            detail={"n": n, "mode": "one piece"},
        )
        for n in (1e3, 1e4, 1e5)
    )
    assert artefact("memory").data(rows)["exponent"].tolist() == pytest.approx([1.5] * 3)


def test_an_architecture_lists_every_parameter_of_the_module() -> None:
    suite = registry.plugin(registry.SUITES, "architectures").load()
    cells = [cell for cell in suite.cells(Request(encoders=[], profile="smoke")) if cell.case in ("table4", "table8")]
    rows = frame(record for cell in cells for record in suite.run(cell))
    decoder, deepsets = (artefact(name).data(rows)["parameters"].tolist() for name in ("table4", "table8"))
    assert decoder[-1] == sum(decoder[:-1]) == (64 * 128 + 128) + 2 * 128 + 2 * (128 * 128 + 128) + (128 * 3 + 3)
    assert deepsets[-1] == sum(deepsets[:-1]) == (1280 * 128 + 128) + (128 * 128 + 128)


def test_a_figure_shows_the_users_encoder_beside_those_of_the_paper() -> None:
    assert set(artefact("fig3b").data(frame(streams()))["model"]) == {"DeepSets (mean)", "PMA", "mine"}


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_same_records_give_the_same_bytes(kind: str) -> None:
    files = [writer().write([artefact("fig3b")], frame(streams()), INFO, [kind])[0] for _ in range(2)]
    assert files[0] == files[1]
    assert list(files[0]) == [f"fig3b.{kind}"]


def test_csv_has_unrounded_numbers() -> None:
    files, _ = writer().write([artefact("table1")], frame(clouds()), INFO, ["csv"])
    table = pd.read_csv(io.StringIO(str(files["table1.csv"])))
    assert table["ours"].tolist() == pytest.approx(artefact("table1").data(frame(clouds()))["ours"].tolist(), rel=1e-14)


def test_what_has_no_records_is_said_with_the_command_that_makes_them() -> None:
    files, missing = writer().write([artefact("fig3b"), artefact("table1")], frame(clouds()), INFO, ["html"])
    assert missing == {"fig3b": "no records; make them with: mbcbench run --suite paper --only fig3b"}
    assert f"fig3b: {missing['fig3b']}" in str(files["index.html"])


HOSTILE = r"[1] \input{x} 5% _ ^ ~ $ # & { } < > é ± 集"


def hostile(value: str) -> tuple[Files, Mapping[str, str]]:
    table = Artefact(
        id="t", title="100% of_it", caption="#1 & more", data=lambda _: pd.DataFrame({"a_b": [value], "c": [1.5]})
    )
    return writer().write([table], frame([]), INFO, ["md", "latex", "html"])


def test_latex_takes_no_text_for_a_command() -> None:
    files, _ = hostile(HOSTILE)
    text = str(files["t.tex"])
    (row,) = [line for line in text.splitlines() if line.startswith("{[}1]")]
    rest = row.removesuffix(r" \\").replace(" & 1.5000", "")
    for known in (r"\textbackslash{}", r"\textasciicircum{}", r"\textasciitilde{}", r"$\pm$", r"\textless{}",
                  r"\textgreater{}", r"\%", r"\_", r"\$", r"\#", r"\&", r"\{", r"\}", "{[}"):  # fmt: skip
        assert known in rest
        rest = rest.replace(known, "")
    assert not set(rest) & set("\\%_^~$#&{}<>")
    assert text.isascii()


def test_latex_is_balanced_and_its_rows_are_as_wide_as_its_head() -> None:
    files, _ = writer().write([artefact("claims"), artefact("table1")], frame(clouds()), INFO, ["latex"])
    assert set(re.findall(r"\\input{(.*?)}", str(files["report.tex"]))) == {"claims.tex", "table1.tex"}
    assert re.findall(r"\\usepackage(?:\[.*?\])?{(.*?)}", str(files["report.tex"])) == [
        "fontenc", "booktabs,longtable", "geometry",
    ]  # fmt: skip
    for text in map(str, files.values()):
        assert re.findall(r"\\begin{(\w+)}", text) == re.findall(r"\\end{(\w+)}", text)
        plain = re.sub(r"\\[{}]", "", text)
        assert plain.count("{") == plain.count("}")
    for name in ("claims.tex", "table1.tex"):
        body = str(files[name]).partition(r"\begin{longtable}")[2]
        columns = body.partition("\n")[0].count(r"\textwidth")
        rows = [line for line in body.splitlines() if line.endswith(r" \\")]
        assert len(rows) > 7
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {columns - 1}


def test_markdown_shows_the_figures_and_lists_what_was_drawn_and_what_was_not() -> None:
    asked = [artefact("fig3b"), artefact("claims"), artefact("table1")]
    files, _ = writer().write(asked, frame(streams()), INFO, ["md", "svg"])
    linked = re.findall(r"\]\((.*?)\)", str(files["README.md"]) + str(files["fig3b.md"]))
    assert set(linked) == {"fig3b.md", "fig3b.svg", "claims.md"}
    assert set(linked) <= set(files)
    assert "- table1: no records; make them with: mbcbench run --suite paper" in str(files["README.md"])


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs LaTeX")
def test_latex_compiles(tmp_path: Path) -> None:
    files, _ = writer().write([artefact("claims"), artefact("table1")], frame(clouds()), INFO, ["latex"])
    files = {**files, **{name: text for name, text in hostile(HOSTILE)[0].items() if name == "t.tex"}}
    text = str(files["report.tex"]).replace("\\end{document}", "\\input{t.tex}\n\\end{document}")
    for name, content in {**files, "report.tex": text}.items():
        (tmp_path / name).write_text(str(content))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stdout[-2000:]


def test_markdown_is_aligned_and_one_line_a_row() -> None:
    files, _ = hostile("a | b\nc")
    lines = [line for line in str(files["t.md"]).splitlines() if line.startswith("|")]
    assert len(lines) == 3
    assert len({len(line) for line in lines}) == 1


def test_the_page_escapes_what_it_is_given() -> None:
    files, _ = hostile("<script>alert(1)</script>")
    assert "&lt;script&gt;alert(1)" in str(files["index.html"])
    assert "<script>alert" not in str(files["index.html"])
