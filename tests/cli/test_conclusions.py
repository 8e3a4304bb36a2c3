"""Conclusions from all laws on a subject, and causes that several failures have in common."""

from pathlib import Path

import pytest

from mbcbench import registry
from mbcbench.cli.conclusions import BUILT_ON_PARTITION, QUESTIONS, advice, conclusions, fold
from mbcbench.records.cell import Cell
from mbcbench.records.detail import LawDetail, PairDetail
from mbcbench.records.record import Record, Status
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
    def forward(self, x):
        return self.terms(x).sum(1)

class Truncated(Sum):
    def forward(self, x):
        return super().forward(x[:, :3000])

class LargestSixtyFour(Sum):
    def forward(self, x):
        return self.terms(x).topk(min(64, x.shape[1]), 1).values.mean(1)

class DropoutLeftOn(Sum):
    def forward(self, x):
        return nn.functional.dropout(super().forward(x), 0.5, training=True)

class Zero(Sum):
    def forward(self, x):
        return 0 * super().forward(x)

class Stream(Sum):
    def init_state(self, batch_size):
        return self.f.weight.new_zeros(batch_size, 4)
    def update(self, state, x):
        return state + self.terms(x).sum(1)
    def readout(self, state):
        return state
    def forward(self, x):
        return self.readout(self.update(self.init_state(len(x)), x))

class InPlace(Stream):
    def update(self, state, x):
        return state.add_(self.terms(x).sum(1))

class Keeps(Stream):
    def init_state(self, batch_size):
        return self.f.weight.new_zeros(batch_size, 0, 4)
    def update(self, state, x):
        return torch.cat([state, self.terms(x)], 1)
    def readout(self, state):
        return state.sum(1)

class Normalised(Stream):
    def __init__(self, dim_in):
        super().__init__(dim_in)
        self.norm = nn.BatchNorm1d(4)
    def terms(self, x):
        return self.norm(self.f(x).flatten(0, 1)).unflatten(0, x.shape[:2]).tanh()
"""
CONSISTENT = "mini-batch consistent: "


@pytest.mark.parametrize(
    ("name", "laws", "sentences"),
    [
        (
            "Truncated",
            "symmetry.permutation,symmetry.size,mbc.partition,mbc.large",
            [
                "permutation invariant: known for small sets only (broken: symmetry.size)",
                f"{CONSISTENT}for small sets only (broken: mbc.large)",
            ],
        ),
        ("LargestSixtyFour", "symmetry.permutation,symmetry.size", ["permutation invariant: yes"]),
        (
            "InPlace",
            "mbc.partition,mbc.fork,mbc.program,mbc.resume",
            [f"{CONSISTENT}no; a state cannot be continued twice (broken: mbc.fork, mbc.resume, mbc.program)"],
        ),
        (
            "Keeps",
            "mbc.partition,mbc.memory",
            [f"{CONSISTENT}yes, but the state grows with the set (broken: mbc.memory)"],
        ),
        ("Normalised", "mbc.partition,mbc.train", [f"{CONSISTENT}in eval mode only (broken: mbc.train)"]),
        (
            "DropoutLeftOn",
            "symmetry.permutation,mbc.partition",
            [
                "permutation invariant: not known; not deterministic (hygiene.determinism)",
                f"{CONSISTENT}not known; not deterministic (hygiene.determinism)",
            ],
        ),
        ("Zero", "mbc.partition", [f"{CONSISTENT}yes; with g = sum, mean, max or min"]),
        ("Sum", "mbc.partition,mbc.large", [f"{CONSISTENT}yes; with g = sum"]),
        ("Stream", "mbc.partition,mbc.fork,mbc.memory,mbc.train", [f"{CONSISTENT}yes; as a stream"]),
    ],
)
def test_a_conclusion_follows_from_all_laws_of_its_subject(
    command: Command, name: str, laws: str, sentences: list[str]
) -> None:
    Path("encoders.py").write_text(ENCODERS)
    out = command("check", f"encoders.py:{name}", "--law", laws, "--examples", "100", "--quiet")[1]
    *others, counts = out.rpartition("\n\n")[2].splitlines()
    assert others == sentences
    assert " in " in counts


def outcome(law: str, status: Status, message: str = "") -> Record:
    return Cell(suite="laws", case=law, encoder="mine", params={}).record(status, message=message)


@pytest.mark.parametrize(
    ("further", "answer"),
    [
        ([("mbc.large", Status.TIMEOUT)], "yes; as a stream; not known: mbc.large (timeout)"),
        ([("mbc.large", Status.SKIP), ("mbc.fork", Status.XPASS)], "yes; as a stream"),
        ([("mbc.order", Status.XFAIL)], "for chunks in one order only (broken, as expected: mbc.order)"),
        (
            [("mbc.memory", Status.FAIL), ("mbc.large", Status.XFAIL)],
            "yes, but the state grows with the set (broken: mbc.memory); "
            "for small sets only (broken, as expected: mbc.large)",
        ),
        (
            [("mbc.program", Status.FAIL), ("mbc.order", Status.XFAIL), ("mbc.merge", Status.FAIL)],
            "without merge only (broken: mbc.merge, mbc.program); "
            "for chunks in one order only (broken, as expected: mbc.order)",
        ),
        ([("hygiene.determinism", Status.FAIL)], "not known; not deterministic (hygiene.determinism)"),
        ([("symmetry.size", Status.FAIL), ("mbc.mask", Status.FAIL)], "yes; as a stream"),
    ],
)
def test_a_yes_is_limited_by_further_laws(further: list[tuple[str, Status]], answer: str) -> None:
    records = [outcome("mbc.partition", Status.PASS), *(outcome(*law) for law in further)]
    assert conclusions(records) == [f"{CONSISTENT}{answer}"]


def test_every_law_about_streams_has_a_part_in_a_conclusion() -> None:
    laws = {law for question in QUESTIONS for law in (question.law, *question.limits)}
    known = set(registry.plugins(registry.LAWS))
    assert {law for law in known if law.startswith("mbc.")} <= laws <= known
    assert set(BUILT_ON_PARTITION) <= laws


def failure(law: str, gap: float, scale: float | None) -> Record:
    cell = Cell(suite="laws", case=law, encoder="mine", params={})
    detail = LawDetail(law=law, statement="", bound=0.0, examples=1, worst_gap=gap, scale=scale)
    return cell.record(Status.FAIL, metric="gap", value=gap, detail=detail)


@pytest.mark.parametrize(
    ("gap", "scale", "is_folded"),
    [(1e-6, None, True), (1e-3, None, False), (1e-3, 1e3, True), (1e-6, 1e-3, False), (1e-9, 1e-3, True)],
)
def test_rounding_to_float32_is_a_cause_in_proportion_to_the_encoding(
    gap: float, scale: float | None, is_folded: bool
) -> None:
    shown, folded = fold([failure("hygiene.dtype", float("inf"), None), failure("symmetry.permutation", gap, scale)])
    assert len(shown) == (1 if is_folded else 2)
    assert bool(folded) is is_folded


@pytest.mark.parametrize(
    ("encoder", "words"),
    [("mine.py:Enc", "`mbc.partition: reason` into a file"), ("mine", "breaks={'mbc.partition': 'reason'} to its Enc")],
)
def test_how_to_declare_an_expected_failure_depends_on_whether_the_encoder_is_registered(
    encoder: str, words: str
) -> None:
    cell = Cell(suite="laws", case="mbc.partition", encoder=encoder, params={})
    pairs = {"sum": PairDetail(consistent=False, examples=1)}
    detail = LawDetail(law="mbc.partition", statement="", bound=0.0, examples=1, worst_gap=1.0, pairs=pairs)
    stream, declaration = advice([cell.record(Status.FAIL, metric="gap", value=1.0, detail=detail)])
    assert "init_state, update and readout" in stream
    assert words in declaration


def test_an_encoder_that_is_not_deterministic_is_not_told_to_become_a_stream() -> None:
    pairs = {"sum": PairDetail(consistent=False, examples=1)}
    detail = LawDetail(law="mbc.partition", statement="", bound=0.0, examples=1, worst_gap=1.0, pairs=pairs)
    cell = Cell(suite="laws", case="mbc.partition", encoder="mine", params={})
    message = "not deterministic in eval mode: fix hygiene.determinism first"
    assert advice([cell.record(Status.FAIL, metric="gap", value=1.0, detail=detail, message=message)]) == []
