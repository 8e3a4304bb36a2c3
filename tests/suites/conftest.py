"""Where the tests of suites keep their data."""

from collections.abc import Iterator

import pytest
import torch

from tests.suites import fakes


@pytest.fixture(scope="session", autouse=True)
def _data_kept_for_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Data sets are kept for the session only: tests neither need nor leave anything in the user's folders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MBCBENCH_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """As in a cell: several threads take longer over small matrices than one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def fake_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small data in place of photographs, shapes and exemplars."""
    fakes.use(monkeypatch)
