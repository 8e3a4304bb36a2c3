"""The laws from the command line: records replayed, expected failures, a reference, a new project."""

import json
from pathlib import Path

import pytest

from mbcbench.cli.main import main
from tests.conftest import Command

ENCODERS = """
import torch
from torch import nn

class Sum(nn.Module):
    def __init__(self, dim_in):
        super().__init__()
        self.v = nn.Linear(dim_in, 4, bias=False)
    def init_state(self, batch_size):
        return (self.v.weight.new_zeros(batch_size, 4),)
    def update(self, state, x):
        return (state[0] + self.v(x).sum(1),)
    def merge(self, a, b):
        return (a[0] + b[0],)
    def readout(self, state):
        return state[0]
    def forward(self, x):
        return self.v(x).sum(1)

class SumOfMeans(Sum):
    def update(self, state, x):
        return (state[0] + self.v(x).mean(1),) if x.shape[1] else state
"""


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs the program in a folder with two encoders."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(ENCODERS)

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([*arguments])
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, printed.out, printed.err

    return call


def check(command: Command, target: str, *more: str) -> tuple[int, str, str]:
    return command("check", target, "--law", "mbc.partition", "--examples", "200", "--quiet", *more)


def test_a_recorded_counterexample_breaks_its_law_again(command: Command) -> None:
    assert check(command, "mine.py:SumOfMeans", "--json", "laws.jsonl")[0] == 1
    code, out, _ = command("repro", "laws.jsonl:1")
    assert code == 1
    assert "mbc.partition is broken by mine.py:SumOfMeans" in out


def test_a_record_of_a_law_that_was_repaired_holds(command: Command) -> None:
    check(command, "mine.py:SumOfMeans", "--json", "laws.jsonl")
    Path("mine.py").write_text(ENCODERS.replace(".mean(1)", ".sum(1)"))
    code, out, _ = command("repro", "laws.jsonl")
    assert code == 0
    assert "mbc.partition holds for mine.py:SumOfMeans on the recorded example" in out


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("none.jsonl", "cannot read none.jsonl"),
        ("mine.py:99", "none numbered 99"),
        ("passes.jsonl", "holds no counterexample"),
        ("mine.py:2", "not a record"),
    ],
)
def test_a_record_that_cannot_be_replayed_is_one_line(command: Command, where: str, words: str) -> None:
    Path("passes.jsonl").write_text(json.dumps({"law": "mbc.partition", "counterexample": None}) + "\n")
    code, _, err = command("repro", where)
    assert code == 3
    assert words in err
    assert err.count("\n") == 1


def test_an_expected_failure_is_no_failure(command: Command) -> None:
    Path("xfails").write_text("mbc.partition: it averages\n")
    code, out, _ = check(command, "mine.py:SumOfMeans", "--xfails-file", "xfails")
    assert code == 0
    assert "xfail" in out


def test_an_expected_failure_that_holds_is_a_failure(command: Command) -> None:
    Path("xfails").write_text("mbc.partition: it averages\n")
    code, out, _ = check(command, "mine.py:Sum", "--xfails-file", "xfails")
    assert code == 1
    assert "xpass" in out


def test_an_expected_failure_of_an_unknown_law_is_wrong_usage(command: Command) -> None:
    Path("xfails").write_text("mbc.partitoin: it averages\n")
    code, _, err = check(command, "mine.py:Sum", "--xfails-file", "xfails")
    assert code == 3
    assert "mbc.partitoin" in err


def test_another_encoder_with_the_same_weights_serves_as_reference(command: Command) -> None:
    arguments = ("check", "mine.py:Sum", "--law", "reference.equal", "--examples", "32", "--quiet")
    assert command(*arguments, "--reference", "mine.py:SumOfMeans")[0] == 0


def test_new_encoder_writes_a_project(command: Command) -> None:
    code, out, _ = command("new", "encoder", "my-encoder")
    assert code == 0
    assert "pip install -e '.[dev]'" in out
    assert Path("my-encoder/pyproject.toml").is_file()


def test_new_encoder_with_an_unfit_name_is_wrong_usage(command: Command) -> None:
    code, _, err = command("new", "encoder", "My Encoder")
    assert code == 3
    assert "My Encoder" in err


def test_a_module_is_imported_once_for_all_laws(command: Command) -> None:
    Path("counted.py").write_text(f"with open('imports', 'a') as log:\n    log.write('x')\n{ENCODERS}")
    laws = ("--law", "mbc.partition,hygiene.*", "--examples", "20", "--quiet")
    assert command("check", "counted.py:Sum", *laws)[0] == 0
    assert Path("imports").read_text() == "x"
