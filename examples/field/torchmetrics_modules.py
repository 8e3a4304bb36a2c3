"""Metrics of torchmetrics as streaming encoders of pairs (prediction, target), or of numbers."""

import torch
import torchmetrics
from torch import Tensor, nn
from torchmetrics import aggregation

from mbcbench.adapters import MergingStatefulAdapter, MergingStreamByStreamAdapter


def stream(metric: torchmetrics.Metric, *, pairs: bool = True) -> nn.Module:
    """Adapt a metric: its states are the state of one stream, and `merge_state` merges two."""
    metric.set_dtype(torch.float64)

    def update(module: torchmetrics.Metric, x: Tensor) -> None:
        if x.shape[1]:
            module.update(*(x[0].unbind(-1) if pairs else [x[0]]))

    fields = [*metric.metric_state, "_update_count"]
    readout = lambda module: module.compute().reshape(1, -1)  # noqa: E731
    return MergingStreamByStreamAdapter(MergingStatefulAdapter(metric, fields, update=update, readout=readout))


def mean_metric(dim_in: int) -> nn.Module:
    return stream(aggregation.MeanMetric(compute_with_cache=False), pairs=False)


def sum_metric(dim_in: int) -> nn.Module:
    return stream(aggregation.SumMetric(compute_with_cache=False), pairs=False)


def max_metric(dim_in: int) -> nn.Module:
    return stream(aggregation.MaxMetric(compute_with_cache=False), pairs=False)


def min_metric(dim_in: int) -> nn.Module:
    return stream(aggregation.MinMetric(compute_with_cache=False), pairs=False)


def mean_squared_error(dim_in: int) -> nn.Module:
    return stream(torchmetrics.MeanSquaredError(compute_with_cache=False))


def mean_absolute_error(dim_in: int) -> nn.Module:
    return stream(torchmetrics.MeanAbsoluteError(compute_with_cache=False))


def log_cosh_error(dim_in: int) -> nn.Module:
    return stream(torchmetrics.LogCoshError(compute_with_cache=False))
