"""Encoders that read in order: a correct one breaks what it declares and nothing else, a forgetful one is caught."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from examples import in_order
from mbcbench import registry
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.records.record import Status
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.law import get_law
from mbcbench.verify.law_result import LawResult
from tests.controls.base import Sum

BUDGET = Budget(examples=64)
DECLARED = {"symmetry.permutation", "mbc.order"}
EXPENSIVE = ("mbc.large", "symmetry.size")  # of a loop over elements
LAWS = [law for law in registry.select(registry.LAWS, None) if law not in EXPENSIVE]
NAMES = ("Recurrence", "DeltaAttention", "Retention", "SelectiveStateSpace", "CausalConvolution")


@cache
def checker(name: str) -> Checker:
    return Checker(EncoderSpec(name=name, factory=getattr(in_order, name)), dim_in=3, seed=0)


def try_law(name: str, law: str) -> LawResult:
    return checker(name).try_law(get_law(law), BUDGET)


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_in_order_breaks_what_it_declares_and_nothing_else(name: str) -> None:
    results = {law: try_law(name, law) for law in LAWS}
    assert {law for law, result in results.items() if result.status is Status.XFAIL} == DECLARED
    unexpected = (Status.FAIL, Status.ERROR, Status.XPASS)
    assert not {law: result for law, result in results.items() if result.status in unexpected}
    assert results["mbc.partition"].status is Status.PASS


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_that_forgets_between_chunks_is_caught(name: str) -> None:
    assert try_law(f"{name}Forgets", "mbc.partition").status is Status.FAIL


def test_the_retention_merges_neighbours_only() -> None:
    merge, budget = get_law("mbc.merge"), Budget(examples=400)  # it takes three chunks
    assert checker("Retention").try_law(merge, budget).status is Status.PASS
    assert checker("RetentionForgets").try_law(merge, budget).status is Status.FAIL


def test_the_page_on_extending_shows_the_recurrence_of_the_examples() -> None:
    page = (Path(__file__).parent.parent / "docs" / "extending.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    (source,) = (block for block in blocks if block.startswith("class Recurrence"))
    names: dict[str, Any] = {"torch": torch, "nn": nn, "Tensor": Tensor}
    exec(source, names)  # the page's own code
    spec = EncoderSpec(name="page", factory=names["Recurrence"])
    assert Checker(spec, dim_in=3).try_law(get_law("mbc.partition"), BUDGET).status is Status.PASS


class Undeclared(in_order.Recurrence):
    order_sensitive = False


class UndeclaredForgets(in_order.RecurrenceForgets):
    order_sensitive = False


def test_a_stream_that_is_exact_in_order_is_told_how_to_declare_it() -> None:
    results = [
        Checker(EncoderSpec(name="undeclared", factory=encoder), dim_in=3).try_law(get_law("mbc.partition"), BUDGET)
        for encoder in (Undeclared, UndeclaredForgets)
    ]
    assert [result.status for result in results] == [Status.FAIL, Status.FAIL]
    assert "order_sensitive = True" in results[0].message
    assert "order_sensitive" not in results[1].message


def test_an_encoder_that_declares_an_order_and_ignores_it_is_reported() -> None:
    checker = Checker(EncoderSpec(name="sum", factory=Sum, order_sensitive=True), dim_in=3)
    assert checker.try_law(get_law("mbc.order"), BUDGET).status is Status.XPASS
