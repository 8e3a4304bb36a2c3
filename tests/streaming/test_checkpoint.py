"""Jobs that are killed or interrupted, and resumed from their checkpoint."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from mbcbench.protocol.state import from_bytes, to_bytes
from tests.conftest import Command
from tests.streaming.conftest import ENCODERS

ENCODE = [sys.executable, "-m", "mbcbench.cli.main", "encode", "x.npy", "--encoder", "mine.py:Sum"]


def test_a_killed_job_resumes_and_gives_the_identical_encoding(encode: Command, folder: Path) -> None:
    options = ["--chunk", "10", "--threads", "1", "--checkpoint", "state", "--every", "0", "--quiet"]
    encode("x.npy", "mine.py:Sum", "--chunk", "10", "--out", "whole.npy", "--quiet")
    (folder / "kill").touch()
    assert subprocess.run([*ENCODE, *options], check=False).returncode == -signal.SIGKILL
    assert not (folder / "x.npy.encoding.npy").exists()
    code, _, _ = encode("x.npy", "mine.py:Sum", *options, "--resume")
    assert code == 0
    assert (folder / "x.npy.encoding.npy").read_bytes() == (folder / "whole.npy").read_bytes()


def test_ctrl_c_prints_the_command_that_resumes(encode: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "mine.py").write_text(ENCODERS.replace("KILL = True", "KILL = False"))
    (folder / "kill").touch()
    options = ["--chunk", "10", "--checkpoint", "state"]
    monkeypatch.setattr(sys, "argv", ["/bin/mbcbench", "encode", "x.npy", *options])
    code, _, err = encode("x.npy", "mine.py:Sum", *options)
    assert code == 130
    assert err.startswith("mbcbench: interrupted after 30 of 103 elements; stored in state, go on with: ")
    assert err.endswith("mbcbench encode x.npy --chunk 10 --checkpoint state --resume\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--chunk", "20"], "chunk was 10 and is 20"),
        (["--chunk", "10", "--seed", "1"], "seed was 0 and is 1"),
        (["--chunk", "10", "--g", "max"], "g was sum and is max"),
    ],
)
def test_a_checkpoint_of_another_encoding_is_refused(encode: Command, options: list[str], message: str) -> None:
    first = ["--chunk", "10", "--checkpoint", "state", "--g", "sum"]
    assert encode("x.npy", "mine.py:Plain", *first)[0] == 0
    code, _, err = encode("x.npy", "mine.py:Plain", *first, *options, "--resume", "--quiet")
    assert code == 3
    assert message in err.splitlines()[-1]


def test_other_weights_are_named_by_their_files(encode: Command, folder: Path) -> None:
    for name, value in (("lit.ckpt", 2.0), ("copy.ckpt", 2.0), ("new.ckpt", 3.0)):
        torch.save({"f.weight": torch.full((2, 3), value)}, folder / name)
    command = ["x.npy", "mine.py:Sum", "--quiet", "--chunk", "10", "--checkpoint", "state"]
    assert encode(*command, "--weights", "lit.ckpt")[0] == 0
    assert encode(*command, "--weights", "copy.ckpt", "--resume")[0] == 0
    for other, message in (
        (["--weights", "new.ckpt"], r"weights were copy.ckpt \(\w+\), now new.ckpt \(\w+\);"),
        ([], r"weights were copy.ckpt \(\w+\), now as built \(\w+\);"),
    ):
        code, _, err = encode(*command, *other, "--resume")
        assert code == 3
        assert re.search(message, err)


def test_a_file_that_is_not_a_checkpoint_is_neither_overwritten_nor_read(encode: Command, folder: Path) -> None:
    (folder / "state").write_bytes(b"something else")
    assert "exists; continue from it with --resume" in encode("x.npy", "mine.py:Sum", "--checkpoint", "state")[2]
    assert "is not a checkpoint" in encode("x.npy", "mine.py:Sum", "--checkpoint", "state", "--resume")[2]
    assert (folder / "state").read_bytes() == b"something else"


@pytest.mark.parametrize(
    "changes",
    [
        {"elements": -1}, {"elements": 104}, {"elements": "10"}, {"elements": None}, {"origin": "[]"},
        {"origin": "3"}, {"origin": "[" * 100_000}, {"schema": "1"}, {"state": 3}, {"state": [1]},
    ],
)  # fmt: skip
def test_a_checkpoint_with_other_content_is_one_line(encode: Command, folder: Path, changes: dict[str, object]) -> None:
    options = ["--checkpoint", "state", "--quiet"]
    assert encode("x.npy", "mine.py:Sum", *options)[0] == 0
    saved: dict[str, object] = from_bytes((folder / "state").read_bytes(), {})
    (folder / "state").write_bytes(to_bytes({**saved, **changes}))
    code, _, err = encode("x.npy", "mine.py:Sum", *options, "--resume")
    assert code in (2, 3)
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "structure", ["3", "[]", "{}", '{"fields": 3}', '{"tensor": "9"}', '{"items": [{"value": 1}]}']
)
def test_a_checkpoint_of_another_structure_is_refused(encode: Command, folder: Path, structure: str) -> None:
    data = safetensors.torch.save({"0": torch.zeros(1)}, metadata={"state": structure})
    (folder / "state").write_bytes(data)
    code, _, err = encode("x.npy", "mine.py:Sum", "--checkpoint", "state", "--resume")
    assert (code, err.count("\n")) == (3, 1)
    assert "is not a checkpoint of mbcbench encode" in err
