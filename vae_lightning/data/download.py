"""Files from the web: whole by their checksum or not at all, gone on with where they were cut off, and not for ever."""

import errno
import hashlib
import http.client
import logging
import queue
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

from tqdm import tqdm

logger = logging.getLogger(__name__)

_CHUNK = 2**16  # bytes
_SUMS = {"md5": "MD5", "sha256": "SHA-256", "git": "Git hash"}
_NO_NETWORK = (errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH)


@dataclass(frozen=True)
class Limits:
    """What a server is granted.

    Attributes:
        silence: seconds that it may send nothing, before its first byte too.
        window: seconds over which its speed is measured.
        slowest: bytes a second; one that is slower over a whole window is given up.
        largest: bytes of a file.
    """

    silence: float = 10.0
    window: float = 20.0
    slowest: float = 5000.0
    largest: int = 100_000_000


class DownloadError(Exception):
    """No server had the file; says on one line what each of them did, or that there is no network."""


def download(urls: Sequence[str], path: Path, checksum: str, limits: Limits) -> None:
    """Fetches a file from the first of the addresses that has it; what there is of it already is not fetched again.

    Until it is whole it is called `<name>.part`, which stays for the next time when all servers fail.

    Args:
        urls: http or https, tried in turn.
        path: in a folder that is there.
        checksum: of the whole content: an MD5 in hexadecimal, or "sha256:" or "git:" (the name that Git gives it) and
            that.
        limits: for each of the servers.

    Raises DownloadError, and OSError for a file that can't be written.
    """
    if path.exists() and has_checksum(path, checksum):
        return
    part = path.with_name(f"{path.name}.part")
    if part.is_symlink():  # it would be written where that leads
        part.unlink()
    failures, is_offline = [], True
    for url in urls:
        try:
            went_on = _fetch(url, part, limits)
            if went_on and not has_checksum(part, checksum):  # from what was of another file
                part.unlink()
                _fetch(url, part, limits)
            if has_checksum(part, checksum):
                part.replace(path)
                return
            part.unlink()
            failures.append(f"{url}: is another file, by its {_SUMS[_algorithm(checksum)]}")
            is_offline = False
        except _ServerError as error:
            failures.append(f"{url}: {error}")
            is_offline = is_offline and isinstance(error, _OfflineError)
    raise DownloadError("there is no network: " * is_offline + "; ".join(failures))


def has_checksum(path: Path, checksum: str) -> bool:
    """Whether this is the sum of a file's content, in the form that `download` takes; raises OSError."""
    with path.open("rb") as file:
        if _algorithm(checksum) != "git":
            new = partial(hashlib.new, _algorithm(checksum), usedforsecurity=False)
            return hashlib.file_digest(file, new).hexdigest() == checksum.rpartition(":")[2]
        digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest() == checksum.rpartition(":")[2]


def _algorithm(checksum: str) -> str:
    return checksum.partition(":")[0] if ":" in checksum else "md5"


class _ServerError(Exception):
    pass


class _OfflineError(_ServerError):
    """The server can't be reached, as none can without a network."""


def _fetch(url: str, part: Path, limits: Limits) -> bool:
    """Fetch what is missing of the file; whether it was gone on with."""
    have = part.stat().st_size if part.exists() else 0
    reader = _Reader(url, have, limits.silence)
    try:
        with tqdm(desc=f"downloading {url}", unit="B", unit_scale=True, disable=None) as progress:
            chunks = _watched(reader, limits)
            starts_at = int.from_bytes(next(chunks), "big")
            logger.info("downloading %s%s", url, f", from byte {starts_at} on" if starts_at else "")
            with part.open("r+b" if starts_at else "wb") as file:
                file.truncate(starts_at)
                file.seek(starts_at)
                for chunk in chunks:
                    file.write(chunk)
                    progress.update(len(chunk))
                    if file.tell() > limits.largest:
                        raise _ServerError(f"sends more than {limits.largest} bytes")
        return starts_at > 0
    finally:
        reader.is_wanted = False


def _watched(reader: "_Reader", limits: Limits) -> Iterator[bytes]:
    """What the server sends, while it is fast enough."""
    reader.start()
    window_ends, in_window = time.monotonic() + limits.window, 0
    while True:
        left = max(0.0, min(limits.silence, window_ends - time.monotonic()))
        try:
            received = reader.received.get(timeout=left)
        except queue.Empty:
            if left == limits.silence:
                raise _ServerError(f"timed out (silent for {limits.silence:g} s)") from None
            received = b""
        if isinstance(received, Exception):
            kind = _OfflineError if _is_of_no_network(received) else _ServerError
            raise kind(" ".join(str(received).split()) or type(received).__name__) from received
        if received is None:
            return
        if received:
            yield received
        in_window += len(received)
        if time.monotonic() >= window_ends:
            if in_window < limits.slowest * limits.window:
                raise _ServerError(f"slower than {limits.slowest / 1000:g} kB/s for {limits.window:g} s")
            window_ends, in_window = time.monotonic() + limits.window, 0


class _Reader(threading.Thread):
    """Reads a connection, for no time-out of a socket holds against a server that sends a byte a second.

    `received` are the byte at which the content begins, the content in pieces, and None or what went wrong. A reader
    that is no longer wanted ends with its next byte.
    """

    def __init__(self, url: str, have: int, silence: float):
        super().__init__(daemon=True)
        self.received: queue.Queue[bytes | Exception | None] = queue.Queue(maxsize=64)
        self.is_wanted = True
        self._url = url
        self._have = have
        self._silence = 2 * silence  # of the socket; the other thread is sooner to say so

    def run(self) -> None:
        """Reads until the end or until it is no longer wanted."""
        try:
            with self._open() as response:
                self._put(self._starts_at(response).to_bytes(8, "big"))
                while self.is_wanted and (chunk := response.read1(_CHUNK)):
                    self._put(chunk)
                if response.length:
                    raise http.client.IncompleteRead(b"", response.length)
            self._put(None)
        except Exception as error:  # whatever it is, the other thread tells it
            self._put(error)

    def _open(self) -> http.client.HTTPResponse:
        headers = {"Range": f"bytes={self._have}-"} if self._have else {}
        request = urllib.request.Request(self._url, headers={"User-Agent": "vae_lightning", **headers})
        try:
            return cast(http.client.HTTPResponse, urllib.request.urlopen(request, timeout=self._silence))
        except urllib.error.HTTPError as error:
            if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not self._have:
                raise
            self._have = 0  # as long as the whole or longer, and yet not the file
            return self._open()

    def _starts_at(self, response: http.client.HTTPResponse) -> int:
        is_rest = response.status == 206 and str(response.headers["Content-Range"]).startswith(f"bytes {self._have}-")
        return self._have if is_rest else 0

    def _put(self, item: bytes | Exception | None) -> None:
        while self.is_wanted:
            try:
                self.received.put(item, timeout=1)
            except queue.Full:
                continue  # the other thread is writing, or has given up
            return


def _is_of_no_network(error: Exception) -> bool:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return isinstance(reason, socket.gaierror) or (isinstance(reason, OSError) and reason.errno in _NO_NETWORK)
