"""`mbcbench.check`: encoders are checked in this process."""

import functools
import re
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.database import InMemoryExampleDatabase

import mbcbench
from mbcbench.errors import BrokenPluginError, UsageError
from mbcbench.protocol.build import target_name, target_string
from mbcbench.verify.assertions import budget_from_hypothesis
from mbcbench.verify.checker import Budget, Checker
from mbcbench.verify.law import select_laws
from mbcbench.verify.xfails import read_xfails
from tests import sound_encoders
from tests.sound_encoders import Sum, TanhOfMean, WeightedByPosition

PARTITION = ["mbc.partition"]


def only(result: mbcbench.CheckResult) -> dict[str, object]:
    assert len(result) == 1
    return dict(result.iloc[0])


@pytest.mark.parametrize("target", [Sum, Sum(5), lambda dim_in: Sum(dim_in).float(), functools.partial(Sum)])
def test_a_class_a_module_and_a_factory_can_be_checked(target: object) -> None:
    assert mbcbench.check(target, laws=PARTITION, examples=50).ok


def test_all_laws_are_checked_by_default() -> None:
    result = mbcbench.check("deepsets-sum", examples=20)
    assert list(result["case"]) == list(select_laws(None))
    assert result.ok


def test_a_broken_law_shows_a_counterexample_of_two_elements() -> None:
    result = mbcbench.check(TanhOfMean, laws=PARTITION, examples=100)
    row = only(result)
    assert not result.ok
    assert row["status"] == "fail"
    assert row["detail.counterexample"]["n"] == 2  # type: ignore[index]


@pytest.mark.parametrize("target", [TanhOfMean, TanhOfMean(3)])
def test_the_snippet_reproduces_the_counterexample(target: object) -> None:
    text = only(mbcbench.check(target, laws=PARTITION, examples=100))["detail.reproduce"]
    assert isinstance(text, str)
    code = text.replace("encoder = ...", "encoder = target")
    with pytest.raises(AssertionError, match=r"mbc\.partition is broken by"):
        exec(code, {"target": target})


def test_an_expected_failure_is_as_claimed() -> None:
    result = mbcbench.check(
        TanhOfMean, laws=PARTITION, examples=50, expected_failures={"mbc.partition": "tanh is last"}
    )
    assert result.ok
    assert only(result)["status"] == "xfail"
    assert str(only(result)["message"]).startswith("tanh is last")


def test_an_expected_failure_that_holds_is_not_as_claimed() -> None:
    result = mbcbench.check(Sum, laws=PARTITION, examples=50, expected_failures={"mbc.partition": "so they say"})
    assert only(result)["status"] == "xpass"
    assert not result.ok


@pytest.mark.parametrize(("reasons", "status"), [(None, "xpass"), ({"mbc.partition": ""}, "pass")])
def test_an_empty_reason_withdraws_what_a_spec_declares(reasons: dict[str, str] | None, status: str) -> None:
    linear = {"num_slots": [32, 1]}  # with one slot at the top, the second level is linear
    result = mbcbench.check(
        "sse-hierarchical-per-chunk", laws=PARTITION, examples=50, hyper=linear, expected_failures=reasons
    )
    assert only(result)["status"] == status


def test_an_encoder_that_raises_is_an_error_with_its_message() -> None:
    row = only(mbcbench.check(sound_encoders.Raises, laws=["symmetry.permutation"], examples=200))
    assert row["status"] == "error"
    assert re.fullmatch(r"RuntimeError: two is a crowd \(.*sound_encoders\.py:\d+\)", str(row["message"]))


def test_an_encoder_that_raises_may_be_expected_to() -> None:
    why = {"symmetry.permutation": "it wants company"}
    row = only(mbcbench.check(sound_encoders.Raises, laws=list(why), examples=200, expected_failures=why))
    assert row["status"] == "xfail"
    assert str(row["message"]).startswith("it wants company (RuntimeError: two is a crowd (")


@pytest.mark.parametrize(
    ("target", "options", "words"),
    [
        (sound_encoders.NUMBER, {}, "int is 3, which is not an encoder"),
        ("deepset-sum", {}, "did you mean deepsets-sum"),
        (Sum, {"laws": ["mbc.partitions"]}, "did you mean mbc.partition"),
        (Sum, {"laws": "mbc.order"}, r"laws=\['mbc.order'\]"),
        (Sum, {"examples": 0}, "examples=0"),
        (Sum, {"expected_failures": {"mbc.orders": "?"}}, "did you mean mbc.order"),
        (Sum, {"expected_failures": {"Other::mbc.order": "?"}}, "'Other' is not being checked"),
        (Sum, {"reference": sound_encoders.Wider}, "more.bias is absent in .*Sum and"),
        (Sum, {"reference": "tests.sound_encoders:NUMBER"}, "not an encoder"),
    ],
)
def test_wrong_usage_is_one_line(target: object, options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        mbcbench.check(target, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_an_encoder_that_cannot_be_built_raises_with_its_message() -> None:
    with pytest.raises(BrokenPluginError, match="RuntimeError: out of clay"):
        mbcbench.check(sound_encoders.Unbuildable)


@pytest.mark.parametrize(
    "reference",
    [sound_encoders.numpy_sum, sound_encoders.SumElementByElement, Sum(3), "tests.sound_encoders:numpy_sum"],
)
def test_a_reference_with_the_same_weights_agrees(reference: object) -> None:
    assert only(mbcbench.check(Sum, laws=["reference.equal"], reference=reference))["status"] == "pass"


@pytest.mark.parametrize("reference", [TanhOfMean, lambda module, x: sound_encoders.numpy_sum(module, x) + 1e-6])
def test_a_reference_that_computes_another_thing_does_not(reference: object) -> None:
    assert only(mbcbench.check(Sum, laws=["reference.equal"], reference=reference))["status"] == "fail"


def test_names_lead_back_to_what_can_be_imported() -> None:
    assert target_name(Sum) == target_string(Sum) == f"{Sum.__module__}:Sum"
    assert target_name(Sum(3)) == "Sum"
    assert target_string(Sum(3)) is None
    assert target_name(sound_encoders.AS_CLAIMED) == "tanh-of-mean"
    assert target_string(sound_encoders.AS_CLAIMED) is None


def test_a_result_shows_statuses_and_counterexamples() -> None:
    result = mbcbench.check(TanhOfMean, laws=["mbc.partition", "mbc.order"], examples=50)
    page = result._repr_html_() or ""
    assert "1 fail, 1 skip" in page
    assert "mbc.partition is broken by" in page
    assert "&lt;" not in page.split("<details")[0]
    assert "fail   mbc.partition" in repr(result)


def test_a_part_of_a_result_is_an_ordinary_frame() -> None:
    result = mbcbench.check(Sum, laws=PARTITION, examples=20)
    assert list(result[["case"]].columns) == ["case"]
    assert "<table" in (result[["case"]]._repr_html_() or "")
    assert "mbc.partition" in repr(result[["case"]])


def test_a_stored_counterexample_is_tried_first() -> None:
    budget = Budget(200, database=InMemoryExampleDatabase())
    first = Checker(TanhOfMean).judge("mbc.partition", budget)
    second = Checker(TanhOfMean).judge("mbc.partition", budget)
    assert second.detail["counterexample"]["x"] == first.detail["counterexample"]["x"]
    assert second.detail["examples"] < first.detail["examples"] / 10


def test_a_stored_counterexample_that_no_longer_fails_is_forgotten() -> None:
    database = InMemoryExampleDatabase()
    budget = Budget(200, database=database)
    before, after = (mbcbench.EncoderSpec(name="sum", factory=factory) for factory in (WeightedByPosition, Sum))
    assert Checker(before).judge("symmetry.permutation", budget).status == "fail"
    assert any(database.data.values())
    assert Checker(after).judge("symmetry.permutation", budget).status == "pass"
    assert not any(database.data.values())


def test_the_hypothesis_profile_says_how_many_examples() -> None:
    profile = settings.get_current_profile_name()
    settings.register_profile("seven", max_examples=7, database=None)
    try:
        settings.load_profile("seven")
        assert budget_from_hypothesis() == Budget(28)
        assert budget_from_hypothesis(3) == Budget(3)
    finally:
        settings.load_profile(profile)


XFAILS = """\
# known
mbc.partition: tanh comes last: always
tests.sound_encoders:Sum::mbc.order: the order: of chunks
"""
WANTED = {"mbc.partition": "tanh comes last: always", "tests.sound_encoders:Sum::mbc.order": "the order: of chunks"}


def test_expected_failures_are_read_from_lines(tmp_path: Path) -> None:
    file = tmp_path / "xfails.txt"
    file.write_text(XFAILS)
    assert read_xfails(file) == WANTED


def test_expected_failures_are_read_from_toml(tmp_path: Path) -> None:
    file = tmp_path / "xfails.toml"
    file.write_text(
        'mbc.partition = "tanh comes last: always"\n"tests.sound_encoders:Sum::mbc.order" = "the order: of chunks"\n'
    )
    assert read_xfails(file) == WANTED


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x.txt", "mbc.order", "line 1: 'mbc.order' gives no reason"),
        ("x.txt", "mbc.order: a\nmbc.order: b", "mbc.order is listed twice"),
        ("x.toml", "mbc.order = 3", "mbc.order = 3 gives no reason"),
        ("x.toml", "mbc.order", "is not valid TOML"),
    ],
)
def test_expected_failures_that_cannot_be_read_are_one_line(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=words):
        read_xfails(tmp_path / name)


def test_a_missing_file_of_expected_failures_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_xfails(tmp_path / "none")
