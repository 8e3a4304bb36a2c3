"""The command line: exit codes, one line for wrong usage, reuse, and what is not imported."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import mbcbench
from mbcbench.records import store
from tests.conftest import Command, Plugins
from tests.execution.test_runner import comes_true

VICES = Path(__file__).parents[1] / "broken_encoders.py"
HONEST = f"{VICES}:Honest"


def run_only(command: Command, encoder: str, *more: str) -> tuple[int, str, str]:
    return command("run", "--only-encoders", "--encoder", encoder, "--suite", "encode", *more)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("run --profile lunch", "'lunch' is not one of 'smoke', 'quick', 'thorough', 'paper'"),
        ("run --seed -1", "'--seed'"),
        ("run --jobs 0", "'--jobs'"),
        ("run --bogus", "No such option: --bogus"),
        ("run --only-encoders", "give at least one"),
        ("run --just-these", "give at least one"),
        ("run --only fig3b", "name the suite too: --suite paper"),
        ("run --suite encode --only fig3b", "the suite encode has none; leave one of the two out"),
        ("run --suite encod", "no suite is called 'encod'; did you mean encode?"),
        ("run --encoder nothing", "no encoder is called 'nothing'"),
        ("run --out pyproject --html no/such/page.html", "there is no folder no/such"),
        ("check", "Missing argument"),
        ("check no/such.py:E", "no such file: no/such.py"),
        ("check e.py", "say which encoder in it: e.py:NAME"),
        ("check honest --law law.hold", "did you mean law.holds?"),
        ("check honest --json no/such/file", "cannot write no/such/file"),
        ("list nothing", "nothing"),
        ("describe nothing", "no plug-in is called 'nothing'"),
        ("describe law:law.hold", "did you mean law.holds?"),
        ("show", "no run is kept under .mbcbench"),
        ("show monday", "no run is called 'monday'"),
        ("show --all", "there is no run under .mbcbench"),
        ("dance", "No such command 'dance'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_3(plugins: Plugins, command: Command, arguments: str, said: str) -> None:
    plugins.add("encoders", "honest", "no_such_module:HONEST")
    code, out, err = command(*arguments.split())
    assert (code, out) == (3, "")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("attribute", "said"),
    [
        ("Honset", "the module has no attribute 'Honset'; did you mean Honest or"),
        ("NUMBER", "is 3, which is not an encoder"),
        ("ForgetsTheBatch", "the first dimension must be the batch size"),
    ],
)
def test_what_only_the_import_can_tell_is_wrong_usage_too(command: Command, attribute: str, said: str) -> None:
    for code, _, err in (command("check", f"{VICES}:{attribute}"), run_only(command, f"{VICES}:{attribute}")):
        assert code == 3
        assert said in err
        assert err.count("\n") == 1
    assert not list(Path(".mbcbench/runs").iterdir())


def test_an_output_folder_that_cannot_be_written_stops_the_run_before_it_starts(command: Command) -> None:
    Path("file").write_text("")
    code, out, err = run_only(command, HONEST, "--out", "file")
    assert (code, out) == (3, "")
    assert err == "mbcbench: cannot write to file (Not a directory); choose another folder with --root\n"


def test_check_shows_the_counterexample_of_a_broken_law(command: Command) -> None:
    code, out, _ = command("check", HONEST, "--examples", "3", "--json", "laws.jsonl")
    assert code == 1
    assert "n = 2, chunks (1, 1)" in out
    assert "1 pass, 1 fail" in out
    broken, held = (json.loads(line) for line in Path("laws.jsonl").read_text().splitlines())
    assert held["law"] == "law.holds"
    assert (held["status"], held["gap"], held["bound"], held["examples"]) == ("pass", 1e-16, 1e-15, 3)
    assert (broken["encoder"], broken["counterexample"], broken["message"]) == (HONEST, {"n": 2}, "gap 0.5")
    assert broken.keys() >= {"seconds", "dtype", "device", "seed", "reproduce"}


def test_check_of_laws_that_hold_ends_with_0(command: Command) -> None:
    code, out, _ = command("check", HONEST, "--law", "law.holds")
    assert code == 0
    assert "law.breaks" not in out


def test_check_of_what_breaks_ends_with_2_and_a_row_for_each_law(command: Command) -> None:
    code, _, err = command("check", f"{VICES}:Segfaults", HONEST, "--law", "law.holds", "--json", "laws.jsonl")
    rows = [json.loads(line) for line in Path("laws.jsonl").read_text().splitlines()]
    assert code == 2
    assert [(row["encoder"].rpartition(":")[2], row["status"]) for row in rows] == [
        ("Segfaults", "crash"),
        ("Honest", "pass"),
    ]
    assert "SIGSEGV" in rows[0]["message"]
    assert "Traceback" not in err


def test_run_prints_the_leaderboard_and_keeps_the_records(command: Command) -> None:
    code, out, _ = run_only(command, HONEST, "--profile", "smoke")
    assert code == 0
    assert "LEADERBOARD smoke" in out
    assert "1 cell: 1 ok, 0 failed" in out
    (folder,) = Path(".mbcbench/runs").iterdir()
    assert (folder / "leaderboard.html").read_text().startswith("<html>")
    frame = mbcbench.load(folder)
    assert frame[frame["suite"] == "encode"]["status"].tolist() == ["ok"]


def test_a_second_run_does_only_what_is_missing(command: Command, tmp_path: Path) -> None:
    encoder = tmp_path / "mine.py"
    encoder.write_text("from torch import nn\nE = lambda d: nn.Sequential(nn.Linear(d, 2))\n")
    target = f"{encoder}:E"
    run_only(command, target)
    _, out, _ = run_only(command, target, "--encoder", HONEST)
    assert "1 of 2 cells reused; 1 run: new (1)" in out
    encoder.write_text("from torch import nn\nE = lambda d: nn.Sequential(nn.Linear(d, 2) )\n")
    _, out, _ = run_only(command, target, "--encoder", HONEST)
    assert "1 of 2 cells reused; 1 run: encoder source changed (1)" in out
    _, out, _ = run_only(command, target, "--fresh")
    assert "reused" not in out


def test_a_changed_weight_is_a_changed_cell(command: Command, tmp_path: Path) -> None:
    (tmp_path / "number").write_text("1")
    (tmp_path / "mine.py").write_text(
        "from torch import nn\nfrom pathlib import Path\n"
        f"E = nn.Linear(4, 2)\nnn.init.constant_(E.weight, float(Path({str(tmp_path / 'number')!r}).read_text()))\n"
        "nn.init.zeros_(E.bias)\n"
    )
    run_only(command, "mine.py:E")
    _, out, _ = run_only(command, "mine.py:E")
    assert "1 of 1 cell reused" in out
    (tmp_path / "number").write_text("2")
    _, out, _ = run_only(command, "mine.py:E")
    assert "1 run: encoder weights changed (1)" in out


def test_run_judges_the_registered_encoders_and_a_broken_one_is_a_row(plugins: Plugins, command: Command) -> None:
    plugins.module("third", "from torch import nn\nGOOD = nn.Linear(4, 2)\nBAD = 3")
    for name in ("good", "bad", "missing"):
        plugins.add("encoders", name, "gone:X" if name == "missing" else f"third:{name.upper()}")
    code, out, _ = command("run", "--suite", "encode", "--encoder", HONEST)
    frame = mbcbench.load()
    rows = frame[frame["suite"] == "encode"].set_index("encoder")
    assert code == 2
    assert rows["status"].to_dict() == {"bad": "error", "missing": "error", "good": "ok", HONEST: "ok"}
    assert "No module named 'gone'" in rows["message"].to_dict()["missing"]
    assert "4 cells: 2 ok, 2 failed" in out


def test_a_broken_suite_is_a_row(plugins: Plugins, command: Command) -> None:
    plugins.add("suites", "torn", "gone:SUITE")
    code, out, _ = command("run", "--only-encoders", "--encoder", HONEST, "--suite", "torn", "--suite", "encode")
    frame = mbcbench.load()
    assert code == 2
    assert "No module named 'gone'" in frame[frame["case"] == "plan"]["message"].item()
    assert "1 cell: 1 ok" in out


def test_a_broken_report_is_one_line_and_the_records_are_safe(plugins: Plugins, command: Command) -> None:
    plugins.add("reports", "leaderboard", "gone:REPORT")
    code, _, err = run_only(command, HONEST)
    assert code == 2
    assert "mbcbench: the report leaderboard broke: ModuleNotFoundError: No module named 'gone'\n" in err
    assert len(mbcbench.load()) == 2


def test_show_prints_an_earlier_run(command: Command) -> None:
    run_only(command, HONEST, "--profile", "smoke")
    assert "LEADERBOARD smoke" in command("show")[1]
    (folder,) = Path(".mbcbench/runs").iterdir()
    assert folder.name in command("show", "--all")[1]
    assert command("show", folder.name, "--html", "page.html")[0] == 0
    assert Path("page.html").exists()


def test_describe_tells_of_an_encoder_and_of_a_law(command: Command) -> None:
    code, out, _ = command("describe", HONEST)
    assert code == 0
    assert "A sum of projected elements." in out
    assert "B x n x 3 -> B x 3" in out
    assert "It says nothing." in command("describe", "law:law.holds")[1]


def test_describe_of_what_breaks_is_one_line(command: Command) -> None:
    code, _, err = command("describe", f"{VICES}:Segfaults")
    assert code == 2
    assert "SIGSEGV" in err
    assert err.count("\n") == 1


def test_list_names_what_is_registered(command: Command) -> None:
    code, out, _ = command("list")
    assert code == 0
    assert all(name in out for name in ("law.breaks", "encode", "leaderboard"))
    assert "encode" not in command("list", "laws")[1]


def test_env_tells_versions_and_hardware(command: Command) -> None:
    code, out, _ = command("env")
    assert code == 0
    assert all(word in out for word in ("torch", "cores", "memory", "cache"))


def test_quiet_says_nothing_while_it_runs(command: Command) -> None:
    assert run_only(command, f"{VICES}:Raises", "--quiet")[2] == ""
    assert "no forward today" in run_only(command, f"{VICES}:Raises")[2]


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["check", HONEST, "--law", "law.holds", "--quiet"]])
def test_neither_torch_nor_a_plug_in_is_imported(plugins: Plugins, arguments: list[str]) -> None:
    program = (
        "import sys\nfrom mbcbench.cli.main import main\n"
        f"try:\n    main({arguments!r})\n"
        "except SystemExit as ended:\n    code = ended.code\n"
        "heavy = {'torch', 'numpy', 'hypothesis', 'fake_plugins', 'vices'} & set(sys.modules)\n"
        "sys.exit(f'{code} {heavy}' if code or heavy else 0)\n"
    )
    ended = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_ctrl_c_is_one_line_and_keeps_what_ended(plugins: Plugins, tmp_path: Path) -> None:
    call = [
        sys.executable,
        "-P",
        "-m",
        "mbcbench.cli.main",
        "run",
        "--only-encoders",
        "--suite",
        "encode",
        "--jobs",
        "1",
        "--quiet",
    ]
    slow = tmp_path / "slow.py"
    slow.write_text(
        "import time\nfrom torch import nn\n"
        "class E(nn.Linear):\n"
        "    def __init__(self, d):\n        super().__init__(d, 2)\n"
        "    def forward(self, x):\n        time.sleep(600 if x.shape[1] == 5 else 0)\n"
        "        return super().forward(x)\n"
    )
    call += ["--encoder", HONEST, "--encoder", f"{slow}:E"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(call, cwd=tmp_path, text=True, start_new_session=True, **pipes) as program:  # type: ignore[call-overload]
        assert comes_true(lambda: any(mbcbench.load(f)["suite"].eq("encode").any() for f in _runs(tmp_path)))
        os.killpg(program.pid, signal.SIGINT)
        _, err = program.communicate(timeout=60)
    assert program.returncode == 130
    assert err.startswith("mbcbench: interrupted after 1 of 2 cells; what ended is kept in")
    assert err.count("\n") == 1


def _runs(root: Path) -> list[Path]:
    return [path.parent for path in (root / ".mbcbench" / "runs").glob("*/records.jsonl")]


def test_cells_that_measure_time_run_alone(plugins: Plugins, command: Command) -> None:
    plugins.module(
        "timed",
        "import time\nfrom mbcbench.records.cell import Cell\nfrom mbcbench.execution.suite import Suite\n"
        "def cells(request):\n"
        "    return [Cell(suite='timed', case=str(n), encoder=request.encoders[0]) for n in range(3)]\n"
        "def run(cell):\n"
        "    began = time.monotonic()\n    time.sleep(0.2)\n"
        "    return [cell.record('ok', detail={'began': began, 'ended': time.monotonic()})]\n"
        "S = Suite(name='timed', summary='', cells=cells, run=run, seconds={'quick': 20.0}, exclusive=True)\n",
    )
    plugins.add("suites", "timed", "timed:S")
    command("run", "--only-encoders", "--encoder", HONEST, "--suite", "timed", "--jobs", "3")
    frame = mbcbench.load()
    spans = frame[frame["suite"] == "timed"].sort_values("detail.began")
    assert (spans["detail.ended"].to_numpy()[:-1] <= spans["detail.began"].to_numpy()[1:]).all()


def test_every_suite_has_run_a_cell_before_one_runs_its_second(plugins: Plugins, command: Command) -> None:
    command("run", "--only-encoders", "--encoder", HONEST, "--suite", "laws", "--suite", "encode", "--jobs", "1")
    frame = mbcbench.load()
    assert frame[frame["suite"] != "probe"]["suite"].tolist() == ["laws", "encode", "laws"]


def test_an_encoder_is_built_by_name(plugins: Plugins) -> None:
    plugins.module(
        "third", "from torch import nn\ndef f(dim_in, dim=2):\n    'One line.'\n    return nn.Linear(dim_in, dim)"
    )
    plugins.add("encoders", "third", "third:f")
    assert mbcbench.get_spec("third").summary == "One line."
    assert mbcbench.build("third", dim_in=5, dim=3).weight.shape == (3, 5)


@pytest.mark.parametrize("ended", [0, 1, 5])
def test_a_run_that_is_killed_resumes_and_ends_with_the_records_of_an_undisturbed_one(
    plugins: Plugins, command: Command, tmp_path: Path, ended: int
) -> None:
    plugins.module(
        "drawn",
        "import time, torch\nfrom mbcbench.records.cell import Cell\nfrom mbcbench.execution.suite import Suite\n"
        "def cells(request):\n"
        "    return [Cell(suite='drawn', case='once', encoder=e, seed=s) for e in request.encoders for s in range(8)]\n"
        "def run(cell):\n"
        "    generator = torch.Generator().manual_seed(cell.seed)\n    time.sleep(0.05)\n"
        "    return [cell.record('ok', value=torch.rand((), generator=generator).item()) for _ in range(3)]\n"
        "S = Suite(name='drawn', summary='', cells=cells, run=run, seconds={'smoke': 60.0})\n",
    )
    plugins.add_default_suite("drawn", "drawn:S")
    asked = ["run", "--only-encoders", "--encoder", HONEST, "--suite", "drawn", "--profile", "smoke", "--quiet"]
    call = [sys.executable, "-P", "-m", "mbcbench.cli.main", *asked]
    with subprocess.Popen(call, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as program:
        assert comes_true(lambda: any(len(store.records(f)) > 3 * ended for f in _runs(tmp_path)))
        program.send_signal(signal.SIGKILL)
    assert command(*asked)[0] == 0
    assert command(*asked, "--out", "undisturbed")[0] == 0
    assert _outcomes(store.find(root=Path("undisturbed"))) == _outcomes(store.find())


def _outcomes(folder: Path) -> list[tuple[object, ...]]:
    told = [r for r in store.records(folder) if r.suite != "probe"]
    return sorted((r.cell, r.seed, str(r.status), r.value, r.message) for r in told)


def test_show_prints_the_report_that_is_named(command: Command) -> None:
    run_only(command, HONEST, "--profile", "smoke")
    assert "LEADERBOARD smoke" in command("show", "--report", "leaderboard")[1]
    code, _, err = command("show", "--report", "leaderbord")
    assert code == 3
    assert "no report is called 'leaderbord'; did you mean leaderboard?" in err


def test_what_asv_measured_becomes_a_run(command: Command) -> None:
    told = {"version": 2, "params": {}, "commit_hash": "0", "python": "3", "result_columns": ["result", "params"]}
    Path("asv.json").write_text(json.dumps(told | {"results": {"tool.time_it": [[0.5], []]}}))
    code, out, _ = command("import-asv", "asv.json")
    assert (code, "records.jsonl" in out) == (0, True)
    assert command("import-asv", "asv.json", "--run", "latest")[0] == 0
    assert mbcbench.load(next(Path(".mbcbench/runs").iterdir()))["value"].tolist() == [0.5, 0.5]
