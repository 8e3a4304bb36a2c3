"""The command that encodes a file."""

import contextlib
import json
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mbcbench.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from mbcbench.streaming.encode import Encoding

SECONDS_BETWEEN_LINES = 10.0


def encode(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .npy, Parquet, Arrow, HDF5 or Zarr file, n x d.")],
    encoder: Annotated[str, typer.Option(metavar="TARGET", help="The encoder.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help=".npy or .safetensors.", show_default="FILE.encoding.npy"),
    ] = None,
    select: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A column of a table, or the array of a group.", show_default="all"),
    ] = None,
    hyper: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A hyper-parameter.", show_default="the spec's")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="PATH", help="A state_dict, .safetensors or torch's.", show_default=False)
    ] = None,
    g: Annotated[
        Literal["sum", "mean", "max", "min"] | None,
        typer.Option("--g", help="What puts the chunk encodings of a plain module together.", show_default=False),
    ] = None,
    chunk: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Elements a step.", show_default="as suits the encoder")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="STATE", help="Keep the state here at intervals.", show_default=False)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint if it is there.")] = False,
    every: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Between two checkpoints.")] = 10.0,
    allow_nonfinite: Annotated[bool, typer.Option("--allow-nonfinite", help="Encode NaN and infinity too.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the encoder.", show_default="cores")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> int:
    """Encode a set that may be larger than memory, streamed from its file.

    A job that was killed goes on with --resume and gives the same encoding, bit by bit.
    """
    from mbcbench import system
    from mbcbench.registry import check_target
    from mbcbench.streaming import encode as core

    system.keep_freed_memory()
    check_target(encoder)
    goal = _goal(file, out)
    order = core.Order(
        file=file,
        encoder=encoder,
        hyper=dict(map(_hyper, hyper or [])),
        weights=weights,
        seed=seed,
        g=g,
        select=select or (),
        chunk=chunk,
        threads=threads or system.cores(),
        checkpoint=checkpoint,
        resume=resume,
        seconds=every,
        allow_nonfinite=allow_nonfinite,
    )
    return _follow(core.Encoding(order), goal, quiet=quiet)


def _goal(file: Path, out: Path | None) -> Path:
    goal = out or file.with_name(f"{file.name}.encoding.npy")
    if goal.suffix not in (".npy", ".safetensors"):
        raise UsageError(f"--out {goal} ends in {goal.suffix!r}; an encoding is kept as .npy or .safetensors")
    if not goal.parent.is_dir():
        raise UsageError(f"cannot write {goal}: there is no folder {goal.parent}")
    return goal


def _hyper(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UsageError(f"--hyper {text} is no NAME=VALUE, as in --hyper dim=64")
    with contextlib.suppress(ValueError):
        return name, json.loads(value)
    return name, value


def _follow(work: "Encoding", goal: Path, *, quiet: bool) -> ExitCode:
    """Encode to the end, showing progress, and keep the result; Ctrl-C ends it early."""
    from rich.console import Console

    from mbcbench import system
    from mbcbench.cli.commands import out
    from mbcbench.streaming import encode as core

    _warn(work)
    rate = Rate(work.source.length, work.begin.elements)
    try:
        with watch(Console(stderr=True), rate, quiet=quiet) as see:
            for done in work.steps():
                see(done)
    except KeyboardInterrupt:
        return _interrupted(work)
    encoding = work.result()
    core.write(encoding, goal)
    peak = system.peak_resident_bytes() / 2**20
    shape = " x ".join(map(str, encoding.shape))
    out().print(
        f"{goal}: {shape}, of {rate.total:,} elements; {rate.per_second / 1e6:.2f} million/s, "
        f"{rate.elapsed:.1f} s, at most {peak:.0f} MiB resident",
        highlight=False,
        soft_wrap=True,
    )
    return ExitCode.AS_CLAIMED


def _warn(work: "Encoding") -> None:
    from mbcbench.cli.commands import complain
    from mbcbench.streaming.encode import CONSISTENT

    gap = work.inconsistency()
    if gap > CONSISTENT:
        complain(
            f"warning: {work.order.encoder} is not mini-batch consistent: where a chunk ends among the first elements "
            f"moves their encoding by {gap:.2g} of its size; what comes out holds for --chunk {work.chunk} alone"
        )


def _interrupted(work: "Encoding") -> ExitCode:
    from mbcbench.cli.commands import argv, complain

    where = f"interrupted after {work.position.elements:,} of {work.source.length:,} elements"
    if work.order.checkpoint is None:
        complain(f"{where}; nothing is kept: --checkpoint STATE would have kept it")
    else:
        work.keep()
        again = [*argv(), *([] if work.order.resume else ["--resume"])]
        complain(f"{where}; kept in {work.order.checkpoint}, go on with: {shlex.join(again)}")
    return ExitCode.INTERRUPTED


class Rate:
    """How far a stream has come, and how fast it goes."""

    def __init__(self, total: int, begun: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.done = total, begun
        self._begun, self._clock, self._start = begun, clock, clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    @property
    def per_second(self) -> float:
        """Elements a second, of those encoded since the start."""
        return (self.done - self._begun) / max(self.elapsed, 1e-9)

    def line(self) -> str:
        """All of it in one line."""
        from mbcbench.execution.progress import format_duration

        speed = self.per_second
        left = f", about {format_duration((self.total - self.done) / speed)} left" if speed else ""
        return f"{self.done:,} of {self.total:,} elements, {speed / 1e6:.2f} million/s{left}"


@contextlib.contextmanager
def watch(console: "Console", rate: Rate, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show progress on `console` while the numbers of encoded elements are given to what this yields."""
    from rich.live import Live

    def see(done: int) -> None:
        rate.done = done

    last = 0.0

    def see_and_say(done: int) -> None:
        nonlocal last
        rate.done = done
        if rate.elapsed - last >= SECONDS_BETWEEN_LINES:
            last = rate.elapsed
            console.print(rate.line(), highlight=False, soft_wrap=True)

    if quiet or not console.is_terminal:
        yield see if quiet else see_and_say
    else:
        with Live(get_renderable=rate.line, console=console, transient=True):
            yield see
