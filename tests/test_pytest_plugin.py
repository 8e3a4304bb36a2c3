"""The pytest plug-in and `parametrize_with_laws`, in pytest runs of their own."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

import mbcbench.verify.parametrize  # noqa: F401 # pytester forgets modules that an inner run imports first

SOUND_ENCODERS = Path(__file__).with_name("sound_encoders.py")
PLAIN_TEST = "def test_one():\n    pass\n"


@pytest.fixture(autouse=True)
def profile() -> Iterator[None]:
    """Use few examples, and store none: the inner runs share this process and its profile."""
    before = settings.get_current_profile_name()
    settings.register_profile("inner", max_examples=50, database=None)
    settings.load_profile("inner")
    yield
    settings.load_profile(before)


@pytest.fixture(autouse=True)
def enc(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:randomly")  # the order of inner runs is that of the plug-in, not random
    file = pytester.path / "enc.py"
    file.write_text(SOUND_ENCODERS.read_text())
    return file


def ids(pytester: pytest.Pytester, *arguments: str) -> list[str]:
    lines = pytester.runpytest("--collect-only", "-q", *arguments).outlines
    return [line for line in lines if "::" in line]


def test_the_plugin_imports_nothing_expensive() -> None:
    code = (
        "import sys, pytest, mbcbench.pytest_plugin; print({'torch', 'hypothesis', 'pandas', 'numpy'} & {*sys.modules})"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_a_folder_without_tests_is_enough(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("--mbcbench", "enc.py:Sum")
    outcomes = result.parseoutcomes()
    assert result.ret == 0
    assert outcomes["passed"] > 10
    assert set(outcomes) == {"passed", "skipped"}


def test_without_the_option_nothing_is_added(pytester: pytest.Pytester) -> None:
    assert pytester.runpytest().ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_ids_name_target_and_law_in_order(pytester: pytest.Pytester) -> None:
    node_ids = ids(pytester, "--mbcbench", "enc.py:Sum", "--mbcbench", "deepsets-sum", "--mbcbench", "enc.py:Sum")
    assert node_ids[0] == "mbcbench::enc.py:Sum::hygiene.determinism"
    half = len(node_ids) // 2
    assert node_ids[:half] == sorted(node_ids[:half])
    assert node_ids[half:] == [f"mbcbench::deepsets-sum::{name.rpartition('::')[2]}" for name in node_ids[:half]]


def test_ids_can_be_deselected_and_matched(pytester: pytest.Pytester) -> None:
    all_ids = ids(pytester, "--mbcbench", "enc.py:Sum")
    assert ids(pytester, "--mbcbench", "enc.py:Sum", "-k", "Sum and mbc.order") == ["mbcbench::enc.py:Sum::mbc.order"]
    assert ids(pytester, "--mbcbench", "enc.py:Sum", "--deselect", all_ids[0]) == all_ids[1:]


def test_an_id_runs_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PLAIN_TEST)
    assert ids(pytester, "mbcbench::enc.py:Sum::mbc.order") == ["mbcbench::enc.py:Sum::mbc.order"]
    assert len(ids(pytester, "mbcbench::enc.py:Sum")) > 10


def test_tests_and_laws_run_together(pytester: pytest.Pytester) -> None:
    file = pytester.makepyfile(test_user=PLAIN_TEST)
    assert "test_user.py::test_one" in ids(pytester, "--mbcbench", "enc.py:Sum")
    assert len(ids(pytester, "--mbcbench", "enc.py:Sum", str(file))) > 10


def test_a_test_named_by_its_id_runs_without_the_laws(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_user=PLAIN_TEST)
    pytester.makeini("[pytest]\naddopts = --mbcbench enc.py:Sum")
    assert ids(pytester, "test_user.py::test_one") == ["test_user.py::test_one"]


def test_a_broken_law_fails_with_its_counterexample(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("mbcbench::enc.py:TanhOfMean::mbc.partition")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "mbc.partition is broken by enc.py:TanhOfMean",
            "*smallest  n=2, chunks 1 + 1*",
            "*mbcbench.replay_counterexample(*",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*pytest_plugin.py*")


def test_a_law_that_the_spec_breaks_is_expected_to_fail(pytester: pytest.Pytester) -> None:
    law = "mbcbench::enc.py:AS_CLAIMED::mbc.partition"
    result = pytester.runpytest("-rx", law)
    result.assert_outcomes(xfailed=1)
    result.stdout.fnmatch_lines(["*tanh comes last*"])
    pytester.runpytest("--runxfail", law).assert_outcomes(failed=1)


def test_a_law_that_holds_against_expectation_fails(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("mbcbench::enc.py:CLAIMS_TOO_LITTLE::mbc.partition")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*no counterexample in *though the spec says: or so they say*"])


def test_a_law_that_does_not_apply_is_skipped_with_the_reason(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("-rs", "mbcbench::enc.py:Sum::symmetry.padding")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*it takes no argument `mask`*"])


def test_a_classification_passes_with_a_note(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("-rP", "mbcbench::enc.py:Sum::symmetry.replication")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*size-aware*"])


@pytest.mark.parametrize(
    ("encoder", "words"), [("Raises", "RuntimeError: two is a crowd"), ("Unbuildable", "RuntimeError: out of clay")]
)
def test_an_encoder_that_raises_fails_with_its_message(pytester: pytest.Pytester, encoder: str, words: str) -> None:
    result = pytester.runpytest(f"mbcbench::enc.py:{encoder}::symmetry.permutation", "--mbcbench-examples", "200")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*{words} (enc.py:*)"])


def test_a_file_names_expected_failures(pytester: pytest.Pytester) -> None:
    (pytester.path / "known.txt").write_text("enc.py:TanhOfMean::mbc.partition: tanh comes last\n")
    pytester.runpytest(
        "mbcbench::enc.py:TanhOfMean::mbc.partition",
        "mbcbench::enc.py:Sum::mbc.partition",
        "--mbcbench-xfails=known.txt",
    ).assert_outcomes(xfailed=1, passed=1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--mbcbench", "enc.py:Sums"], "did you mean Sum"),
        (["--mbcbench", "no-such"], "no encoder is called 'no-such'"),
        (["--mbcbench", "nowhere.py:Sum"], "no such file: nowhere.py"),
        (["mbcbench::enc.py:Sum::mbc.orders"], "no law is called 'mbc.orders' (did you mean mbc.order"),
        (["--mbcbench", "enc.py:Sum", "--mbcbench-examples", "0"], "give at least 1"),
        (["--mbcbench", "enc.py:Sum", "--mbcbench-xfails", "none.txt"], "none.txt: No such file"),
        (["--mbcbench-xfails", "none.txt"], "give one with --mbcbench TARGET"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_four(
    pytester: pytest.Pytester, arguments: list[str], words: str
) -> None:
    result = pytester.runpytest(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    errors = [line for line in result.errlines if line]
    assert len(errors) == 1
    assert words in errors[0]


@pytest.mark.slow
def test_workers_share_the_laws(pytester: pytest.Pytester) -> None:
    laws = ("--mbcbench-law", "mbc.order,mbc.partition,hygiene.rng", "--mbcbench-examples", "8")
    result = pytester.runpytest("--mbcbench", "enc.py:Sum", "-n2", *laws)
    assert result.parseoutcomes() == {"passed": 3}


def test_a_second_run_fails_with_the_same_counterexample_at_once(pytester: pytest.Pytester) -> None:
    law = "mbcbench::enc.py:TanhOfMean::mbc.partition"
    # The database that a process started in this folder has.
    store = DirectoryBasedExampleDatabase(pytester.path / ".hypothesis" / "examples")
    settings.register_profile("stores", settings.get_profile("default"), database=store)
    settings.load_profile("stores")
    first = pytester.runpytest(law)
    # On a CI service Hypothesis would load its profile "ci", which reads nothing.
    second = pytester.runpytest_subprocess("--hypothesis-profile=default", law)
    first.assert_outcomes(failed=1)
    second.assert_outcomes(failed=1)
    outputs = [[line for line in run.outlines if "smallest" in line or "replay" in line] for run in (first, second)]
    assert outputs[0] == outputs[1]
    assert any("in 1 example" in line for line in second.outlines)


USER_TEST = """
import mbcbench
import enc

@mbcbench.parametrize_with_laws([enc.Sum, enc.Sum(3), enc.AS_CLAIMED, "enc:TanhOfMean", enc.Unbuildable],
                                laws=["mbc.partition", "symmetry.padding"])
def test_laws(encoder, check):
    check(encoder)
"""


def test_laws_parametrize_a_users_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_user=USER_TEST)
    pytester.syspathinsert()
    result = pytester.runpytest("-v")
    result.assert_outcomes(passed=2, skipped=4, xfailed=1, failed=3)
    result.stdout.fnmatch_lines(
        [
            "*test_laws[[]enc:Sum-mbc.partition[]] PASSED*",
            "*test_laws[[]Sum-symmetry.padding[]] SKIPPED*it takes*",
            "*test_laws[[]tanh-of-mean-mbc.partition[]] XFAIL*",
            "*test_laws[[]enc:TanhOfMean-mbc.partition[]] FAILED*",
            "*test_laws[[]enc:Unbuildable-mbc.partition[]] FAILED*",
            "E * mbc.partition is broken by enc:TanhOfMean",
            "E *out of clay*",
        ]
    )
    result.stdout.no_fnmatch_line("*assertions.py*")


def test_a_check_takes_any_encoder(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_user="""
        import mbcbench
        import enc
        @mbcbench.parametrize_with_laws([enc.Sum, enc.CLAIMS_TOO_LITTLE], laws=["mbc.partition"])
        def test_laws(encoder, check):
            check(enc.TanhOfMean(3))
        """
    )
    pytester.syspathinsert()
    pytester.runpytest().assert_outcomes(failed=1, xfailed=1)


def test_an_unexpected_pass_fails_in_a_users_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_user="""
        import mbcbench
        import enc
        @mbcbench.parametrize_with_laws([enc.CLAIMS_TOO_LITTLE], laws=["mbc.partition"])
        def test_laws(encoder, check):
            check(encoder)
        """
    )
    pytester.syspathinsert()
    pytester.runpytest().assert_outcomes(failed=1)


@pytest.mark.parametrize(
    ("options", "passed"),
    [
        (["--mbcbench-law", "mbc.merge,mbc.fork"], 2),
        (
            ["--mbcbench-law", "mbc.m*", "--mbcbench-skip-law", "mbc.mask,mbc.memory", "--mbcbench-skip-law=mbc.train"],
            1,
        ),
    ],
)
def test_laws_are_chosen_by_option(pytester: pytest.Pytester, options: list[str], passed: int) -> None:
    result = pytester.runpytest("--mbcbench", "deepsets-mean", "--mbcbench-examples", "8", *options)
    result.assert_outcomes(passed=passed)


def test_the_encoder_is_built_as_the_options_say(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        wide="""
        from torch import nn
        class Wide(nn.Module):
            def __init__(self, dim_in, out):
                assert (dim_in, out) == (5, 7)
                super().__init__()
                self.f = nn.Linear(dim_in, out)
            def forward(self, x):
                return self.f(x).sum(1)
        """
    )
    options = ("--mbcbench-law", "symmetry.permutation", "--mbcbench-dim-in", "5", "--mbcbench-hyper", "out=7")
    result = pytester.runpytest("--mbcbench", "wide.py:Wide", "--mbcbench-examples", "8", *options)
    result.assert_outcomes(passed=1)


def test_defaults_of_the_options_are_in_pyproject(pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml("[tool.mbcbench]\nlaw = ['mbc.merge', 'mbc.fork']\nexamples = 8\nskip-law = 'mbc.fork'")
    pytester.runpytest("--mbcbench", "deepsets-mean").assert_outcomes(passed=1)
    pytester.runpytest("--mbcbench", "deepsets-mean", "--mbcbench-law", "mbc.empty,mbc.fork").assert_outcomes(passed=1)


def test_an_unknown_key_in_pyproject_is_wrong_usage(pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml("[tool.mbcbench]\nlaws = 'mbc'")
    result = pytester.runpytest("--mbcbench", "deepsets-mean")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*has no key 'laws' (did you mean law*"])
