from pathlib import Path

import numpy as np
import pytest
import torch

from vae_lightning.data import decoded_blocks, decoded_folder, processes
from vae_lightning.data.decode import decode_image
from vae_lightning.data.decoded_blocks import PixelFile
from vae_lightning.data.decoded_folder import FolderDecoder
from vae_lightning.errors import UserError

OFFSET = 11


@pytest.fixture(params=[0, 2], ids=["in this process", "in workers"])
def num_workers(request, monkeypatch):
    """The pictures fall into blocks of seven."""
    monkeypatch.setattr(decoded_blocks, "_BLOCK_BYTES", 7 * 8 * 8 * 3)
    monkeypatch.setattr(decoded_blocks, "_FEWEST_FOR_WORKERS", 0 if request.param else 61)
    monkeypatch.setattr(decoded_blocks, "num_cpus", lambda: 2)


@pytest.fixture
def file(tmp_path) -> PixelFile:
    path = tmp_path / "pixels"
    path.write_bytes(b"h" * OFFSET)
    return PixelFile(path, OFFSET, 8, 3)


@pytest.mark.usefixtures("num_workers")
def test_every_picture_stands_at_its_place_and_the_unreadable_ones_are_black(pictures, file):
    (pictures / "07.png").write_bytes(b"not a picture")
    (pictures / "59.png").unlink()
    paths = [pictures / f"{number:02}.png" for number in range(60)]
    state = torch.get_rng_state()
    blocks = list(file.decode(paths))
    assert torch.equal(torch.get_rng_state(), state)
    assert [number for block in blocks for number in block.numbers] == list(range(60))
    assert len(blocks) == 9
    reasons = {number: reason for block in blocks for number, reason in block.reasons.items()}
    assert sorted(reasons) == [7, 59]
    assert reasons[7].startswith("UnidentifiedImageError: cannot identify")
    assert reasons[59].startswith("FileNotFoundError")
    written = file.path.read_bytes()
    assert written[:OFFSET] == b"h" * OFFSET
    pixels = np.frombuffer(written, np.uint8, offset=OFFSET).reshape(60, 8, 8, 3)
    for number, path in enumerate(paths):
        expected = 0 if number in reasons else decode_image(path, 8, 3)
        assert (pixels[number] == expected).all(), number


def test_as_many_processes_as_cores_from_many_pictures_on(pictures, file, monkeypatch):
    made = []

    class Loader:
        def __init__(self, *_, num_workers, **__):
            made.append(num_workers)

        def __iter__(self):
            return iter([])

    monkeypatch.setattr(processes, "DataLoader", Loader)
    monkeypatch.setattr(decoded_blocks, "num_cpus", lambda: 3)
    for num_pictures in (63, 64):
        assert list(file.decode([pictures / "00.png"] * num_pictures)) == []
    assert made == [0, 3]


@pytest.mark.parametrize(("num_pictures", "largest"), [(64, 8), (500, 62), (5000, 85)])  # 85 are a megabyte
def test_a_block_is_a_quarter_of_what_falls_to_a_worker_and_a_megabyte_at_most(
    num_pictures, largest, tmp_path, monkeypatch
):
    made = []
    monkeypatch.setattr(processes, "DataLoader", lambda blocks, **_: made.append(blocks.block_size) or [])
    monkeypatch.setattr(decoded_blocks, "num_cpus", lambda: 2)
    path = tmp_path / "pixels"
    path.touch()
    assert list(PixelFile(path, 0, 64, 3).decode([tmp_path] * num_pictures)) == []
    assert made == [largest]


@pytest.mark.usefixtures("num_workers")
def test_what_is_written_goes_to_disk_on_the_way_and_all_of_it_at_the_end(pictures, file, monkeypatch):
    flushed = []
    monkeypatch.setattr(decoded_blocks, "_FLUSHED_BYTES", 20 * 8 * 8 * 3)  # of three blocks of seven pictures
    monkeypatch.setattr(decoded_blocks.os, "fsync", lambda _: flushed.append(seen[-1]))
    seen = [0]
    for block in file.decode([pictures / f"{number:02}.png" for number in range(60)]):
        seen.append(block.numbers.stop)
    assert flushed == [21, 42, 60]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full, a disk without space")
@pytest.mark.usefixtures("num_workers")
def test_a_disk_that_fills_up_is_one_clear_line(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(decoded_folder, "PixelFile", lambda _, *options: PixelFile(Path("/dev/full"), *options))
    cache_dir = tmp_path / "cache"
    with pytest.raises(UserError) as error:
        FolderDecoder(pictures, cache_dir, 8, 3, 0.0, "data.root=faces")()
    assert str(error.value) == f"data.cache_dir={cache_dir}: cannot be written ([Errno 28] No space left on device)"
    assert not [path for path in cache_dir.iterdir() if path.is_dir()]
