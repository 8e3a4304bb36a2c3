"""The laws from the command line: records replayed, expected failures, a reference, a new project."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from mbcbench.protocol.build import build
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
def command(program: Command) -> Command:
    """Return the program, in a folder with two encoders."""
    Path("mine.py").write_text(ENCODERS)
    return program


POOL = "from torch import nn\n\nclass Pool(nn.Module):\n    def forward(self, x):\n        return x.mean(1)\n"


def check(command: Command, target: str, *more: str) -> tuple[int, str, str]:
    return command("check", target, "--law", "mbc.partition", "--examples", "200", "--quiet", *more)


def test_a_recorded_counterexample_breaks_its_law_again(command: Command) -> None:
    assert check(command, "mine.py:SumOfMeans", "--json", "laws.jsonl")[0] == 1
    code, out, _ = command("repro", "laws.jsonl:1", "--encoder", "mine.py:SumOfMeans")
    assert code == 1
    assert "mbc.partition is broken by mine.py:SumOfMeans" in out


def test_a_record_of_a_law_that_was_repaired_holds(command: Command) -> None:
    check(command, "mine.py:SumOfMeans", "--json", "laws.jsonl")
    Path("mine.py").write_text(ENCODERS.replace(".mean(1)", ".sum(1)"))
    code, out, _ = command("repro", "laws.jsonl", "--encoder", "mine.py:SumOfMeans")
    assert code == 0
    assert "mbc.partition holds for mine.py:SumOfMeans on the recorded example" in out


def test_a_plain_module_that_was_repaired_holds_although_other_aggregations_are_wrong(command: Command) -> None:
    Path("plain.py").write_text(POOL)
    assert check(command, "plain.py:Pool", "--json", "laws.jsonl", "--dim-in", "3")[0] == 1
    assert command("repro", "laws.jsonl", "--encoder", "plain.py:Pool")[0] == 1
    Path("plain.py").write_text(Path("plain.py").read_text().replace("mean(1)", "amax(dim=1)"))
    code, out, _ = command("repro", "laws.jsonl", "--encoder", "plain.py:Pool")
    assert code == 0, out


def test_examples_of_laws_without_right_or_wrong_are_not_replayed(command: Command) -> None:
    Path("plain.py").write_text(POOL.replace("mean", "sum"))
    command("check", "plain.py:Pool", "--law", "symmetry.replication", "--dim-in", "3", "--json", "laws.jsonl")
    code, _, err = command("repro", "laws.jsonl", "--encoder", "plain.py:Pool")
    assert code == 3
    assert "holds no counterexample" in err


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("none.jsonl", "cannot read none.jsonl"),
        ("mine.py:99", "mine.py:99: the file has"),
        ("passes.jsonl", "holds no counterexample"),
        ("mine.py:2", "not a record"),
        ("mine.py:²", "cannot read mine.py:²"),
        (f"mine.py:{'9' * 5000}", "cannot read mine.py:99"),
        ("binary", "cannot read binary (UnicodeDecodeError"),
        ("flat.jsonl", "line 1: not a record (ValueError: target is 3, not str)"),
    ],
)
def test_a_record_that_cannot_be_replayed_is_one_line(command: Command, where: str, words: str) -> None:
    Path("passes.jsonl").write_text(json.dumps({"law": "mbc.partition", "counterexample": None}) + "\n")
    Path("binary").write_bytes(b"\xff\xfe")
    flat = {"law": "mbc.partition", "encoder": 3, "seed": 0, "counterexample": {"dim_in": 3}}
    Path("flat.jsonl").write_text(json.dumps(flat) + "\n")
    code, _, err = command("repro", where)
    assert code == 3
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("target", ["mine.py:SumOfMeans", "subprocess:run"])
def test_the_code_that_a_record_names_is_not_run_unless_it_is_named_again(command: Command, target: str) -> None:
    Path("mine.py").write_text("open('trace', 'w')")
    example = {"sizes": [1], "kinds": [0], "arrangement": "contiguous", "dim_in": 2, "hyper": {"args": "touch trace"}}
    record = {"law": "mbc.partition", "encoder": target, "seed": 0, "counterexample": example}
    Path("laws.jsonl").write_text(json.dumps(record) + "\n")
    code, out, err = command("repro", "laws.jsonl")
    assert (code, out) == (3, "")
    fix = f"if you trust it: mbcbench repro laws.jsonl --encoder {target}"
    assert err == f"mbcbench: laws.jsonl would run the code of {target}; {fix}\n"
    code, _, err = command("repro", "laws.jsonl", "--encoder", "sse-random")
    assert (code, err) == (3, f"mbcbench: laws.jsonl holds no counterexample of sse-random, but of {target}\n")
    assert not Path("trace").exists()


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


def test_a_reference_that_cannot_be_used_is_named_without_the_type_of_the_error(command: Command) -> None:
    arguments = ("check", "mine.py:Sum", "--law", "reference.equal", "--quiet", "--reference")
    assert command(*arguments, "nope.py:Sum")[::2] == (3, "mbcbench: no such file: nope.py (target nope.py:Sum)\n")
    code, out, _ = command(*arguments, "mine.py:Nope")
    assert code == 2
    assert "mine.py:Nope: the module has no attribute 'Nope'" in " ".join(out.split())
    assert "UsageError" not in out


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


def test_a_traceback_is_shown_on_request(command: Command) -> None:
    Path("raises.py").write_text(
        f"{ENCODERS}\nclass Raises(Sum):\n    def readout(self, state):\n        return 1 / 0\n"
    )
    arguments = ("raises.py:Raises", "--law", "mbc.partition", "--quiet")
    assert "return 1 / 0" not in command("check", *arguments)[1]
    _, out, _ = command("check", *arguments, "--traceback")
    assert "return 1 / 0" in out
    assert "mbcbench/" not in out.partition("Traceback")[2]


def test_a_traceback_of_an_import_is_shown_on_request(command: Command) -> None:
    Path("raises.py").write_text("def f():\n    return 1 / 0\nf()\n")
    code, out, _ = command("check", "raises.py:X", "--quiet", "--traceback")
    assert code == 2
    assert out.count("return 1 / 0") == 1


def test_laws_are_skipped(command: Command) -> None:
    arguments = ("check", "mine.py:Sum", "--law", "mbc.partition,reference", "--examples", "20", "--quiet")
    _, out, _ = command(*arguments, "--skip-law", "mbc")
    assert "reference.equal" in out
    assert "mbc.partition" not in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--law", "symetry"], "no law is called 'symetry' (did you mean symmetry"),
        (["--skip-law", "mbc.partitoin"], "did you mean mbc.partition"),
        (["--law", "mbc.fork", "--skip-law", "mbc"], "no law is left after skipping mbc"),
        (["--device", "cuda"], "--device cuda, but torch sees no CUDA device here; use --device cpu"),
        (["--junit", "nowhere/laws.xml"], "cannot write nowhere/laws.xml"),
        (["--html", "nowhere/laws.html"], "cannot write nowhere/laws.html"),
    ],
)
def test_an_option_that_cannot_be_used_is_one_line(command: Command, options: list[str], message: str) -> None:
    if "cuda" in options and torch.cuda.is_available():
        pytest.skip("there is a device")
    code, out, err = command("check", "mine.py:Sum", "--quiet", *options)
    assert code == 3
    assert message in err
    assert (out, err.count("\n")) == ("", 1)


def test_junit_has_a_test_case_per_law(command: Command) -> None:
    check(command, "mine.py:SumOfMeans", "--law", "reference", "--junit", "laws.xml")
    suite = ElementTree.parse("laws.xml").getroot()[0]
    assert suite.attrib.items() >= {"name": "mine.py:SumOfMeans", "tests": "2", "failures": "1", "skipped": "1"}.items()
    failure, skipped = suite
    assert failure.attrib["name"] == "mbc.partition"
    assert "mbc.partition is broken by" in (failure[0].text or "")
    assert skipped[0].attrib["message"] == "it has no reference to compare with (--reference)"


def test_a_page_has_the_laws_and_the_counterexample(command: Command) -> None:
    check(command, "mine.py:SumOfMeans", "--html", "laws.html")
    page = Path("laws.html").read_text()
    assert "<title>Laws of mine.py:SumOfMeans</title>" in page
    assert "mbc.partition is broken by" in page


def test_run_checks_chosen_laws_with_hyper_parameters(command: Command) -> None:
    Path("hyper.py").write_text(
        f"{ENCODERS}\ndef make(dim_in, broken=False):\n    return (SumOfMeans if broken else Sum)(dim_in)\n"
    )
    arguments = ("run", "--only-encoders", "--encoder", "hyper.py:make", "--profile", "smoke", "--quiet")
    laws = ("--suite", "laws", "--law", "mbc.partition")
    assert command(*arguments, *laws)[0] == 0
    assert command(*arguments, *laws, "--hyper", "broken=true")[0] == 1
    code, _, err = command(*arguments, "--hyper", "broken=true")
    assert code == 3
    assert "--hyper: for the suite laws alone; give --suite laws and no other suite" in err


def test_an_encoder_that_cannot_be_called_is_one_line_and_is_counted_once(command: Command) -> None:
    Path("wrong.py").write_text(
        "from torch import nn\n\nclass Graph(nn.Module):\n    def __init__(self, dim_in):\n        super().__init__()\n"
        "    def forward(self, x, batch):\n        return x\n"
    )
    laws = ("--law", "symmetry.padding,symmetry.batch", "--examples", "50", "--quiet")
    code, out, _ = command("check", "wrong.py:Graph", "mean", *laws)
    assert code == 2
    assert out.count("cannot be called") == 1
    assert "2 pass; 1 encoder could not be checked in" in out


def test_an_error_of_all_laws_is_one_line_of_the_progress_too(command: Command) -> None:
    Path("wrong.py").write_text(
        f"{ENCODERS}\nclass Twice(Sum):\n    def forward(self, x):\n        return self.v(x).sum(0)\n"
    )
    for target in ("mine.py:Mising", "wrong.py:Twice"):
        code, out, err = command("check", target, "--law", "hygiene", "--examples", "20")
        assert code == (3 if "Mising" in target else 2)
        assert err.count("\n") == 1
    assert out.count("the first dimension must be the batch size") == 1


def test_the_others_are_checked_next_to_an_encoder_of_another_layout(command: Command) -> None:
    Path("wrong.py").write_text(
        f"{ENCODERS}\nclass Twice(Sum):\n    def forward(self, x):\n        return self.v(x).sum(0)\n"
    )
    code, out, _ = command("check", "wrong.py:Twice", "mine.py:Sum", "--law", "hygiene.dtype,mbc.order", "--quiet")
    assert code == 2
    assert "2 pass; 1 encoder could not be checked in" in out
    assert "set_by_set(module)" in out


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("xfails", b"\xff\xfe", "cannot read the expected failures in xfails: it is not text in UTF-8"),
        ("xfails.toml", b"a = " + b"[" * 5000, "xfails.toml is not valid TOML: maximum recursion depth"),
        ("xfails.toml", b'"mbc.partition" = 2026-01-01', "gives no reason"),
    ],
)
def test_a_damaged_file_of_expected_failures_is_one_line(
    command: Command, name: str, content: bytes, words: str
) -> None:
    Path(name).write_bytes(content)
    code, _, err = check(command, "mine.py:Sum", "--xfails-file", name)
    assert (code, err.count("\n")) == (3, 1)
    assert words in err


def test_files_of_the_working_directory_shadow_no_library(tmp_path: Path) -> None:
    """Neither one called like a library, nor a checkout of mbcbench that is not the installed one."""
    (tmp_path / "torch.py").write_text("raise SystemError('the wrong torch')")
    (tmp_path / "mbcbench").mkdir()
    (tmp_path / "mbcbench" / "__init__.py").write_text("raise SystemError('the wrong mbcbench')")
    (tmp_path / "mine.py").write_text(ENCODERS)
    call = [sys.executable, "-P", "-m", "mbcbench", "check", "mine.py:Sum", "--law", "mbc.partition", "--quiet"]
    ended = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_replay_takes_the_weights_under_the_key_of_the_check(command: Command) -> None:
    weights = build("mine.py:SumOfMeans", dim_in=2).state_dict()
    torch.save({"a": weights, "b": weights}, "w.pt")
    options = ("--dim-in", "2", "--weights", "w.pt", "--weights-key", "b", "--json", "laws.jsonl")
    assert check(command, "mine.py:SumOfMeans", *options)[0] == 1
    code, out, err = command("repro", "laws.jsonl", "--encoder", "mine.py:SumOfMeans")
    assert (code, err) == (1, "")
    assert "is broken by" in out


REFERENCE = "def other(module, x):\n    return module(__import__('torch').from_numpy(x)).detach().numpy() + 1\n"


def test_a_reference_is_run_again_only_if_it_is_named_again(command: Command) -> None:
    Path("other.py").write_text(REFERENCE)
    options = ("--law", "reference.equal", "--reference", "other.py:other", "--json", "laws.jsonl")
    code, out, _ = command("check", "mine.py:SumOfMeans", *options)
    assert code == 1
    assert "reference='other.py:other')" in out
    replay = ("repro", "laws.jsonl", "--encoder", "mine.py:SumOfMeans")
    code, _, err = command(*replay)
    fix = "laws.jsonl would run the code of other.py:other; if you trust it, add --reference other.py:other"
    assert (code, err) == (3, f"mbcbench: {fix}\n")
    code, out, _ = command(*replay, "--reference", "other.py:other")
    assert code == 1
    assert "reference.equal is broken by mine.py:SumOfMeans" in out
    Path("other.py").write_text(REFERENCE.replace(" + 1", ""))
    assert command(*replay, "--reference", "other.py:other")[0] == 0


def test_the_profile_standard_tries_as_many_sets_as_the_default(command: Command) -> None:
    for profile in ("quick", "standard"):
        command("check", "mine.py:Sum", "--law", "mbc.partition", "--profile", profile, "--json", f"{profile}.jsonl")
    quick, standard = (json.loads(Path(f"{profile}.jsonl").read_text()) for profile in ("quick", "standard"))
    assert standard["examples"] == quick["examples"]


@pytest.mark.parametrize("pattern", ["mbc.dist*", "mbc.distributed*"])
def test_a_pattern_that_selects_slow_laws_alone_does_not_select_all(command: Command, pattern: str) -> None:
    code, out, err = command("check", "mine.py:Sum", "--law", pattern)
    assert (code, out) == (3, "")
    assert err == f"mbcbench: {pattern} selects only what is slow; name it in full: mbc.distributed\n"
