"""Downloads: by pooch, which checks digests and never leaves half a file; what was cut off is gone on with."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mbcbench.datasets.progress import track
from mbcbench.errors import UsageError, one_line

SECONDS = 30  # without an answer
PIECE = 2**20  # bytes
PARTIAL, UNSATISFIABLE = 206, 416  # HTTP's words for "the rest follows" and "there is no more"


def fetch(urls: Sequence[str], path: Path, checksum: str, *, offline: bool) -> Path:
    """The file with this checksum (a SHA-256, or `md5:` and an MD5) at `path`, from the first of `urls` that has it.

    Offline, it must be there already. Raises UsageError when it cannot be had, with what to do instead.
    """
    import pooch
    from pooch.hashes import hash_matches

    if path.is_file() and hash_matches(path, checksum):
        return path
    by_hand = f"download {urls[0]} elsewhere and put it at {path}"
    if offline:
        raise UsageError(f"{path} is missing or damaged, and --offline allows no connection; {by_hand}")
    pooch.get_logger().setLevel(logging.WARNING)
    reasons = []
    for url in urls:
        try:
            pooch.retrieve(url, checksum, fname=path.name, path=path.parent, downloader=_resume)
            return path
        except (OSError, ValueError) as error:  # no connection, no answer, another file
            reasons.append(f"{url}: {one_line(error)}")
    raise UsageError(f"cannot get {path.name} ({'; '.join(reasons)}); {by_hand}")


def _resume(url: str, target: str, _: Any) -> None:
    """Pooch's downloader, but what an earlier attempt got of this file is kept beside it and asked for no more."""
    import requests

    part = _part(url, Path(target).parent)
    have = part.stat().st_size if part.is_file() else 0
    wanted = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=wanted, stream=True, timeout=SECONDS) as answer:
        if answer.status_code != UNSATISFIABLE:
            answer.raise_for_status()
            _append(answer, part, goes_on=answer.status_code == PARTIAL)
    os.replace(part, target)


def _append(answer: Any, part: Path, *, goes_on: bool) -> None:
    pieces = answer.iter_content(PIECE)
    size = int(answer.headers.get("Content-Length", 0))
    with part.open("ab" if goes_on else "wb") as file:
        for piece in track(pieces, part.name, total=size / PIECE or None):
            file.write(piece)


def _part(url: str, folder: Path) -> Path:
    return folder / f"{url.rpartition('/')[2]}.part"
