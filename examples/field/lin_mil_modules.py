"""Lin-MIL, a model of multiple instance learning with linear attention."""

from lin_mil.Lin_MIL import Config, Lin_MIL
from torch import nn

from mbcbench.adapters import select_output


def lin_mil(dim_in: int) -> nn.Module:
    config = Config(latent_dim=8, transformer_depth=1)
    return select_output(Lin_MIL(num_classes=2, input_dim=dim_in, config=config, heads=2), 0)


def lin_mil_mean(dim_in: int) -> nn.Module:
    config = Config(latent_dim=8, transformer_depth=1, pooling="mean")
    return select_output(Lin_MIL(num_classes=2, input_dim=dim_in, config=config, heads=2), 0)
