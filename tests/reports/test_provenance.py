"""Every page says which commit and machine made its records, and warns where the installed sources are others."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mbcbench import registry
from mbcbench.api import provenance
from mbcbench.api.report import merge_runs
from mbcbench.execution import digest
from mbcbench.records import store
from mbcbench.records.cell import Cell
from mbcbench.reporting import Report
from mbcbench.reports.provenance import record_lines
from tests.cli.report_records import artefact, clouds
from tests.conftest import Plugins
from tests.reports.test_leaderboard import printed

LINE = "Records: commit c07caf5 (2026-11-24); machine Example CPU @ 2.50GHz, 2 cores, 8 GiB, 1 thread"
CHANGED = {"changed": {"suites": ["laws"], "encoders": ["sse-random"]}}
WARNING = "Warning: the installed sources of 1 suite (laws) and 1 encoder (sse-random) differ"


def report(name: str) -> Report:
    loaded: Report = registry.plugin(registry.REPORTS, name).load()
    return loaded


def test_a_line_names_commit_day_and_machine(info: dict[str, Any]) -> None:
    assert record_lines(info) == [LINE]
    dirty = {**info, "commit": f"{info['commit']}-dirty"}
    assert record_lines(dirty)[0].startswith("Records: commit c07caf5 with changes (2026-11-24); machine")


def test_a_run_of_an_installed_wheel_names_the_version(info: dict[str, Any]) -> None:
    assert record_lines({**info, "commit": None})[0].startswith("Records: mbcbench 0.1.0 (2026-11-24); machine")
    assert record_lines({}) == ["Records: of an unknown commit"]


def test_runs_of_one_commit_and_machine_are_named_once(info: dict[str, Any]) -> None:
    assert record_lines({"runs": [info, info]}) == [LINE]
    (line,) = record_lines({"runs": [info, {**info, "commit": "abc1234567"}]})
    assert line.startswith("Records: commit c07caf5 (2026-11-24), commit abc1234 (2026-11-24); machine Example CPU")


def test_a_warning_names_what_has_changed(info: dict[str, Any]) -> None:
    line, warning = record_lines({"runs": [{**info, **CHANGED}]})
    assert line == LINE
    assert warning.startswith(WARNING)


def test_reference_results_have_a_line_of_their_own(info: dict[str, Any]) -> None:
    reference = {"commit": "abc1234567", "created": "2026-11-27T00:00:00", "hardware": {"cpu": "Other CPU"}, **CHANGED}
    lines = record_lines({**info, "reference": reference})
    assert lines[:2] == [LINE, "Reference results: commit abc1234 (2026-11-27); machine Other CPU"]
    assert lines[2].startswith(WARNING)
    assert record_lines({**info, "reference": None}) == [LINE]


@pytest.mark.parametrize("name", ["leaderboard", "experiments", "costs"])
def test_every_report_shows_the_lines(name: str, leaky_records: pd.DataFrame, info: dict[str, Any]) -> None:
    described = {**info, "runs": [{**info, **CHANGED}], "experiments": {}}
    for text in (report(name).html(leaky_records, described), printed(report(name), leaky_records, described, 400)):
        flat = " ".join(text.split())
        assert LINE in flat
        assert WARNING in flat


def test_every_file_of_a_report_shows_the_lines(leaky_records: pd.DataFrame, info: dict[str, Any]) -> None:
    described = {**info, "runs": [{**info, **CHANGED}]}
    artefacts = [artefact("claims"), artefact("fig1"), artefact("law-matrix")]
    files, _ = report("leaderboard").write(artefacts, leaky_records, described, ["md", "latex", "html"])
    pages = {name: str(text) for name, text in files.items() if name.endswith((".md", ".html")) or name == "claims.tex"}
    assert {"claims.md", "fig1.md", "README.md", "index.html", "claims.tex"} <= set(pages)
    for text in pages.values():
        assert "Records: commit c07caf5 (2026-11-24)" in text
        assert WARNING in " ".join(text.split())


def stored_run(root: Path, **identity: str) -> Path:
    run = store.Run.create(root, profile="quick", seed=0, argv=[], encoders=[])
    run.plan([Cell(suite="point-clouds", case="c", encoder="mean", identity=identity)], {})
    run.append(clouds())
    run.close()
    return run.folder


def test_a_run_is_compared_with_the_installed_sources(tmp_path: Path) -> None:
    sources = digest.sources_unloaded("mbcbench.suites.tasks.point_clouds.suite")
    encoder = digest.files(digest.sources_unloaded("mbcbench.encoders.plain_pooling"))
    identity = {"suite source": digest.files(sources), "harness source": digest.harness(sources)}
    same = provenance.describe_run(stored_run(tmp_path, **identity, **{"encoder source": encoder}))
    assert same["changed"] == {"suites": [], "encoders": []}
    assert same["commit"] == store.info(tmp_path / "runs" / same["run"])["commit"]
    other = stored_run(tmp_path, **identity | {"harness source": "0"}, **{"encoder source": "0"})
    assert provenance.describe_run(other)["changed"] == {"suites": ["point-clouds"], "encoders": ["mean"]}
    assert len(merge_runs([tmp_path / "runs" / same["run"], other])[0]["runs"]) == 2


def test_a_plugin_that_is_not_installed_has_no_sources_until_it_is(plugins: Plugins) -> None:
    assert provenance.installed_sources(registry.SUITES, "point-clouds") == {"suite source": "not installed"}
    plugins.add("suites", "point-clouds", "mbcbench.suites.tasks.point_clouds.suite:SUITE")
    assert provenance.installed_sources(registry.SUITES, "point-clouds").keys() == {"suite source", "harness source"}


def test_a_run_without_cells_or_digests_gives_no_warning(tmp_path: Path) -> None:
    assert provenance.describe_run(stored_run(tmp_path))["changed"] == {"suites": [], "encoders": []}
    run = store.Run.create(tmp_path, profile="quick", seed=0, argv=[], encoders=[])
    run.close()
    assert provenance.describe_run(run.folder)["changed"] == {"suites": [], "encoders": []}


def test_an_encoder_that_was_removed_has_changed_and_a_users_file_is_not_compared() -> None:
    cells = [
        Cell(suite="s", case="c", encoder=name, identity={"encoder source": "0"}) for name in ("removed", "my.py:Mine")
    ]
    assert provenance.changed_sources(cells)["encoders"] == ["removed"]


def test_the_spot_check_is_a_line_that_names_what_was_not_reproduced() -> None:
    good = {"case": "standard-points", "encoder": "mean", "seed": 1, "difference": 0.01, "tolerance": 0.03}
    bad = {**good, "encoder": "pma", "difference": 0.25}
    reference = {"commit": "abc1234567", "created": "2026-01-02"}
    assert record_lines({"commit": "f" * 40, "reference": {**reference, "spot_checks": [good]}})[1:] == [
        "Reference results: commit abc1234 (2026-01-02)",
        "Spot check: reproduced 1 of 1 reference trainings within tolerance",
    ]
    (line,) = record_lines({"commit": "f" * 40, "reference": {**reference, "spot_checks": [good, bad]}})[2:]
    assert "reproduced 1 of 2" in line
    assert "pma on standard-points, seed 1: 0.250 apart, tolerance 0.03" in line
    assert len(record_lines({"commit": "f" * 40, "reference": reference})) == 2
