import functools
import gzip
import hashlib
import http.server
import os
import socket
import struct
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from tests.memory import peak_bytes
from vae_lightning.data.download import Limits
from vae_lightning.data.idx import read_idx
from vae_lightning.data.idx_set import FILES
from vae_lightning.data.mnist import MNIST
from vae_lightning.errors import UserError

ARRAYS = {
    FILES[0]: np.random.default_rng(0).integers(0, 256, (48, 28, 28), dtype=np.uint8),
    FILES[1]: np.arange(48, dtype=np.uint8) % 10,
    FILES[2]: np.random.default_rng(1).integers(0, 256, (24, 28, 28), dtype=np.uint8),
    FILES[3]: np.arange(24, dtype=np.uint8) % 10,
}


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape) + array.tobytes()


def write_raw(root, suffix=""):
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, array in ARRAYS.items():
        content = gzip.compress(idx(array)) if suffix else idx(array)
        (raw / (name + suffix)).write_bytes(content)
    return raw


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A local mirror of a tiny MNIST; gives the folder it serves."""
    import torchvision

    folder = tmp_path / "mirror"
    folder.mkdir()
    packed = {f"{name}.gz": gzip.compress(idx(array)) for name, array in ARRAYS.items()}
    for name, content in packed.items():
        (folder / name).write_bytes(content)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as instance:
        threading.Thread(target=instance.serve_forever, daemon=True).start()
        resources = [(name, hashlib.md5(content).hexdigest()) for name, content in packed.items()]
        monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
        mirrors = [f"http://127.0.0.1:{instance.server_address[1]}/"]
        monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", mirrors)
        yield folder
        instance.shutdown()


def sizes(data: MNIST) -> list[int]:
    return [len(data.splits[split]) for split in ("train", "val", "test")]


def check_content(data: MNIST) -> None:
    assert sizes(data) == [44, 4, 24]
    pixels = torch.from_numpy(ARRAYS[FILES[0]])
    train, val = data.splits["train"], data.splits["val"]
    assert torch.equal(train.images(torch.arange(44))[:, 0], pixels[:44])
    assert torch.equal(val.images(torch.arange(4))[:, 0], pixels[44:])
    assert val.labels.tolist() == [4, 5, 6, 7]
    test = data.splits["test"].images(torch.arange(24))[:, 0]
    assert torch.equal(test, torch.from_numpy(ARRAYS[FILES[2]]))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_files_that_are_there_are_read_without_a_download(tmp_path, suffix):
    write_raw(tmp_path, suffix)
    data = MNIST(root=str(tmp_path))
    data.prepare_data()
    check_content(data)


def test_absent_files_are_downloaded_once(tmp_path, server):
    data = MNIST(root=str(tmp_path / "new"))
    data.prepare_data()
    for file in server.iterdir():
        file.unlink()
    data.prepare_data()
    check_content(data)
    left = {path.name for path in data.raw_folder.iterdir()} - {".lock"}
    assert left == set(FILES)


def test_a_broken_download_leaves_nothing_to_be_taken_for_data_and_the_next_start_succeeds(tmp_path, server):
    good = (server / f"{FILES[3]}.gz").read_bytes()
    (server / f"{FILES[3]}.gz").write_bytes(good[:-9])
    data = MNIST(root=str(tmp_path / "new"))
    with pytest.raises(UserError, match=r"data\.root=.*is another file, by its MD5"):
        data.prepare_data()
    assert {path.name for path in data.raw_folder.iterdir()} == {".lock", ".download"}
    with pytest.raises(UserError, match="is not in"):
        data.load_splits()
    (server / f"{FILES[3]}.gz").write_bytes(good)
    data.prepare_data()
    check_content(data)


def test_what_a_killed_download_left_is_not_taken_for_whole(tmp_path, server):
    data = MNIST(root=str(tmp_path / "new"))
    half = data.raw_folder / ".download"
    half.mkdir(parents=True)
    for name in FILES:
        (half / name).write_bytes(b"half")
        (half / f"{name}.gz").write_bytes(b"half")
        (half / f"{name}.gz.part").write_bytes(b"no half of it at all")
    data.prepare_data()
    check_content(data)
    assert not (data.raw_folder / ".download").exists()


def test_no_copy_and_no_network_is_one_clear_line(tmp_path, monkeypatch):
    import torchvision

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        mirrors = [f"http://127.0.0.1:{unused.getsockname()[1]}/"] * 2
        monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", mirrors)
        with pytest.raises(UserError) as error:
            MNIST(root=str(tmp_path)).prepare_data()
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(f"data.root={tmp_path}: MNIST is not in {tmp_path}/MNIST/raw")
    assert all(name in message for name in FILES)


def test_a_silent_server_is_not_waited_for_forever(tmp_path, monkeypatch):
    import torchvision

    monkeypatch.setattr("vae_lightning.data.fetching._LIMITS", Limits(silence=0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mirrors = [f"http://127.0.0.1:{silent.getsockname()[1]}/"]
        monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", mirrors)
        start = time.monotonic()
        with pytest.raises(UserError, match="timed out"):
            MNIST(root=str(tmp_path)).prepare_data()
    assert time.monotonic() - start < 5
    assert socket.getdefaulttimeout() is None


def test_a_root_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"data\.root=.*cannot be downloaded \(.*Not a directory"):
        MNIST(root=str(tmp_path / "file")).prepare_data()


@pytest.mark.parametrize("content", [b"", b"nonsense", idx(ARRAYS[FILES[1]])[:-3], b"\x00\x00\x08\x03\x00"])
def test_a_damaged_file_is_named(tmp_path, content):
    raw = write_raw(tmp_path)
    (raw / FILES[1]).write_bytes(content)
    with pytest.raises(UserError, match=rf"{FILES[1]} or its \.gz is damaged \(.+\); give data\.root=<"):
        MNIST(root=str(tmp_path)).setup()


def header(*shape: int) -> bytes:
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (header(4, 28, 28) + bytes(50_000_000), "goes on after the end"),
        (header(4, 28, 28) + bytes(10), "ends 3,126 bytes before the end"),
        (header(1_000_001, 1, 1) + bytes(1_000_001), "at most 1,000,000 images"),
        (header(1, 257, 1) + bytes(257), "at most 1,000,000 images of 256 x 256"),
        (header(10, 0, 28), "its header tells of 10 x 0 x 28"),
        (header(2**32 - 1, 2**32 - 1, 2**32 - 1), "its header tells of 4,294,967,295 x"),
        (header(1_000_000, 256, 256), "its header tells of more than 1,000 MB"),
        (header(900_000, 28, 28), "ends 705,600,000 bytes before the end"),
        (bytes([0, 0, 8, 255]) + bytes(5000), "no idx file"),
    ],
)
def test_a_file_of_a_stranger_takes_no_more_memory_than_limits_allow(tmp_path, suffix, content, told):
    file = tmp_path / f"images{suffix}"
    file.write_bytes(gzip.compress(content) if suffix else content)

    def refuse() -> None:
        with pytest.raises(ValueError, match=told):
            read_idx(tmp_path / "images")

    # What is reserved and never touched counts here, too.
    assert peak_bytes(refuse, 2_000_000) < 2_000_000 or "705,600,000" in told


@pytest.mark.usefixtures("in_time")
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_pipe_is_told_and_not_waited_for(tmp_path, suffix):
    raw = write_raw(tmp_path, suffix)
    (raw / f"{FILES[2]}{suffix}").unlink()
    os.mkfifo(raw / f"{FILES[2]}{suffix}")
    with pytest.raises(UserError, match=rf"{FILES[2]} .*no regular file but a named pipe"):
        MNIST(root=str(tmp_path)).setup()


@pytest.mark.usefixtures("in_time")
def test_a_file_without_end_is_not_read(tmp_path):
    raw = write_raw(tmp_path)
    with (raw / FILES[0]).open("r+b") as file:
        file.truncate(10**12)
    with pytest.raises(UserError, match=r"larger than 1,001 MB") as error:
        MNIST(root=str(tmp_path)).setup()
    assert "\n" not in str(error.value)
    assert "delete" not in str(error.value)  # a stored config may name what is none of the run's


def test_many_tiny_images_are_not_made_large(tmp_path):
    raw = write_raw(tmp_path)
    (raw / FILES[0]).write_bytes(idx(np.zeros((100_000, 1, 1), np.uint8)))
    (raw / FILES[1]).write_bytes(idx(np.zeros(100_000, np.uint8)))
    with pytest.raises(UserError, match=r"data\.image_size=256: 100,000 images of this size take more than 4 GB"):
        MNIST(root=str(tmp_path), image_size=256).setup()


def test_labels_must_match_the_images(tmp_path):
    raw = write_raw(tmp_path)
    (raw / FILES[1]).write_bytes(idx(ARRAYS[FILES[1]][:-1]))
    with pytest.raises(UserError, match="do not match"):
        MNIST(root=str(tmp_path)).setup()


def test_files_missing_after_all_are_named(tmp_path):
    (write_raw(tmp_path) / FILES[2]).unlink()
    with pytest.raises(UserError, match=f"{FILES[2]} is not in"):
        MNIST(root=str(tmp_path)).setup()


def test_other_sizes_are_resized(tmp_path):
    write_raw(tmp_path)
    data = MNIST(root=str(tmp_path), image_size=32, channels=3)
    assert data.splits["test"].images(torch.arange(24)).shape == (24, 3, 32, 32)


def test_real_mnist(real_data):
    data = MNIST(root=str(real_data))
    data.prepare_data()
    assert sizes(data) == [55000, 5000, 10000]
    assert data.splits["test"].labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert read_idx(data.raw_folder / FILES[1])[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    train = data.splits["train"].images(torch.arange(55000)).float() / 255
    assert train.mean().item() == pytest.approx(0.1307, abs=0.001)


@pytest.mark.parametrize("options", [{}, {"image_size": 32, "channels": 3}, {"image_size": 14}])
def test_a_digit_in_a_file_becomes_the_very_image_of_the_data(tmp_path, options):
    write_raw(tmp_path)
    data = MNIST(root=str(tmp_path), **options)
    for index in (0, 23):
        Image.fromarray(ARRAYS[FILES[2]][index]).save(tmp_path / "digit.png")
        assert torch.equal(
            data.read_images([tmp_path / "digit.png"]), data.splits["test"].images(torch.tensor([index]))
        )


def test_a_file_is_read_without_the_data_and_without_a_download(tmp_path):
    Image.new("L", (56, 56), 7).save(tmp_path / "digit.png")
    image = MNIST(root=str(tmp_path / "nowhere")).read_image(tmp_path / "digit.png")
    assert image.shape == (1, 28, 28)
    assert image.unique().tolist() == [7]
    assert [path.name for path in tmp_path.iterdir()] == ["digit.png"]
