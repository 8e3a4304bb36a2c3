"""Forks: run tests in a forked process in which one module is another one.

What takes seconds to import, torch and pytest, is imported once in the process that forks; the modules of this
repository are imported in the fork, one of them from its mutated source.
"""

import ast
import contextlib
import importlib
import importlib.machinery
import os
import resource
import signal
import sys
import traceback
import types
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

_HEAVY = (
    "torch",
    "hypothesis",
    "pandas",
    "pebble",
    "psutil",
    "rich",
    "safetensors.torch",
    "scipy.special",
    "sympy",
    "torch.func",
)
_MEMORY_BYTES = 6 * 2**30
_WALL_FACTOR = 8  # seconds of the clock for each of CPU time, as the machine may be busy
# No plug-ins but ours: that of zarr takes seconds. Assertions in modules that are imported already are not rewritten.
PYTEST = (
    "-q", "-p", "no:cacheprovider", "-p", "mbcbench.pytest_plugin", "--no-header",
    "-W", "ignore:Module already imported",
)  # fmt: skip
KILLED, SURVIVED, TIMEOUT = "killed", "survived", "timeout"


def warm_up() -> None:
    """Import what all forks need."""
    for name in _HEAVY:
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)


def run_tests(tests: Sequence[str], module: str, path: Path, tree: ast.Module, seconds: float, log: Path) -> str:
    """Run tests with a module made of `tree` in place of the file `path`; return the fate of the mutant."""

    def child() -> int:
        _replace(path, tree)
        importlib.import_module(module)  # before pytest, which would rewrite the assertions of its source
        return int(pytest.main([*PYTEST, "-x", "--tb=line", *tests]))

    status = in_fork(child, seconds, log)
    if status == 0:
        return SURVIVED
    if "ERROR: not found: " in log.read_text(errors="replace"):
        raise SystemExit(f"a test does not exist any more: --record its file again ({log})")
    return TIMEOUT if status in (-signal.SIGXCPU, -signal.SIGALRM, -signal.SIGKILL) else KILLED


def in_fork(action: Callable[[], int], seconds: float, log: Path) -> int:
    """Do something in a forked process with limits; return its exit code, or the negative signal that ended it."""
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process == 0:
        code = 70
        try:
            _set_up(seconds, log)
            code = action()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(process, 0)
    _end_group(process)
    return os.waitstatus_to_exitcode(status)


def _set_up(seconds: float, log: Path) -> None:
    os.setsid()
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    limit = round(seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))
    signal.alarm(round(seconds * _WALL_FACTOR))


def _end_group(process: int) -> None:
    """End what the tests of a fork have left running."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


def _replace(path: Path, tree: ast.Module) -> None:
    """Let the module of a file be made of a syntax tree when it is imported."""
    original = importlib.machinery.SourceFileLoader.get_code

    def get_code(self: importlib.machinery.SourceFileLoader, fullname: str) -> types.CodeType | None:
        if Path(self.path) == path:
            return compile(tree, str(path), "exec", dont_inherit=True)
        return original(self, fullname)

    importlib.machinery.SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]
