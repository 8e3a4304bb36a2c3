"""Cells on a Dask worker: each runs as it does on one machine, in a process of its own with its limits.

The functions here are sent to workers by name. The state between the cells of a command (servers of encoders, prepared
data) belongs to the process of the worker and ends with the command.
"""

import multiprocessing
import os
import pickle
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mbcbench import registry, system
from mbcbench.execution import digest, runner
from mbcbench.execution.encoder_server import EncoderServers
from mbcbench.execution.executor import LocalExecutor
from mbcbench.execution.runner import Event, Finished, Job

DAEMONIC = (
    "its process is daemonic and cannot start others; start workers with the environment variable "
    "DASK_DISTRIBUTED__WORKER__DAEMON=False"
)


@dataclass(frozen=True)
class Command:
    """Description of a command for its workers.

    name: of the command, and of the topic of its events. folder: working directory of cells, if the worker has it.
    requirements: values that must be the same on a worker (see `list_requirements`).
    """

    name: str
    libraries: tuple[str, ...]
    user_encoders: tuple[str, ...]
    folder: str
    requirements: Mapping[str, str]


@dataclass(frozen=True)
class Greeting:
    """First answer of a worker: the model of its processor, or in `problem` why it can run no cells."""

    processor: str = ""
    problem: str = ""


def list_requirements(user_encoders: Collection[str], folder: str) -> dict[str, str]:
    """Return the values that must agree between machines: versions, sources, plug-ins and encoder files."""
    versions = {f"{name} version": version for name, version in system.versions().items()}
    plugins = {
        f"{group.removeprefix('mbcbench.').removesuffix('s')} {name}": plugin.target
        for group in (registry.ENCODERS, registry.LAWS, registry.SUITES)
        for name, plugin in registry.plugins(group).items()
    }
    files = {target.rpartition(":")[0] for target in user_encoders if target.rpartition(":")[0].endswith(".py")}
    paths = {name: Path(folder) / name for name in sorted(files)}
    contents = {f"file {name}": digest.files([path]) if path.is_file() else "" for name, path in paths.items()}
    return {**versions, "mbcbench source": digest.installed(), **plugins, **contents}


def greet(command: Command) -> Greeting:
    """Return the greeting of this worker, which the client needs before it sends cells."""
    if multiprocessing.current_process().daemon:
        return Greeting(problem=DAEMONIC)
    actual = list_requirements(command.user_encoders, _folder(command))
    for name, expected in command.requirements.items():
        if actual.get(name, "") != expected:
            return Greeting(problem=_explain(name, actual.get(name, ""), expected))
    return Greeting(processor=system.processor())


def _explain(name: str, actual: str, expected: str) -> str:
    """Describe how a worker differs from the machine on which the command was started."""
    if not actual:
        return f"it lacks the {name}"
    if name.endswith("version"):
        return f"its {name} is {actual} instead of {expected}"
    return f"its {name} differs from the one here"


def _folder(command: Command) -> str:
    return command.folder if Path(command.folder).is_dir() else os.getcwd()


def run_job(command: Command, job: Job) -> list[str]:
    """Prepare the data of a job and run it; return its records as lines of JSON.

    Events before the end of the job are sent to the client.
    """
    from distributed import get_worker

    site = _site(command)
    lines: list[str] = []
    for event in site.run(replace(job, folder=_folder(command))):
        if isinstance(event, Finished) and event.cell.key == job.cell.key:
            lines = [record.to_json() for record in event.records]
        else:
            get_worker().log_event(command.name, pickle.dumps(event))
    return lines


def end_command(name: str) -> None:
    """Kill the cells of a command that still run on this worker, and forget the command."""
    with _lock:
        _end(name)


def _end(name: str) -> None:
    site = _sites.pop(name, None)
    if site is not None:  # Dask calls `end_command` in the thread that must answer the scheduler
        threading.Thread(target=site.close, daemon=True).start()


class _Site:
    """State of a worker between the cells of one command."""

    def __init__(self, command: Command) -> None:
        self.jobs = 0  # running ones
        self._servers = EncoderServers(command.user_encoders)
        self._name = command.name
        self._executor = LocalExecutor(1, command.libraries, self._servers, command.name)
        self._prepared: set[str] = set()  # keys of the needs whose data are ready
        self._is_closed = threading.Event()

    def run(self, job: Job) -> Iterator[Event]:
        """Run one job. Threads may do so at the same time."""
        pending = tuple(need for need in job.needs if need.key not in self._prepared)
        self.jobs += 1
        try:
            ready = yield from self._executor.prepare([replace(job, needs=pending)])
            if ready and not self._is_closed.is_set():
                self._prepared |= {need.key for need in pending}
                yield from self._executor.run(ready)
        finally:
            self.jobs -= 1

    def close(self) -> None:
        """Stop the servers, which kill their cells, and kill the other cells."""
        self._is_closed.set()
        self._servers.__exit__()
        runner.kill_cells(self._name)


_sites: dict[str, _Site] = {}  # by name of the command
_lock = threading.Lock()


def _site(command: Command) -> _Site:
    """Return the state of a command on this worker; end commands whose client died without ending them."""
    with _lock:
        if command.name not in _sites:
            for name in [name for name, site in _sites.items() if site.jobs == 0]:
                _end(name)
            _sites[command.name] = _Site(command)
        return _sites[command.name]
