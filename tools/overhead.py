"""Measure what the harness adds to training, and print the table of docs/tasks.md.

Run it on an idle machine: OMP_NUM_THREADS=1 python tools/overhead.py

For each task it times, in alternation and in one process, the training loop of the tasks (`fit`), a bare loop over the
same batches, and drawing those batches. The table shows medians over the rounds.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from template import markdown_table
from torch import Tensor, nn

from mbcbench import registry
from mbcbench.execution.suite import Request
from mbcbench.protocol.build import get_spec
from mbcbench.records.cell import Cell
from mbcbench.suites import training
from mbcbench.suites.tasks import classifier
from mbcbench.suites.tasks.centroids import episodes
from mbcbench.suites.tasks.centroids import settings as centroid_settings
from mbcbench.suites.tasks.centroids import suite as centroids
from mbcbench.suites.tasks.image_completion import neural_process
from mbcbench.suites.tasks.image_completion import settings as image_settings
from mbcbench.suites.tasks.image_completion import suite as image_completion
from mbcbench.suites.tasks.point_clouds import data
from mbcbench.suites.tasks.point_clouds import settings as cloud_settings
from mbcbench.suites.tasks.point_clouds import suite as point_clouds

STEPS, ROUNDS, ENCODER = 60, 7, "deepsets-mean"
Batches = Iterable[tuple[Any, Tensor]]


class Task(NamedTuple):
    """Functions that make a model and its batches, and the loss of an output."""

    make_model: Callable[[], nn.Module]
    make_batches: Callable[[], Batches]
    loss_of: Callable[..., Tensor]


class Round(NamedTuple):
    """Seconds of the bare loop, of the tasks' loop, and of drawing the batches."""

    bare: float
    tasks: float
    drawing: float


def short_cell(suite: str) -> Cell:
    """Return the thorough cell of the encoder, shortened to a few steps."""
    request = Request(encoders=[ENCODER], profile="thorough")
    cell: Cell = registry.plugin(registry.SUITES, suite).load().cells(request)[0]
    return replace(cell, params={**cell.params, "steps": STEPS})


def completion_task() -> Task:
    settings = image_settings.CompletionSettings(**short_cell("image-completion").params)
    images, _, _ = image_completion.load_images(settings, 0)
    return Task(
        lambda: neural_process.NeuralProcess(get_spec(ENCODER), seed=0),
        lambda: image_completion.batches(images, settings, 0),
        neural_process.mean_nll,
    )


def cloud_task() -> Task:
    settings = cloud_settings.DigitCloudSettings(**short_cell("point-clouds").params)
    task = data.load(settings)
    options = {"dim_in": task.dim, "width": settings.width, "outputs": task.classes, "seed": 0}
    return Task(
        lambda: classifier.SetClassifier(get_spec(ENCODER), **options),
        lambda: point_clouds.batches(task, settings, 0),
        nn.functional.cross_entropy,
    )


def centroid_task() -> Task:
    cell = short_cell("centroids")
    settings = centroid_settings.DigitCentroidSettings(**cell.params)
    train = episodes.load(settings, 0).train

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(0)
        size = 2 * settings.train_support
        yield from episodes.episodes(train, ways=settings.train_ways, size=size, steps=STEPS, generator=generator)

    return Task(lambda: centroids.build_network(cell, settings, train, 0), batches, nn.functional.cross_entropy)


def bare_loop(model: nn.Module, batches: Batches, loss_of: Callable[..., Any]) -> None:
    """Train with nothing but the necessary steps."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    for x, y in batches:
        loss = loss_of(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), training.MAX_GRADIENT_NORM)
        optimizer.step()


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def measure(task: Task, bare_first: bool) -> Round:
    """Time one round."""
    batches: list[Any] = []
    drawing = seconds(lambda: batches.extend(task.make_batches()))

    def time_bare() -> float:
        return seconds(lambda: bare_loop(task.make_model(), batches, task.loss_of))

    def time_tasks() -> float:
        return seconds(lambda: training.fit(task.make_model(), batches, task.loss_of, steps=STEPS, lr=1e-3))

    if bare_first:
        bare = time_bare()
        return Round(bare, time_tasks(), drawing)
    tasks = time_tasks()
    return Round(time_bare(), tasks, drawing)


def table_row(name: str, rounds: Sequence[Round]) -> list[str]:
    bare, tasks, drawing = (1000 * statistics.median(times) / STEPS for times in zip(*rounds, strict=True))
    added = statistics.median(r.tasks / r.bare for r in rounds) - 1
    return [name, f"{bare:.2f}", f"{tasks:.2f}", f"{added:+.1%}", f"{drawing:.2f} ({drawing / tasks:.0%})"]


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    tasks = {"image-completion": completion_task, "point-clouds": cloud_task, "centroids": centroid_task}
    for name, make in tasks.items():
        task = make()
        rounds = [measure(task, bare_first=number % 2 == 0) for number in range(ROUNDS + 1)]
        rows.append(table_row(name, rounds[1:]))  # the first round warms up
    headings = ["task", "bare loop, ms per step", "the tasks' loop", "added", "drawing the batches"]
    print(markdown_table(headings, rows, "lrrrr"))


if __name__ == "__main__":
    main()
