"""The multiple-instance model of MONAI; the backbone, which encodes images, is replaced by a linear map."""

from monai.networks.nets import MILModel
from torch import nn


def bags(mode: str, dim_in: int) -> nn.Module:
    """Adapt `MILModel`, which reads `B x n x C x H x W` and has no mask: instances of one pixel."""
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(dim_in, 8))
    model = MILModel(2, mode, backbone=backbone, backbone_num_features=8, trans_blocks=1)
    return Pixels(model)


class Pixels(nn.Module):
    """Reads an element as an image of one pixel."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x[..., None, None])


def mil_mean(dim_in: int) -> nn.Module:
    return bags("mean", dim_in)


def mil_max(dim_in: int) -> nn.Module:
    return bags("max", dim_in)


def mil_attention(dim_in: int) -> nn.Module:
    return bags("att", dim_in)


def mil_transformer(dim_in: int) -> nn.Module:
    return bags("att_trans", dim_in)
