"""`mbcbench run --shard` and `mbcbench merge`: together they make the run that one machine would have made."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import mbcbench
from mbcbench.records import store
from mbcbench.types import JsonDict
from tests.cli.helpers import BROKEN, HONEST
from tests.conftest import Command, Plugins

ENCODERS = ["--only-encoders", "--encoder", HONEST, "--encoder", f"{BROKEN}:Raises"]
RUN = ["run", *ENCODERS, "--suite", "laws", "--suite", "encode", "--profile", "smoke", "--quiet"]
# In a first stage two encoders are measured with three numbers; the second stage of each depends on its largest one.
STAGES = """
from mbcbench.execution.suite import Suite
from mbcbench.records.cell import Cell

def cells(request):
    return [Cell(suite="two", case="first", encoder=e, params={"n": n}) for e in request.encoders for n in (1, 3, 2)]

def follow_up(request, records):
    best = {}
    for record in records:
        best[record.encoder] = max(record.params["n"], best.get(record.encoder, 0))
    return [Cell(suite="two", case="second", encoder=e, params={"n": n}) for e, n in best.items()]

def run(cell):
    return [cell.record("ok", value=float(cell.params["n"]))]

TWO = Suite(name="two", summary="two stages", cells=cells, run=run, seconds={"smoke": 30}, follow_up=follow_up)
"""


def outcomes(folder: Path) -> list[JsonDict]:
    """Return all records of a run without times and memory, in an order that depends on nothing else."""
    rows = []
    for record in store.records(folder):
        fields = record.to_fields()
        del fields["seconds"], fields["detail"]["peak_rss_bytes"]
        rows.append(fields)
    return sorted(rows, key=lambda fields: json.dumps(fields, sort_keys=True))


def lasting(folder: Path) -> JsonDict:
    """Return the description of a run without its name, date and shards, and with the cells of experiments in order."""
    info = {name: value for name, value in store.info(folder).items() if name not in ("run", "created", "shards")}
    return {**info, "experiments": experiment_cells(folder)}


def experiment_cells(folder: Path) -> dict[str, list[str]]:
    """Return the cells of each experiment of a run."""
    return {name: sorted(shown["cells"]) for name, shown in store.info(folder)["experiments"].items()}


def shard_folders(root: str = ".mbcbench") -> list[str]:
    return [str(folder) for folder in store.runs(Path(root))]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the two shards of a run are copied from."""
    return tmp_path_factory.mktemp("shards")


@pytest.fixture
def two_shards(command: Command, shards: Path) -> list[str]:
    """Run two shards, once for all tests, and return their folders."""
    if not (shards / "runs").exists():
        for shard in ("1/2", "2/2"):
            command(*RUN, "--shard", shard, "--root", str(shards))
    shutil.copytree(shards, ".mbcbench")
    return shard_folders()


def test_merged_shards_are_the_run_of_one_machine(command: Command, two_shards: list[str]) -> None:
    code, out, _ = command(*RUN, "--root", "whole")
    merged_code, merged_out, _ = command("merge", *two_shards[::-1])
    whole, merged = store.find(root=Path("whole")), store.find()
    assert outcomes(merged) == outcomes(whole)
    assert {**lasting(merged), "argv": []} == {**lasting(whole), "argv": []}
    assert [shard["run"] for shard in store.info(merged)["shards"]] == [Path(folder).name for folder in two_shards]
    assert merged_code == code == 2
    assert sorted(merged_out.splitlines()[0].split()) == sorted(out.splitlines()[0].split())
    assert "merged    2 shards" in merged_out


def test_a_merged_run_serves_later_ones(command: Command, two_shards: list[str]) -> None:
    command("merge", *two_shards)
    for folder in two_shards:
        shutil.rmtree(folder)
    _, out, _ = command(*[word for word in RUN if word != "--quiet"])
    assert "3 of 6 cells reused" in out


def test_a_shard_prints_no_leaderboard_but_how_to_go_on(command: Command) -> None:
    code, out, _ = command("run", *ENCODERS[:3], "--suite", "encode", "--shard", "1/2", "--root", "mine")
    assert code == 0
    assert "LEADERBOARD" not in out
    assert "next      after all shards: mbcbench merge mine/runs/*-of-2 --root mine" in out
    assert store.runs(Path("mine"))[0].name.endswith("-quick-shard-1-of-2")
    assert command("run", *ENCODERS, "--shard", "1/2", "--html", "x.html")[2] == (
        "mbcbench: --html: a shard has no page, only the merged run has one; give --html to merge\n"
    )


def test_more_shards_than_cells_leave_some_empty(command: Command) -> None:
    call = ["run", *ENCODERS[:3], "--suite", "encode", "--quiet", "--shard"]
    assert [command(*call, f"{index}/2")[0] for index in (1, 2)] == [0, 0]
    assert mbcbench.load(merged(command))["suite"].tolist().count("encode") == 1


def test_a_shard_plans_the_cells_that_depend_on_its_own(plugins: Plugins, command: Command) -> None:
    plugins.module("stages", STAGES)
    plugins.add("suites", "two", "stages:TWO")
    plugins.add("reports", "experiments", "fake_plugins:REPORT")
    call = ["run", "--only-encoders", "--encoder", HONEST, "--encoder", f"{BROKEN}:Talks", "--suite", "two"]
    call += ["--profile", "smoke", "--quiet"]
    command(*call, "--root", "whole")
    for shard in ("1/2", "2/2"):
        command(*call, "--shard", shard)
    folder = merged(command)
    assert outcomes(folder) == outcomes(store.find(root=Path("whole")))
    assert experiment_cells(folder) == experiment_cells(store.find(root=Path("whole")))
    cases = mbcbench.load(folder)["case"].tolist()
    assert (cases.count("first"), cases.count("second")) == (6, 2)


def merged(command: Command) -> Path:
    """Merge all runs, and return the folder of the merged one; it may not be the latest by name in the same second."""
    code, out, err = command("merge", *shard_folders())
    assert code == 0, err
    return Path(out.partition("records   ")[2].splitlines()[0]).parent


def edit(folder: str, change: Callable[[JsonDict], object]) -> None:
    """Change run.json of a run."""
    path = Path(folder) / store.INFO
    info = json.loads(path.read_text())
    change(info)
    path.write_text(json.dumps(info))


def refused(command: Command, *runs: str) -> str:
    """Return why runs cannot be merged."""
    code, out, err = command("merge", *runs)
    assert (code, out) == (3, "")
    assert err.startswith("mbcbench: ")
    assert err.count("\n") == 1
    return err


def test_missing_and_overlapping_shards_are_refused(command: Command, two_shards: list[str]) -> None:
    first, second = two_shards
    assert "shard 2 of 2 missing; give the runs of all shards" in refused(command, first)
    assert f"shard 2/2, {second}, is given twice; give it once" in refused(command, first, second, second)
    again = shutil.copytree(second, f"{second}-02")
    message = refused(command, first, second, again)
    assert f"shard 2/2 is given twice: {second} and {again}; leave out one of them" in message
    edit(second, lambda info: info["shard"].update(count=3))
    assert f"{first} is shard 1/2 and {second} is shard 2/3; give the shards of one division" in refused(
        command, first, second
    )


def test_a_run_that_is_not_a_shard_is_refused(command: Command, two_shards: list[str]) -> None:
    edit(two_shards[0], lambda info: info.pop("shard"))
    assert "is not a shard: it was made without --shard; leave it out" in refused(command, *two_shards)
    assert "no run is called 'monday'" in refused(command, "monday")


def test_shards_that_have_not_ended_are_refused(command: Command, two_shards: list[str]) -> None:
    edit(two_shards[0], lambda info: info.pop("finished"))
    assert f"shard 1/2 ({two_shards[0]}) is not finished: its run was interrupted" in refused(command, *two_shards)
    records = Path(two_shards[1]) / store.RECORDS
    records.write_text("".join(line for line in records.read_text().splitlines(keepends=True) if "probe" in line))
    edit(two_shards[0], lambda info: info.update(finished=True))
    assert "shard 2/2" in refused(command, *two_shards)
    assert "3 of its 3 cells have no record; give its command again" in refused(command, *two_shards)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"commit": "abc"}, "the commit is abc and "),
        ({"profile": "quick"}, "the profile is smoke and quick"),
        ({"seed": 7}, "the seed is 0 and 7"),
        ({"plan": "other"}, "their plans have different cells"),
        ({"versions": {"torch": "1.0"}}, "the versions of mbcbench is 0 and None"),
        ({"suites": ["laws"]}, "only one of them has the suites encode"),
    ],
)
def test_shards_of_different_runs_are_refused(
    command: Command, two_shards: list[str], change: JsonDict, message: str
) -> None:
    first, second = two_shards
    edit(first if "commit" in change else second, lambda info: info.update(change))
    refusal = refused(command, first, second)
    assert f"{first} and {second} are not shards of one run: " in refusal
    assert message in refusal


def test_shards_of_different_sources_are_refused(command: Command, two_shards: list[str]) -> None:
    cells = Path(two_shards[1]) / store.CELLS
    content = cells.read_text()
    digest = content.partition('"suite source":"')[2].partition('"')[0]
    cells.write_text(content.replace(digest, "changed"))
    message = f"the suite source of laws changed between {two_shards[0]} and {two_shards[1]}; run the shards again"
    assert message in refused(command, *two_shards)
