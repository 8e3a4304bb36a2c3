"""Fuzz the readers of files and the command line: `python tools/fuzz/fuzz.py [--inputs N] [--guided N] [--only NAME]`.

Each input is a small valid file with a few changes, or a command with drawn arguments. It must end in success or in one
line for the user: no other exception, no hang, no more memory than a limit, nothing written outside of its folder, no
program started and no pickle loaded (see guard.py). Hypothesis draws --inputs of them; where Atheris is installed, it
finds --guided further files, by the branches that they reach. A process runs the inputs of one reader, so that a crash
of native code is a row too. Inputs that break something are kept in --save; --page writes docs/fuzz.md.
"""

import argparse
import json
import multiprocessing
import os
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from commands import WARM_UP, draw_arguments, run_command, write_folder
from guard import Escape, Guard, Hang
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st
from mutations import Draw, mutate
from readers import READERS, Reader, seed_folder, temporary_folder

from mbcbench.errors import require

sys.path.append(str(Path(__file__).parents[1]))
from template import markdown_table, write  # in the folder above

CLI, CLI_WEIGHT = "command line", 3.0
GUIDED = ", guided"  # what follows the name of a reader whose inputs Atheris finds
# Some of them load pickles of their own when they are imported.
LIBRARIES = ("pyarrow.feather", "pyarrow.parquet", "pyarrow.dataset", "h5py", "zarr", "PIL.Image", "distributed")
MAX_CRASHES = 20  # of one reader, after which it is given up
FOUND = Path(".fuzz")


@dataclass
class Result:
    """Outcome of the inputs of one reader. faults: by what went wrong and where, the first input that shows it."""

    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    faults: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, other: "Result") -> None:
        """Add the outcome of further inputs."""
        self.inputs += other.inputs
        self.accepted += other.accepted
        self.refused += other.refused
        self.faults = {**other.faults, **self.faults}
        self.counts = dict(Counter(self.counts) + Counter(other.counts))


class Fuzzer:
    """Runs the inputs of one reader in this process. state: file that holds the outcome so far, for the parent."""

    def __init__(self, folder: Path, save: Path, state: Path) -> None:
        self.folder, self.save, self.state = folder, save, state
        self.result = Result()
        self.guard = Guard(folder)

    def run(self, count: int, seed: int, try_one: Callable[[Draw], str]) -> None:
        """Try inputs that Hypothesis draws, the same for the same seed."""

        @hypothesis_seed(seed)
        @settings(
            max_examples=count, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(st.data())
        def test(data: st.DataObject) -> None:
            self._count(try_one(data.draw))

        test()
        self._finish()

    def run_guided(
        self, count: int, seed: int, contents: Mapping[Path, bytes], try_one: Callable[[Path, bytes], str]
    ) -> None:
        """Try inputs that Atheris finds, starting from the contents of valid files; the process ends afterwards."""
        from guided import fuzz_files  # Atheris is optional

        def count_one(file: Path, content: bytes) -> None:
            self._count(try_one(file, content))
            if self.result.inputs == count:
                self._finish()

        fuzz_files(contents, self.state.parent, count, seed, count_one)

    def _count(self, outcome: str) -> None:
        self.result.inputs += 1
        self.result.accepted += outcome == "ok"
        self.result.refused += outcome == "refused"

    def _finish(self) -> None:
        """Write the outcome for the parent."""
        self.state.write_text(json.dumps(asdict(self.result)))

    def attempt(self, action: Callable[[], str], refusals: tuple[type[BaseException], ...], content: bytes) -> str:
        """Return how an input ended; keep one that breaks something."""
        current = self.folder / "current"
        current.write_bytes(content)  # which survives a crash
        try:
            with self.guard.watch():
                return action()
        except refusals as refusal:
            return "refused" if str(refusal).strip() else self._keep(refusal, content)
        except (Exception, Hang, Escape) as error:
            return self._keep(error, content)

    def _keep(self, error: BaseException, content: bytes) -> str:
        frames = traceback.extract_tb(error.__traceback__)
        inner = [frame for frame in frames if "/tools/fuzz/" not in frame.filename] or list(frames)
        place = f"{Path(inner[-1].filename).name}:{inner[-1].lineno}"
        label = f"{type(error).__name__} at {place}: {str(error)[:120]!r}"
        key = f"{type(error).__name__} {place}"
        self.result.counts[key] = self.result.counts.get(key, 0) + 1
        if self.result.counts[key] == 1:
            self.save.mkdir(parents=True, exist_ok=True)
            path = self.save / f"{len(list(self.save.iterdir())):03}"
            path.write_bytes(content)
            path.with_suffix(".txt").write_text("".join(traceback.format_exception(error)))
            self.result.faults[label] = str(path)
        return "fault"


def fuzz_reader(fuzzer: Fuzzer, reader: Reader, count: int, seed: int, *, guided: bool) -> None:
    path, contents = seed_folder(reader, fuzzer.folder)
    files = sorted(contents)
    reader.read(path)  # the valid file is read

    def read() -> str:
        reader.read(path)
        return "ok"

    def try_one(file: Path, content: bytes) -> str:
        file.write_bytes(content)
        outcome = fuzzer.attempt(read, reader.refusals, file.name.encode() + b"\n" + content)
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_bytes(contents[file])
        return outcome

    def try_drawn(draw: Draw) -> str:
        file = files[draw(st.integers(0, len(files) - 1))] if len(files) > 1 else files[0]
        return try_one(file, mutate(draw, file.name, contents[file]))

    if guided:
        fuzzer.run_guided(count, seed, contents, try_one)
    else:
        fuzzer.run(count, seed, try_drawn)


def fuzz_commands(fuzzer: Fuzzer, count: int, seed: int) -> None:
    work = fuzzer.folder / "a" / "b" / "work"  # `..` stays in the folder that may be written to
    work.mkdir(parents=True)
    write_folder(work)
    os.chdir(work)
    require("matplotlib.font_manager", "figures need fonts")  # which starts a program that lists them
    for words in WARM_UP:  # which import the reports, and show that a valid command is accepted
        assert run_command(words.split()) == "ok", words

    def try_one(draw: Draw) -> str:
        arguments = draw_arguments(draw)
        os.chdir(work)
        return fuzzer.attempt(lambda: run_command(arguments), (), json.dumps(arguments).encode())

    fuzzer.run(count, seed, try_one)


def _work(name: str, count: int, seed: int, folder: Path, save: Path) -> None:
    """Fuzz one reader, or the command line, in a process of its own."""
    os.nice(5)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    fuzzer = Fuzzer(folder / "watched", save, folder / "state.json")
    if name == CLI:
        fuzz_commands(fuzzer, count, seed)
    else:
        readers = {reader.name: reader for reader in READERS}
        fuzz_reader(fuzzer, readers[name.removesuffix(GUIDED)], count, seed, guided=name.endswith(GUIDED))


def fuzz(name: str, count: int, seed: int, save: Path) -> Result:
    """Fuzz one reader; after a crash of native code, go on with other inputs."""
    result = Result()
    for attempt in range(MAX_CRASHES):
        with temporary_folder() as temporary:
            folder = Path(temporary)
            (folder / "watched").mkdir()
            process = multiprocessing.get_context("fork").Process(
                target=_work, args=(name, count - result.inputs, seed + 1000 * attempt, folder, save)
            )
            process.start()
            process.join()
            if process.exitcode == 0:
                state: dict[str, Any] = json.loads((folder / "state.json").read_text())
                result.add(Result(**state))
                return result
            crash = f"its process ended with exit code {process.exitcode}"
            result.inputs += 1
            result.counts[crash] = result.counts.get(crash, 0) + 1
            if crash not in result.faults:
                save.mkdir(parents=True, exist_ok=True)
                path = save / f"crash-{len(list(save.iterdir())):03}"
                current = folder / "watched" / "current"
                path.write_bytes(current.read_bytes() if current.exists() else b"")
                result.faults[crash] = str(path)
    return result


def shares(inputs: int, only: Sequence[str]) -> dict[str, int]:
    """Return the number of inputs of each reader and of the command line."""
    weights = {reader.name: reader.weight for reader in READERS} | {CLI: CLI_WEIGHT}
    if only:
        weights = {name: weights[name] for name in only}
    total = sum(weights.values())
    return {name: max(1, round(inputs * weight / total)) for name, weight in weights.items()}


def _warm_up() -> None:
    """Import and draw once what the process of each reader would import and draw again."""
    for library in LIBRARIES:
        require(library, "a reader needs it")

    @settings(max_examples=1, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(st.data())
    def draw_once(data: st.DataObject) -> None:
        mutate(data.draw, "x.json", b"[1]")
        mutate(data.draw, "x", b"1")

    draw_once()


def plan(inputs: int, guided: int, only: Sequence[str]) -> dict[str, int]:
    """Return the number of inputs of each process; those that Atheris guides come last."""
    drawn = shares(inputs, only)
    if not guided:
        return drawn
    if find_spec("atheris") is None:
        print("Atheris is not installed: no inputs are guided. To install it: pip install atheris")
        return drawn
    quick = {reader.name for reader in READERS if reader.weight >= 1}
    return drawn | {f"{name}{GUIDED}": count for name, count in shares(guided, only).items() if name in quick}


def fuzz_all(counts: Mapping[str, int], seed: int, save: Path) -> dict[str, Result]:
    """Fuzz everything, and print the outcome of each reader."""
    results: dict[str, Result] = {}
    _warm_up()
    for name, count in counts.items():
        if name.endswith(GUIDED):
            from guided import instrument  # Atheris is optional

            instrument()
        results[name] = result = fuzz(name, count, seed, save)
        numbers = f"{result.inputs:>7} inputs {result.accepted:>7} accepted {result.refused:>7} refused"
        print(f"{name:<34}{numbers}", flush=True)
        for label, path in result.faults.items():
            print(f"    {label}; {path}", flush=True)
    return results


def sum_of(results: Mapping[str, Result]) -> Result:
    """Return the outcome of all inputs."""
    total = Result()
    for result in results.values():
        total.add(result)
    return total


def write_page(results: Mapping[str, Result]) -> None:
    """Write docs/fuzz.md."""
    rows, total = [], sum_of(results)
    for name in (name for name in results if not name.endswith(GUIDED)):
        pair = [results[name], results.get(f"{name}{GUIDED}", Result())]
        numbers = [number for each in pair for number in (each.inputs, each.accepted)]
        rows.append([name, *(f"{number:,}" for number in [*numbers, sum(sum(each.counts.values()) for each in pair)])])
    headings = ["input", "drawn", "accepted", "guided", "accepted", "faults"]
    faults = f"{sum(total.counts.values()):,} faults" if total.counts else "no fault"
    words = {
        "TOTAL": f"**{total.inputs:,} inputs, {faults}.**",
        "TABLE": markdown_table(headings, rows, "lrrrrr").rstrip(),
    }
    write("fuzz", words)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz everything; return 1 if an input broke something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--guided", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", default=[], help="a reader, or 'command line'; may be repeated")
    parser.add_argument("--save", type=Path, default=FOUND, help="folder of the inputs that broke something")
    parser.add_argument("--page", action="store_true", help="write docs/fuzz.md")
    options = parser.parse_args(arguments)
    results = fuzz_all(plan(options.inputs, options.guided, options.only), options.seed, options.save.resolve())
    total = sum_of(results)
    print(f"{total.inputs} inputs, {sum(total.counts.values())} broke something in {len(total.counts)} ways")
    if options.page:
        write_page(results)
    return 1 if total.counts else 0


if __name__ == "__main__":
    sys.exit(main())
