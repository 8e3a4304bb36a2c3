"""Rewrite runs in the present schema: python tools/migrate_runs.py docs/results/runs/*.

The files of a run are replaced only if what they hold is read back unchanged.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from mbcbench.records import store
from mbcbench.records.files import CELLS, INFO, RECORDS, encode_cells, encode_records, read_cells
from mbcbench.system import write_atomically


def migrate(folder: Path) -> None:
    """Rewrite the files of a run."""
    cells = read_cells(folder / CELLS)
    contents = {
        INFO: json.dumps(store.info(folder), indent=2) + "\n",
        CELLS: encode_cells(cells.values()),
        RECORDS: encode_records(store.records(folder), cells),
    }
    with TemporaryDirectory() as temporary:
        copy = Path(temporary)
        for name, content in contents.items():
            (copy / name).write_text(content, encoding="utf-8")
        if content_of(copy) != content_of(folder):
            raise SystemExit(f"{folder} would not be the same; left as it is")
    before = size_of(folder)
    for name, content in contents.items():
        write_atomically(folder / name, content.encode())
    print(f"{folder}: {before:,} bytes before, {size_of(folder):,} now")


def content_of(folder: Path) -> list[object]:
    """Return everything that is read from a run, in a form that can be compared."""
    records = [json.dumps(record.to_fields(), sort_keys=True) for record in store.records(folder)]
    return [store.info(folder), read_cells(folder / CELLS), records]


def size_of(folder: Path) -> int:
    """Return the bytes of all files of a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


if __name__ == "__main__":
    for name in sys.argv[1:]:
        migrate(Path(name))
