"""Encoding a file, by the command and from Python."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mbcbench.api.encode import encode as encode_file
from mbcbench.cli.encode import Rate
from mbcbench.errors import UsageError
from mbcbench.streaming import encode as module
from mbcbench.streaming.encode import EncodeOptions, open_encoding
from tests.conftest import Command
from tests.streaming.conftest import ENCODERS
from tests.streaming.files import X


@pytest.mark.parametrize(("blockwise", "chunk"), [(False, 2**18 // 3), (True, 2**20 // 3)])
def test_chunks_are_larger_for_an_encoder_that_cuts_them_into_blocks(folder: Path, blockwise: bool, chunk: int) -> None:
    (folder / "mine.py").write_text(f"{ENCODERS}\nclass Mine(Sum):\n    blockwise = {blockwise}\n")
    assert open_encoding(EncodeOptions(path=folder / "x.npy", encoder="mine.py:Mine")).chunk == chunk


NEEDS_FOUR = """
class NeedsFour(Sum):
    min_size = 4
    def forward(self, x):
        if x.shape[1] < 4:
            raise ValueError("a set has at least four elements")
        return super().forward(x)
"""


def test_the_least_size_of_a_set_is_respected(folder: Path, encode: Command) -> None:
    (folder / "mine.py").write_text(ENCODERS + NEEDS_FOUR)
    assert encode("x.npy", "mine.py:NeedsFour", "--chunk", "10", "--quiet")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("x.npy mine.py:Plain", "mine.py:Plain is a plain module; choose how to aggregate"),
        ("x.npy mine.py:Sum --g sum", "is a streaming encoder; leave out --g sum"),
        ("x.npy mine.py:Sum --resume", "name it with --checkpoint"),
        ("x.npy mine.py:Sum --checkpoint no/such", "there is no folder no"),
        ("x.npy mine.py:Sum --checkpoint .", "cannot write .: it is a folder"),
        ("x.npy mine.py:Sum --out no/such.npy", "there is no folder no"),
        ("x.npy mine.py:Sum --out e.txt", "ends in '.txt'; use .npy or .safetensors"),
        ("x.npy mine.py:Sum --hyper 3", "is not NAME=VALUE"),
        ("x.npy mine.py:Sum --select a", "has no names to select a from"),
        ("x.npy mine.py:Sum --weights no.pt", "no such file: no.pt"),
        ("x.npy mine.py:Sum --weights x.npy", "x.npy is not a file of weights"),
        ("no.npy mine.py:Sum", "no such file: no.npy"),
        ("mine.py mine.py:Sum", "ends in '.py'; use one of .npy"),
    ],
)
def test_wrong_usage_is_reported_in_one_line_with_exit_code_3(encode: Command, arguments: str, message: str) -> None:
    code, out, err = encode(*arguments.split())
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert message in err


@pytest.mark.parametrize("option", ["--out", "--checkpoint"])
def test_a_folder_that_cannot_be_written_to_is_reported_before_the_set_is_read(
    encode: Command, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = tempfile.TemporaryFile

    def open_temporary(**options: Any) -> Any:
        if options["dir"].name == "locked":  # permissions do not stop root
            raise PermissionError(13, "Permission denied")
        return original(**options)

    Path("locked").mkdir()
    monkeypatch.setattr(tempfile, "TemporaryFile", open_temporary)
    monkeypatch.setattr(module, "open_parts", None)
    code, out, err = encode("x.npy", "mine.py:Sum", option, "locked/e.npy")
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert "cannot write locked/e.npy: Permission denied; choose another folder" in err


def test_weights_of_another_width_are_reported_in_one_line(encode: Command) -> None:
    torch.save({"f.weight": torch.zeros(2, 5)}, "w.pt")
    code, _, err = encode("x.npy", "mine.py:Sum", "--weights", "w.pt")
    assert (code, err.count("\n")) == (3, 1)
    assert "f.weight is (2, 5) in the file and (2, 3) in the encoder" in err
    assert "elements of x.npy have the width 3: give the columns (--select) and --hyper of its training" in err


def test_an_object_is_not_taken_for_a_target() -> None:
    with pytest.raises(UsageError, match=r"encoder=Identity\(\): give a target such as 'my\.py:Encoder'"):
        encode_file("x.npy", torch.nn.Identity())  # type: ignore[arg-type]


def test_weights_in_a_checkpoint_are_said(encode: Command) -> None:
    torch.save({"model": {"f.weight": torch.ones(2, 3)}, "epoch": 1}, "w.pt")
    code, _, err = encode("x.npy", "mine.py:Sum", "--weights", "w.pt", "--weights-key", "model", "--quiet")
    assert (code, err) == (0, "mbcbench: w.pt: took the weights under 'model'\n")


def test_trained_weights_are_used(encode: Command) -> None:
    torch.save({"f.weight": torch.ones(2, 3)}, "w.pt")
    code, out, _ = encode("x.npy", "mine.py:Sum", "--weights", "w.pt", "--out", "e.npy", "--quiet")
    assert code == 0
    assert "e.npy: 5 numbers, from 103 elements" in out
    np.testing.assert_allclose(np.load("e.npy")[:2], X.sum(), rtol=1e-4)


def test_a_state_that_is_a_view_of_a_chunk_outlives_it(folder: Path) -> None:
    encoding = open_encoding(EncodeOptions(path=folder / "x.npy", encoder="mine.py:Sum", chunk=7))
    states = [encoding.position.state["last"] for _ in encoding.steps()]
    np.testing.assert_array_equal(torch.cat(states).numpy(), X[[*range(6, 103, 7), 102]])


def test_a_state_may_keep_a_view_of_any_chunk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = 'x[:, -1] if state["chunks"] == 1 else state["last"]'
    (folder / "mine.py").write_text(ENCODERS.replace('"last": x[:, -1]', f'"last": {second}'))
    monkeypatch.setattr("mbcbench.streaming.encode.BLOCK_NUMBERS", 14 * X.shape[1])  # two chunks per block
    encoding = open_encoding(EncodeOptions(path=folder / "x.npy", encoder="mine.py:Sum", chunk=7))
    assert list(encoding.steps())[-1] == len(X)
    np.testing.assert_array_equal(encoding.result()[2:].numpy(), X[13])


def test_the_user_is_warned_if_the_encoding_depends_on_the_chunks(encode: Command) -> None:
    code, _, err = encode("x.npy", "mine.py:Plain", "--g", "sum", "--chunk", "10", "--quiet")
    assert code == 0
    assert "warning: mine.py:Plain is not mini-batch consistent" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("encoder", ["sse-random", "mine.py:Sum"])
def test_python_and_the_command_give_the_same_encoding(encode: Command, encoder: str) -> None:
    assert encode("x.npy", encoder, "--chunk", "10", "--seed", "3", "--out", "e.npy")[0] == 0
    encoding = encode_file("x.npy", encoder, chunk=10, seed=3, threads=1)
    np.testing.assert_array_equal(encoding.numpy(), np.load("e.npy"))


def test_encoding_from_python_leaves_torchs_settings_as_they_were(folder: Path) -> None:
    before = torch.get_num_threads(), torch.get_rng_state()
    encoding = encode_file(folder / "x.npy", "sse-random", threads=torch.get_num_threads() + 1)
    assert not encoding.is_inference()
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_python_warns_and_raises_where_the_command_does(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    encode_file("x.npy", "mine.py:Plain", g="sum", chunk=10)
    assert "Plain is not mini-batch consistent" in caplog.text
    with pytest.raises(UsageError, match="there is no folder no"):
        encode_file("x.npy", "mine.py:Sum", checkpoint="no/such")


def test_the_rate_and_the_time_left_count_from_the_start() -> None:
    seconds = iter([0.0, 10.0])
    rate = Rate(4_000_000, 1_000_000, lambda: next(seconds))
    rate.done = 2_000_000
    assert rate.line() == "2,000,000 of 4,000,000 elements, 0.10 million/s, about 20 s left"
