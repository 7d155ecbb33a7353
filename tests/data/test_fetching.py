"""A set comes whole, from whichever server has it, or not at all."""

import contextlib
import http.server
import logging
import socket
import threading
import time
from collections import namedtuple
from pathlib import Path

import pytest

from tests.data.sets import md5, served, written
from vae_lightning.building.trust import Trust, trusting
from vae_lightning.config import instantiate
from vae_lightning.data.cache import locked
from vae_lightning.data.cifar10 import CIFAR10
from vae_lightning.data.download import DownloadError, Limits
from vae_lightning.data.fetching import Fetching, NoSpaceError, RemoteFile
from vae_lightning.data.named_set import NamedSet
from vae_lightning.errors import UserError

CONTENTS = {"a.bin": b"a" * 50_000, "b.bin": b"b" * 70_000}
SETS = {
    "caltech101.Caltech101": "Caltech101Silhouettes",
    "cifar10.CIFAR10": "cifar-10-batches-bin",
    "emnist.EMNIST": "EMNIST/raw",
    "fashion_mnist.FashionMNIST": "FashionMNIST/raw",
    "kmnist.KMNIST": "KMNIST/raw",
    "medmnist.MedMNIST": "medmnist",
    "mnist.MNIST": "MNIST/raw",
    "omniglot.Omniglot": "OMNIGLOT",
    "svhn.SVHN": "SVHN",
}


class Unreliable(http.server.BaseHTTPRequestHandler):
    """Stalls, stops or lies, as the first part of the path says."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        kind, name = self.path.strip("/").split("/")
        content = CONTENTS[name]
        with contextlib.suppress(OSError):  # the client has given up
            if kind == "absent":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[::-1][:-1] + b"x" if kind == "lies" else content[:20_000])
            if kind == "stalls":
                time.sleep(1)


@pytest.fixture
def unreliable():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Unreliable) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=lambda: server.serve_forever(0.02), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("vae_lightning.data.fetching._LIMITS", Limits(silence=0.3, window=0.4))


def fetching(folder: Path, *places: str, **others) -> Fetching:
    files = [
        RemoteFile(name, tuple(f"{place}/{name}" for place in places), md5(content), len(content))
        for name, content in CONTENTS.items()
    ]

    def is_complete() -> bool:
        return all((folder / name).exists() for name in CONTENTS)

    def unpack(temporary: Path) -> list[Path]:
        return [temporary / name for name in CONTENTS]

    return Fetching("The set", folder, is_complete, lambda: files, unpack, **others)


@pytest.mark.parametrize("kinds", [["stalls"], ["cut"], ["lies"], ["absent"], ["stalls", "cut", "lies", "absent"]])
def test_mirrors_are_asked_in_turn(tmp_path, unreliable, kinds):
    folder = tmp_path / "set"
    with served(written(tmp_path / "mirror", CONTENTS)) as good:
        fetching(folder, *(f"{unreliable}/{kind}" for kind in kinds), good.rstrip("/"))()
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"} == CONTENTS


def test_all_files_appear_or_none_does_and_the_next_start_goes_on(tmp_path, unreliable):
    folder = tmp_path / "set"
    told = pytest.raises(DownloadError, match=r"b\.bin: HTTP Error 404: .*IncompleteRead")
    with served(written(tmp_path / "mirror", {"a.bin": CONTENTS["a.bin"]})) as half, told:
        fetching(folder, half.rstrip("/"), f"{unreliable}/cut")()
    assert {path.name for path in folder.iterdir()} == {".lock", ".download"}
    assert {path.name for path in (folder / ".download").iterdir()} == {"a.bin", "b.bin.part"}
    with served(written(tmp_path / "other", {"b.bin": CONTENTS["b.bin"]})) as rest:
        fetching(folder, rest.rstrip("/"))()
    assert {path.name for path in folder.iterdir()} == {".lock", *CONTENTS}


class KilledError(BaseException):
    pass


@pytest.fixture
def left(tmp_path, monkeypatch) -> Path:
    """A set whose fetching was killed when all files were in their places: what it left has not been cleared away."""

    def killed(*_, **__):
        raise KilledError

    folder = tmp_path / "set"
    with monkeypatch.context() as patch, served(written(tmp_path / "mirror", CONTENTS)) as good:
        patch.setattr("vae_lightning.data.fetching.shutil.rmtree", killed)
        with pytest.raises(KilledError):
            fetching(folder, good.rstrip("/"))()
    (folder / ".download/archive.zip").touch()
    return folder


def test_what_was_left_by_one_that_was_killed_last_of_all_is_cleared_away(left):
    fetching(left).clear()
    assert {path.name for path in left.iterdir()} == {".lock", *CONTENTS}


def test_nothing_is_cleared_away_that_somebody_needs_yet(left):
    with locked(left):
        fetching(left).clear()
    assert (left / ".download").is_dir()
    part = written(left / ".download", {"of_another_set.npz.part": b"x"}) / "of_another_set.npz.part"
    fetching(left).clear()
    assert part.is_file()
    part.unlink()
    (left / "a.bin").unlink()
    fetching(left).clear()
    assert (left / ".download").is_dir()


def test_the_next_start_clears_away_what_a_set_has_left_but_not_where_a_stored_config_says(tmp_path):
    folder = written(tmp_path / "cifar-10-batches-bin", dict.fromkeys(CIFAR10.needed, b""))
    written(folder / ".download", {"binary.tar.gz": b"x"})
    node = {"_target_": "vae_lightning.data.cifar10.CIFAR10", "root": str(tmp_path)}
    instantiate(node, "data", trusted=Trust()).prepare_data()
    assert {path.name for path in folder.iterdir()} == {".download", *CIFAR10.needed}
    instantiate(node, "data", trusted=trusting((), ["data.root"])).prepare_data()
    assert {path.name for path in folder.iterdir()} == {".lock", *CIFAR10.needed}


def test_what_is_coming_is_told_and_no_room_for_it_ends_it_at_once(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    usage = namedtuple("usage", "free")(200_000)
    monkeypatch.setattr("vae_lightning.data.fetching.disk_usage", lambda _: usage)
    with served(written(tmp_path / "mirror", CONTENTS)) as good:
        with pytest.raises(NoSpaceError, match=r"^2 MB are needed and 1 MB are free$"):
            fetching(tmp_path / "set", good.rstrip("/"), num_unpacked=1_000_000)()
        assert not list((tmp_path / "set").glob("*.bin"))
        fetching(tmp_path / "set", good.rstrip("/"), num_unpacked=80_000)()
    assert f"The set: downloading up to 1 MB into {tmp_path}/set" in caplog.text


def test_no_room_is_told_with_the_key(tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")(5_000_000)
    monkeypatch.setattr("vae_lightning.data.fetching.disk_usage", lambda _: usage)
    told = r"^data\.root=.*: CIFAR-10 is not in .* \(356 MB are needed and 5 MB are free\); give data\.root="
    with pytest.raises(UserError, match=told):
        CIFAR10(root=str(tmp_path)).prepare_data()


@pytest.mark.parametrize("name", SETS)
def test_nothing_is_downloaded_to_where_a_stored_config_says(tmp_path, monkeypatch, name):
    downloads = []
    monkeypatch.setattr(NamedSet, "_fetch", lambda data: downloads.append(data.raw_folder))
    node = {"_target_": f"vae_lightning.data.{name}", "root": str(tmp_path / "data")}
    with pytest.raises(UserError, match=rf"^data\.root={tmp_path}/data: .*a stored config names; type data\.root="):
        instantiate(node, "data", trusted=Trust()).prepare_data()
    assert (downloads, (tmp_path / "data").exists()) == ([], False)
    typed = instantiate(node, "data", trusted=trusting((), ["data.root"]))
    with contextlib.suppress(UserError):  # of MedMNIST, which looks into its file
        typed.prepare_data()
    assert downloads == [tmp_path / "data" / SETS[name]]


@pytest.mark.parametrize("name", SETS)
def test_no_network_is_one_line(tmp_path, monkeypatch, name):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    facts = {"url": "http://zenodo/it.npz", "MD5": "0", "n_samples": {"train": 1}, "n_channels": 3, "label": {}}
    monkeypatch.setattr("vae_lightning.data.medmnist._known_sets", lambda: {"pathmnist": facts})
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    node = {"_target_": f"vae_lightning.data.{name}", "root": str(tmp_path)}
    with pytest.raises(UserError) as error:
        instantiate(node, "data").prepare_data()
    assert str(error.value).startswith(f"data.root={tmp_path}: ")
    assert " cannot be downloaded (there is no network: http" in str(error.value)
    assert "\n" not in str(error.value)
