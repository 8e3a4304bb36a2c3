"""Tables, figures and claims from synthetic records: as functions of a frame, and as files of the command."""

import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mbcbench import registry
from mbcbench.cli import main
from mbcbench.execution.suite import Request
from mbcbench.records import store
from mbcbench.records.record import Record, Status, frame
from mbcbench.reporting import Artefact, Files, Report

INFO: dict[str, Any] = {"run": "r", "profile": "thorough"}
CAD_SIZES = (100, 200, 500, 1000)


def artefact(name: str) -> Artefact:
    loaded: Artefact = registry.plugin(registry.ARTEFACTS, name).load()
    return loaded


def writer() -> Report:
    loaded: Report = registry.plugin(registry.REPORTS, "leaderboard").load()
    return loaded


def cloud(encoder: str, size: int, seed: int, value: float, **detail: Any) -> Record:
    """Return a record of a point-cloud classifier that was trained and tested on `size` points."""
    slots = {"num_slots": 16} if encoder.startswith("sse") else {}
    values = {"mode": "one piece", "test_size": size, "train_size": size, "steps": 1000, "data": "shapes"} | detail
    return Record(
        suite="point-clouds", case="cad-points", encoder=encoder, status=Status.OK, seed=seed, metric="accuracy",
        value=value, higher_is_better=True, params={"hyper": slots, "train_size": size}, detail=values,
        cell=f"{encoder} {size} {seed}",
    )  # fmt: skip


def clouds(lead: float = 0.05, seeds: int = 3, **detail: Any) -> list[Record]:
    """Return records in which the accuracy of Slot Set Encoders is higher by about `lead`."""
    noise = np.random.default_rng(0)
    levels = {"max": 0.8, "isab-pma": 0.8, "sse-random": 0.8 + lead, "sse-deterministic": 0.8 + lead}
    return [
        cloud(encoder, size, seed, level + 0.002 * noise.normal(), **detail)
        for encoder, level in levels.items()
        for size in CAD_SIZES
        for seed in range(seeds)
    ]


def law(encoder: str, status: Status, law_id: str = "mbc.partition") -> Record:
    broken = {"counterexample": {"n": 2, "sizes": [1, 1]}} if status in (Status.FAIL, Status.XFAIL) else {}
    return Record(
        suite="laws", case=law_id, encoder=encoder, status=status, value=0.5, detail={"examples": 9, **broken}
    )


def verdict(records: Sequence[Record], claim: str, reading: str = "") -> pd.Series:
    book = artefact("claims").data(frame(records))
    (row,) = [row for _, row in book.iterrows() if (row["id"], row["reading"]) == (claim, reading)]
    return row


def test_table_1_is_the_mean_and_deviation_over_seeds() -> None:
    rows = frame(clouds())
    table = artefact("table1").data(rows).set_index(["model", "points"])
    scores = rows[rows["encoder"].eq("sse-random") & rows["detail.test_size"].eq(200)]["value"].astype(float)
    at: Any = table.loc[("sse-random K=16", 200)]
    assert at["ours"] == scores.mean()
    assert at["ours std"] == pytest.approx(scores.std())
    assert (at["paper"], at["seeds"]) == (0.8667, 3)
    assert at["ours - paper"] == pytest.approx(scores.mean() - 0.8667)
    assert at["data"] == "shapes (stand-in)"


def test_a_difference_is_paired_by_seed() -> None:
    records = [cloud("max", 100, s, 0.1 * s) for s in (1, 2, 3)]
    records += [cloud("sse-random", 100, s, 0.1 * s + 0.01) for s in (2, 3, 4)]
    table = artefact("table1").data(frame(records)).set_index("model")
    assert table.at["sse-random K=16", "less DeepSets (max)"] == pytest.approx(0.01)


def test_a_verdict_turns_with_the_numbers() -> None:
    assert verdict(clouds(0.05), "C19", "below 5000")["verdict"] == "confirmed"
    assert verdict(clouds(-0.05), "C19", "below 5000")["verdict"] == "refuted"
    open_ = verdict(clouds(0.0), "C19", "below 5000")
    assert open_["verdict"] == "undecided"
    assert "seeds" in open_["would decide"]


def test_one_size_that_is_missing_leaves_a_claim_undecided() -> None:
    without_500 = [record for record in clouds() if record.detail["test_size"] != 500]
    assert verdict(without_500, "C19", "below 5000")["verdict"] == "undecided"


def test_one_seed_decides_nothing() -> None:
    assert verdict(clouds(seeds=1), "C19", "below 5000")["verdict"] == "undecided"


def test_what_was_hardly_trained_decides_nothing() -> None:
    row = verdict(clouds(steps=5), "C19", "below 5000")
    assert row["verdict"] == "undecided"
    assert "trained for 5 steps" in row["why"]


def test_a_model_that_has_not_learnt_is_compared_with_a_remark() -> None:
    row = verdict(clouds(plateau=True), "C19", "below 5000")
    assert row["verdict"] == "confirmed"
    assert "remark: 6 of 6 trainings ended at the loss of the baseline" in row["why"]


def test_whether_a_model_has_learnt_is_decided_by_its_losses_in_training() -> None:
    learnt = verdict(clouds(plateau=True, train_loss=0.1, train_baseline=0.2), "C19", "below 5000")
    assert "remark" not in learnt["why"]
    stuck = verdict(clouds(plateau=False, train_loss=0.2, train_baseline=0.2), "C19", "below 5000")
    assert "remark" in stuck["why"]


def test_the_deeper_baselines_do_not_stand_in_for_the_papers() -> None:
    names = {"max": "deepsets-max", "isab-pma": "set-transformer"}
    deep = [replace(record, encoder=names.get(record.encoder, record.encoder)) for record in clouds()]
    row = verdict(deep, "C19", "below 5000")
    assert row["verdict"] == "undecided"
    assert "no records of DeepSets (max)" in row["why"]
    assert "no records of Set Transformer" in row["evidence"]


def test_models_that_were_trained_for_different_numbers_of_steps_are_not_compared() -> None:
    short = [cloud("max", size, seed, 0.5, steps=500) for size in CAD_SIZES for seed in range(3)]
    row = verdict([*short, *(record for record in clouds() if record.encoder != "max")], "C19", "below 5000")
    assert row["verdict"] == "undecided"
    assert "trained for different numbers of steps, 500 and 1,000" in row["why"]


def test_a_comparison_names_the_parameters_of_both_models() -> None:
    assert "; 21 k and 21 k parameters)" in verdict(clouds(parameters=20_600), "C19", "below 5000")["why"]
    assert set(artefact("table1").data(frame(clouds(parameters=20_600)))["parameters"]) == {20_600}


def test_a_verdict_says_that_it_rests_on_stand_in_data() -> None:
    assert verdict(clouds(), "C19", "below 5000")["data"] == "shapes (stand-in)"


def test_one_counterexample_refutes_that_a_law_holds() -> None:
    names = ("sse-random", "sse-literal-mean", "sse-literal-max", "sse-literal-min")
    passes = [law(name, Status.PASS) for name in names]
    assert verdict(passes, "C1", "as written")["verdict"] == "confirmed"
    row = verdict([*passes[:3], law(names[3], Status.XFAIL)], "C1", "as written")
    assert row["verdict"] == "refuted"
    assert "n = 2 in chunks 1 + 1, off by 0.5" in row["why"]


def test_that_a_law_breaks_is_refuted_if_no_counterexample_is_found() -> None:
    assert verdict([law("sse-softmax-slots", Status.PASS)], "C3")["verdict"] == "refuted"
    assert verdict([law("sse-softmax-slots", Status.XFAIL)], "C3")["verdict"] == "confirmed"
    assert verdict([law("sse-softmax-slots", Status.ERROR)], "C3")["verdict"] == "undecided"


def test_table_2_shows_the_counterexample() -> None:
    table = artefact("table2").data(frame([law("fspool", Status.XFAIL), law("set-transformer", Status.PASS)]))
    rows = table.set_index("encoder")[["ours", "counterexample"]].to_dict("index")
    assert rows["fspool"] == {"ours": "fails", "counterexample": "n = 2 in chunks 1 + 1, off by 0.5"}
    assert rows["set-transformer"]["ours"] == "no counterexample"


def test_every_claim_of_the_paper_is_in_the_table() -> None:
    assert set(artefact("claims").data(frame([]))["id"]) == {f"C{n}" for n in range(1, 25)}


def test_without_records_every_claim_is_undecided_and_says_what_would_decide_it() -> None:
    book = artefact("claims").data(frame([]))
    assert set(book["verdict"]) == {"undecided"}
    assert book["would decide"].str.len().min() > 0


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


def streams() -> list[Record]:
    """Return records of image completion."""
    noise = np.random.default_rng(1)
    return [
        Record(suite="image-completion", case="patches-64", encoder=encoder, status=Status.OK, seed=seed, metric="nll",
               value=1 - size / 5000 + 0.01 * noise.normal(), higher_is_better=False, params={"hyper": {}},
               detail={"train_size": 1000, "chunk_size": 1000, "test_size": size, "order": "random",
                       "aggregation": "own", "mode": "streamed", "steps": 1000, "plateau": False, "data": "photos"})
        for encoder in ("mean", "pma-block", "mine") for size in (1000, 2000, 4000) for seed in range(3)
    ]  # fmt: skip


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
    assert missing == ["fig3b: no records; mbcbench run --suite paper --only fig3b"]
    assert missing[0] in str(files["index.html"])


HOSTILE = r"[1] \input{x} 5% _ ^ ~ $ # & { } < > é ± 集"


def hostile(value: str) -> tuple[Files, list[str]]:
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
        assert len(rows) > 10
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {columns - 1}


def test_markdown_shows_the_figures_and_lists_what_was_drawn_and_what_was_not() -> None:
    asked = [artefact("fig3b"), artefact("claims"), artefact("table1")]
    files, _ = writer().write(asked, frame(streams()), INFO, ["md", "svg"])
    linked = re.findall(r"\]\((.*?)\)", str(files["README.md"]) + str(files["fig3b.md"]))
    assert set(linked) == {"fig3b.md", "fig3b.svg", "claims.md"}
    assert set(linked) <= set(files)
    assert "- table1: no records; mbcbench run --suite paper" in str(files["README.md"])


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


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return the folder of a run with the records of Table 1."""
    created = store.Run.create(tmp_path, profile="thorough", seed=0, argv=[], encoders=[])
    created.append(clouds())
    created.close()
    return created.folder


Invoke = Callable[..., int]


@pytest.fixture
def report() -> Invoke:
    def call(*arguments: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main.main(["report", *arguments])
        return int(ended.value.code or 0)

    return call


def test_the_command_writes_what_is_asked_for(run: Path, report: Invoke, tmp_path: Path) -> None:
    assert report(str(run), "--only", "table1,claims", "--format", "csv,md", "--out", str(tmp_path / "o")) == 0
    assert {p.name for p in (tmp_path / "o").iterdir()} == {
        "README.md",
        "table1.csv",
        "table1.md",
        "claims.csv",
        "claims.md",
    }


def test_an_unknown_artefact_is_one_line_with_the_nearest(
    run: Path, report: Invoke, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(str(run), "--only", "fig3x") == 3
    err = capsys.readouterr().err
    assert "did you mean fig3" in err
    assert err.count("\n") == 1


def test_an_unknown_format_is_wrong_usage(run: Path, report: Invoke, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(str(run), "--format", "cvs") == 3
    assert "did you mean csv" in capsys.readouterr().err


def test_a_run_of_a_newer_mbcbench_is_refused_in_one_line(
    run: Path, report: Invoke, capsys: pytest.CaptureFixture[str]
) -> None:
    info = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(info | {"schema": 99}))
    assert report(str(run)) == 3
    assert "install a newer mbcbench" in capsys.readouterr().err


def test_several_runs_are_put_together_and_the_later_one_counts(run: Path, report: Invoke, tmp_path: Path) -> None:
    again = store.Run.create(tmp_path, profile="thorough", seed=0, argv=[], encoders=[])
    again.append([replace(record, value=0.0) for record in clouds()[:1]])
    again.append([replace(cloud("mine", 100, 0, 0.5), cell="another")])
    again.close()
    assert report(str(run), str(again.folder), "--only", "table1", "--format", "csv", "--out", str(tmp_path / "o")) == 0
    table = pd.read_csv(tmp_path / "o" / "table1.csv")
    assert set(table["model"]) >= {"mine", "sse-random K=16"}
    score = table[table["model"].eq("DeepSets (max)") & table["points"].eq(100)]["ours"].item()
    first = [record.value or 0.0 for record in clouds() if record.encoder == "max"][:3]
    assert score == pytest.approx(sum(first[1:]) / 3)


def test_a_record_of_a_newer_mbcbench_is_refused_in_one_line(
    run: Path, report: Invoke, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run / "records.jsonl"
    first, *others = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps({**json.loads(first), "schema": 99}), *others]))
    assert report(str(run)) == 3
    err = capsys.readouterr().err
    assert "line 1, has schema 99" in err
    assert err.count("\n") == 1
