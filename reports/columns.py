"""Columns of a frame of records (see `mbcbench.records.record.frame`) that reports read."""

from collections.abc import Hashable, Mapping
from dataclasses import fields
from typing import Any

from mbcbench.records import detail
from mbcbench.records.record import Record

Row = Mapping[Hashable, Any]  # of a frame of records: column -> value

# Classes of details that reports show.
KINDS = (
    detail.LawDetail,
    detail.CompletionTrainingDetail,
    detail.CentroidTrainingDetail,
    detail.StandardTrainingDetail,
    detail.EvaluationDetail,
    detail.CompletionsDetail,
    detail.EmbeddingsDetail,
    detail.CostDetail,
    detail.GradientDetail,
    detail.ConsistencyDetail,
    detail.ArchitectureDetail,
    detail.EncoderDetail,
)
PARAMS = ("hyper", "train_size", "layer_norm", "scale", "readout", "estimator", "data", "profile", "role", "arm")


def _detail_columns() -> tuple[str, ...]:
    names = (f.metadata.get("key", f.name) for kind in KINDS for f in fields(kind))
    return tuple(dict.fromkeys(f"detail.{name}" for name in names))


RECORD = tuple(f.name for f in fields(Record) if f.name not in ("params", "detail"))
ALL = (*RECORD, *_detail_columns(), "detail.converged_within", *(f"params.{name}" for name in PARAMS))

# Columns that have the type of text even if no record has a value.
TEXT = ("encoder", "detail.order", "detail.estimator", "detail.aggregation", "detail.data", "detail.mode")
# Settings that a record of a broken cell gets from the cell's parameters.
SIZES = ("test_size", "train_size", "n")
SETTINGS = (*SIZES, "mode")
# Parameters that name a model, besides its encoder.
MODEL_SETTINGS = ("params.hyper", "params.estimator", "params.layer_norm", "params.scale", "params.arm")
# Settings, besides mode and chunk size, that distinguish the tests of a model, in the order of labels.
TEST_SETTINGS = (
    "detail.order",
    "detail.aggregation",
    "detail.ways",
    "detail.estimator",
    "detail.test_size",
    "detail.num_slots",
)
