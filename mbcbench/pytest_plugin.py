"""The pytest plug-in: `pytest --mbcbench TARGET` collects one item per target and law, `mbcbench::TARGET::LAW`.

pytest loads this module in every run, so expensive imports happen only when an encoder is requested.
"""

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mbcbench.protocol.customize import BuildOptions
    from mbcbench.verify.checker import Checker

ROOT = "mbcbench"
SEPARATOR = "::"
OPTIONS = {"xfails-file": "xfails"}  # named differently in `mbcbench check` and pyproject.toml
LAWS_BY_TARGET = pytest.StashKey[dict[str, list[str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("mbcbench", "mbcbench: the laws of mini-batch consistency")
    group.addoption(
        "--mbcbench", action="append", default=[], metavar="TARGET",
        help="check the laws on this encoder: a registered name, package.module:attr or path/to/file.py:attr "
        "(repeatable)",
    )  # fmt: skip
    group.addoption(
        "--mbcbench-examples", type=int, metavar="N",
        help="sets to try per law (default: 4 times max_examples of the Hypothesis profile)",
    )  # fmt: skip
    group.addoption(
        "--mbcbench-xfails", metavar="FILE",
        help="laws that are known to be broken: lines `law-id: reason` or `TARGET::law-id: reason`, or a TOML file",
    )  # fmt: skip
    group.addoption(
        "--mbcbench-law", action="append", metavar="ID,...",
        help="check these laws: ids, globs like 'mbc.m*' or groups like mbc (repeatable, default: all)",
    )  # fmt: skip
    group.addoption(
        "--mbcbench-skip-law", action="append", metavar="ID,...", help="leave these laws out (repeatable)",
    )  # fmt: skip
    group.addoption(
        "--mbcbench-dim-in", type=int, metavar="N", help="width of the elements (default: one that fits)",
    )  # fmt: skip
    group.addoption(
        "--mbcbench-hyper", action="append", metavar="NAME=VALUE", help="a hyper-parameter (repeatable)",
    )  # fmt: skip
    group.addoption(
        "--mbcbench-weights", metavar="PATH", help="trained weights: a state_dict, or a checkpoint with one",
    )  # fmt: skip
    group.addoption(
        "--mbcbench-weights-key", metavar="KEY", help="the part of that file to use (default: the only one that fits)",
    )  # fmt: skip
    group.addoption(
        "--mbcbench-device", choices=("cpu", "cuda"), help="compute on this device (default: cpu)",
    )  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Report wrong options before anything is collected, and before xdist starts its workers."""
    config = session.config
    config.stash[LAWS_BY_TARGET] = _requested_laws(config)
    # Our node ids are not files: pytest would reject them.
    config.args = [argument for argument in config.args if not argument.startswith(ROOT + SEPARATOR)]
    examples = config.getoption("--mbcbench-examples")
    if examples is not None and examples < 1:
        raise pytest.UsageError(f"--mbcbench-examples {examples}: give at least 1")
    if config.stash[LAWS_BY_TARGET]:
        _validate(config)
    elif config.getoption("--mbcbench-xfails") and not config.getoption("--mbcbench"):
        raise pytest.UsageError("--mbcbench-xfails FILE is about encoders: give one with --mbcbench TARGET")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Add the encoders to what the session collects."""
    report = yield
    if isinstance(collector, pytest.Session) and report.passed and collector.config.stash.get(LAWS_BY_TARGET, {}):
        laws = LawCollector.from_parent(collector, name=ROOT, path=collector.config.rootpath, nodeid=ROOT)
        report.result = [*(report.result or []), laws]
    return report


class LawCollector(pytest.Collector):
    """Collects all encoders."""

    def collect(self) -> Iterator[pytest.Collector]:
        """Yield a collector for each encoder."""
        for target, law_ids in self.config.stash[LAWS_BY_TARGET].items():
            yield EncoderCollector.from_parent(self, name=target, law_ids=law_ids)


class EncoderCollector(pytest.Collector):
    """Collects the laws of one encoder, which is built once for all of them."""

    def __init__(self, *, law_ids: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.law_ids = law_ids
        self._checker: Checker | None = None

    def collect(self) -> Iterator[pytest.Item]:
        """Yield an item for each law."""
        for law_id in self.law_ids or _selected_laws(self.config):
            yield LawItem.from_parent(self, name=law_id)

    def checker(self) -> "Checker":
        """Return the checker of the encoder; raise BrokenPluginError if it cannot be imported."""
        if self._checker is None:
            self._checker = _make_checker(self.config, self.name)
        return self._checker


class LawItem(pytest.Item):
    """One law for one encoder."""

    parent: EncoderCollector

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.extra_keyword_matches.add(self.nodeid)

    def runtest(self) -> None:
        """Try to falsify the law."""
        from mbcbench.records.record import BROKEN, UNEXPECTED, Status
        from mbcbench.verify.assertions import assert_as_claimed, budget_from_hypothesis, summarize

        budget = budget_from_hypothesis(_option(self.config, "examples"))
        record = self.parent.checker().judge(self.name, budget)
        self.user_properties += [("status", str(record.status)), ("examples", record.detail.get("examples", 0))]
        if record.status not in UNEXPECTED | BROKEN:  # the counterexample says more than the message
            self.add_report_section("call", "mbcbench", summarize(record))
        if record.status is Status.SKIP:
            pytest.skip(record.message)
        if record.status is Status.UNDECIDED:
            pytest.skip(f"undecided: {record.message}")
        if record.status is Status.XFAIL:
            pytest.xfail(record.message)  # continues under --runxfail
        assert_as_claimed(record)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return the counterexample, without a traceback into mbcbench."""
        from mbcbench.errors import BrokenPluginError

        if isinstance(excinfo.value, AssertionError | BrokenPluginError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Return the location and the title of the item."""
        return self.path, None, f"{self.name} of {self.parent.name}"


def _requested_laws(config: pytest.Config) -> dict[str, list[str]]:
    """Return the laws to run by target; an empty list stands for all laws.

    If there are node ids among the arguments, only the laws that they name are run.
    """
    node_ids = [argument for argument in config.args if argument.startswith(ROOT + SEPARATOR)]
    if not node_ids:
        selects_other_tests = any(SEPARATOR in argument for argument in config.args)
        return {} if selects_other_tests else {target: [] for target in config.getoption("--mbcbench")}
    requested: dict[str, list[str]] = {}
    for node_id in dict.fromkeys(node_ids):
        target, _, law_id = node_id.removeprefix(ROOT + SEPARATOR).partition(SEPARATOR)
        requested.setdefault(target, []).extend([law_id] if law_id else [])
    return requested


def _validate(config: pytest.Config) -> None:
    from mbcbench.errors import BrokenPluginError, UsageError
    from mbcbench.verify.law import select_laws

    for target, law_ids in config.stash[LAWS_BY_TARGET].items():
        try:
            select_laws(law_ids or None)
            _selected_laws(config)
            _make_checker(config, target)
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None
        except BrokenPluginError:
            pass  # each item of the encoder reports the error


def _option(config: pytest.Config, name: str) -> Any:
    """Return an option of the command line, or else the setting of pyproject.toml, or None."""
    from mbcbench.verify.settings import load_settings

    value = config.getoption(f"--mbcbench-{OPTIONS.get(name, name)}")
    return load_settings(config.invocation_params.dir).get(name) if value is None else value


def _selected_laws(config: pytest.Config) -> list[str]:
    """Return the laws of `--mbcbench-law` without those of `--mbcbench-skip-law`."""
    from mbcbench.verify.law import select_laws

    return select_laws(_option(config, "law") or None, _option(config, "skip-law"))


def _build_options(config: pytest.Config) -> "BuildOptions":
    from mbcbench.protocol.customize import parse_build_options

    dim_in, hyper, weights, key = (_option(config, name) for name in ("dim-in", "hyper", "weights", "weights-key"))
    return parse_build_options(dim_in, hyper, weights, key, _option(config, "device") or "cpu")


def _make_checker(config: pytest.Config, target: str) -> "Checker":
    from mbcbench.verify.assertions import seed_from_hypothesis
    from mbcbench.verify.checker import Checker
    from mbcbench.verify.xfails import load_xfails

    targets = config.stash[LAWS_BY_TARGET]
    xfails = load_xfails(_option(config, "xfails-file"), targets)
    return Checker(target, seed=seed_from_hypothesis(), expected_failures=xfails, options=_build_options(config))
