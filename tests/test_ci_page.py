"""The page on CI, the action and the pre-commit hook: their commands run, and their options and files exist."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from mbcbench.cli.main import program
from tests.conftest import Command

yaml = pytest.importorskip("yaml", reason="needs pyyaml")

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
ENCODER = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
COMMANDS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
JOB, HOOKS_CONFIG, COMPARISON = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
(HOOK,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
SMALL = '[tool.mbcbench]\nlaw = "mbc.partition,mbc.order"\nexamples = 24\nquiet = true\n'
BROKEN = ENCODER.replace("self.phi(x).sum(1),)", "self.phi(x).mean(1),) if x.shape[1] else state")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the encoder of the page, few laws as default, and the programs of this environment."""
    (tmp_path / "my_encoder.py").write_text(ENCODER)
    (tmp_path / "my_attention.py").write_text(BROKEN.replace("MyEncoder", "Attention"))
    (tmp_path / "pyproject.toml").write_text(SMALL)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, module in {"pytest": "-m pytest -p no:cacheprovider", "python": ""}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {module} "$@"\n')
        (programs / name).chmod(0o755)
    return tmp_path


def run(script: str, folder: Path, **variables: str) -> tuple[int, str]:
    """Run a script as GitHub's runners do; return its exit code and its output."""
    environment = {**os.environ, **variables, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    call = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    ended = subprocess.run(call, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout + ended.stderr


def follow(script: str, folder: Path, program: Command) -> tuple[int, str]:
    """Run a script line by line; commands of mbcbench run in this process, and the shell is given their exit codes."""
    output = ""
    for line in script.splitlines():
        if call := re.fullmatch(r"mbcbench ([^|;]*)(.*)", line):
            code, out, err = program(*shlex.split(call[1]))
            output += out + err
        code, printed = run(f"(exit {code}) {call[2]}" if call else line, folder)
        output += printed
        if code:
            return code, output
    return 0, output


def options_of(command: str) -> set[str]:
    """Return the options that a command of mbcbench has."""
    parameters = program().commands[command].params
    return {option for parameter in parameters for option in parameter.opts}


def step(name: str) -> dict[str, Any]:
    return next(step for step in ACTION["runs"]["steps"] if step.get("name") == name)


def run_action(folder: Path, target: str, args: str = "") -> tuple[int, str]:
    values = {"target": target, "profile": ACTION["inputs"]["profile"]["default"], "args": args}
    variables = {name: values[str(text).split(".")[1].strip(" }")] for name, text in step("Check")["env"].items()}
    return run(step("Check")["run"], folder, **variables)


@pytest.mark.slow
def test_the_commands_for_any_server_and_for_pytest_accept_the_encoder(folder: Path, program: Command) -> None:
    code, output = follow(COMMANDS[0], folder, program)
    assert code == 0, output
    assert {path.name for path in folder.iterdir()} >= {"report.html", "laws.xml", "badge.svg"}
    code, output = run(COMMANDS[1], folder)
    assert code == 0, output
    assert "2 passed" in output


def test_the_encoder_of_the_page_keeps_all_laws_in_the_first_command(folder: Path, program: Command) -> None:
    (folder / "pyproject.toml").unlink()  # all laws, with the examples of `check`
    code, output = follow(COMMANDS[0], folder, program)
    assert code == 0, output
    assert re.search(r"^\d+ pass, \d+ skip, \d+ ok in ", output, re.MULTILINE), output


def test_an_expected_failure_of_the_page_is_no_failure(folder: Path, program: Command) -> None:
    code, output = follow(COMMANDS[2], folder, program)
    assert code == 0, output
    assert "1 pass, 1 xfail" in output


@pytest.mark.slow
def test_the_commands_that_compare_versions_name_the_law_that_the_new_one_breaks(
    folder: Path, program: Command
) -> None:
    script = COMMANDS[3].replace(" --root", " --law mbc.partition,mbc.order --profile smoke --quiet --root")
    (folder / ".gitignore").write_text("bin\nbefore\nafter\n__pycache__\n")
    git = "git -c user.name=x -c user.email=x@example.org"
    history = f"""
        git init --quiet --initial-branch main && git add . && {git} commit --quiet --message one
        git update-ref refs/remotes/origin/main HEAD
        git switch --quiet --create change && cp new.py my_encoder.py && {git} commit --quiet --all --message two
    """
    (folder / "new.py").write_text(BROKEN)
    assert run(history, folder)[0] == 0
    code, output = follow(script, folder, program)
    assert code == 4, output
    assert re.findall(r"new-failure +laws +(\S+)", output) == ["mbc.partition"]
    assert output.splitlines()[-1].endswith("1 new-failure; fails now: mbc.partition")


def test_the_job_that_compares_versions_runs_the_commands_of_the_page() -> None:
    script = COMPARISON["jobs"]["compare"]["steps"][-1]["run"]
    programs = [line for line in script.splitlines() if line.startswith("mbcbench")]
    assert programs == [line for line in COMMANDS[3].splitlines() if line.startswith("mbcbench")]


def test_a_wrong_option_ends_the_comparison(folder: Path, program: Command) -> None:
    command = COMMANDS[3].splitlines()[1].replace(" --root", " --quiet --root")
    code, output = follow(f"{command.replace('MyEncoder', 'Missing')}; echo compared", folder, program)
    assert code != 0
    assert "compared" not in output


@pytest.mark.parametrize("page", ["ci", "getting-started"])
def test_a_workflow_of_a_page_needs_no_file_that_a_reader_may_lack(page: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    assert "cache: pip" not in text  # it fails without a requirements.txt or pyproject.toml


@pytest.mark.slow
def test_the_action_writes_its_report_and_ends_with_the_code_of_the_check(folder: Path) -> None:
    assert run_action(folder, "my_encoder.py:MyEncoder")[0] == 0
    report = folder / str(step("Upload the report")["with"]["path"])
    assert {path.name for path in report.iterdir()} == {"report.html", "laws.xml", "laws.jsonl", "badge.svg"}
    assert run_action(folder, "missing.py:MyEncoder")[0] == 3
    code, output = run_action(folder, "my_attention.py:Attention my_encoder.py:MyEncoder", "--law mbc.p*n")
    assert code == 1, output
    assert len(ElementTree.parse(report / "laws.xml").getroot()) == 2


def test_an_input_of_the_action_is_never_a_command(folder: Path) -> None:
    code, output = run_action(folder, "$(touch stolen); touch stolen", '--law "`touch stolen`"')
    assert code == 3, output
    assert not (folder / "stolen").exists()
    scripts = [step["run"] for step in ACTION["runs"]["steps"] if "run" in step]
    assert not any("${{" in script for script in scripts)


def test_the_action_is_called_with_inputs_and_options_that_exist() -> None:
    (call,) = (step for step in JOB["jobs"]["laws"]["steps"] if "mbcbench" in step["uses"])
    inputs = ACTION["inputs"]
    assert call["with"].keys() <= inputs.keys()
    assert {name for name, value in inputs.items() if value.get("required")} <= call["with"].keys()
    assert set(re.findall(r"^\| `([a-z-]+)` \|", PAGE, re.MULTILINE)) == inputs.keys()
    assert set(re.findall(r"--[a-z]+", step("Check")["run"])) <= options_of("check")
    used = set(re.findall(r"inputs\.([a-z-]+)", (ROOT / "action.yml").read_text()))
    assert used == inputs.keys()


def test_the_hook_checks_what_its_arguments_name(folder: Path, program: Command) -> None:
    (hook,) = HOOKS_CONFIG["repos"][0]["hooks"]
    assert hook["id"] == HOOK["id"]
    assert set(re.findall(r"--[a-z]+", " ".join([HOOK["entry"], *hook["args"]]))) <= options_of("check")
    assert re.search(hook["files"], "my_encoder.py")
    arguments = f"{hook['args'][0]} --law mbc.order"
    assert follow(f"{HOOK['entry']} {arguments}", folder, program)[0] == 0
    code, output = follow(HOOK["entry"], folder, program)
    assert (code, output.count("\n")) == (3, 1)
