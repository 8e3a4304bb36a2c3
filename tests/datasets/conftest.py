"""A data folder for each test."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of data sets."""
    folder = tmp_path / "root"
    monkeypatch.setenv("MBCBENCH_DATA", str(folder))
    return folder
