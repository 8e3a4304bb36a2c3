"""Every test of data sets has a folder of its own for them."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of data sets."""
    folder = tmp_path / "root"
    monkeypatch.setenv("MBCBENCH_DATA", str(folder))
    return folder
