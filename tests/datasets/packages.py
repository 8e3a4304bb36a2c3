"""Small packages in the formats of Debian and npm."""

import io
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from mbcbench.datasets import cache
from mbcbench.datasets.registry_packages import DebianPackage, NpmPackage, RegistryPackage

Package = TypeVar("Package", bound=RegistryPackage)


def tar_bytes(files: Mapping[str, bytes], compression: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def ar_bytes(files: Mapping[str, bytes]) -> bytes:
    """Return an `ar` archive, whose files begin at even positions."""
    parts = [b"!<arch>\n"]
    for name, content in files.items():
        parts.append(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode())
        parts.append(content + b"\n" * (len(content) % 2))
    return b"".join(parts)


def write_package(package: Package, files: Mapping[str, bytes]) -> Package:
    """Write a package with some files into the folder of data sets; return it with its digest."""
    if isinstance(package, DebianPackage):
        inside = {f"./{name}": content for name, content in files.items()}
        content = ar_bytes(
            {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": tar_bytes(inside, "xz")}
        )
    else:
        assert isinstance(package, NpmPackage)
        content = tar_bytes(files, "gz")
    package.path().parent.mkdir(parents=True, exist_ok=True)
    package.path().write_bytes(content)
    return replace(package, sha256=cache.sha256(package.path()))
