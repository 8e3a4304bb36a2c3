"""Training on partitions: what each estimator encodes, and what gradient it takes."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mbcbench.protocol.build import build_from_spec, get_spec
from mbcbench.records.record import Status
from mbcbench.suites.tasks import partitions, set_embedding
from tests.suites.helpers import run_cells, sample_cells, sample_target


def build_parts(encoder: str = "SumEncoder", n: int = 10) -> tuple[Any, nn.Module, Tensor]:
    module = build_from_spec(get_spec(sample_target(encoder)), dim_in=3, seed=0)
    torch.manual_seed(0)
    return module.double(), nn.Linear(3, 3).double(), torch.randn(2, n, 3, dtype=torch.float64)


def gradient(encoding: Tensor, *modules: nn.Module) -> Tensor:
    parameters = [weight for module in modules for weight in module.parameters()]
    gradients = torch.autograd.grad(encoding.tanh().square().sum(), parameters)
    return torch.cat([g.flatten() for g in gradients])


def sampling(estimator: str, size: int) -> Any:
    return partitions.Sampling(estimator, size, torch.Generator().manual_seed(1))


def test_the_unbiased_gradients_of_all_chunks_average_to_that_of_the_full_set() -> None:
    encoder, element, x = build_parts()
    full = gradient(encoder(element(x)), encoder, element)
    encodings = partitions.encode_each_chunk(encoder, element, x, sampling("unbiased", 4))
    gradients = [gradient(encoding, encoder, element) for encoding in encodings]
    assert len(gradients) == 3  # of 4, 4 and 2 elements
    assert torch.allclose(torch.stack(gradients).mean(dim=0), full, rtol=1e-12)
    assert not torch.allclose(gradients[0], full, rtol=1e-3)


def test_the_unbiased_estimator_encodes_the_whole_set() -> None:
    encoder, element, x = build_parts()
    assert torch.allclose(sampling("unbiased", 3)(encoder, element, x), encoder(element(x)), rtol=1e-12)


def test_the_gradients_of_random_subsets_do_not_average_to_that_of_the_full_set() -> None:
    encoder, element, x = build_parts()
    full = gradient(encoder(element(x)), encoder, element)
    of_partition = sampling("partition", 5)
    gradients = [gradient(of_partition(encoder, element, x), encoder, element) for _ in range(300)]
    error = torch.stack(gradients) - full
    noise = error.std(dim=0).norm() / 300**0.5
    assert error.mean(dim=0).norm() > 3 * noise


def test_the_partition_estimator_encodes_some_of_the_elements() -> None:
    encoder, element, x = build_parts("SumEncoder", n=6)
    (subset, _) = sampling("partition", 3).chunks(6)
    assert torch.allclose(sampling("partition", 3)(encoder, element, x), encoder(element(x[:, subset])))


def test_the_gradient_of_the_read_out_is_counted_once() -> None:
    class WithOffset(type(build_parts()[0])):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(3)
            self.offset = nn.Parameter(torch.zeros(16))

        def readout(self, state: Tensor) -> Tensor:
            return state + self.offset

    encoder, element, x = WithOffset().double(), *build_parts()[1:]
    one, whole = sampling("unbiased", 2)(encoder, element, x), encoder(element(x))
    unbiased, full = (torch.autograd.grad(e.tanh().sum(), encoder.offset)[0] for e in (one, whole))
    assert torch.allclose(unbiased, full, rtol=1e-12)


def test_a_plain_encoder_has_no_unbiased_estimator() -> None:
    embedding = set_embedding.SetEmbedding(
        get_spec(sample_target("Range")), nn.Identity(), dim_in=3, width=3, seed=0, sampling=sampling("unbiased", 2)
    )
    with pytest.raises(ValueError, match="has no state"):
        embedding.encode(torch.randn(2, 5, 3))


def test_partitions_are_used_in_training_only() -> None:
    embedding = set_embedding.SetEmbedding(
        get_spec(sample_target("SumEncoder")),
        nn.Identity(),
        dim_in=3,
        width=3,
        seed=0,
        sampling=sampling("partition", 2),
    )
    x = torch.randn(2, 5, 3)
    assert not torch.allclose(embedding.train().encode(x), embedding.encoder(x))
    assert torch.equal(embedding.eval().encode(x), embedding.encoder(x))


@pytest.mark.usefixtures("fake_data")
@pytest.mark.parametrize("estimator", ["partition", "unbiased"])
def test_image_completion_trains_by_every_estimator(estimator: str) -> None:
    def train_loss(estimator: str) -> Any:
        options: dict[str, Any] = {"estimator": estimator, "gradient_size": 50, "steps": 3}
        return run_cells(sample_cells("image-completion", "SumEncoder", **options))[0].detail["train_loss"]

    assert train_loss(estimator) != train_loss("full")


@pytest.mark.usefixtures("fake_data")
def test_bias_and_deviation_are_measured_for_each_estimator() -> None:
    records = run_cells(sample_cells("gradients", "SumEncoder"))
    values = {(r.detail["estimator"], r.metric): r.value or 0.0 for r in records}
    assert values["unbiased", "gradient_bias"] < 1e-5
    assert values["partition", "gradient_bias"] > 1e-4
    assert values["unbiased", "gradient_deviation"] > 1e-4


@pytest.mark.usefixtures("fake_data")
def test_a_plain_encoder_skips_the_unbiased_estimator_and_says_why() -> None:
    records = run_cells(sample_cells("gradients", "Range"))
    skipped = [r for r in records if r.status is Status.SKIP]
    assert [r.detail["estimator"] for r in skipped] == ["unbiased"]
    assert "has no state" in skipped[0].message
