"""Data and threads of the tests of suites."""

from collections.abc import Iterator

import pytest
import torch

from tests.suites import fakes


@pytest.fixture(scope="session", autouse=True)
def _temporary_data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Cache data sets for this session only: tests neither need nor change anything in the user's folders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MBCBENCH_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Use one thread, as cells do: for small matrices several threads are slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def fake_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace photographs, shapes and exemplars by small data."""
    fakes.replace_data_sets(monkeypatch)
