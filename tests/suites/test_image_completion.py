"""The image-completion task."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor, nn

from mbcbench.execution.suite import Request
from mbcbench.protocol.build import get_spec
from mbcbench.records import outcomes
from mbcbench.records.record import Record, Status
from mbcbench.suites import training
from mbcbench.suites.tasks.image_completion import neural_process, pixels, settings
from mbcbench.suites.tasks.image_completion import suite as image_completion
from tests.suites.helpers import load_suite, run_cells, sample_cells, sample_target

NAME = "image-completion"

pytestmark = pytest.mark.usefixtures("fake_data")


def records_of(encoder: str = "SumEncoder", **params: Any) -> list[Record]:
    return run_cells(sample_cells(NAME, encoder, **{"kept": 0} | params))


def settings_of(record: Record) -> tuple[Any, ...]:
    return tuple(record.detail[name] for name in ("test_size", "chunk_size", "order", "aggregation"))


def test_every_test_that_applies_is_a_record() -> None:
    records = records_of()
    expected = [tuple(row[:4]) for row in records[0].params["tests"] if row[4] is None]
    assert [settings_of(record) for record in records] == expected
    for record in records:
        assert record.status is Status.OK
        assert (record.metric, record.unit, record.higher_is_better) == ("nll", "nats", False)
        is_one_piece = record.detail["chunk_size"] == record.detail["test_size"]
        assert record.detail["mode"] == ("one piece" if is_one_piece else "streamed")
        assert record.detail["data"] == "fake patches"


def test_a_record_of_sets_in_one_piece_keeps_the_likelihood_of_every_image() -> None:
    for record in records_of():
        detail = record.detail
        if detail["mode"] == "one piece" and "num_slots" not in detail:
            assert outcomes.unpack(detail["outcomes"]).mean() == pytest.approx(record.value, abs=1e-2)
        else:
            assert "outcomes" not in detail


def test_a_consistent_encoder_scores_the_same_for_all_chunks_and_orders() -> None:
    tests = ((100, 100, "random", "own"), (100, 30, "random", "own"), (100, 1, "rows", "own"))
    values = [r.value for r in records_of(tests=tests)]
    assert values == pytest.approx([values[0]] * 3, rel=1e-5)


def test_a_plain_encoder_does_worse_on_sorted_single_pixels() -> None:
    tests = ((100, 100, "random", "own"), (100, 1, "rows", "own"))
    whole, singles = (r.value for r in records_of("Range", steps=60, train_size=100, tests=tests))
    assert whole is not None
    assert singles is not None
    assert abs(singles - whole) > 1e-3


def test_the_literal_sum_over_chunks_is_the_streamed_sum() -> None:
    tests = ((90, 30, "random", "own"), (90, 30, "random", "sum"), (90, 30, "random", "max"))
    own, literal, other = (r.value for r in records_of(tests=tests, steps=60))
    assert literal == pytest.approx(own, rel=1e-5)
    assert other != pytest.approx(own, rel=1e-5)


def test_a_model_that_has_not_learnt_is_on_the_plateau() -> None:
    detail = records_of(steps=3)[0].detail
    assert detail["plateau"] is True
    assert detail["beats_baseline_at"] is None


def test_a_model_that_has_learnt_but_does_badly_in_the_test_is_not_on_the_plateau() -> None:
    tests = ((200, 200, "random", "own"),)
    detail = records_of(steps=150, batch_size=8, lr=1e-2, train_images=2, tests=tests)[0].detail
    assert detail["plateau"] is (detail["train_loss"] >= detail["train_baseline"]) is False


def test_the_record_says_when_a_model_left_the_plateau() -> None:
    detail = records_of(steps=150, batch_size=8, lr=1e-2, tests=((200, 200, "random", "own"),))[0].detail
    assert detail["plateau"] is False
    assert 0 < detail["beats_baseline_at"] <= 150
    assert len(detail["curve"]) == 25


def test_the_same_seed_gives_the_same_records_and_another_does_not() -> None:
    one, two, other = (run_cells(sample_cells(NAME, "SumEncoder", seed=seed))[0] for seed in (0, 0, 1))
    assert (one.value, one.detail["curve"]) == (two.value, two.detail["curve"])
    assert one.value != other.value


def test_encoders_that_share_a_seed_see_the_same_batches() -> None:
    options = settings.CompletionSettings(**sample_cells(NAME, "SumEncoder")[0].params)
    images = image_completion.load_images(options, 0)[0]
    one, two = (list(image_completion.batches(images, options, seed=3)) for _ in range(2))
    assert all(torch.equal(a[0][0], b[0][0]) and torch.equal(a[1], b[1]) for a, b in zip(one, two, strict=True))


def test_a_diverged_training_is_a_record() -> None:
    (record,) = records_of("Diverging")
    assert (record.status, record.metric) == (Status.ERROR, "nll")


def test_hyper_parameters_of_the_cell_reach_the_encoder() -> None:
    values = [run_cells(sample_cells(NAME, "WIDE", hyper={"dim": 8 * k}))[0].detail["parameters"] for k in (1, 2)]
    assert values[1] > values[0]


def test_coordinates_are_centred_or_as_in_the_paper() -> None:
    centred, unit = (pixels.grid(4, 8, kind) for kind in ("centred", "unit"))
    assert centred[0].tolist() == [-1, -1]
    assert centred[-1].tolist() == pytest.approx([1, 1])
    assert unit[0].tolist() == [0, 0]
    assert unit[-1].tolist() == [3 / 4, 7 / 8]
    assert unit[1].tolist() == [0, 1 / 8]  # (row, column): the second pixel is to the right of the first


def test_a_context_holds_the_chosen_pixels_with_their_places() -> None:
    images = pixels.as_images(torch.arange(2 * 3 * 4, dtype=torch.uint8).reshape(2, 3, 2, 2), "unit")
    context = pixels.make_context(images.colours(torch.tensor([1])), images.places, torch.tensor([[3, 0]]))
    assert context.shape == (1, 2, 5)
    assert context[0, 0, :2].tolist() == [0.5, 0.5]
    assert ((context[0, 0, 2:] + 1) * 127.5).round().tolist() == [15, 19, 23]


def test_rows_are_sorted_and_hold_the_same_pixels() -> None:
    chosen = torch.tensor([[5, 1, 3]])
    assert pixels.arrange(chosen, "rows").tolist() == [[1, 3, 5]]
    assert pixels.arrange(chosen, "random") is chosen


def test_the_density_is_that_of_a_normal() -> None:
    mean, scale, y = torch.randn(3, 100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scale = scale.abs() + 0.1
    assert pixels.gaussian_nll(mean, scale, y).tolist() == pytest.approx(-norm.logpdf(y, mean, scale))


def test_the_baselines_use_only_the_chosen_pixels_of_an_image() -> None:
    colours = torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.2, 1, 3])
    chosen = torch.arange(50).expand(2, -1)
    by_channel, pooled = pixels.baseline_nlls(colours, chosen, unit_variance=False)
    assert by_channel < pooled
    scale = colours.std(dim=1, correction=0, keepdim=True)
    assert by_channel == pytest.approx(float((0.5 + scale.log() + 0.9189385).mean()), rel=1e-4)
    assert pixels.baseline_nlls(colours + 7, chosen, unit_variance=False)[1] == pytest.approx(pooled, rel=1e-4)


def test_the_first_layer_of_the_decoder_is_linear_in_encoding_and_place_together() -> None:
    decoder = neural_process.Decoder(5, "gaussian")
    encoding, places = torch.randn(2, 5), torch.randn(7, 2)
    both = torch.cat((encoding[:, None].expand(-1, 7, -1), places.expand(2, -1, -1)), dim=2)
    weight = torch.cat((decoder.encoding.weight, decoder.place.weight), dim=1)
    out: Tensor = decoder.layers(both @ weight.T + decoder.encoding.bias)
    assert torch.allclose(decoder(encoding, places).mean, out[..., :3], atol=1e-5)


@pytest.mark.parametrize(("kind", "width", "smallest"), [("gaussian", 64, 0.1), ("paper", 128, 1.0)])
def test_the_deviations_of_both_decoders_have_a_lower_bound(kind: str, width: int, smallest: float) -> None:
    decoder = neural_process.Decoder(5, kind)
    prediction = decoder(100 * torch.randn(2, 5), torch.randn(7, 2))
    assert prediction.mean.shape == prediction.scale.shape == (2, 7, 3)
    assert float(prediction.scale.detach().min()) >= smallest
    assert decoder.encoding.out_features == width


def test_the_layer_norm_can_be_left_out() -> None:
    norms = [
        neural_process.NeuralProcess(get_spec(sample_target("SumEncoder")), seed=0, layer_norm=layer_norm).norm
        for layer_norm in (True, False)
    ]
    assert [type(norm) for norm in norms] == [nn.LayerNorm, nn.Identity]


def test_profiles_of_different_sizes_are_different_cases() -> None:
    assert {cell.case for cell in load_suite(NAME).cells(Request(encoders=["a"], profile="thorough"))} == {"patches-32"}
    assert sample_cells(NAME, "SumEncoder")[0].params["data"] == "fake"


def test_other_numbers_of_slots_are_tested_where_the_encoder_can_take_them() -> None:
    tests = ((50, 50, "random", "own", None), (50, 50, "random", "own", 3), (50, 50, "random", "own", 7))
    as_trained, other = records_of("VariableSlots", tests=tests, readout="mean", layer_norm=False, steps=20)
    assert "num_slots" not in as_trained.detail
    assert other.detail["num_slots"] == 7
    assert other.value != as_trained.value
    for readout, encoder in (("concat", "VariableSlots"), ("mean", "Slots"), ("mean", "SumEncoder")):
        assert len(records_of(encoder, tests=tests, readout=readout)) == 1


def test_completions_are_recorded_with_their_images_and_contexts() -> None:
    *_, record = records_of(kept=2)
    detail = record.detail
    assert record.metric == "completions"
    assert np.shape(detail["images"]) == (2, 1024, 3)
    assert {size: np.shape(means) for size, means in detail["completions"].items()} == dict.fromkeys(
        ("10", "51", "204", "819"), (2, 1024, 3)
    )
    assert all(sorted(order) == list(range(1024)) for order in detail["order"])
    error = np.abs(np.subtract(detail["completions"]["819"], detail["images"])).mean()
    assert record.value == pytest.approx(error, rel=1e-5)


def test_a_model_is_trained_on_its_own_device() -> None:
    images = pixels.as_images(torch.zeros(5, 3, 8, 8, dtype=torch.uint8), "centred")
    model = neural_process.NeuralProcess(get_spec(sample_target("VariableSlots")), seed=0)
    model = model.to("meta")  # tensors without numbers, on a device of their own
    options = settings.CompletionSettings(steps=1, batch_size=2, train_size=20, targets=10)
    (batch,) = image_completion.batches(images, options, 0)
    x, y = training.to_device(training.device_of(model), batch)
    loss = neural_process.mean_nll(model(x), y)
    loss.backward()
    assert loss.device.type == y.device.type == "meta"
