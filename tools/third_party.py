"""Check the set poolings of other packages: `python tools/third_party.py > docs/third-party.md`.

Needs the extra `pyg`. The encoders have their default settings, except for widths, heads and numbers of steps.
"""

import importlib.metadata
import platform
import warnings
from collections.abc import Callable

import pandas as pd
import torch
from template import filled
from torch import Tensor, nn
from torch_geometric.nn import aggr

import mbcbench
from mbcbench.adapters import MaskAdapter, pyg

Factory = Callable[[int], nn.Module]
EXAMPLES = 400
EMBEDDING = 4  # with two heads


class AttentionPool(nn.Module):
    """Pooling with `torch.nn.MultiheadAttention`: learnt queries attend to elements (`B x n x d` to `B x K x h`)."""

    def __init__(self, dim_in: int, *, queries: int = 2, average: bool = False) -> None:
        super().__init__()
        self.embed = nn.Linear(dim_in, EMBEDDING)
        self.queries = nn.Parameter(torch.randn(1, queries, EMBEDDING))
        self.attention = nn.MultiheadAttention(EMBEDDING, num_heads=2, batch_first=True)
        self.average = average

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """Return the encoding; `key_padding_mask` (`B x n`) is True where an element is absent."""
        elements = self.embed(x)
        queries = elements if self.average else self.queries.expand(len(x), -1, -1)
        out: Tensor = self.attention(queries, elements, elements, key_padding_mask, need_weights=False)[0]
        return out.mean(1) if self.average else out


def attention_pool(dim_in: int) -> nn.Module:
    """Return the pooling with the mask that `torch.nn.MultiheadAttention` expects."""
    return MaskAdapter(AttentionPool(dim_in), lambda module, x, mask: module(x, key_padding_mask=~mask))


def self_attention_mean(dim_in: int) -> nn.Module:
    """Return self-attention among the elements, followed by their mean."""
    return AttentionPool(dim_in, average=True)


def _mlp(dim_in: int) -> nn.Module:
    return nn.Sequential(nn.Linear(dim_in, 8), nn.ReLU(), nn.Linear(8, EMBEDDING))


ATTENTION: dict[str, Factory] = {
    "MultiheadAttention, 2 learnt queries": attention_pool,
    "MultiheadAttention among elements, mean": self_attention_mean,
}
PYG: dict[str, Factory] = {
    "SumAggregation": lambda d: pyg(aggr.SumAggregation()),
    "MeanAggregation": lambda d: pyg(aggr.MeanAggregation()),
    "MaxAggregation": lambda d: pyg(aggr.MaxAggregation()),
    "MinAggregation": lambda d: pyg(aggr.MinAggregation()),
    "MulAggregation": lambda d: pyg(aggr.MulAggregation()),
    "VarAggregation": lambda d: pyg(aggr.VarAggregation()),
    "StdAggregation": lambda d: pyg(aggr.StdAggregation()),
    "SoftmaxAggregation(learn=True)": lambda d: pyg(aggr.SoftmaxAggregation(learn=True)),
    "PowerMeanAggregation(learn=True)": lambda d: pyg(aggr.PowerMeanAggregation(learn=True)),
    "MedianAggregation": lambda d: pyg(aggr.MedianAggregation()),
    "QuantileAggregation(0.25)": lambda d: pyg(aggr.QuantileAggregation(0.25)),
    "VariancePreservingAggregation": lambda d: pyg(aggr.VariancePreservingAggregation()),
    "SortAggregation(k=4)": lambda d: pyg(aggr.SortAggregation(4)),
    "LSTMAggregation": lambda d: pyg(aggr.LSTMAggregation(d, EMBEDDING)),
    "GRUAggregation": lambda d: pyg(aggr.GRUAggregation(d, EMBEDDING)),
    "Set2Set(3 steps)": lambda d: pyg(aggr.Set2Set(d, 3)),
    "AttentionalAggregation": lambda d: pyg(aggr.AttentionalAggregation(nn.Linear(d, 1), _mlp(d))),
    "DeepSetsAggregation": lambda d: pyg(aggr.DeepSetsAggregation(_mlp(d), _mlp(EMBEDDING))),
    "SetTransformerAggregation": lambda d: pyg(aggr.SetTransformerAggregation(d)),
    "GraphMultisetTransformer(k=2)": lambda d: pyg(aggr.GraphMultisetTransformer(d, k=2)),
    "LCMAggregation": lambda d: pyg(aggr.LCMAggregation(d, EMBEDDING)),
}


def main() -> None:
    """Print the page."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    results = {name: mbcbench.check(factory, examples=EXAMPLES) for name, factory in (ATTENTION | PYG).items()}
    print(filled("third-party", {"TABLE": table(results), "VERSIONS": _versions()}), end="")


def table(results: dict[str, mbcbench.CheckResult]) -> str:
    """Return the table in Markdown, one row per encoder."""
    lines = ["| encoder | consistent with g | is | breaks |", "|---|---|---|---|"]
    for name, result in results.items():
        cells = (f"`{name}`", _consistent_aggregations(result), _classes(result), _broken_laws(result))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _consistent_aggregations(result: pd.DataFrame) -> str:
    pairs = result.set_index("case").loc["mbc.partition", "detail.pairs"]
    if not isinstance(pairs, dict):
        return "-"
    return ", ".join(g for g, pair in pairs.items() if pair["consistent"]) or "none"


def _classes(result: pd.DataFrame) -> str:
    classified = result[result["case"].isin(["symmetry.replication", "substance.interactions"])]
    return ", ".join(classified[classified["status"] == "ok"]["message"])


def _broken_laws(result: mbcbench.CheckResult) -> str:
    return "; ".join(_describe_failure(row) for _, row in result.failures.iterrows()) or "nothing"


def _describe_failure(row: "pd.Series[object]") -> str:
    if row["status"] == "error" and not isinstance(row["detail.counterexample"], dict):
        return f"{row['case']}: {row['message']}"
    counterexample = row["detail.counterexample"]
    reason = counterexample["error"] or counterexample["note"] or f"gap {counterexample['gap']:.2g}"
    return f"{row['case']} (n={counterexample['n']}: {reason})"


def _versions() -> str:
    names = ("torch", "torch-geometric", "mbcbench")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return f"{versions}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
