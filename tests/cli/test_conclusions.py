"""Causes that several failures have in common."""

import pytest

from mbcbench.cli.conclusions import advice, fold
from mbcbench.records.cell import Cell
from mbcbench.records.detail import LawDetail, PairDetail
from mbcbench.records.record import Record, Status


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
