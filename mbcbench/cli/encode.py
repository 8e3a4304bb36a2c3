"""`mbcbench encode`: encode a set from a file that may be larger than memory."""

import contextlib
import os
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mbcbench.cli.completion import complete_names
from mbcbench.cli.options import Hyper, Quiet, Seed, Weights, WeightsKey, count, whole_number
from mbcbench.errors import ExitCode, Interrupted, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from mbcbench.api.encode_sets import SetOptions
    from mbcbench.streaming.encode import EncodeOptions

ENCODING_SUFFIX = ".encoding.npy"  # of the default output, after the name of the file


def encode(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE", help="Sets n x d: .npy .npz .pt .csv .parquet .arrow .h5 .zarr"),
    ],
    encoder: Annotated[
        str, typer.Option(metavar="TARGET", help="The encoder.", autocompletion=complete_names("encoders"))
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Write a .npy or .safetensors file; for many sets .parquet, .csv or .npz.",
            show_default="FILE.encoding.npy, or FILE.encodings.parquet",
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Rows belong to the sets named in this column.", show_default=False),
    ] = None,
    one_set: Annotated[bool, typer.Option("--one-set", help="The files are parts of one set.")] = False,
    is_sorted: Annotated[
        bool, typer.Option("--sorted", help="Rows are sorted by set: encode each set whole, in memory.")
    ] = False,
    states: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="States of the sets: a file to write, or to continue with these rows.",
            show_default=False,
        ),
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(min=0.001, metavar="GIB", help="Memory for states of sets.", show_default="half of the machine's"),
    ] = None,
    select: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A column of a table, or an array of a group. May be repeated.", show_default="all"
        ),
    ] = None,
    hyper: Hyper = None,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    g: Annotated[
        Literal["sum", "mean", "max", "min"] | None,
        typer.Option("--g", help="Aggregation of the chunk encodings of a non-streaming module.", show_default=False),
    ] = None,
    chunk: Annotated[
        int | None,
        typer.Option(
            parser=count, metavar="N", help="Elements per chunk.", show_default="a number that suits the encoder"
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="STATE", help="Store the state here at intervals.", show_default=False)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the checkpoint if it exists.")] = False,
    every: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Time between two checkpoints.")] = 10.0,
    allow_nonfinite: Annotated[bool, typer.Option("--allow-nonfinite", help="Encode NaN and infinity too.")] = False,
    seed: Seed = 0,
    threads: Annotated[
        int | None,
        typer.Option(parser=whole_number(1, 1024), metavar="N", help="Threads of the encoder.", show_default="cores"),
    ] = None,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Encode on this device.")] = "cpu",
    quiet: Quiet = False,
) -> int:
    """Encode a set that may be larger than memory, or many sets, streamed from files.

    TARGET is a registered name, package.module:attr or path/to/file.py:attr.

    \b
    Examples:
      mbcbench encode slide.npy --encoder sse-random
      mbcbench encode slide.h5 --select features --encoder my.py:E --weights w.pt
      mbcbench encode big.npy --encoder sse-random --checkpoint big.state --resume
      mbcbench encode table.parquet --by user --encoder my.py:E

    About 2 to 30 million elements of width 16 per second on two cores, depending on the encoder. A job that was killed
    continues with --resume and gives the same encoding, bit by bit. Several files are a set each, unless --by names a
    column with the set of each row.
    """
    from mbcbench import system
    from mbcbench.api.encode_sets import SetOptions
    from mbcbench.cli.console import log_to_stderr, print_interrupted
    from mbcbench.protocol.customize import parse_hyper
    from mbcbench.streaming.encode import EncodeOptions

    if not _rank():
        log_to_stderr()
    _refuse_encodings(files)
    options = EncodeOptions(
        path=files[0],
        parts=files[1:] if one_set else (),
        encoder=encoder,
        hyper=parse_hyper(hyper or []),
        weights=weights,
        weights_key=weights_key or "",
        seed=seed,
        g=g,
        select=select or (),
        chunk=chunk,
        threads=threads or system.cores(),
        checkpoint=checkpoint,
        resume=resume,
        seconds=every,
        allow_nonfinite=allow_nonfinite,
        device=device,
    )
    try:
        if by is None and (len(files) == 1 or one_set):
            _refuse_for_one_set(is_sorted=is_sorted, states=states, memory=memory)
            _encode_one_set(options, _output_path(files[0], out), quiet=quiet)
        else:
            if one_set:
                raise UsageError(f"--one-set makes one set of all files, and --by {by} many; leave one out")
            _refuse_for_many_sets(options)
            goal = out or Path(f"{files[0]}.encodings.parquet")
            limit = None if memory is None else int(memory * 2**30)
            sets = SetOptions(files=files, out=goal, by=by, whole=is_sorted, states=states, memory=limit)
            _encode_many_sets(sets, options, quiet=quiet)
    except Interrupted as error:
        advice = _how_to_resume(resume) if checkpoint is not None and _rank() is None else ""  # ranks say it themselves
        return print_interrupted(f"{error}{advice}")
    return ExitCode.AS_CLAIMED


def _encode_one_set(options: "EncodeOptions", goal: Path, *, quiet: bool) -> None:
    from mbcbench.api.encode import encode_file
    from mbcbench.api.encode_ranks import encode_over_ranks
    from mbcbench.cli.console import stderr
    from mbcbench.streaming.output import write_encoding

    progress = _Progress()
    encode_set = encode_over_ranks if _rank() is not None else encode_file
    with watch(stderr(), progress, quiet=quiet or bool(_rank())):
        encoding = encode_set(options, progress)
    if encoding is None:  # another rank writes it
        return
    write_encoding(encoding, goal)
    _print_summary(goal, " x ".join(map(str, encoding.shape)) + " numbers", progress.rate)


def _encode_many_sets(sets: "SetOptions", options: "EncodeOptions", *, quiet: bool) -> None:
    from mbcbench.api.encode_sets import encode_sets
    from mbcbench.cli.console import stderr
    from mbcbench.errors import plural

    progress = _Progress()
    with watch(stderr(), progress, quiet=quiet):
        summary = encode_sets(sets, options, progress)
    shape = " x ".join(map(str, summary.shape))
    passes = f" in {progress.note.removesuffix(': ').rpartition(' ')[2]} passes" if progress.note else ""
    _print_summary(sets.out, f"{plural(summary.sets, 'set')} of {shape} numbers{passes}", progress.rate)


def _rank() -> int | None:
    """Return the rank of this process under torchrun, or None if torchrun did not start it."""
    return int(os.environ["RANK"]) if "RANK" in os.environ and "WORLD_SIZE" in os.environ else None


def _refuse_for_one_set(*, is_sorted: bool, states: Path | None, memory: float | None) -> None:
    """Raise UsageError for an option that needs many sets."""
    names = {"--sorted": is_sorted, "--states": states is not None, "--memory": memory is not None}
    for name, is_set in names.items():
        if is_set:
            raise UsageError(f"{name} is for many sets, and this is one set; give --by COLUMN")


def _refuse_for_many_sets(options: "EncodeOptions") -> None:
    """Raise UsageError for an option that needs a single set."""
    if _rank() is not None:
        raise UsageError("torchrun is for one set; encode many sets in one process, or give --one-set")
    names = {"--checkpoint": options.checkpoint is not None, "--resume": options.resume, "--chunk": bool(options.chunk)}
    for name, is_set in names.items():
        if is_set:
            raise UsageError(f"{name} is for one set; leave it out (--states keeps the states of many sets)")


def _refuse_encodings(files: list[Path]) -> None:
    """Raise UsageError if a file is the encoding of another one, as after a second `encode *.npy`."""
    for file in files:
        if file.name.endswith(ENCODING_SUFFIX) and file.with_name(file.name.removesuffix(ENCODING_SUFFIX)) in files:
            raise UsageError(f"{file} is the encoding of another of these files; move it away, or leave it out")


def _output_path(file: Path, out: Path | None) -> Path:
    from mbcbench.streaming.output import check_output

    path = out or Path(f"{file}{ENCODING_SUFFIX}")
    check_output(path)
    return path


def _how_to_resume(resume: bool) -> str:
    from mbcbench.cli.console import command_line

    return f", go on with: {shlex.join([*command_line(), *([] if resume else ['--resume'])])}"


def _print_summary(goal: Path, what: str, rate: "Rate") -> None:
    from mbcbench import system
    from mbcbench.cli.console import print_line

    peak = system.peak_resident_bytes() / 2**20
    print_line(
        f"{goal}: {what}, from {rate.total:,} elements; {rate.per_second / 1e6:.2f} million/s, "
        f"{rate.elapsed:.1f} s, at most {peak:.0f} MiB resident"
    )


class Rate:
    """Progress and speed of a stream of `total` elements, of which `begun` were encoded before the start."""

    def __init__(self, total: int, begun: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.done = total, begun
        self._begun, self._clock, self._start = begun, clock, clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    @property
    def per_second(self) -> float:
        """Elements per second since the start."""
        return (self.done - self._begun) / max(self.elapsed, 1e-9)

    def line(self) -> str:
        """Return progress, speed and time left in one line."""
        from mbcbench.execution.progress import format_duration

        speed = self.per_second
        left = f", about {format_duration((self.total - self.done) / speed)} left" if speed else ""
        return f"{self.done:,} of {self.total:,} elements, {speed / 1e6:.2f} million/s{left}"


class _Progress:
    """Progress of an encoding. The first call starts the clock; `show` is called after each call."""

    def __init__(self) -> None:
        self.rate = Rate(0, 0)
        self.is_started = False
        self.note = ""
        self.show: Callable[[], None] = lambda: None

    def __call__(self, done: int, total: int, note: str = "") -> None:
        if not self.is_started:
            self.rate, self.is_started = Rate(total, done), True
        self.rate.done, self.rate.total, self.note = done, total, note
        self.show()

    def line(self) -> str:
        return self.note + self.rate.line() if self.is_started else ""


@contextlib.contextmanager
def watch(console: "Console", progress: _Progress, *, quiet: bool) -> Iterator[None]:
    """Show progress on `console`: live on a terminal, as a line every 10 seconds elsewhere."""
    from rich.live import Live

    from mbcbench.execution.progress import LinePrinter

    if quiet:
        yield
    elif console.is_terminal:
        with Live(get_renderable=progress.line, console=console, transient=True):
            yield
    else:
        printer = LinePrinter(console)
        progress.show = lambda: printer.print_at_intervals(progress.line, progress.rate.elapsed)
        yield
