"""Downloads from a local server: verified, resumed, never incomplete."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from mbcbench.datasets import download
from mbcbench.datasets.mnist import MNIST
from mbcbench.errors import UsageError

CONTENT = bytes(range(256)) * 20
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT under /file, in ranges, and records the requested ranges."""

    requested_ranges: list[str | None]
    supports_ranges = True

    def do_GET(self) -> None:
        type(self).requested_ranges.append(self.headers["Range"])
        start = int((self.headers["Range"] or "bytes=0-")[6:-1]) if self.supports_ranges else 0
        status = 404 if self.path != "/file" else 416 if start >= len(CONTENT) else 206 if start else 200
        body = CONTENT[start:] if status in {200, 206} else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def handler() -> type[Handler]:
    class FreshHandler(Handler):
        requested_ranges: list[str | None] = []  # noqa: RUF012

    return FreshHandler


@pytest.fixture
def server(handler: type[Handler]) -> Iterator[str]:
    """Return the address of the server."""
    with HTTPServer(("127.0.0.1", 0), handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}/"
        serving.shutdown()
        thread.join()


def test_a_file_is_downloaded_once(server: str, handler: type[Handler], tmp_path: Path) -> None:
    for _ in range(2):
        path = download.fetch_file([server + "file"], tmp_path / "below" / "name", SHA256, offline=False)
        assert path.read_bytes() == CONTENT
    assert handler.requested_ranges == [None]
    assert [file.name for file in path.parent.iterdir()] == ["name"]


def test_the_next_mirror_is_used_if_one_does_not_have_the_file(server: str, tmp_path: Path) -> None:
    urls = [server + "other", server + "file"]
    assert download.fetch_file(urls, tmp_path / "file", f"sha256:{SHA256}", offline=False).read_bytes() == CONTENT


@pytest.mark.parametrize("supports_ranges", [True, False])
def test_an_interrupted_download_is_resumed(
    server: str, handler: type[Handler], tmp_path: Path, supports_ranges: bool
) -> None:
    handler.supports_ranges = supports_ranges
    (tmp_path / "file.part").write_bytes(CONTENT[:1000])
    assert download.fetch_file([server + "file"], tmp_path / "file", SHA256, offline=False).read_bytes() == CONTENT
    assert handler.requested_ranges == ["bytes=1000-"]
    assert not (tmp_path / "file.part").exists()


def test_a_complete_partial_file_is_used(server: str, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT)
    assert download.fetch_file([server + "file"], tmp_path / "file", SHA256, offline=False).read_bytes() == CONTENT


def test_a_file_with_another_checksum_is_not_stored(server: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot get file .*; download .* elsewhere and put it at"):
        download.fetch_file([server + "file"], tmp_path / "file", "md5:" + "0" * 32, offline=False)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_downloaded_again(server: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"damaged")
    assert download.fetch_file([server + "file"], tmp_path / "file", SHA256, offline=False).read_bytes() == CONTENT


def test_offline_makes_no_connection(server: str, handler: type[Handler], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"file is missing or damaged, and --offline allows no connection"):
        download.fetch_file([server + "file"], tmp_path / "file", SHA256, offline=True)
    (tmp_path / "file").write_bytes(CONTENT)
    assert download.fetch_file([server + "file"], tmp_path / "file", SHA256, offline=True).read_bytes() == CONTENT
    assert handler.requested_ranges == []


def test_a_server_that_does_not_answer_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot get file \(http://127\.0\.0\.1:9/file: ConnectionError"):
        download.fetch_file(["http://127.0.0.1:9/file"], tmp_path / "file", SHA256, offline=False)


def test_a_data_set_is_fetched_from_its_mirrors(server: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MNIST, "mirrors", (server + "no/", server))
    monkeypatch.setattr(MNIST, "checksums", {"file": SHA256})
    monkeypatch.setattr(MNIST, "load", lambda self: None)
    MNIST().fetch()
    assert (root / "MNIST" / "raw" / "file").read_bytes() == CONTENT
