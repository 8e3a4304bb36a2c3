"""Models and poolings of torchmil for bags of instances, `B x n x d`; their `mask` is True where one is present."""

import torch
from torch import Tensor, nn
from torchmil import models
from torchmil.nn import AttentionPool, MaxPool, MeanPool, NystromTransformerLayer, TransformerEncoder

from mbcbench.adapters import MaskAdapter, select_output


def one_number(module: nn.Module) -> nn.Module:
    """Adapt a model that returns one logit per bag, `B`."""
    return select_output(module, lambda logits: logits[:, None])


def abmil(dim_in: int) -> nn.Module:
    return one_number(models.ABMIL((dim_in,), att_dim=4))


def abmil_gated(dim_in: int) -> nn.Module:
    return one_number(models.ABMIL((dim_in,), att_dim=4, gated=True))


def clam(dim_in: int) -> nn.Module:
    return one_number(models.CLAM_SB((dim_in,), att_dim=4))


def dsmil(dim_in: int) -> nn.Module:
    return one_number(models.DSMIL((dim_in,), att_dim=4))


def dsmil_predict(dim_in: int) -> nn.Module:
    """`DSMIL.predict`, which averages the logits of the bag and of its critical instance."""
    model = models.DSMIL((dim_in,), att_dim=4)
    return MaskAdapter(model, lambda module, x, mask: module.predict(x, mask)[:, None])


def dtfdmil(dim_in: int) -> nn.Module:
    return one_number(models.DTFDMIL((dim_in,), att_dim=4, n_groups=2))


def dtfdmil_masked(dim_in: int) -> nn.Module:
    model = models.DTFDMIL((dim_in,), att_dim=4, n_groups=2)
    return MaskAdapter(model, lambda module, x, mask: module(x, mask)[:, None])


def transmil(dim_in: int) -> nn.Module:
    return one_number(models.TransMIL((dim_in,), att_dim=8, n_heads=2))


def transformer_abmil(dim_in: int) -> nn.Module:
    model = models.TransformerABMIL((dim_in,), pool_att_dim=4, transf_att_dim=8, transf_n_heads=2)
    return one_number(model)


def iibmil(dim_in: int) -> nn.Module:
    return one_number(models.IIBMIL((dim_in,), att_dim=8))


def attention_pool(dim_in: int) -> nn.Module:
    return AttentionPool(dim_in, 4)


def mean_pool(dim_in: int) -> nn.Module:
    return MeanPool()


def max_pool(dim_in: int) -> nn.Module:
    return MaxPool()


def transformer_encoder(dim_in: int) -> nn.Module:
    return TransformerEncoder(dim_in, att_dim=8, n_heads=2, n_layers=1)


def transformer_encoder_dropout(dim_in: int) -> nn.Module:
    return TransformerEncoder(dim_in, att_dim=8, n_heads=2, n_layers=1, dropout=0.5)


def nystrom_layer(dim_in: int) -> nn.Module:
    return NystromTransformerLayer(dim_in, att_dim=8, n_heads=2, n_landmarks=4)


def graph(model: nn.Module) -> nn.Module:
    """Adapt a model that also reads the adjacency of the instances: here, each is its own neighbour."""

    def call(module: nn.Module, x: Tensor, mask: Tensor) -> Tensor:
        adjacency = torch.eye(x.shape[1], dtype=x.dtype).expand(len(x), -1, -1)
        logits: Tensor = module(x, adjacency, mask)
        return logits[:, None]

    return MaskAdapter(model, call)


def sm_abmil(dim_in: int) -> nn.Module:
    return graph(models.SmABMIL((dim_in,), att_dim=4))


def prob_smooth_abmil(dim_in: int) -> nn.Module:
    return graph(models.ProbSmoothABMIL((dim_in,), att_dim=4))
