"""Outcomes of laws as outcomes of tests."""

from collections.abc import Mapping
from typing import Any

import pytest
from torch import Tensor, nn

import mbcbench
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.records.cell import Cell
from mbcbench.records.record import BROKEN, Record, Status
from mbcbench.verify.assertions import (
    EncoderRaisedError,
    LawBrokenError,
    UnexpectedPassError,
    assert_as_claimed,
)
from mbcbench.verify.checker import Budget, Checker
from tests.sound_encoders import Sum

CELL = Cell(suite="laws", case="mbc.partition", encoder="mine.py:Mine", seed=0)


class Last(nn.Module):
    """The last state of a recurrence, which reads the elements in order."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.gru = nn.GRU(dim_in, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.gru(x)[0][:, -1]
        return out


def run(*parameters: Any) -> None:
    """Run the one test that `parametrize_with_laws` makes."""
    decorator: Any = mbcbench.parametrize_with_laws(*parameters, laws=["symmetry.permutation"])
    (parameter,) = decorator.mark.args[1]
    encoder, check = parameter.values
    check(encoder)


def judged(monkeypatch: pytest.MonkeyPatch, status: Status, message: str) -> None:
    """Let every law end with a status."""

    def judge(self: Checker, law_id: str, budget: Budget) -> Record:
        return CELL.record(status, message=message)

    monkeypatch.setattr(Checker, "judge", judge)


@pytest.mark.parametrize("status", sorted(BROKEN))
def test_an_encoder_that_fails_is_never_a_pass(status: Status) -> None:
    with pytest.raises(EncoderRaisedError, match=r"mbc\.partition cannot be checked on mine.py:Mine: memory ran out"):
        assert_as_claimed(CELL.record(status, message="memory ran out"))


@pytest.mark.parametrize("status", sorted(set(Status) - BROKEN))
def test_the_other_statuses_are_what_they_say(status: Status) -> None:
    errors: Mapping[Status, type[AssertionError]] = {
        Status.FAIL: LawBrokenError,
        Status.XFAIL: LawBrokenError,
        Status.XPASS: UnexpectedPassError,
    }
    record = CELL.record(status, message="why")
    if status in errors:
        with pytest.raises(errors[status]):
            assert_as_claimed(record)
    else:
        assert_as_claimed(record)


def test_an_encoder_without_memory_fails_the_test_of_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    judged(monkeypatch, Status.OOM, "memory ran out")
    with pytest.raises(EncoderRaisedError, match="memory ran out"):
        run([Sum])


def test_an_undecided_law_skips_the_test_of_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    judged(monkeypatch, Status.UNDECIDED, "the set is a tie")
    with pytest.raises(pytest.skip.Exception, match="undecided: the set is a tie"):
        run([Sum])


def test_an_encoder_that_reads_in_order_is_expected_to_break_symmetry() -> None:
    with pytest.raises(pytest.xfail.Exception, match="it reads the elements in order, as it declares"):
        run([EncoderSpec(name="gru", factory=Last, order_sensitive=True)])
