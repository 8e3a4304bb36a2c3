"""Downloads by pooch, which verifies digests and replaces files only when they are complete.

Interrupted downloads are resumed.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mbcbench.datasets.progress import track
from mbcbench.errors import UsageError, one_line, require

if TYPE_CHECKING:
    from requests import Response

TIMEOUT_SECONDS = 30
PIECE_BYTES = 2**20
PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE = 206, 416  # HTTP status codes


def fetch_file(urls: Sequence[str], path: Path, checksum: str, *, offline: bool) -> Path:
    """Download a file to `path` from the first URL that has it, unless it is there already.

    checksum: a SHA-256, or `md5:` and an MD5.
    Raises UsageError with the remedy if the file cannot be downloaded, or is not there and `offline` is set.
    """
    pooch = require("pooch", "files are downloaded with pooch")
    hash_matches = require("pooch.hashes", "files are downloaded with pooch").hash_matches
    if path.is_file() and hash_matches(path, checksum):
        return path
    by_hand = f"download {urls[0]} elsewhere and put it at {path}"
    if offline:
        raise UsageError(f"{path} is missing or damaged, and --offline allows no connection; {by_hand}")
    pooch.get_logger().setLevel(logging.WARNING)
    reasons = []
    for url in urls:
        try:
            pooch.retrieve(url, checksum, fname=path.name, path=path.parent, downloader=_download)
            return path
        except (OSError, ValueError) as error:  # no connection, no answer, or another file
            reasons.append(f"{url}: {one_line(error)}")
    raise UsageError(f"cannot get {path.name} ({'; '.join(reasons)}); {by_hand}")


def _download(url: str, target: str, _: Any) -> None:
    """Download a file for pooch; request only the part that an interrupted attempt lacks."""
    import requests

    partial = _partial_file(url, Path(target).parent)
    size = partial.stat().st_size if partial.is_file() else 0
    headers = {"Accept-Encoding": "identity"}  # ranges and Content-Length are those of the file itself
    if size:
        headers["Range"] = f"bytes={size}-"
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
        if response.status_code != RANGE_NOT_SATISFIABLE:  # else the file is complete
            response.raise_for_status()
            _write(response, partial, append=response.status_code == PARTIAL_CONTENT)
    os.replace(partial, target)


def _write(response: "Response", partial: Path, *, append: bool) -> None:
    pieces = response.iter_content(PIECE_BYTES)
    size = int(response.headers.get("Content-Length", 0))
    with partial.open("ab" if append else "wb") as file:
        for piece in track(pieces, partial.name, total=size / PIECE_BYTES or None):
            file.write(piece)


def _partial_file(url: str, folder: Path) -> Path:
    return folder / f"{url.rpartition('/')[2]}.part"
