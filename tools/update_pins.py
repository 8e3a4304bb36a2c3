"""Write the hashes of constraints.txt: `python tools/update_pins.py INDEX`.

INDEX is the URL of the simple repository interface of a package index, of which the JSON form is read. The hashes are
those of all files that can be installed where mbcbench runs: the sdist, and the wheels for Linux and macOS.
"""

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import requests
from packaging.tags import Tag
from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename
from pins import CONSTRAINTS, Pin, canonical, read_pins

MEDIA_TYPE = "application/vnd.pypi.simple.v1+json"
PYTHONS = re.compile(r"py3\d*-none|\w+-abi3|(?P<python>cp3(1[1-9]|[2-9]\d))-(none|(?P=python))")
PLATFORMS = re.compile(r"any|(many)?linux.*_(x86_64|aarch64)|macosx_.*_(arm64|universal2)")


def is_supported(tag: Tag) -> bool:
    """Say whether a wheel with a tag can be installed where mbcbench runs."""
    return bool(PYTHONS.fullmatch(f"{tag.interpreter}-{tag.abi}") and PLATFORMS.fullmatch(tag.platform))


def is_wanted(filename: str, version: str) -> bool:
    """Say whether a file is an sdist or a supported wheel of a version."""
    try:
        if not filename.endswith(".whl"):
            return str(parse_sdist_filename(filename)[1]) == version
        _, found, _, tags = parse_wheel_filename(filename)
    except (InvalidSdistFilename, InvalidWheelFilename):  # installers for Windows, and names older than the standard
        return False
    return str(found) == version and any(map(is_supported, tags))


def with_hashes(pin: Pin, files: Iterable[Mapping[str, Any]]) -> Pin:
    """Return a pin with the hashes of those files of an index that are wanted."""
    hashes = frozenset(file["hashes"]["sha256"] for file in files if is_wanted(file["filename"], pin.version))
    if not hashes:
        sys.exit(f"the index has no file of {pin.name} {pin.version}")
    return replace(pin, hashes=hashes)


def read_files(index: str, name: str) -> list[Mapping[str, Any]]:
    """Return the files that an index has of a package."""
    url = f"{index.rstrip('/')}/{canonical(name)}/"
    answer = requests.get(url, headers={"Accept": MEDIA_TYPE}, timeout=60)
    if not answer.ok or answer.headers["Content-Type"] != MEDIA_TYPE:
        sys.exit(f"{url}: {answer.status_code} {answer.reason}, {answer.headers['Content-Type']}")
    files: list[Mapping[str, Any]] = answer.json()["files"]
    return files


def main(index: str) -> None:
    """Rewrite constraints.txt."""
    text = CONSTRAINTS.read_text("utf-8")
    lines = [line for line in text.splitlines() if line.startswith("#")]
    for _, pin in sorted(read_pins(text).items()):
        lines += with_hashes(pin, read_files(index, pin.name)).lines
    CONSTRAINTS.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
