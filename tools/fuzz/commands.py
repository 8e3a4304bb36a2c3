"""The command line with drawn arguments, on a small run and a small set; no command trains anything."""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from hypothesis import strategies as st
from mutations import Draw
from readers import SETTINGS, array_writer, file_writer, write_run

from mbcbench.cli.main import TRACEBACK, main, program
from mbcbench.errors import UsageError
from mbcbench.execution import runner

RUN = "run"  # the folder of a run, below the working folder
# With arguments that keep them short. `check` and `run` end where the first process would start.
COMMANDS = tuple(
    tuple(words.split())
    for words in (
        "list", "describe", "show", f"show {RUN}", "report --format csv", f"report {RUN} --format csv --only table1",
        "compare", f"compare {RUN} {RUN}", "repro", "env", "import-asv", "data", "data list", "data where", "new",
        "new encoder", "new law", "check", "check sse-random", "run", "encode",
        "encode x.npy --encoder deepsets-mean --quiet", "encode x.csv --encoder moments",
    )
)  # fmt: skip
NAMES = (
    RUN, "latest", "x.npy", "x.csv", "asv.json", "x", "out", "out.npy", "out/x.html", ".", "..", "none", "sse-random",
    "moments", "mbc.partition", "mbc", "mbc.*", "laws", "paper", "leaderboard", "fig1", "md", "csv,md", "quick",
    "regress", "time=0.1", "time=", "dim=64", "dim={", "mean", "cpu", "cuda", "encoders", "my-plugin", "e.py:E",
    "none:none", ":", "a:b",
)  # fmt: skip
ODD = (
    "", " ", "-1", "0", "1", "2", "0.5", "1e400", "nan", "inf", "-inf", "9" * 30, "x" * 300, "\udcff", "µ", "[bold]",
    "%s", "{0}", "$(touch canary)", "a,b", "=", "--", "-", "---", "'", '"', "\n", "\x1b[31m", "c.jsonl:1", "c.jsonl:²",
    "records.jsonl:9",
)  # fmt: skip
VALUE = st.one_of(
    st.sampled_from(NAMES), st.sampled_from(ODD), st.text(st.characters(exclude_characters="\0/"), max_size=8)
)
WARM_UP = (
    "list",
    f"show {RUN}",
    f"report {RUN} --format csv --only table1",
    f"compare {RUN} {RUN}",
    "run",
)
STARTED = "here the first process would start"
EXIT_CODES = {0, 1, 2, 3, 4}


class StartedError(UsageError):
    """A command was about to start a process: its arguments were accepted."""

    def __init__(self, *_: object) -> None:
        super().__init__(STARTED)


def option_names(command: tuple[str, ...]) -> list[str]:
    """Return the options of a command, as they are typed."""
    found = program()
    for word in command:
        found = getattr(found, "commands", {}).get(word, found)
    return sorted({name for parameter in found.params for name in parameter.opts if name.startswith("--")})


OPTIONS = {command: option_names(command) for command in COMMANDS}


def draw_arguments(draw: Draw) -> list[str]:
    """Return the words of a command."""
    command = draw(st.sampled_from(COMMANDS))
    words = list(command)
    for _ in range(draw(st.integers(0, 4))):
        if OPTIONS[command] and draw(st.booleans()):
            words.append(draw(st.sampled_from(OPTIONS[command])))
        if draw(st.booleans()):
            words.append(draw(VALUE))
    if "fetch" in words:  # which makes data sets, for minutes
        words.remove("fetch")
    return words


def write_folder(folder: Path) -> None:
    """Write what the commands find in their working folder."""
    write_run(folder / "root").rename(folder / RUN)
    for name in ("x.npy", "x.csv"):
        array_writer(name)(folder)
    file_writer("pyproject.toml", SETTINGS.replace('weights = "w.pt"\n', ""))(folder)
    file_writer("e.py", "class E: pass\n")(folder)


def run_command(arguments: list[str]) -> str:
    """Run a command in this process and return `ok` or `refused`. Raises what main does not turn into a line."""
    out, err = io.StringIO(), io.StringIO()
    with _no_processes(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
    if STARTED in err.getvalue():
        return "ok"
    printed = out.getvalue() + err.getvalue()
    if code not in EXIT_CODES or "Traceback (most recent" in printed:
        raise AssertionError(f"exit code {code}: {printed[-500:]}")
    if code == 3 and not printed.startswith("Usage: ") and not all(map(_is_message, err.getvalue().splitlines())):
        raise AssertionError(f"not one line: {err.getvalue()[:500]}")
    return "ok" if code in (0, 1, 4) else "refused"


def _is_message(line: str) -> bool:
    """Return True for a line of mbcbench; `data verify` has the name of the data set in front."""
    return line.startswith("mbcbench: ") or ": " in line


@contextlib.contextmanager
def _no_processes() -> Iterator[None]:
    """Let the first process of a command raise StartedErrorError, and unforeseen errors be raised."""
    environment = {TRACEBACK: "1", "MBCBENCH_DATA": os.path.abspath("data")}
    with mock.patch.object(runner, "_LocalPool", side_effect=StartedError), mock.patch.dict(os.environ, environment):
        yield
