"""Orders of streams."""

import pytest
import torch

from mbcbench.suites.tasks.streams import STREAM_ORDERS, StreamOrder, doubling_sizes, equal_sizes

BY_NAME = {order.name: order for order in STREAM_ORDERS}


@pytest.mark.parametrize("order", STREAM_ORDERS, ids=lambda order: order.name)
@pytest.mark.parametrize("n", [1, 2, 3, 10, 100, 200])
def test_a_stream_gives_each_element_once(order: StreamOrder, n: int) -> None:
    x = torch.arange(2 * n, dtype=torch.float32).reshape(2, n, 1)
    streamed = torch.cat(order.chunks(x, -x[..., 0]), dim=1)
    assert torch.equal(streamed.sort(dim=1).values, x)
    assert all(chunk.shape[1] > 0 for chunk in order.chunks(x, -x[..., 0]))


def test_sorted_streams_sort_each_set_by_its_key() -> None:
    x = torch.tensor([[[3.0], [1.0], [2.0]], [[1.0], [3.0], [2.0]]])
    chunks = BY_NAME["sorted"].chunks(x, x[..., 0])
    assert torch.cat(chunks, dim=1)[..., 0].tolist() == [[1, 2, 3], [1, 2, 3]]


def test_the_other_streams_keep_the_order() -> None:
    x = torch.tensor([[[3.0], [1.0], [2.0]]])
    for name in ("random", "single", "one-and-rest"):
        assert torch.equal(torch.cat(BY_NAME[name].chunks(x, x[..., 0]), dim=1), x)


def test_sizes_of_chunks() -> None:
    assert equal_sizes(10, 4) == [4, 4, 2]
    assert doubling_sizes(100) == [1, 2, 4, 8, 16, 69]
    assert doubling_sizes(10) == [1, 2, 7]
    assert BY_NAME["one-and-rest"].sizes(100) == [1, 99]
    assert BY_NAME["random"].sizes(100) == [25] * 4
    assert BY_NAME["sorted"].sizes(10) == [2] * 5


def test_uneven_chunks_show_a_mean_of_chunk_means_and_equal_ones_do_not() -> None:
    x = torch.arange(100, dtype=torch.float32).reshape(1, 100, 1)

    def mean_of_chunk_means(name: str) -> float:
        return float(torch.stack([chunk.mean() for chunk in BY_NAME[name].chunks(x, x[..., 0])]).mean())

    assert mean_of_chunk_means("single") == mean_of_chunk_means("sorted") == pytest.approx(49.5)
    assert mean_of_chunk_means("uneven") < 30
