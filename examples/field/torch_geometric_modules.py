"""The aggregations of PyTorch Geometric; `pyg` passes the number of its set with each element."""

from torch import nn
from torch_geometric import nn as geometric
from torch_geometric.nn import aggr

from mbcbench.adapters import declare, pyg, pyg_layer

WIDTH = 4


def mlp(dim_in: int) -> nn.Module:
    return nn.Sequential(nn.Linear(dim_in, 8), nn.ReLU(), nn.Linear(8, WIDTH))


def sum_aggregation(dim_in: int) -> nn.Module:
    return pyg(aggr.SumAggregation())


def mean_aggregation(dim_in: int) -> nn.Module:
    return pyg(aggr.MeanAggregation())


def max_aggregation(dim_in: int) -> nn.Module:
    return pyg(aggr.MaxAggregation())


def min_aggregation(dim_in: int) -> nn.Module:
    return pyg(aggr.MinAggregation())


def mul_aggregation(dim_in: int) -> nn.Module:
    return pyg(aggr.MulAggregation())


def var_aggregation(dim_in: int) -> nn.Module:
    return pyg(aggr.VarAggregation())


def std_aggregation(dim_in: int) -> nn.Module:
    return pyg(aggr.StdAggregation())


def softmax_aggregation(dim_in: int) -> nn.Module:
    return pyg(aggr.SoftmaxAggregation(learn=True))


def power_mean_aggregation(dim_in: int) -> nn.Module:
    return pyg(aggr.PowerMeanAggregation(learn=True))


def median_aggregation(dim_in: int) -> nn.Module:
    return pyg(aggr.MedianAggregation())


def quantile_aggregation(dim_in: int) -> nn.Module:
    return pyg(aggr.QuantileAggregation(0.25))


def variance_preserving_aggregation(dim_in: int) -> nn.Module:
    return pyg(aggr.VariancePreservingAggregation())


def sort_aggregation(dim_in: int) -> nn.Module:
    return pyg(aggr.SortAggregation(4))


def in_order(module: nn.Module) -> nn.Module:
    return declare(pyg(module), order_sensitive=True)


def lstm_aggregation(dim_in: int) -> nn.Module:
    return in_order(aggr.LSTMAggregation(dim_in, WIDTH))


def gru_aggregation(dim_in: int) -> nn.Module:
    return in_order(aggr.GRUAggregation(dim_in, WIDTH))


def lcm_aggregation(dim_in: int) -> nn.Module:
    return in_order(aggr.LCMAggregation(dim_in, WIDTH))


def mlp_aggregation(dim_in: int) -> nn.Module:
    return pyg(aggr.MLPAggregation(dim_in, WIDTH, max_num_elements=16, hidden_channels=8, num_layers=2))


def set2set(dim_in: int) -> nn.Module:
    return pyg(aggr.Set2Set(dim_in, 3))


def attentional_aggregation(dim_in: int) -> nn.Module:
    return pyg(aggr.AttentionalAggregation(nn.Linear(dim_in, 1), mlp(dim_in)))


def deep_sets_aggregation(dim_in: int) -> nn.Module:
    return pyg(aggr.DeepSetsAggregation(mlp(dim_in), mlp(WIDTH)))


def graph_multiset_transformer(dim_in: int) -> nn.Module:
    return pyg(aggr.GraphMultisetTransformer(dim_in, k=2))


def patch_transformer_aggregation(dim_in: int) -> nn.Module:
    return pyg(aggr.PatchTransformerAggregation(dim_in, WIDTH, patch_size=2, hidden_channels=8))


def multi_aggregation(dim_in: int) -> nn.Module:
    return pyg(aggr.MultiAggregation(["mean", "max", "std"]))


def equilibrium_aggregation(dim_in: int) -> nn.Module:
    return pyg(aggr.EquilibriumAggregation(dim_in, WIDTH, num_layers=[8]))


def graph_norm(dim_in: int) -> nn.Module:
    return pyg_layer(geometric.GraphNorm(dim_in))


def pair_norm(dim_in: int) -> nn.Module:
    return pyg_layer(geometric.PairNorm())


def layer_norm(dim_in: int) -> nn.Module:
    return pyg_layer(geometric.LayerNorm(dim_in, mode="graph"))
