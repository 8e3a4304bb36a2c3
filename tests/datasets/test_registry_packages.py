"""Packages of Debian and npm: fetched by their programs, verified, and read without being installed."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mbcbench.datasets import cache
from mbcbench.datasets.registry_packages import DebianPackage, NpmPackage, RegistryPackage
from mbcbench.errors import UsageError
from tests.datasets.packages import write_package

DEBIAN = DebianPackage("some-data", "1.0-2", "0" * 64)
NPM = NpmPackage("@some/data", "3.1.4", "0" * 64)
FILES = {"package/a.json": b"{}", "package/b.json": b"[1]", "c": b"odd"}
LOOP = b"!<arch>\n" + b"x".ljust(48) + b"-60".ljust(10) + b"`\n"  # the next file would be this one again
BOTH = pytest.mark.parametrize("package", [DEBIAN, NPM], ids=["debian", "npm"])


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the script that stands for apt-get and npm; it does nothing yet."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "apt-get"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    (folder / "npm").symlink_to(script)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return script


@BOTH
def test_some_files_of_a_package_are_read(package: RegistryPackage) -> None:
    written = write_package(package, FILES)
    assert dict(written.read(["package/b.json", "c"])) == {"package/b.json": b"[1]", "c": b"odd"}


@BOTH
def test_a_file_that_a_package_lacks_is_one_line(package: RegistryPackage) -> None:
    written = write_package(package, FILES)
    with pytest.raises(UsageError, match=rf"{written.file_name} has no d; delete it: get it elsewhere"):
        list(written.read(["c", "d"]))


@BOTH
def test_a_package_that_is_cut_off_is_one_line(package: RegistryPackage) -> None:
    written = write_package(package, FILES)
    written.path().write_bytes(written.path().read_bytes()[:-40])
    with pytest.raises(UsageError, match=rf"{written.file_name} is missing or damaged"):
        list(written.read(["c"]))


@BOTH
@pytest.mark.parametrize("content", [b"", b"!<arch>\n", b"<html>", LOOP])
def test_a_package_that_is_no_archive_is_one_line(package: RegistryPackage, content: bytes) -> None:
    written = write_package(package, FILES)
    written.path().write_bytes(content)
    expected = replace(written, sha256=cache.sha256(written.path()))
    with pytest.raises(UsageError, match=rf"{written.file_name} cannot be read"):
        list(expected.read(["c"]))


@BOTH
def test_a_package_is_fetched_by_the_program_of_its_registry(
    package: RegistryPackage, program: Path, root: Path
) -> None:
    written = write_package(package, FILES)
    source = shutil.move(written.path(), root / "source")
    program.write_text(f'#!/bin/sh\necho "$(basename $0) $*" >>{root}/calls\ncp {source} {written.file_name}\n')
    for _ in range(2):  # the second time it is there
        assert written.fetch() == written.path()
    assert (root / "calls").read_text() == " ".join(package.command) + "\n"
    assert [path.name for path in written.path().parent.iterdir()] == [written.file_name]


@BOTH
def test_a_package_of_other_content_is_not_stored(package: RegistryPackage, program: Path) -> None:
    program.write_text(f"#!/bin/sh\necho other >{package.file_name}\n")
    with pytest.raises(UsageError, match=rf"{package.file_name} is not the expected file \(SHA-256 0000"):
        package.fetch()
    assert not package.path().exists()


@pytest.mark.usefixtures("program")
@BOTH
def test_a_program_that_gets_nothing_is_one_line(package: RegistryPackage) -> None:
    with pytest.raises(
        UsageError, match=r"(apt-get download|npm pack) .* failed \(no file\); get it elsewhere"
    ) as raised:
        package.fetch()
    assert "\n" not in str(raised.value)


def test_the_reason_that_a_program_gives_is_in_the_line(program: Path) -> None:
    program.write_text("#!/bin/sh\necho 'W: noise' >&2\necho 'E: Unable to locate package some-data' >&2\nexit 100\n")
    with pytest.raises(
        UsageError, match=r"failed \(E: Unable to locate package some-data\); get it elsewhere .* put it at"
    ):
        DEBIAN.fetch()


@BOTH
def test_a_program_that_is_not_installed_is_one_line(package: RegistryPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        UsageError, match=rf"a package of {package.registry} and (apt-get|npm) is not installed; get it"
    ):
        package.fetch()


@BOTH
def test_offline_runs_no_program(package: RegistryPackage, program: Path, root: Path) -> None:
    program.write_text(f"#!/bin/sh\ntouch {root}/called\n")
    with pytest.raises(
        UsageError, match=r"is missing or damaged, and --offline allows no connection; get it elsewhere"
    ):
        package.fetch(offline=True)
    assert not root.exists()
