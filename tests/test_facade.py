"""The public names of `mbcbench`, and the Python functions for what the commands do."""

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch

import mbcbench
from mbcbench.errors import UsageError
from tests.conftest import Plugins

PUBLIC: list[str] = vars(mbcbench)["__all__"]
STUB = Path(mbcbench.__file__).with_suffix(".pyi")
HONEST = f"{Path(__file__).parent / 'broken_encoders.py'}:Honest"


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(mbcbench, name).__doc__
    assert name in dir(mbcbench)


def test_the_stub_names_what_is_public() -> None:
    names = [
        alias.name
        for node in ast.parse(STUB.read_text()).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert sorted(names) == sorted(PUBLIC)


def test_importing_it_imports_nothing_heavy() -> None:
    program = "import sys, mbcbench; assert not {'torch', 'numpy', 'pandas', 'rich', 'typer'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Checked", "CheckResult"),
        ("Pair", "ChunkAggregation"),
        ("replay", "replay_counterexample"),
        ("spec", "get_spec"),
    ],
)
def test_names_of_the_release_before_warn(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"mbcbench.{old} is called mbcbench.{new} now"):
        assert getattr(mbcbench, old) is getattr(mbcbench, new)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = mbcbench.no_such_name  # type: ignore[attr-defined]


def test_run_compare_and_report_from_python(plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = mbcbench.run(["encode"], encoders=[HONEST], only_encoders=True, profile="smoke", quiet=True)
    assert first.frame.loc[first.frame["suite"] == "encode", "status"].tolist() == ["ok"]
    assert first.folder is not None
    assert mbcbench.load(first.folder)["value"].dropna().tolist() == first.frame["value"].dropna().tolist()
    second = mbcbench.run(["encode"], encoders=[HONEST], only_encoders=True, profile="smoke", quiet=True)
    assert second.progress.reused == 1
    assert second.folder is not None
    changes = mbcbench.compare(first.folder, "latest")
    assert isinstance(changes, pd.DataFrame)
    assert changes.empty


def test_report_gives_the_paths_it_wrote(tmp_path: Path) -> None:
    *_, costs = sorted((Path(__file__).parents[1] / "docs/results/runs").iterdir())
    files = mbcbench.report(costs, only=["time", "fig1"], formats=["csv", "md"], out=tmp_path / "out")
    assert {path.name for path in files.paths} >= {"time.csv", "time.md", "README.md"}
    assert all(path.is_file() for path in files.paths)
    with pytest.raises(UsageError, match="did you mean csv"):
        mbcbench.report(only=["table1"], formats=["cvs"])


def test_encode_gives_the_encoding_and_leaves_torch_as_it_was(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    seen: list[tuple[int, int]] = []
    encoding = mbcbench.encode(
        tmp_path / "x.npy", "deepsets-mean", chunk=20, threads=1, progress=lambda *at: seen.append(at)
    )
    module = mbcbench.build("deepsets-mean", dim_in=3).eval()
    with torch.no_grad():
        assert torch.allclose(encoding, module(torch.from_numpy(x)[None])[0], atol=1e-6)
    assert (seen[0], seen[-1]) == ((0, 50), (50, 50))
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_compare_takes_the_least_change_that_counts(plugins: Plugins, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run is called"):
        mbcbench.compare("monday", "latest", min_effect={"time": 0.5}, root=tmp_path)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mbcbench.run("laws"), r"suites='laws': give a list, as in suites=\['laws'\]"),
        (lambda: mbcbench.run(laws="mbc"), r"laws='mbc': give a list"),
        (lambda: mbcbench.run(jobs=-1), "jobs=-1: give a number above 0"),
        (lambda: mbcbench.run(seeds=0), "seeds=0: give a number above 0"),
        (lambda: mbcbench.run(time_limit=-2), "time_limit=-2: give a number above 0"),
        (lambda: mbcbench.run(profile=cast(Any, "fast")), "profile='fast': give one of smoke, quick"),
        (lambda: mbcbench.report(only="fig3b"), r"only='fig3b': give a list"),
        (lambda: mbcbench.report(formats="png"), r"formats='png': give a list"),
        (lambda: mbcbench.merge([]), "there are no runs to merge"),
        (lambda: mbcbench.merge("run"), "runs='run': give a list"),
        (
            lambda: mbcbench.compare("a", "b", min_effect={cast(Any, "times"): 0.2}),
            "min_effect={'times': 0.2}: give time, memory",
        ),
        (lambda: mbcbench.compare("a", "b", min_effect={"time": -1}), "a number of at least 0"),
        (lambda: mbcbench.encode("x.npy", "deepsets-sum", chunk=-100), "chunk=-100: give a number above 0"),
        (lambda: mbcbench.encode("x.npy", "deepsets-sum", threads=0), "threads=0: give a number above 0"),
        (lambda: mbcbench.check("deepsets-sum", dim_in=0), "dim_in=0: give a number above 0"),
        (lambda: mbcbench.check("deepsets-sum", laws=[]), "no law is named"),
        (lambda: mbcbench.parametrize_with_laws("deepsets-sum"), r"encoders='deepsets-sum': give a list"),
    ],
)
def test_an_argument_that_cannot_be_used_is_one_line(call: Callable[[], object], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
