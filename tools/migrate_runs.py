"""Rewrite runs in the present schema: python tools/migrate_runs.py docs/results/runs/*.

The files of a run are replaced only if what they hold is read back unchanged.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from mbcbench.records import store
from mbcbench.records.cell import Cell
from mbcbench.records.files import CELLS, INFO, RECORDS, encode_cells, encode_records, read_cells
from mbcbench.records.record import Record
from mbcbench.system import write_atomically
from mbcbench.types import JsonObject


def migrate(folder: Path) -> None:
    """Rewrite the files of a run."""
    before = size_of(folder)
    rewrite(folder, store.info(folder), list(read_cells(folder / CELLS).values()), store.records(folder))
    print(f"{folder}: {before:,} bytes before, {size_of(folder):,} now")


def rewrite(folder: Path, info: JsonObject, cells: Sequence[Cell], records: Sequence[Record]) -> None:
    """Replace the files of a run, if what is written is read back the same."""
    contents = {
        INFO: json.dumps(info, indent=2) + "\n",
        CELLS: encode_cells(cells),
        RECORDS: encode_records(records, {cell.key: cell for cell in cells}),
    }
    with TemporaryDirectory() as temporary:
        copy = Path(temporary)
        for name, content in contents.items():
            (copy / name).write_text(content, encoding="utf-8")
        if content_of(copy) != [info, {cell.key: cell for cell in cells}, [*map(_text, records)]]:
            raise SystemExit(f"{folder} would not be the same; left as it is")
    for name, content in contents.items():
        write_atomically(folder / name, content.encode())


def content_of(folder: Path) -> list[object]:
    """Return everything that is read from a run, in a form that can be compared."""
    return [store.info(folder), read_cells(folder / CELLS), [*map(_text, store.records(folder))]]


def _text(record: Record) -> str:
    return json.dumps(record.to_fields(), sort_keys=True)


def size_of(folder: Path) -> int:
    """Return the bytes of all files of a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


if __name__ == "__main__":
    for name in sys.argv[1:]:
        migrate(Path(name))
