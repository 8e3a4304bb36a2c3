"""Counterexamples of `mbcbench check`: what is shown, in which order, and in which words."""

import re
from pathlib import Path

import pytest

from tests.cli.test_check import command as command  # noqa: PLC0414 # a fixture
from tests.conftest import Command

ENCODERS = """
import torch
from torch import nn

class Sum(nn.Module):
    def __init__(self, dim_in):
        super().__init__()
        self.f = nn.Linear(dim_in, 4)
    def terms(self, x):
        return torch.tanh(self.f(x))
    def forward(self, x, mask=None):
        terms = self.terms(x)
        return (terms if mask is None else torch.where(mask[..., None], terms, 0)).sum(1)

class TimesMask(Sum):
    def forward(self, x, mask=None):
        terms = self.terms(x)
        return (terms if mask is None else terms * mask[..., None]).sum(1)

class NoMask(Sum):
    def forward(self, x, mask=None):
        return self.terms(x).mean(1)

class InFloat32(Sum):
    def terms(self, x):
        return torch.tanh(x.float())

class Random(Sum):
    def forward(self, x, mask=None):
        return super().forward(x, mask) + torch.randn(4)

class Temperature(Sum):
    # Padding sets the temperature of a softmax, which does not matter to a single element.
    def forward(self, x, mask=None):
        logits, terms = x.sum(2, keepdim=True), self.terms(x)
        logits = logits / (1 + logits.abs().amax(1, keepdim=True))
        if mask is not None:
            terms = terms.where(mask[..., None], 0.0)
            logits = logits.masked_fill(~mask[..., None], -torch.inf)
        return (logits.softmax(1) * terms).sum(1)

class Raises(Sum):
    def forward(self, x, mask=None):
        if x.isnan().any():
            raise RuntimeError("no number")
        return super().forward(x, mask)

class NoMaskToday(Sum):
    def forward(self, x, mask=None):
        if mask is not None:
            raise RuntimeError("no mask today")
        return super().forward(x)

class MeanOfMeans(Sum):
    def init_state(self, batch_size):
        return self.f.weight.new_zeros(batch_size, 4), 0
    def update(self, state, x):
        return state[0] + self.terms(x).mean(1), state[1] + 1
    def readout(self, state):
        return state[0] / max(state[1], 1)
    def forward(self, x):
        return self.terms(x).mean(1)

class Capped(Sum):
    def init_state(self, batch_size):
        return torch.zeros(batch_size, 4, dtype=self.f.weight.dtype), 0
    def update(self, state, x):
        return state[0] + self.terms(x).sum(1), min(state[1] + 1, 1000)
    def readout(self, state):
        return state[0] if state[1] < 1000 else 2 * state[0]
    def forward(self, x):
        return self.terms(x).sum(1)
"""


def check(command: Command, name: str, laws: str, *more: str) -> str:
    """Return what `check` prints."""
    Path("encoders.py").write_text(ENCODERS)
    return command("check", f"encoders.py:{name}", "--law", laws, "--examples", "300", "--quiet", *more)[1]


def cards(out: str) -> list[str]:
    """Return the laws whose counterexamples are shown, in order."""
    headings = (" is broken by ", " could not be checked on ")
    return [line.split()[0] for line in out.splitlines() if any(heading in line for heading in headings)]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("TimesMask", "finite padding is fine, but NaN or infinity in padding reaches the encoding"),
        ("NoMask", "padding changes the encoding, with finite values too"),
        ("Temperature", "padding changes the encoding, with finite values too"),
    ],
)
def test_padding_with_nan_and_with_finite_values_are_told_apart(command: Command, name: str, words: str) -> None:
    out = check(command, name, "symmetry.padding")
    assert f"safe with masks: no; {words}" in out
    assert 'padding: "one' in out


def test_a_counterexample_ends_with_the_fix_and_where_to_read_more(command: Command) -> None:
    out = check(command, "NoMask", "symmetry.padding")
    assert "fix       replace masked entries (`torch.where`) before they are used" in out
    assert "more      mbcbench describe symmetry.padding" in out


def test_thousands_of_chunks_are_not_listed(command: Command) -> None:
    out = check(command, "Capped", "mbc.large")
    assert "4,100 chunks" in out
    assert max(map(len, out.splitlines())) < 250


def test_laws_that_fail_for_want_of_determinism_are_folded(command: Command) -> None:
    out = check(command, "Random", "symmetry.p*,hygiene.determinism")
    assert cards(out) == ["hygiene.determinism"]
    assert "not deterministic breaks them too: symmetry.permutation, symmetry.padding" in out


def test_laws_that_fail_by_rounding_to_float32_are_folded(command: Command) -> None:
    out = check(command, "InFloat32", "symmetry.permutation,hygiene.dtype", "--examples", "1000")
    assert cards(out) == ["hygiene.dtype"]
    assert "rounds to float32 (hygiene.dtype) breaks them too: symmetry.permutation" in out


def test_laws_that_end_with_one_error_are_folded(command: Command) -> None:
    out = check(command, "Raises", "hygiene.nonfinite,hygiene.dtype,symmetry.padding")
    assert len(cards(out)) == 1
    assert "since they end with the error of symmetry.padding: hygiene.nonfinite" in out


def test_a_law_that_ends_with_an_error_could_not_be_checked_and_has_no_advice(command: Command) -> None:
    out = check(command, "NoMaskToday", "symmetry.padding,symmetry.batch")
    assert "symmetry.padding could not be checked on encoders.py:NoMaskToday" in out
    assert "raised    RuntimeError: no mask today" in out
    assert "is broken by" not in out
    assert "fix  " not in out


def test_laws_that_are_broken_wherever_a_partition_matters_are_one_line_after_it(command: Command) -> None:
    laws = "mbc.partition,mbc.gradient,mbc.train,mbc.order,numerics.scale"
    out = check(command, "MeanOfMeans", laws, "--html", "laws.html")
    assert cards(out) == ["mbc.partition"]
    names = "mbc.gradient, mbc.train, numerics.scale"
    assert f"Also broken, because mbc.partition is: {names} (counterexamples: --html PATH)" in out.splitlines()
    assert out.index("replay_counterexample") < out.index("Also broken") < out.index("mini-batch consistent")
    assert all(f"{law} is broken by" in Path("laws.html").read_text() for law in ("mbc.gradient", "numerics.scale"))
    assert cards(check(command, "MeanOfMeans", "mbc.gradient")) == ["mbc.gradient"]


def test_laws_that_do_not_apply_are_named_together_with_the_reason(command: Command) -> None:
    out = check(command, "Sum", "symmetry.permutation,mbc.merge,mbc.order,symmetry.slots")
    words = " ".join(out.split())
    assert "): symmetry.slots" in words
    assert " skip " not in out.partition("permutation invariant")[0]


def test_a_conclusion_names_the_aggregations_in_words(command: Command) -> None:
    out = check(command, "NoMask", "mbc.partition")
    assert "mini-batch consistent: no; none of the sum, mean, max, min of chunk encodings is the encoding" in out


def test_a_law_that_holds_against_a_file_names_the_file(command: Command) -> None:
    Path("xfails").write_text("symmetry.permutation: known\n")
    out = check(command, "Sum", "symmetry.permutation", "--xfails-file", "xfails")
    words = " ".join(out.split())
    assert "though the file (or list) of expected failures says: known" in words
    assert "the spec says" not in words


def test_a_pipe_has_no_trailing_blanks_and_respects_columns(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    out = check(command, "Sum", "symmetry.permutation,mbc.merge")
    table = out.partition("permutation invariant")[0].splitlines()
    assert max(map(len, table)) <= 70
    assert not any(line.endswith(" ") for line in table)


WIDE = ["law", "status", "gap", "bound", "examples", "seconds"]


@pytest.mark.parametrize(
    ("columns", "heading", "row"),
    [
        (120, WIDE, r"symmetry\.padding +fail +\S+ +\S+ +\d+ +\d+\.\d   \S.{29,}"),
        (80, WIDE[:3], r"symmetry\.padding +fail +\S+   \S.{29,}"),
        (60, WIDE[:3], r"symmetry\.padding +fail +\S+\n   padding changes the encoding, with finite values too\n"),
        (45, WIDE[:3], r"symmetry\.padding +fail +\S+\n   padding changes the encoding, with finite\n   values too\n"),
    ],
)
def test_a_table_that_is_narrow_keeps_law_status_gap_and_message(
    command: Command, monkeypatch: pytest.MonkeyPatch, columns: int, heading: list[str], row: str
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    out = check(command, "NoMask", "symmetry.padding,mbc.partial_gradient,substance.interactions")
    table = out.partition("Does not apply")[0]
    assert max(map(len, table.splitlines())) <= columns
    assert table.splitlines()[2].split() == heading
    assert re.search(row, table)
    assert re.search(r"^ substance\.interactions +ok +\S+", table, re.MULTILINE)


def matrix(command: Command, monkeypatch: pytest.MonkeyPatch, columns: int) -> list[str]:
    """Return the lines that follow the last card of a check of three encoders."""
    monkeypatch.setenv("COLUMNS", str(columns))
    Path("encoders.py").write_text(ENCODERS)
    targets = [f"encoders.py:{name}" for name in ("Sum", "TimesMask", "NoMask")]
    options = ("--law", "symmetry.padding,hygiene.dtype", "--examples", "20", "--quiet")
    lines = command("check", *targets, *options)[1].splitlines()
    return lines[[n for n, line in enumerate(lines) if line.startswith("safe with masks")][-1] + 1 :]


def test_several_encoders_end_in_one_matrix(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = matrix(command, monkeypatch, 80)
    assert [line.split() for line in lines if line.startswith((" law", " h", " s"))] == [
        ["law", "Sum", "TimesMask", "NoMask"],
        ["hygiene.dtype", "pass", "pass", "pass"],
        ["symmetry.padding", "pass", "fail", "fail"],
    ]


def test_encoders_that_do_not_fit_side_by_side_are_numbered(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = matrix(command, monkeypatch, 42)
    assert "  2  encoders.py:TimesMask" in lines
    assert " symmetry.padding   pass   fail   fail" in lines
    assert max(map(len, lines[3:-1])) <= 42
