"""Compare what pip installed with constraints.txt, and uninstall what differs: `python tools/pins.py REPORT`.

REPORT is written by `pip install --report`. pip itself checks hashes only if every requirement has one, and a checkout
cannot have one. So `make` compares after the installation, in which wheels run no code. This file imports nothing that
was installed.
"""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONSTRAINTS = Path(__file__).parent.parent / "constraints.txt"
PIN = re.compile(r"([\w.-]+)==(\S+)")
HASH = re.compile(r" +# sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Pin:
    """Pinned version of a package, and the SHA-256 of its files."""

    name: str
    version: str
    hashes: frozenset[str] = frozenset()

    @property
    def lines(self) -> list[str]:
        """Lines of constraints.txt. pip takes the hashes for comments."""
        return [f"{self.name}=={self.version}", *(f"    # sha256:{digest}" for digest in sorted(self.hashes))]


def canonical(name: str) -> str:
    """Return the name of a package as package indexes spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_pins(text: str) -> dict[str, Pin]:
    """Return the pins of constraints.txt by the canonical names of their packages."""
    pins: dict[str, Pin] = {}
    pin = None
    for line in text.splitlines():
        if match := PIN.fullmatch(line):
            pin = Pin(match[1], match[2])
        elif pin and (match := HASH.fullmatch(line)):
            pin = Pin(pin.name, pin.version, pin.hashes | {match[1]})
        if pin:
            pins[canonical(pin.name)] = pin
    return pins


def digest_of(archive: Mapping[str, Any]) -> str:
    """Return the SHA-256 of an installed file. pip before 23 writes the algorithm in front of it."""
    return str(archive.get("hashes", {}).get("sha256") or archive.get("hash", "").removeprefix("sha256="))


def find_faults(report: Mapping[str, Any], pins: Mapping[str, Pin]) -> dict[str, str]:
    """Return what is wrong with each package that was not installed from a pinned file.

    A checkout or file that was named is not compared. Neither is a local build, such as torch 2.13.0+cpu: PyPI accepts
    none, so it is from an index that the user chose.
    """
    faults = {}
    for item in report["install"]:
        source, name, version = item["download_info"], item["metadata"]["name"], item["metadata"]["version"]
        if item["is_direct"] or "+" in version:
            continue
        pin, digest = pins.get(canonical(name)), digest_of(source["archive_info"])
        if pin is None:
            faults[name] = f"{name} {version} is not in constraints.txt"
        elif digest not in pin.hashes:
            faults[name] = f"{source['url']} has the SHA-256 {digest}, which is not in constraints.txt"
    return faults


def main(report: str) -> None:
    """Compare the packages of a report."""
    faults = find_faults(json.loads(Path(report).read_text("utf-8")), read_pins(CONSTRAINTS.read_text("utf-8")))
    if faults:
        subprocess.run([sys.executable, "-m", "pip", "uninstall", "--yes", "--quiet", *faults], check=True)
        sys.exit("\n".join([*faults.values(), "Uninstalled. CONTRIBUTING.md says how to pin packages."]))


if __name__ == "__main__":
    main(sys.argv[1])
