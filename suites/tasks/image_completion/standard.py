"""Image completion in the profile `standard`: patches of 32 pixels from strips of photographs."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mbcbench.datasets.photographs import Photographs
from mbcbench.execution.suite import DataNeed
from mbcbench.protocol.spec import EncoderSpec
from mbcbench.records.cell import Cell

from ...metrics import NLL
from ...training import device_of
from ..set_embedding import SetEmbedding
from ..standard import StandardSettings, StandardTask, Validation, encode_in_batches
from .neural_process import NeuralProcess, Prediction, mean_nll
from .pixels import Images, as_images, baseline_nlls, gaussian_nll, make_context, random_orders, random_subsets

SIZE, TARGETS = 32, 64
IMAGES_AT_A_TIME = 64  # decoded in tests, to bound their memory
BASELINE_IMAGES = 1000
VALIDATION_SEED, TEST_SEED = 31, 30  # of the contexts: the same for every encoder and seed

Batch = tuple[tuple[Tensor, Tensor], Tensor]


class ImageData(NamedTuple):
    """Images of the three strips, and the orders in which contexts take the pixels of an image."""

    train: Images
    validation: Images
    test: Images
    validation_orders: Tensor
    test_orders: Tensor


class StandardImages(StandardTask[ImageData]):
    """Complete images from contexts of 200 pixels by a Conditional Neural Process."""

    suite, case, metric = "image-completion", "standard-images", NLL
    settings = StandardSettings(steps=5000, batch_size=8, train_size=200)
    search_steps = 2500
    rates = (3e-4, 1e-3, 3e-3)
    other_sizes = (800,)
    converged_within = 0.02

    def load(self, seed: int) -> ImageData:
        patches = Photographs().load_strips(size=SIZE, seed=seed)
        train, validation, test = (as_images(torch.from_numpy(part.copy()), "centred") for part in patches)
        return ImageData(
            train, validation, test, _orders(validation, VALIDATION_SEED), _orders(test, TEST_SEED)
        )  # fmt: skip

    def needs(self, cell: Cell) -> list[DataNeed]:
        arguments = {"size": SIZE, "seed": cell.seed}
        return [DataNeed(name=Photographs.name, loader="load_strips", arguments=arguments)]

    def build(self, spec: EncoderSpec, seed: int) -> NeuralProcess:
        return NeuralProcess(spec, seed=seed)

    def sets_of(self, model: nn.Module) -> SetEmbedding:
        assert isinstance(model, NeuralProcess)
        return model

    def batches(self, data: ImageData, settings: StandardSettings, seed: int) -> Iterator[Batch]:
        images, generator = data.train, torch.Generator().manual_seed(seed)
        count = images.pixels.shape[1]
        for _ in range(settings.steps):
            indices = torch.randint(len(images.pixels), (settings.batch_size,), generator=generator)
            colours = images.colours(indices)
            pixels = random_subsets(len(indices), count, settings.train_size, generator)
            targets = torch.randperm(count, generator=generator)[:TARGETS]
            yield (make_context(colours, images.places, pixels), images.places[targets]), colours[:, targets]

    def loss(self, output: Prediction, y: Tensor) -> Tensor:
        return mean_nll(output, y)

    def baseline(self, data: ImageData) -> float:
        count = min(BASELINE_IMAGES, len(data.train.pixels))
        orders = _orders(Images(data.train.pixels[:count], data.train.places), VALIDATION_SEED)
        colours = data.train.colours(torch.arange(count))
        return baseline_nlls(colours, orders[:, : self.settings.train_size], unit_variance=False)[0]

    def validate(self, model: nn.Module, data: ImageData) -> Validation:
        contexts = _contexts(data.validation, data.validation_orders, self.settings.train_size)
        vectors = encode_in_batches(self.sets_of(model), contexts.to(device_of(model)))
        loss = float(_nlls(model, data.validation, vectors).mean())
        return Validation(loss, loss)

    def test_sets(self, model: nn.Module, data: ImageData, size: int) -> tuple[Tensor, Tensor]:
        contexts = _contexts(data.test, data.test_orders, size)
        return contexts, contexts[..., 2:].mean(dim=2)  # from dark to bright

    def outcomes(self, model: nn.Module, data: ImageData, vectors: Tensor) -> NDArray[Any]:
        nlls: NDArray[Any] = _nlls(model, data.test, vectors).cpu().numpy()
        return nlls


def _orders(images: Images, seed: int) -> Tensor:
    count, pixels = images.pixels.shape[:2]
    return random_orders(count, pixels, torch.Generator().manual_seed(seed))


def _contexts(images: Images, orders: Tensor, size: int) -> Tensor:
    """Return the contexts of `size` pixels of all images, `N x size x 5`."""
    colours = images.colours(torch.arange(len(images.pixels)))
    return make_context(colours, images.places, orders[:, :size])


def _nlls(model: nn.Module, images: Images, vectors: Tensor) -> Tensor:
    """Return the mean NLL of all pixels of each image, given the vectors of the contexts."""
    assert isinstance(model, NeuralProcess)
    places, nlls = images.places.to(vectors.device), []
    for indices in torch.split(torch.arange(len(vectors)), IMAGES_AT_A_TIME):
        prediction = model.decode(vectors[indices], places)
        colours = images.colours(indices).to(vectors.device)
        nlls.append(gaussian_nll(prediction.mean, prediction.scale, colours).mean(dim=(1, 2)))
    return torch.cat(nlls)


TASK = StandardImages()
