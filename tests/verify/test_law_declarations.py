"""What a law declares: what it requires, whether it judges a batch as a whole, and which part it names as broken."""

from pathlib import Path

import pytest
from laws import render_page
from torch import Tensor, nn

from mbcbench import registry
from mbcbench.records.record import Status
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.law import get_law
from tests.controls import control

WIDTH = 3
INCONSISTENT = "a plain module that no g in {sum, mean, max, min} makes consistent"


class Median(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.median(1).values.sort(1).values


@pytest.mark.parametrize(
    ("law", "reason"),
    [
        *((law, INCONSISTENT) for law in ("mbc.order", "mbc.merge", "mbc.mask", "mbc.program")),
        ("reference.equal", "it has no reference to compare with (--reference)"),
        ("symmetry.elements", "it encodes sets: no output per element"),
        ("symmetry.padding", "it takes no argument `mask`"),
        ("symmetry.slots", "it does not stream: no init_state, update and readout"),
        ("substance.slots", "it does not stream: no init_state, update and readout"),
        ("substance.parameters", "it has no trainable parameters"),
    ],
)
def test_a_law_is_skipped_for_an_encoder_that_lacks_what_it_requires(law: str, reason: str) -> None:
    record = Checker(Median(), dim_in=WIDTH).judge(law, Budget(examples=16))
    assert (record.status, record.message) == (Status.SKIP, reason)


@pytest.mark.parametrize("law", ["symmetry.permutation", "symmetry.replication", "symmetry.size", "substance.elements"])
def test_laws_about_encodings_of_sets_are_skipped_for_a_layer(law: str) -> None:
    record = Checker(nn.Linear(WIDTH, 4), dim_in=WIDTH).judge(law, Budget(examples=16))
    assert record.status is Status.SKIP


def test_the_page_on_the_laws_is_what_they_declare() -> None:
    page = Path(__file__).parents[2] / "docs/laws.md"
    assert page.read_text() == render_page([get_law(law) for law in registry.plugins(registry.LAWS)]), "run: make docs"


def test_laws_that_judge_a_batch_as_a_whole_say_so() -> None:
    laws = [plugin.load() for plugin in registry.plugins(registry.LAWS).values()]
    assert {law.id for law in laws if not law.batched} == {
        "hygiene.nonfinite",
        "mbc.memory",
        "mbc.program",
        "substance.attention",
        "substance.elements",
        "substance.parameters",
        "substance.slots",
        "symmetry.batch",
        "symmetry.train",
    }


@pytest.mark.parametrize(
    ("name", "law", "culprit"),
    [
        ("CountsChunks", "mbc.partition", "state.number (2 instead of 1) differs"),
        ("Decay", "mbc.order", "state.total differs"),
        ("MergeForgetsCount", "mbc.merge", "state.number (0 instead of 2) differs"),
        ("EmptyChunkCounted", "mbc.empty", "state.number (3 instead of 1) differs"),
        ("InPlaceCount", "mbc.fork", "state.number: changed in place by update"),
        ("DropoutInTraining", "mbc.train", "dropout (Dropout): draws random numbers for each chunk"),
        ("PaddedSizeCounted", "mbc.mask", "state.number (5 instead of 2) differs"),
        (
            "BatchNormOverSets",
            "symmetry.train",
            "norm (BatchNorm1d): depends on the other sets of the batch in train mode",
        ),
        ("DetachedState", "mbc.gradient", "parameter phi.bias: its gradient is off by 50 %"),
        ("GraphFollowsState", "mbc.partial_gradient", "parameter phi.bias: it receives no gradient"),
        ("FirstElementBias", "symmetry.permutation", "state.total differs"),
        ("PaddingCounted", "symmetry.padding", "state.number (3 instead of 1) differs"),
    ],
)
def test_a_law_names_the_part_of_an_encoder_that_breaks_it(name: str, law: str, culprit: str) -> None:
    checker = Checker(control(name).spec, dim_in=WIDTH, seed=0)
    search = checker.try_law(get_law(law), Budget(examples=64)).search
    assert search is not None
    assert search.culprit == culprit
