"""The section on many sets of the page on scale: its commands and its code run."""

import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mbcbench.cli.main import main
from mbcbench.protocol.build import build

PAGE = (Path(__file__).parents[1] / "docs" / "scale.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Many sets in one pass")[2].partition("\n## ")[0]
MIL = (Path(__file__).parents[1] / "docs" / "mil.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    """Return the commands of the section, in their order."""
    words = " ".join(SECTION.split())
    inline = re.findall(r"`(mbcbench encode [^`]*)`", words)
    return re.findall(r"^    (mbcbench .*)$", SECTION, re.MULTILINE) + inline


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the files that the commands name."""
    pytest.importorskip("pyarrow")
    h5py = pytest.importorskip("h5py")
    monkeypatch.chdir(tmp_path)
    shutil.copy(Path(__file__).parent / "streaming" / "group_encoders.py", "my.py")
    Path("my.py").write_text(Path("my.py").read_text() + "\n\nEnc = Sum\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name, code in zip(
        ("abmil", "wrapped", "streaming", "queries"), re.findall(r"```python\n(.*?)```", MIL, re.DOTALL), strict=True
    ):
        monkeypatch.delitem(sys.modules, name, raising=False)
        Path(f"{name}.py").write_text(code)
    torch.save({"state_dict": build("abmil.py:GatedAttention", dim_in=64).state_dict()}, "abmil.ckpt")
    rng = np.random.default_rng(0)
    for name in ("table", "june"):
        frame = pd.DataFrame(rng.standard_normal((60, 3)).astype(np.float32), columns=["a", "b", "c"])
        frame.assign(customer=rng.integers(0, 7, 60)).to_parquet(f"{name}.parquet")
    torch.save({"scale": torch.ones(3)}, "w.pt")
    Path("slides").mkdir()
    for number in range(2):
        with h5py.File(f"slides/{number}.h5", "w") as file:
            file["features"] = rng.standard_normal((20, 64)).astype(np.float32)
    return tmp_path


def run(command: str) -> int:
    words = shlex.split(command)[1:]
    files = sorted(map(str, Path().glob("slides/*.h5")))
    with pytest.raises(SystemExit) as exit_info:
        main([part for word in words for part in (files if "*" in word else [word])] + ["--quiet"])
    assert isinstance(exit_info.value.code, int)
    return exit_info.value.code


def test_the_commands_of_the_section_run(folder: Path) -> None:
    assert len(commands()) == 3
    for command in commands():
        assert run(command) == 0, command


def test_the_code_of_the_section_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    exec(compile(code, "scale.md", "exec"), {})
