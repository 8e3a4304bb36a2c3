"""The pytest plug-in: `pytest --mbcbench TARGET` collects one item per target and law, `mbcbench::TARGET::LAW`.

Loaded in every pytest run: whatever costs time is imported when an encoder is asked for.
"""

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mbcbench.verify.checking import Bench

ROOT = "mbcbench"
OF = "::"
TARGETS = pytest.StashKey[dict[str, list[str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mbcbench", "mbcbench: the laws of mini-batch consistency")
    group.addoption(
        "--mbcbench", action="append", default=[], metavar="TARGET",
        help="check the laws on this encoder: a registered name, package.module:attr or path/to/file.py:attr "
        "(repeatable)",
    )  # fmt: skip
    group.addoption(
        "--mbcbench-examples", type=int, metavar="N",
        help="sets each law is tried on (default: 4 times the Hypothesis profile's max_examples)",
    )  # fmt: skip
    group.addoption(
        "--mbcbench-xfails", metavar="FILE",
        help="laws that are known to be broken: lines `law-id: reason` or `TARGET::law-id: reason`, or a TOML file",
    )  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Say what is wrong with the options before anything is collected, and before xdist starts its workers."""
    config = session.config
    config.stash[TARGETS] = _asked_for(config)
    config.args = [argument for argument in config.args if not argument.startswith(ROOT + OF)]  # no files
    examples = config.getoption("--mbcbench-examples")
    if examples is not None and examples < 1:
        raise pytest.UsageError(f"--mbcbench-examples {examples}: give at least 1")
    if config.stash[TARGETS]:
        _validate(config)
    elif config.getoption("--mbcbench-xfails") and not config.getoption("--mbcbench"):
        raise pytest.UsageError("--mbcbench-xfails FILE is about encoders: give one with --mbcbench TARGET")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if isinstance(collector, pytest.Session) and report.passed and collector.config.stash.get(TARGETS, {}):
        book = LawBook.from_parent(collector, name=ROOT, path=collector.config.rootpath, nodeid=ROOT)
        report.result = [*(report.result or []), book]
    return report


class LawBook(pytest.Collector):
    """All targets."""

    def collect(self) -> Iterator[pytest.Collector]:
        for target, laws in self.config.stash[TARGETS].items():
            yield Target.from_parent(self, name=target, laws=laws)


class Target(pytest.Collector):
    """One encoder, examined once for all its laws."""

    def __init__(self, *, laws: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.laws = laws
        self._bench: Bench | None = None

    def collect(self) -> Iterator[pytest.Item]:
        from mbcbench.verify.checking import law_ids

        for law in self.laws or law_ids(None):
            yield LawItem.from_parent(self, name=law)

    def bench(self) -> "Bench":
        """The encoder; raises BrokenPluginError when it cannot be imported."""
        if self._bench is None:
            self._bench = _bench(self.config, self.name)
        return self._bench


class LawItem(pytest.Item):
    """One law for one encoder."""

    parent: Target

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.extra_keyword_matches.add(self.nodeid)

    def runtest(self) -> None:
        from mbcbench.records.record import Status
        from mbcbench.verify.checking import from_hypothesis, raise_unless_as_claimed, summary

        found = self.parent.bench().judge(self.name, from_hypothesis(self.config.getoption("--mbcbench-examples")))
        self.user_properties += [("status", str(found.status)), ("examples", found.detail.get("examples", 0))]
        self.add_report_section("call", "mbcbench", summary(found))
        if found.status is Status.SKIP:
            pytest.skip(found.message)
        if found.status is Status.XFAIL:
            pytest.xfail(found.message)  # goes on under --runxfail
        raise_unless_as_claimed(found)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        from mbcbench.errors import BrokenPluginError

        if isinstance(excinfo.value, AssertionError | BrokenPluginError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, f"{self.name} of {self.parent.name}"


def _asked_for(config: pytest.Config) -> dict[str, list[str]]:
    """The targets, each with the laws that are named, none for all of them.

    Node ids among the arguments select: where any is given, only the laws that one names are run.
    """
    named = [argument for argument in config.args if argument.startswith(ROOT + OF)]
    if not named:
        select = any(OF in argument for argument in config.args)
        return {} if select else {target: [] for target in config.getoption("--mbcbench")}
    found: dict[str, list[str]] = {}
    for argument in dict.fromkeys(named):
        target, _, law = argument.removeprefix(ROOT + OF).partition(OF)
        found.setdefault(target, []).extend([law] if law else [])
    return found


def _validate(config: pytest.Config) -> None:
    from mbcbench.errors import BrokenPluginError, UsageError
    from mbcbench.verify.checking import law_ids

    for target, laws in config.stash[TARGETS].items():
        try:
            law_ids(laws)
            _bench(config, target)
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None
        except BrokenPluginError:
            pass  # each of its items says so


def _bench(config: pytest.Config, target: str) -> "Bench":
    from mbcbench.verify.checking import Bench, seed_from_hypothesis
    from mbcbench.verify.xfails import expected

    targets = config.stash[TARGETS]
    entries = expected(config.getoption("--mbcbench-xfails"), targets)
    return Bench(target, seed=seed_from_hypothesis(), expected_failures=entries)
