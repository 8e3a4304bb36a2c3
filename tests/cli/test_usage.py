"""Wrong usage is one line, help is readable, and neither costs an import of torch."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mbcbench
from mbcbench.cli.completion import complete_names
from mbcbench.cli.main import main, program
from tests.cli.helpers import BROKEN, HONEST, run_only
from tests.conftest import Command, Plugins


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("run --profile lunch", "'lunch' is not one of 'smoke', 'quick', 'standard', 'thorough', 'paper'"),
        ("run --seed -1", "'--seed': '-1' is not a whole number of at least 0"),
        ("run --jobs 0", "'--jobs': '0' is not a whole number of at least 1"),
        (f"run --seed {2**63}", f"'--seed': '{2**63}' is not a whole number of at least 0"),
        ("check honest --examples many", "'--examples': 'many' is not a whole number of at least 1"),
        ("encode x.npy --encoder honest --threads 1_0", "'1_0' is not a whole number from 1 to 1024"),
        ("check honest --law ,", "'--law': ',' names no law; leave the option out for all laws"),
        ("run --suite encode --law law.holds", "--law and --skip-law: there are no laws in encode; add --suite laws"),
        ("run --time-limit nan", "'--time-limit': 'nan' is not a number of at least 0.1"),
        ("run --memory-limit inf", "'--memory-limit': 'inf' is not a number of at least 0.1"),
        ("check honest --memory-limit lots", "'lots' is not a number of at least 0.1"),
        ("run --bogus", "No such option: --bogus (Possible options: --jobs, --out); see: mbcbench run --help"),
        ("run --only-encoders", "give at least one"),
        ("run --just-these", "give at least one"),
        ("run --profile big", "mbcbench: Invalid value for '--profile': 'big' is not one of"),
        ("run --data big", "mbcbench: --data big: expected one of auto, built-in, paper, mnist-5k"),
        ("run --only fig3b", "name the suite too: --suite paper"),
        ("run --suite encode --only fig3b", "the suite encode has none; leave one of the two out"),
        ("run --suite encod", "no suite is called 'encod' (did you mean encode?); see: mbcbench list suites"),
        ("run --encoder nothing", "no encoder is called 'nothing'"),
        ("run --root pyproject --html no/such/page.html", "there is no folder no/such"),
        ("check", "Missing argument 'TARGET'; see: mbcbench check --help"),
        ("check honest --lwa x", "--lwa (Possible options: --law); see: mbcbench check --help"),
        ("new encodr x", "Did you mean 'encoder'? See: mbcbench new --help"),
        ("check no/such.py:E", "no such file: no/such.py"),
        ("check e.py", "say which encoder in it: e.py:NAME"),
        ("check honest --law law.hold", "did you mean law.holds?"),
        ("check honest --law law.holds,law.x*", "no law matches 'law.x*'; see: mbcbench list laws"),
        ("check honest --json no/such/file", "cannot write no/such/file"),
        ("list nothing", "nothing"),
        ("describe nothing", "no plug-in is called 'nothing'"),
        ("describe law:law.hold", "did you mean law.holds?"),
        ("show", "there are no runs under .mbcbench"),
        ("show monday", "no run is called 'monday'"),
        ("show --all", "there are no runs under .mbcbench"),
        ("dance", "No such command 'dance'; see: mbcbench --help"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_3(
    plugins: Plugins, command: Command, arguments: str, words: str
) -> None:
    plugins.add("encoders", "honest", "no_such_module:HONEST")
    code, out, err = command(*arguments.split())
    assert (code, out) == (3, "")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("attribute", "words"),
    [
        ("Honset", "the module has no attribute 'Honset' (did you mean Honest or"),
        ("NUMBER", "is 3, which is not an encoder"),
    ],
)
def test_a_target_that_is_not_an_encoder_is_wrong_usage(command: Command, attribute: str, words: str) -> None:
    for code, _, err in (command("check", f"{BROKEN}:{attribute}"), run_only(command, f"{BROKEN}:{attribute}")):
        assert code == 3
        assert words in err
        assert err.count("\n") == 1
    assert not list(Path(".mbcbench/runs").iterdir())


def test_a_folder_that_cannot_be_written_stops_the_run_before_it_starts(command: Command) -> None:
    Path("file").write_text("")
    code, out, err = run_only(command, HONEST, "--root", "file")
    assert (code, out) == (3, "")
    assert err == "mbcbench: cannot write to file (Not a directory); choose another folder with --root\n"


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["check", HONEST, "--law", "law.holds", "--quiet"]])
def test_neither_torch_nor_a_plugin_is_imported(plugins: Plugins, arguments: list[str]) -> None:
    program = (
        "import sys\nfrom mbcbench.cli.main import main\n"
        f"try:\n    main({arguments!r})\n"
        "except SystemExit as ended:\n    code = ended.code\n"
        "heavy = {'torch', 'numpy', 'hypothesis', 'fake_plugins', 'broken_encoders'} & set(sys.modules)\n"
        "sys.exit(f'{code} {heavy}' if code or heavy else 0)\n"
    )
    ended = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [[], ["new"], ["data"]])
def test_a_group_of_commands_that_is_called_bare_prints_its_help(command: Command, arguments: list[str]) -> None:
    code, out, err = command(*arguments)
    assert (code, err) == (3, "")
    assert out.startswith("Usage: ")
    assert out == command(*arguments, "--help")[1]
    assert len(out.splitlines()) > 8


def test_names_of_earlier_releases_say_the_new_ones(command: Command) -> None:
    _, _, err = command("run", "--profile", "laptop", "--out", "elsewhere", "--only-encoders")
    assert "mbcbench: the profile laptop is called thorough now\n" in err
    assert "mbcbench: the option --out is called --root now\n" in err


def test_help_has_a_short_name(command: Command) -> None:
    assert command("-h") == command("--help")
    assert command("check", "-h") == command("check", "--help")


def test_the_help_lists_the_commands_in_the_order_of_their_use(command: Command) -> None:
    lines = command("--help")[1].partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["check", "run", "list", "describe"]
    assert not [line for line in lines if line.endswith("...")]


@pytest.mark.parametrize("name", ["check", "run", "show", "report", "compare", "repro", "encode", "describe", "list"])
def test_the_help_of_a_command_has_an_example(command: Command, name: str) -> None:
    _, out, _ = command(name, "--help")
    assert f"mbcbench {name}" in out.partition("Examples:")[2]
    assert not [line for line in out.splitlines() if len(line) > 80]


def test_the_help_says_what_a_command_costs_and_returns(command: Command) -> None:
    for name in ("check", "run"):
        _, out, _ = command(name, "--help")
        assert re.search(r"\d+ (seconds|minutes)", out)
        assert "Exit code 0" in out
        assert "May be repeated" in out


@pytest.mark.parametrize("call", [["-m", "mbcbench"], ["-m", "mbcbench.cli.main"]])
def test_the_version_is_printed(call: list[str]) -> None:
    ended = subprocess.run([sys.executable, *call, "--version"], capture_output=True, text=True, check=True)
    assert ended.stdout == f"mbcbench {mbcbench.__version__}\n"


def test_a_shell_can_be_shown_how_to_complete(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    monkeypatch.setattr("mbcbench.cli.main.program", program.__wrapped__)  # typer reads the variable
    code, out, _ = command("--show-completion", "bash")
    assert code == 0
    assert "complete" in out


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("check sse-random-m", ["sse-random-max", "sse-random-mean", "sse-random-min"]),
        ("check sum --law mbc.empty,mbc.parti", ["mbc.empty,mbc.partial_gradient", "mbc.empty,mbc.partition"]),
        ("run --profile q", ["quick"]),
        ("check ./sum.py", []),  # the shell completes the names of files
    ],
)
def test_a_shell_completes_names(words: str, completions: list[str]) -> None:
    program = "import sys\nfrom mbcbench.cli.main import main\nsys.argv = ['mbcbench']\nmain()"
    variables = {"COMP_WORDS": f"mbcbench {words}", "COMP_CWORD": str(len(words.split()))}
    variables["_MBCBENCH_COMPLETE"] = "complete_bash"
    call = [sys.executable, "-c", program]
    ended = subprocess.run(call, capture_output=True, text=True, check=True, env={**os.environ, **variables})
    assert sorted(ended.stdout.split()) == completions


@pytest.mark.parametrize(
    ("kind", "word", "completions"),
    [
        ("suites", "laws,image", ["laws,image-completion"]),
        ("artefacts", "table1,table", [f"table1,table{number}" for number in range(1, 9)]),
        ("reports", "no such", []),
    ],
)
def test_the_last_name_of_a_list_is_completed(kind: str, word: str, completions: list[str]) -> None:
    complete = complete_names(kind, as_list=True)
    assert [name for name, _ in complete(word)] == completions


def test_help_loads_no_package_that_takes_long_to_import() -> None:
    program = (
        "import sys\nfrom mbcbench.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    print(*sorted(sys.modules), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in ended.stderr.split()}
    assert "mbcbench" in loaded
    assert not loaded & {"torch", "numpy", "pandas", "hypothesis", "scipy", "matplotlib", "rich"}


def test_options_keep_the_names_of_the_release_before(command: Command) -> None:
    code, _, _ = command(
        "run", "--just-these", "--encoder", HONEST, "--suite", "encode", "--profile", "laptop", "--out", "runs"
    )
    assert code == 0
    (folder,) = Path("runs/runs").iterdir()
    assert folder.name.endswith("-thorough")
    assert "LEADERBOARD thorough" in command("show", "--out", "runs")[1]
    for name in ("run", "show", "compare", "import-asv"):
        out = command(name, "--help")[1]
        assert "--root" in out
        assert not re.search(r"--out|--just-these|laptop", out)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ZeroDivisionError("none left"), "a fault of mbcbench, please report it: ZeroDivisionError: none left"),
        (MemoryError(), "out of memory: MemoryError"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory: RuntimeError: Default"),
    ],
)
def test_an_unforeseen_error_is_one_line_too(
    error: Exception, words: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("mbcbench.records.store.find", fail)
    code, out, err = command("show")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"mbcbench: {words}")
    assert err.endswith("(MBCBENCH_TRACEBACK=1 shows the traceback)\n")
    monkeypatch.setenv("MBCBENCH_TRACEBACK", "1")
    with pytest.raises(type(error)):
        main(["show"])


def test_ctrl_c_before_a_command_has_begun_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mbcbench.cli.console.facts", interrupt)
    with pytest.raises(SystemExit) as ended:
        main(["env"])
    assert (ended.value.code, capsys.readouterr().err) == (130, "mbcbench: interrupted\n")


def test_the_summary_of_no_command_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    for group in ([], ["new"], ["data"]):
        with pytest.raises(SystemExit):
            main([*group, "--help"])
        assert "..." not in capsys.readouterr().out.partition("Commands:")[2]
