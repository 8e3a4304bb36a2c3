"""Fixtures: plug-ins that are installed for one test."""

from pathlib import Path

import pytest

SUITE = '''
"""A suite that encodes one set, and one that breaks its promise to give a record."""
import torch
from mbcbench import target
from mbcbench.cell import Cell, Suite

def cells(encoders, profile, seed):
    return [Cell(suite="encode", case="once", encoder=e, params={"n": 5}, seed=seed) for e in encoders]

def run(cell):
    spec = target.resolve(cell.encoder)
    width = target.element_width(spec, 4)
    out = target.build(spec, dim_in=width, seed=cell.seed)(torch.ones(2, cell.params["n"], width))
    yield cell.record("ok", metric="sum", value=out.sum().item())

ENCODE = Suite(name="encode", summary="", cells=cells, run=run, seconds=dict.fromkeys(("smoke", "quick"), 20.0))
'''


class Plugins:
    """A folder on the path that registers plug-ins as an installed distribution does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._entries: dict[str, dict[str, str]] = {}
        (folder / "fake-1.0.dist-info").mkdir(parents=True)
        (folder / "fake-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: fake\nVersion: 1.0\n")

    def add(self, group: str, name: str, target: str) -> None:
        """Register `target` under `name`."""
        self._entries.setdefault(group, {})[name] = target
        lines = []
        for key, entries in self._entries.items():
            lines += [f"[mbcbench.{key}]", *(f"{n} = {t}" for n, t in entries.items())]
        (self.folder / "fake-1.0.dist-info" / "entry_points.txt").write_text("\n".join(lines))

    def module(self, name: str, source: str) -> None:
        """Write a module that plug-ins can point to."""
        (self.folder / f"{name}.py").write_text(source)


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugins:
    """Plug-ins of one test: a suite `encode` to begin with."""
    made = Plugins(tmp_path / "site")
    made.module("fake_suites", SUITE)
    made.add("suites", "encode", "fake_suites:ENCODE")
    monkeypatch.syspath_prepend(str(made.folder))
    monkeypatch.setenv("PYTHONPATH", str(made.folder))  # for the command in a process of its own
    return made
