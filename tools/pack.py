"""Compress the cells and records of finished runs in place: `python tools/pack.py RUN...`.

Every command reads a run that is packed. One that is resumed goes on in a run of its own.
"""

import sys
from pathlib import Path

from mbcbench.records.files import CELLS, RECORDS, compress


def main(folders: list[str]) -> None:
    """Pack runs, and print their sizes."""
    for folder in map(Path, folders):
        for name in (CELLS, RECORDS):
            if (folder / name).exists():
                compress(folder / name)
        print(f"{sum(path.stat().st_size for path in folder.iterdir()) / 2**20:.2f} MiB  {folder}")


if __name__ == "__main__":
    main(sys.argv[1:])
