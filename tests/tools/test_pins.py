"""`make` installs only files whose hashes constraints.txt lists."""

import hashlib
import json
import subprocess
import threading
import venv
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pins import CONSTRAINTS, Pin, find_faults, read_pins
from update_pins import MEDIA_TYPE, is_wanted, read_files, with_hashes

DIGEST, OTHER = "a" * 64, "b" * 64
PINS = read_pins(f"# A comment.\nSome_Package==1.0\n    # sha256:{DIGEST}\nother==2.0\n    # sha256:{OTHER}\n")


def installed(name: str, version: str, digest: str, *, direct: bool = False) -> dict[str, Any]:
    source = {"url": f"https://example.org/{name}.whl", "archive_info": {"hashes": {"sha256": digest}}}
    return {"download_info": source, "is_direct": direct, "metadata": {"name": name, "version": version}}


def faults(*items: dict[str, Any]) -> list[str]:
    return list(find_faults({"install": items}, PINS).values())


def test_constraints_are_pins_with_hashes_in_alphabetical_order() -> None:
    text = CONSTRAINTS.read_text()
    pins = read_pins(text)
    assert all(pin.hashes for pin in pins.values())
    body = [line for line in text.splitlines() if not line.startswith("#")]
    assert body == [line for _, pin in sorted(pins.items()) for line in pin.lines]


def test_a_file_that_is_pinned_has_no_fault() -> None:
    assert not faults(installed("some.package", "1.0", DIGEST))


def test_a_file_with_the_hash_of_another_package_is_a_fault() -> None:
    (fault,) = faults(installed("some-package", "1.0", OTHER), installed("other", "2.0", OTHER))
    assert fault == f"https://example.org/some-package.whl has the SHA-256 {OTHER}, which is not in constraints.txt"


def test_a_package_without_a_pin_is_a_fault() -> None:
    assert faults(installed("third", "3.0", DIGEST)) == ["third 3.0 is not in constraints.txt"]


def test_what_the_user_chose_is_not_compared() -> None:
    assert not faults(installed("mbcbench", "0.2.0", DIGEST, direct=True), installed("other", "2.0+cpu", DIGEST))


def test_the_hash_is_read_from_reports_of_older_pips() -> None:
    item = installed("other", "2.0", OTHER)
    item["download_info"]["archive_info"] = {"hash": f"sha256={OTHER}"}
    assert not faults(item)


def write_wheel(folder: Path) -> str:
    """Write a wheel of `other` 2.0, and return its SHA-256."""
    path, info = folder / "other-2.0-py3-none-any.whl", "other-2.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("other.py", "")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: other\nVersion: 2.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"other.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
def test_a_package_that_differs_is_uninstalled(tmp_path: Path) -> None:
    digest = write_wheel(tmp_path)
    (tmp_path / "tools").mkdir()
    script = tmp_path / "tools/pins.py"
    script.write_text(Path(find_faults.__code__.co_filename).read_text())
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv/bin/python")

    def install(pinned: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "constraints.txt").write_text("\n".join(Pin("other", "2.0", frozenset([pinned])).lines))
        pip = [python, "-m", "pip", "install", "--quiet", "--no-index", "--find-links", str(tmp_path)]
        subprocess.run([*pip, "--report", "report.json", "other"], cwd=tmp_path, check=True)
        return subprocess.run(
            [python, script, "report.json"], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    def is_installed() -> bool:
        return subprocess.run([python, "-c", "import other"], capture_output=True, check=False).returncode == 0

    wrong = install(DIGEST)
    assert wrong.returncode == 1
    assert f"other-2.0-py3-none-any.whl has the SHA-256 {digest}" in wrong.stderr
    assert not is_installed()
    assert install(digest).returncode == 0
    assert is_installed()


@pytest.mark.parametrize(
    ("filename", "wanted"),
    [
        ("x-1.0.tar.gz", True),
        ("x-1.0-py2.py3-none-any.whl", True),
        ("x-1.0-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl", True),
        ("x-1.0-cp313-cp313-macosx_14_0_arm64.whl", True),
        ("x-1.0-cp38-abi3-manylinux2014_aarch64.whl", True),
        ("x-1.0-cp312-none-manylinux_2_28_x86_64.whl", True),
        ("x-1.0-py3-none-manylinux_2_28_x86_64.whl", True),
        ("x-1.1.tar.gz", False),
        ("x-1.0-cp310-cp310-manylinux_2_28_x86_64.whl", False),
        ("x-1.0-cp313-cp313t-manylinux_2_28_x86_64.whl", False),
        ("x-1.0-cp311-cp311-musllinux_1_2_x86_64.whl", False),
        ("x-1.0-cp311-cp311-win_amd64.whl", False),
        ("x-1.0-pp311-pypy311_pp73-manylinux_2_28_x86_64.whl", False),
        ("x-1.0.win32-py2.4.exe", False),
        ("x-1.0.dev3460.tar.gz", False),
    ],
)
def test_hashes_are_those_of_files_for_supported_machines(filename: str, wanted: bool) -> None:
    assert is_wanted(filename, "1.0") == wanted


def test_a_version_that_the_index_lacks_ends_the_update() -> None:
    files = [{"filename": "x-1.0.tar.gz", "hashes": {"sha256": DIGEST}}]
    assert with_hashes(Pin("x", "1.0"), files).hashes == {DIGEST}
    with pytest.raises(SystemExit, match=r"the index has no file of x 1\.1"):
        with_hashes(Pin("x", "1.1"), files)


@pytest.fixture
def index() -> Iterator[str]:
    """Serve an index that has some-package in JSON and other in HTML."""

    class Index(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", MEDIA_TYPE if self.path == "/simple/some-package/" else "text/html")
            self.end_headers()
            self.wfile.write(json.dumps({"files": [{"filename": "x-1.0.tar.gz"}]}).encode())

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Index) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple/"
        server.shutdown()


def test_an_index_is_read_in_json_and_nothing_else(index: str) -> None:
    assert read_files(index, "Some.Package") == [{"filename": "x-1.0.tar.gz"}]
    with pytest.raises(SystemExit, match="other/: 200 OK, text/html"):
        read_files(index, "other")
