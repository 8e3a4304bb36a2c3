"""The page on attention-MIL models: its files are written, checked, and encode as the original model does."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import mbcbench
from mbcbench.protocol.build import build

PAGE = (Path(__file__).parent.parent / "docs" / "mil.md").read_text(encoding="utf-8")
FILES = dict(
    zip(("abmil", "wrapped", "streaming", "queries"), re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL), strict=True)
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the files of the page."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name, code in FILES.items():
        monkeypatch.delitem(sys.modules, name, raising=False)
        Path(f"{name}.py").write_text(code)
    return tmp_path


def test_the_model_of_the_page_is_invariant_and_not_consistent() -> None:
    laws = ["symmetry.permutation", "symmetry.padding", "mbc.partition"]
    result = mbcbench.check("wrapped.py:encoder", laws=laws, examples=24)
    assert dict(zip(result["case"], result["status"], strict=True)) == {
        "symmetry.permutation": "pass", "symmetry.padding": "pass", "mbc.partition": "fail",
    }  # fmt: skip


def test_the_stream_of_the_page_keeps_all_laws_but_has_a_bias_that_cancels() -> None:
    result = mbcbench.check("streaming.py:StreamingAttention", skip_laws=["mbc.large"], examples=24, dim_in=5)
    assert result.failures["message"].tolist() == ["no gradient: w.bias"], repr(result)


def test_the_pooling_with_queries_and_a_mask_keeps_all_laws() -> None:
    result = mbcbench.check("queries.py:QueryPooling", skip_laws=["mbc.large"], examples=24)
    assert result.ok, repr(result)
    passed = result[result["status"] == "pass"]["case"]
    assert {"mbc.mask", "mbc.empty", "symmetry.padding", "mbc.merge"} <= set(passed)


def test_a_slide_is_encoded_as_by_the_original_model(folder: Path) -> None:
    model = build("abmil.py:GatedAttention", dim_in=6, seed=3)
    torch.save({"state_dict": {f"model.{name}": value for name, value in model.state_dict().items()}}, "abmil.ckpt")
    slide = np.random.default_rng(0).standard_normal((500, 6)).astype(np.float32)
    np.savez("slide.npz", features=slide)
    encoding = mbcbench.encode("slide.npz", "streaming.py:StreamingAttention", weights="abmil.ckpt", chunk=64)
    torch.testing.assert_close(encoding, model(torch.from_numpy(slide)))
