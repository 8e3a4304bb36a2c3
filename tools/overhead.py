"""What the harness adds to training: prints the table of tasks.md. Run it on an idle machine, on one thread.

Per task, in one process and in turns: the training loop of the tasks (`fit`), a bare loop over the same batches, and
the drawing of those batches. Medians of the rounds.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from mbcbench import registry
from mbcbench.execution.suite import Request
from mbcbench.protocol.target import get_spec
from mbcbench.suites import training
from mbcbench.suites.tasks import classifier
from mbcbench.suites.tasks.centroids import episodes
from mbcbench.suites.tasks.centroids import suite as centroids_suite
from mbcbench.suites.tasks.image_completion import neural_process
from mbcbench.suites.tasks.image_completion import suite as image_completion
from mbcbench.suites.tasks.point_clouds import data as cloud_data

STEPS, ROUNDS, ENCODER = 60, 7, "deepsets-mean"


Task = tuple[Callable[[], nn.Module], Callable[[], Iterator[Any]], Callable[..., Any]]  # model, batches, loss


def cell(suite: str) -> Any:
    """The quick cell of the encoder, cut to a few steps."""
    found = registry.plugin(registry.SUITES, suite).load().cells(Request(encoders=[ENCODER], profile="quick"))[0]
    found.params["steps"] = STEPS
    return found


def completion() -> Task:
    suite, one = image_completion, cell("image-completion")
    images, _, _ = suite.load(one.params)
    model = lambda: neural_process.NeuralProcess(get_spec(ENCODER), seed=0)  # noqa: E731
    return model, lambda: suite.batches(images, one.params, 0), neural_process.nll


def clouds() -> Task:
    one = cell("point-clouds")
    p, task = one.params, cloud_data.load(one.case, one.params)

    def batches() -> Iterator[Any]:
        generator = torch.Generator().manual_seed(0)
        for _ in range(STEPS):
            which = torch.randint(len(task.labels), (p["batch_size"],), generator=generator)
            yield task.draw(which, p["train_size"], generator), task.labels[which]

    how = {"dim_in": task.dim, "width": p["width"], "classes": task.classes, "seed": 0}
    model = classifier.SetClassifier
    return lambda: model(get_spec(ENCODER), **how), batches, nn.functional.cross_entropy


def centroids() -> Task:
    one, module = cell("centroids"), episodes
    p, train = one.params, module.load(one.case, one.params).train
    how = {"ways": p["train_ways"], "size": 2 * p["train_support"], "steps": STEPS}
    batches = lambda: module.episodes(train, generator=torch.Generator().manual_seed(0), **how)  # noqa: E731
    return lambda: centroids_suite._network(one, train, 0), batches, nn.functional.cross_entropy


def bare(model: nn.Module, batches: Sequence[Any], loss_of: Callable[..., Any]) -> None:
    """No more than training takes."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    for x, y in batches:
        loss = loss_of(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), training.CLIP)
        optimizer.step()


def seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def a_round(task: Task, first: int) -> tuple[float, float, float]:
    """Seconds of the bare loop, of the tasks' own and of drawing the batches; `first` says which loop goes first."""
    make, batches, loss_of = task
    drawn: list[Any] = []
    drawing = seconds(lambda: drawn.extend(batches()))
    loops = [
        lambda: bare(make(), drawn, loss_of),
        lambda: training.fit(make(), drawn, loss_of, steps=STEPS, lr=1e-3),
    ]
    took = {at: seconds(loops[at]) for at in (first, 1 - first)}
    return took[0], took[1], drawing


def main() -> None:
    torch.set_num_threads(1)
    print("| task | bare loop, ms a step | the tasks' loop | added | drawing the batches |\n|---|---|---|---|---|")
    for name, make in (("image-completion", completion), ("point-clouds", clouds), ("centroids", centroids)):
        task = make()
        measured = [a_round(task, turn % 2) for turn in range(ROUNDS + 1)][1:]  # the first warms up
        plain, own, drawing = (1000 * statistics.median(column) / STEPS for column in zip(*measured, strict=True))
        added = statistics.median(b / a for a, b, _ in measured) - 1
        print(f"| {name} | {plain:.2f} | {own:.2f} | {added:+.1%} | {drawing:.2f} ({drawing / own:.0%}) |")


if __name__ == "__main__":
    main()
