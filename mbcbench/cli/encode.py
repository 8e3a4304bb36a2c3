"""`mbcbench encode`: encode a set from a file that may be larger than memory."""

import contextlib
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mbcbench.cli.options import Hyper, Quiet, Seed, Weights, WeightsKey
from mbcbench.errors import ExitCode, Interrupted

if TYPE_CHECKING:
    from rich.console import Console
    from torch import Tensor


def encode(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A set n x d: .npy .npz .pt .csv .parquet .arrow .h5 .zarr")
    ],
    encoder: Annotated[str, typer.Option(metavar="TARGET", help="The encoder.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Write a .npy or .safetensors file.", show_default="FILE.encoding.npy"),
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
        typer.Option(min=1, metavar="N", help="Elements per chunk.", show_default="a number that suits the encoder"),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="STATE", help="Store the state here at intervals.", show_default=False)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the checkpoint if it exists.")] = False,
    every: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Time between two checkpoints.")] = 10.0,
    allow_nonfinite: Annotated[bool, typer.Option("--allow-nonfinite", help="Encode NaN and infinity too.")] = False,
    seed: Seed = 0,
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, metavar="N", help="Threads of the encoder.", show_default="cores")
    ] = None,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Encode on this device.")] = "cpu",
    quiet: Quiet = False,
) -> int:
    """Encode a set that may be larger than memory, streamed from its file.

    TARGET is a registered name, package.module:attr or path/to/file.py:attr.

    \b
    Examples:
      mbcbench encode slide.npy --encoder sse-random
      mbcbench encode slide.h5 --select features --encoder my.py:E --weights w.pt
      mbcbench encode big.npy --encoder sse-random --checkpoint big.state --resume

    About a million elements per second on two cores. A job that was killed continues with --resume and gives the same
    encoding, bit by bit.
    """
    from mbcbench.api.encode import encode as encode_file
    from mbcbench.cli.console import log_to_stderr, print_interrupted, stderr
    from mbcbench.protocol.customize import parse_hyper
    from mbcbench.streaming.output import write_encoding

    goal = _output_path(file, out)
    log_to_stderr()
    progress = _Progress()
    try:
        with watch(stderr(), progress, quiet=quiet):
            encoding = encode_file(
                file,
                encoder,
                hyper=parse_hyper(hyper or []),
                weights=weights,
                weights_key=weights_key or "",
                seed=seed,
                g=g,
                select=select or (),
                chunk=chunk,
                threads=threads,
                checkpoint=checkpoint,
                resume=resume,
                seconds_between_checkpoints=every,
                allow_nonfinite=allow_nonfinite,
                device=device,
                progress=progress,
            )
    except Interrupted as error:
        return print_interrupted(f"{error}{_how_to_resume(resume) if checkpoint is not None else ''}")
    write_encoding(encoding, goal)
    _print_summary(goal, encoding, progress.rate)
    return ExitCode.AS_CLAIMED


def _output_path(file: Path, out: Path | None) -> Path:
    from mbcbench.streaming.output import check_output

    path = out or file.with_name(f"{file.name}.encoding.npy")
    check_output(path)
    return path


def _how_to_resume(resume: bool) -> str:
    from mbcbench.cli.console import command_line

    return f", go on with: {shlex.join([*command_line(), *([] if resume else ['--resume'])])}"


def _print_summary(goal: Path, encoding: "Tensor", rate: "Rate") -> None:
    from mbcbench import system
    from mbcbench.cli.console import print_line

    shape = " x ".join(map(str, encoding.shape))
    peak = system.peak_resident_bytes() / 2**20
    print_line(
        f"{goal}: {shape} numbers, from {rate.total:,} elements; {rate.per_second / 1e6:.2f} million/s, "
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
    """Receives how many elements are encoded; the first call starts the clock. `show` is called after each."""

    def __init__(self) -> None:
        self.rate = Rate(0, 0)
        self.is_started = False
        self.show: Callable[[], None] = lambda: None

    def __call__(self, done: int, total: int) -> None:
        if not self.is_started:
            self.rate, self.is_started = Rate(total, done), True
        self.rate.done = done
        self.show()

    def line(self) -> str:
        return self.rate.line() if self.is_started else ""


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
