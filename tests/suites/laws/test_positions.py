"""Which submodule is named as a table of positions."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from mbcbench.suites.laws import positions
from mbcbench.suites.laws.positions import locate_positions
from mbcbench.verify.domain import Domain
from mbcbench.verify.subject import Subject
from tests.controls.base import WIDTH as FEATURES
from tests.controls.base import Mean
from tests.verify.helpers import WIDTH, subject_of

ORDER = "depends on the order of elements"
PERMUTATIONS = torch.tensor([[0, 1, 2, 3], [1, 0, 2, 3], [3, 2, 1, 0]])  # the first moves no element


@pytest.fixture(autouse=True)
def _without_graph() -> Iterator[None]:
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        yield


def sets(seed: int = 0) -> Tensor:
    return torch.randn(3, 4, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class Positional(nn.Module):
    """Adds a learned vector for each position, and sums over elements."""

    def __init__(self, dim_in: int) -> None:
        super().__init__()
        self.phi, self.position = nn.Linear(dim_in, FEATURES), nn.Embedding(30, FEATURES)

    def features(self, x: Tensor) -> Tensor:
        features: Tensor = self.phi(x) + self.position(torch.arange(x.shape[1]))
        return features.tanh()

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x).sum(1)


class PositionalLayer(Positional):
    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)


class Table(nn.Module):
    """Vectors for positions, in some layout."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.randn(30, FEATURES))

    def forward(self, x: Tensor) -> Tensor:
        return self.rows[: x.shape[1]][None]


class FlatTable(Table):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).flatten()


class TableOfEqualRows(Table):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, :1].expand(-1, x.shape[1], -1)


class ScaledTable(Table):
    """Scales its vectors by the largest element."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * x.amax((1, 2))[:, None, None]


class Length(nn.Module):
    """Returns a number that is not a tensor."""

    def forward(self, x: Tensor) -> int:
        return x.shape[1]


class WithTables(nn.Module):
    """Adds the vectors of some tables, after submodules that return a number and two tensors."""

    def __init__(self, dim_in: int, *tables: nn.Module) -> None:
        super().__init__()
        self.length, self.first = Length(), nn.LSTM(dim_in, FEATURES, batch_first=True)
        self.phi, self.tables = nn.Linear(dim_in, FEATURES), nn.ModuleList(tables)

    def forward(self, x: Tensor) -> Tensor:
        self.first(torch.ones_like(x))
        features = self.phi(x) / self.length(x)
        for table in self.tables:
            features = features + table(x).reshape(-1, x.shape[1], FEATURES)
        pooled: Tensor = features.tanh().sum(1)
        return pooled


def with_tables(*tables: type[nn.Module]) -> Subject:
    return subject_of(lambda dim_in: WithTables(dim_in, *(table() for table in tables)))


@pytest.mark.parametrize("encoder", [Positional, PositionalLayer])
def test_a_table_of_positions_is_named_in_an_encoder_and_in_a_layer(encoder: type[nn.Module]) -> None:
    assert locate_positions(subject_of(encoder), sets(), PERMUTATIONS) == f"position (Embedding): {ORDER}"


@pytest.mark.parametrize(
    ("tables", "named"),
    [
        ((Table,), f"tables.0 (Table): {ORDER}"),
        ((TableOfEqualRows, Table), f"tables.1 (Table): {ORDER}"),
        ((TableOfEqualRows,), ""),
        ((Table, Table), ""),
        ((ScaledTable,), ""),
        ((FlatTable,), ""),
        ((), ""),
    ],
)
def test_a_table_is_named_if_it_alone_depends_on_positions_and_on_nothing_else(
    tables: tuple[type[nn.Module], ...], named: str
) -> None:
    assert locate_positions(with_tables(*tables), sets(), PERMUTATIONS) == named


def test_no_table_is_named_where_nothing_moves_or_the_encoder_is_random() -> None:
    in_order = torch.arange(4).expand(3, -1)
    assert locate_positions(subject_of(Positional), sets(), in_order) == ""
    assert locate_positions(subject_of(Positional, deterministic=False), sets(), PERMUTATIONS) == ""
    assert locate_positions(subject_of(Mean), sets(), PERMUTATIONS) == ""


def test_a_table_is_sought_with_the_first_set_whose_elements_move(monkeypatch: pytest.MonkeyPatch) -> None:
    sought = []

    def seek(subject: Subject, x: Tensor, permutation: Tensor) -> str:
        sought.append((x, permutation))
        return "found"

    monkeypatch.setattr(positions, "_locate_for_set", seek)
    x = sets()
    assert locate_positions(subject_of(Positional), x, PERMUTATIONS) == "found"
    ((one, permutation),) = sought
    assert torch.equal(one, x[1:2])
    assert permutation.tolist() == [1, 0, 2, 3]


class OfTokens(Positional):
    """Looks its elements up in a table of five tokens."""

    def __init__(self, dim_in: int) -> None:
        super().__init__(dim_in)
        self.token = nn.Embedding(5, FEATURES)

    def features(self, x: Tensor) -> Tensor:
        features: Tensor = self.token(x.long()).sum(2) + self.position(torch.arange(x.shape[1]))
        return features.tanh()


def test_a_table_of_positions_of_tokens_is_named_and_that_of_tokens_is_not() -> None:
    subject = subject_of(OfTokens, domain=Domain(vocabulary=5))
    tokens = subject.domain.admit(sets())
    assert locate_positions(subject, tokens, PERMUTATIONS) == f"position (Embedding): {ORDER}"
