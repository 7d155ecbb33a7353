"""A download from servers that are slow, silent, cut off, endless or wrong ends soon, in the file or in a line."""

import contextlib
import hashlib
import http.server
import logging
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from vae_lightning.data.download import DownloadError, Limits, download, has_checksum

CONTENT = np.random.default_rng(0).bytes(300_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
QUICK = Limits(silence=0.3, window=0.4, slowest=20_000, largest=1_000_000)


class Server(http.server.BaseHTTPRequestHandler):
    """Behaves as the first part of the path says, and notes the ranges that it is asked for."""

    ranges: list[tuple[str, str | None]]

    def log_message(self, *_):
        pass

    def do_GET(self):
        kind = self.path.split("/")[1]
        self.ranges.append((kind, self.headers["Range"]))
        with contextlib.suppress(OSError):  # the client has given up
            getattr(self, kind)()

    def start(self, length: int | None, first: int = 0) -> None:
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(CONTENT) - 1}/{len(CONTENT)}")
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def first_wanted(self) -> int:
        return int((self.headers["Range"] or "bytes=0-")[6:-1])

    def good(self) -> None:
        first = self.first_wanted()
        if first >= len(CONTENT):
            self.send_error(416)
            return
        self.start(len(CONTENT) - first, first)
        self.wfile.write(CONTENT[first:])

    def without_ranges(self) -> None:
        self.start(len(CONTENT))
        self.wfile.write(CONTENT)

    def cut(self) -> None:
        first = self.first_wanted()
        self.start(len(CONTENT) - first, first)
        self.wfile.write(CONTENT[first : first + 100_000])

    def wrong(self) -> None:
        self.start(5)
        self.wfile.write(b"wrong")

    def absent(self) -> None:
        self.send_error(404)

    def silent(self) -> None:
        time.sleep(1)

    def stalls(self) -> None:
        self.start(len(CONTENT))
        self.wfile.write(CONTENT[:1000])
        time.sleep(1)

    def drips(self) -> None:
        self.start(len(CONTENT))
        for number in range(30):
            self.wfile.write(CONTENT[number : number + 1])
            time.sleep(0.05)

    def drips_its_headers(self) -> None:
        for letter in b"HTTP/1.0 200 OK\r\nX-Header: " + b"x" * 10:
            self.wfile.write(bytes([letter]))
            time.sleep(0.05)

    def endless(self) -> None:
        self.start(None)
        for _ in range(100):
            self.wfile.write(bytes(100_000))


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(Server, "ranges", [], raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as instance:
        instance.daemon_threads = True
        instance.block_on_close = False
        threading.Thread(target=lambda: instance.serve_forever(0.02), daemon=True).start()
        yield f"http://127.0.0.1:{instance.server_address[1]}"
        instance.shutdown()


def fetch(server: str, folder: Path, *kinds: str, limits: Limits = QUICK) -> bytes:
    download([f"{server}/{kind}/file" for kind in kinds], folder / "file", MD5, limits)
    assert [path.name for path in folder.iterdir()] == ["file"]
    return (folder / "file").read_bytes()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("wrong", "is another file, by its MD5"),
        ("absent", "HTTP Error 404: Not Found"),
        ("silent", "timed out (silent for 0.3 s)"),
        ("stalls", "timed out (silent for 0.3 s)"),
        ("drips", "slower than 20 kB/s for 0.4 s"),
        ("drips_its_headers", "timed out (silent for 0.3 s)"),
        ("endless", "sends more than 1000000 bytes"),
        ("cut", "IncompleteRead(0 bytes read, 200000 more expected)"),
    ],
)
def test_a_server_that_fails_is_told_in_a_line_and_the_next_one_is_asked(server, tmp_path, kind, reason):
    start = time.monotonic()
    with pytest.raises(DownloadError) as error:
        fetch(server, tmp_path, kind)
    assert time.monotonic() - start < 5
    assert str(error.value) == f"{server}/{kind}/file: {reason}"
    assert not (tmp_path / "file").exists()
    assert fetch(server, tmp_path, kind, "good") == CONTENT


def test_all_servers_that_failed_are_told(server, tmp_path):
    with pytest.raises(DownloadError, match=r"^\S+/absent/file: .*; \S+/wrong/file: is another file, by its MD5$"):
        fetch(server, tmp_path, "absent", "wrong")


def test_what_was_cut_off_is_gone_on_with_at_the_next_server_and_the_next_start(server, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    with pytest.raises(DownloadError):
        fetch(server, tmp_path, "cut", "cut")
    assert (tmp_path / "file.part").read_bytes() == CONTENT[:200_000]
    assert fetch(server, tmp_path, "good") == CONTENT
    assert Server.ranges == [("cut", None), ("cut", "bytes=100000-"), ("good", "bytes=200000-")]
    assert f"downloading {server}/good/file, from byte 200000 on" in caplog.text


@pytest.mark.parametrize("part", [b"x" * 1000, b"x" * 400_000, CONTENT, CONTENT + b"x"])
@pytest.mark.parametrize("kind", ["good", "without_ranges"])
def test_a_part_of_another_file_is_no_hindrance(server, tmp_path, part, kind):
    (tmp_path / "file.part").write_bytes(part)
    assert fetch(server, tmp_path, kind) == CONTENT


def test_a_file_that_is_there_is_not_fetched_again_unless_it_is_another(server, tmp_path):
    (tmp_path / "file").write_bytes(CONTENT)
    assert fetch(server, tmp_path, "good") == CONTENT
    assert Server.ranges == []
    (tmp_path / "file").write_bytes(CONTENT[:-1])
    assert fetch(server, tmp_path, "good") == CONTENT
    assert len(Server.ranges) == 1


def test_a_slow_server_that_is_fast_enough_is_waited_for(server, tmp_path):
    with pytest.raises(DownloadError, match="more expected"):  # as it ends too early
        fetch(server, tmp_path, "drips", limits=Limits(silence=0.3, window=0.4, slowest=10))


def test_a_reader_that_is_given_up_ends(server, tmp_path):
    before = set(threading.enumerate())
    for kind in ("drips", "endless"):
        with pytest.raises(DownloadError):
            fetch(server, tmp_path, kind)
    deadline = time.monotonic() + 10
    while any(thread.name.startswith("Thread") and type(thread).__name__ == "_Reader" for thread in alive(before)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(before: set[threading.Thread]) -> set[threading.Thread]:
    return set(threading.enumerate()) - before


SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
GIT = "git:" + hashlib.sha1(b"blob 300000\0" + CONTENT).hexdigest()


@pytest.mark.parametrize(("checksum", "told"), [(SHA256, "SHA-256"), (GIT, "Git hash")])
def test_other_checksums_tell_a_file_too(server, tmp_path, checksum, told):
    with pytest.raises(DownloadError, match=f"is another file, by its {told}$"):
        download([f"{server}/good/file"], tmp_path / "file", checksum[:-1] + "x", QUICK)
    download([f"{server}/wrong/file", f"{server}/good/file"], tmp_path / "file", checksum, QUICK)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_git_hash_is_gits(tmp_path):
    (tmp_path / "file").write_bytes(b"what is up, doc?")
    assert has_checksum(tmp_path / "file", "git:bd9dbf5aae1a3862dd1526723246b20206e5fc37")


@pytest.fixture
def no_network(monkeypatch):
    """Names of the form *.invalid can't be looked up."""
    known = socket.getaddrinfo

    def looked_up(host, *arguments, **options):
        if host.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return known(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)


@pytest.mark.usefixtures("no_network")
def test_no_network_is_called_that(tmp_path):
    with pytest.raises(DownloadError) as error:
        fetch("http://one.invalid", tmp_path, "good", "good")
    assert str(error.value).startswith("there is no network: http://one.invalid/good/file: ")
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("no_network")
def test_a_server_that_answers_is_a_network(server, tmp_path):
    with pytest.raises(DownloadError) as error:
        download(["http://one.invalid/file", f"{server}/absent/file"], tmp_path / "file", MD5, QUICK)
    assert "there is no network" not in str(error.value)


def test_a_link_in_the_place_of_a_part_is_not_written_through(server, tmp_path):
    (tmp_path / "victim").write_bytes(b"mine")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "file.part").symlink_to(tmp_path / "victim")
    assert fetch(server, tmp_path / "set", "good") == CONTENT
    assert (tmp_path / "victim").read_bytes() == b"mine"
