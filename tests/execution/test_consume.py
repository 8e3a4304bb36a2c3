"""The message of a run that was interrupted."""

import pytest

from mbcbench.execution.consume import RunResult
from mbcbench.execution.progress import Progress


@pytest.mark.parametrize(
    ("total", "text"),
    [(None, "interrupted after 0 cells"), (1, "interrupted after 0 of 1 cell"), (9, "interrupted after 0 of 9 cells")],
)
def test_an_interrupted_run_says_how_many_cells_ended(total: int | None, text: str) -> None:
    progress = Progress(workers=1)
    progress.total = total
    assert RunResult(progress).progress_text == text
