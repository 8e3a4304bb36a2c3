"""A counterexample names the part of an encoder that breaks a law, and nothing where that cannot be said."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import mbcbench
from mbcbench.adapters import renamed_mask, select_output
from mbcbench.records.record import Status
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.culprit import find_culprit
from mbcbench.verify.example import Example, ExampleData
from mbcbench.verify.law import NotApplicable, get_law
from mbcbench.verify.law_result import LawResult
from mbcbench.verify.subject import Subject
from tests.verify import culprit_encoders as encoders
from tests.verify.culprit_encoders import WIDTH, Masked, Plain, Stream

BUDGET = Budget(examples=64, min_examples=12)
Factory = Callable[[int], nn.Module]
MIXES, ORDER, MASKED = "mixes the elements of a set", "depends on the order of elements", "depends on masked elements"
BATCH = "depends on the other sets of the batch"


def result(law: str, factory: Factory) -> LawResult:
    return Checker(factory, dim_in=3).try_law(get_law(law), BUDGET)


def culprit(law: str, factory: Factory) -> str:
    search = result(law, factory).search
    assert search is not None
    assert search.counterexample is not None
    return search.culprit


def batch_norm() -> nn.Module:
    return encoders.Flattened(nn.BatchNorm1d(WIDTH, track_running_stats=False))


def batch_norm_stream(dim_in: int) -> nn.Module:
    return Stream(dim_in, encoders.Flattened(nn.BatchNorm1d(WIDTH)))


CULPRITS: list[tuple[str, Factory, str]] = [
    (
        "mbc.partition",
        lambda d: Plain(d, nn.Linear(WIDTH, WIDTH), batch_norm()),
        f"layers.1.inner (BatchNorm1d): {MIXES}",
    ),
    ("mbc.partition", lambda d: Plain(d, encoders.SetLayerNorm(), nn.Tanh()), f"layers.0 (SetLayerNorm): {MIXES}"),
    (
        "mbc.partition",
        lambda d: Plain(d, encoders.ChannelsFirst(nn.InstanceNorm1d(WIDTH))),
        f"layers.0.inner (InstanceNorm1d): {MIXES}",
    ),
    (
        "mbc.partition",
        lambda d: Plain(d, encoders.InPlaceRelu(), nn.Sequential(nn.Tanh(), nn.Sequential(encoders.SelfAttention()))),
        f"layers.1.1.0.attention (MultiheadAttention): {MIXES}",
    ),
    (
        "mbc.partition",
        lambda d: Plain(d, nn.TransformerEncoderLayer(WIDTH, 2, 8, batch_first=True)),
        f"layers.0.self_attn (MultiheadAttention): {MIXES}",
    ),
    ("mbc.partition", lambda d: Plain(d, nn.Sequential(nn.Softmax(1), nn.Tanh())), f"layers.0.0 (Softmax): {MIXES}"),
    (
        "mbc.partition",
        lambda d: Stream(d, encoders.SelfAttention()),
        f"layer.attention (MultiheadAttention): {MIXES}",
    ),
    (
        "symmetry.permutation",
        lambda d: Plain(d, encoders.ChannelsFirst(nn.Conv1d(WIDTH, WIDTH, 3, padding=1))),
        f"layers.0.inner (Conv1d): {ORDER}",
    ),
    (
        "symmetry.permutation",
        lambda d: Plain(d, nn.Sequential(nn.Linear(WIDTH, WIDTH), encoders.Positions()), nn.Tanh()),
        f"layers.0.1 (Positions): {ORDER}",
    ),
    (
        "symmetry.permutation",
        lambda d: Plain(d, encoders.SequenceFirst(nn.GRU(WIDTH, WIDTH))),
        f"layers.0.inner (GRU): {ORDER}",
    ),
    ("symmetry.permutation", encoders.WithPositionTable, f"position (Embedding): {ORDER}"),
    (
        "symmetry.batch",
        lambda d: Plain(d, nn.Linear(WIDTH, WIDTH), encoders.CentredOverBatch()),
        f"layers.1 (CentredOverBatch): {BATCH}",
    ),
    ("symmetry.batch", lambda d: Plain(d, batch_norm()), f"layers.0.inner (BatchNorm1d): {BATCH}"),
    (
        "symmetry.train",
        lambda d: Plain(d, nn.Dropout(0.1), encoders.Flattened(nn.BatchNorm1d(WIDTH))),
        f"layers.1.inner (BatchNorm1d): {BATCH} in train mode",
    ),
    (
        "symmetry.padding",
        lambda d: Masked(d, encoders.SelfAttention(), nn.Tanh(), encoders.SelfAttention(heeds_mask=False)),
        f"layers.2.attention (MultiheadAttention): {MASKED}",
    ),
    ("symmetry.padding", lambda d: Masked(d, batch_norm()), f"layers.0.inner (BatchNorm1d): {MASKED}"),
    ("symmetry.padding", lambda d: Masked(d, pool=encoders.MeanOfAll()), f"pool (MeanOfAll): {MASKED}"),
    (
        "hygiene.determinism",
        lambda d: Plain(d, nn.Sequential(nn.Tanh(), encoders.AlwaysDrops())),
        "layers.0.1 (AlwaysDrops): gives equal inputs different outputs",
    ),
    ("mbc.train", lambda d: Stream(d, nn.Dropout()), "layer (Dropout): draws random numbers for each chunk"),
    ("mbc.train", batch_norm_stream, f"layer.inner (BatchNorm1d): {MIXES} in train mode"),
    ("mbc.partition", encoders.CountsChunks, "state.moments.number (2 instead of 1) differs"),
    ("mbc.merge", encoders.MergeLosesCount, "state.moments.number (0 instead of 2) differs"),
    ("mbc.fork", encoders.AddsInPlace, "state.moments.total: changed in place by update"),
    ("mbc.gradient", encoders.DetachedWeight, "parameter scale: its gradient is off by 50 %"),
    (
        "mbc.partition",
        lambda d: encoders.ClassToken(d, encoders.SelfAttention()),
        f"layer.attention (MultiheadAttention): {MIXES}",
    ),
    (
        "symmetry.padding",
        lambda d: encoders.ClassToken(d, encoders.SelfAttention(heeds_mask=False)),
        f"layer.attention (MultiheadAttention): {MASKED}",
    ),
    ("mbc.train", encoders.DrawsOncePerStream, "state.moments.number (2 instead of 1) differs"),
    ("mbc.partition", lambda d: Stream(d, encoders.SoftmaxPool()), f"layer.softmax (Softmax): {MIXES}"),
    (
        "symmetry.permutation",
        lambda d: select_output(renamed_mask(encoders.RecurrentInAdapter(d), "valid"), torch.clone),
        f"gru (GRU): {ORDER}",
    ),
    # The state is at fault, and not the submodule that centres each chunk, which is accounted for.
    ("mbc.partition", encoders.VarianceOverChunks, "state[0] (2 instead of 1) differs"),
]


@pytest.mark.parametrize(("law", "factory", "expected"), CULPRITS, ids=[f"{c[0]}-{c[2][:30]}" for c in CULPRITS])
def test_the_culprit_is_named(law: str, factory: Factory, expected: str) -> None:
    assert culprit(law, factory) == expected


@pytest.mark.parametrize(
    ("law", "factory"),
    [
        ("symmetry.batch", encoders.CentredByRoot),  # undone later
        ("symmetry.train", encoders.CentredByRoot),
        ("symmetry.permutation", encoders.Rooted),  # in the code of the encoder itself
        ("symmetry.permutation", encoders.AddsTable),
        ("symmetry.permutation", lambda d: encoders.Rooted(d, encoders.Sorted())),  # a sorting layer is invariant
        ("mbc.partition", lambda d: Plain(d, encoders.Sorted())),  # no aggregation undoes a sine; the layers are sound
        ("mbc.partition", lambda d: Plain(d, nn.LayerNorm(WIDTH), nn.ReLU())),
    ],
)
def test_nothing_is_said_where_no_submodule_is_to_blame(law: str, factory: Factory) -> None:
    assert culprit(law, factory) == ""


@pytest.mark.parametrize(
    ("law", "factory"),
    [
        ("mbc.partition", Stream),
        ("mbc.partition", encoders.Variance),
        ("mbc.gradient", Stream),
        ("symmetry.permutation", lambda d: Plain(d, encoders.SelfAttention())),
        ("symmetry.batch", lambda d: Plain(d, encoders.ChannelsFirst(nn.InstanceNorm1d(WIDTH)))),
        ("symmetry.padding", lambda d: Masked(d, encoders.SelfAttention())),
        ("hygiene.determinism", lambda d: Plain(d, nn.Dropout())),
    ],
)
def test_a_law_that_holds_is_not_searched_for_a_culprit(
    law: str, factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mbcbench.verify.checker.find_culprit", lambda *_: pytest.fail("searched"))
    assert result(law, factory).status in (Status.PASS, Status.OK, Status.SKIP)


def test_a_culprit_is_in_the_text_the_record_and_the_page() -> None:
    checked = mbcbench.check(lambda d: Plain(d, encoders.SetLayerNorm(), nn.Tanh()), laws=["mbc.partition"], dim_in=3)
    line = f"first seen in: layers.0 (SetLayerNorm): {MIXES}"
    assert line in repr(checked)
    assert line in str(checked._repr_html_())
    assert checked["detail.culprit"][0] == f"layers.0 (SetLayerNorm): {MIXES}"


def test_what_batch_norm_refuses_in_train_mode_is_not_the_counterexample() -> None:
    search = result("mbc.train", batch_norm_stream).search
    assert search is not None
    assert search.counterexample is not None
    assert search.counterexample.gap < 10


@pytest.mark.parametrize(
    ("law", "factory", "sets"),
    [
        ("mbc.train", batch_norm_stream, 1),
        (
            "symmetry.train",
            lambda d: Plain(d, encoders.ChannelsFirst(nn.InstanceNorm1d(WIDTH, track_running_stats=True))),
            2,
        ),
    ],
)
def test_a_law_says_nothing_about_what_is_refused_in_train_mode(law: str, factory: Factory, sets: int) -> None:
    data = ExampleData(Example(sizes=(1,), kinds=(0,) * sets), 3)
    with pytest.raises(NotApplicable, match=r"in train mode is refused: ValueError: Expected more than 1"):
        get_law(law).check(Subject(factory(3).double().eval(), 3), data)


def test_the_fix_for_dropout_of_elements_is_not_to_draw_once() -> None:
    assert "Dropout on single elements draws for each of them" in get_law("mbc.train").fix


def test_a_replayed_counterexample_names_its_culprit_too() -> None:
    checked = mbcbench.check(encoders.CountsChunks, laws=["mbc.partition"], dim_in=3)
    with pytest.raises(AssertionError, match=r"first seen in: state\.moments\.number"):
        mbcbench.replay_counterexample(
            encoders.CountsChunks, "mbc.partition", checked["detail.counterexample"][0], dim_in=3
        )


def test_no_hook_and_no_random_number_is_left_behind() -> None:
    subject = Subject(Plain(3, encoders.SetLayerNorm()).double().eval(), 3)
    search = result("symmetry.batch", lambda d: Plain(d, batch_norm())).search
    assert search is not None
    assert search.counterexample is not None
    before = torch.get_rng_state()
    find_culprit(get_law("symmetry.batch"), [subject], search.counterexample.example)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in subject.module.modules())


def test_a_failure_to_locate_never_changes_a_verdict() -> None:
    def fail(subject: Subject, data: ExampleData) -> str:
        raise RuntimeError("cannot be located")

    checker = Checker(encoders.CountsChunks, dim_in=3)
    law = replace(get_law("mbc.partition"), locate=fail)
    outcome = checker.try_law(law, BUDGET)
    assert outcome.status is Status.FAIL
    assert outcome.search is not None
    assert outcome.search.culprit == ""


class RefusesHooks(nn.Tanh):
    """Cannot be watched."""

    def register_forward_hook(self, *args: object, **options: object) -> object:  # type: ignore[override]
        raise RuntimeError("no hooks")


def test_a_module_that_cannot_be_watched_has_no_culprit() -> None:
    assert culprit("mbc.partition", lambda d: Plain(d, RefusesHooks(), encoders.SelfAttention())) == ""


def test_a_culprit_is_plain_data_in_a_record() -> None:
    record = Checker(encoders.CountsChunks, dim_in=3).judge("mbc.partition", BUDGET)
    assert json.loads(json.dumps(record.to_fields()))["detail"]["culprit"].startswith("state.moments.number")


class Twice(nn.Module):
    """Calls one layer twice, the second time over the set."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi = nn.Linear(dim_in, WIDTH)
        self.norm = encoders.SetLayerNorm()
        self.act = nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.norm(self.act(self.phi(x)))).sum(1)
        return out


def test_calls_of_one_module_are_matched_by_their_order() -> None:
    assert culprit("mbc.partition", Twice) == f"norm (SetLayerNorm): {MIXES}"
