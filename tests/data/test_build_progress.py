"""A build that was stopped is gone on with, and nothing of it is trusted that is not still what was written."""

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.test_decoded_folder import built, decode
from vae_lightning.data import decoded_blocks
from vae_lightning.data.build_progress import BuildProgress, gaps
from vae_lightning.data.cache import StoppedError, build_once
from vae_lightning.data.decoded_blocks import DecodedBlock, PixelFile


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(decoded_blocks, "_BLOCK_BYTES", 7 * 8 * 8 * 3)
    monkeypatch.setattr(decoded_blocks, "_FEWEST_FOR_WORKERS", 1000)


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """The names of what is decoded from now on."""
    names: list[str] = []
    plain = decoded_blocks.decode_image
    monkeypatch.setattr(
        decoded_blocks, "decode_image", lambda path, *rest: names.append(path.name) or plain(path, *rest)
    )
    return names


def stop_after(monkeypatch, count: int, error: BaseException) -> None:
    """Have the next build fail at a picture."""
    plain, left = decoded_blocks.decode_image, [count]

    def counted(*given):
        left[0] -= 1
        if left[0] < 0:
            raise error
        return plain(*given)

    with monkeypatch.context() as patched:
        patched.setattr(decoded_blocks, "decode_image", counted)
        yield


def contents(cache_dir: Path) -> dict[str, bytes]:
    (name,) = built(cache_dir)
    return {path.name: path.read_bytes() for path in (cache_dir / name).iterdir()}


def interrupted(monkeypatch, pictures: Path, cache_dir: Path, count: int = 30, **options) -> Path:
    """What a build leaves that is interrupted after so many pictures."""
    for _ in stop_after(monkeypatch, count, KeyboardInterrupt()):
        with pytest.raises(KeyboardInterrupt):
            decode(pictures, cache_dir, **options)
    (left,) = cache_dir.glob(".building-images-*")
    return left


def test_a_build_that_is_interrupted_is_gone_on_with_where_it_was(pictures, tmp_path, monkeypatch, decoded, caplog):
    (pictures / "03.png").write_bytes(b"no picture")
    (pictures / "45.png").write_bytes(b"no picture")
    decode(pictures, tmp_path / "whole", max_bad_fraction=0.1)
    interrupted(monkeypatch, pictures, tmp_path / "cache", max_bad_fraction=0.1)
    decoded.clear()
    caplog.set_level("INFO")
    decode(pictures, tmp_path / "cache", max_bad_fraction=0.1)
    assert decoded == [f"{number:02}.png" for number in range(28, 60)]
    assert contents(tmp_path / "cache") == contents(tmp_path / "whole")
    assert "28 of them were decoded by a build that was stopped" in caplog.text
    for folder in (tmp_path / "cache", tmp_path / "whole"):
        (listing,) = folder.glob("bad_files-*.txt")
        assert [line.split(":")[0] for line in listing.read_text().splitlines()] == ["'03.png'", "'45.png'"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system can't fork")
def test_a_build_that_is_killed_in_its_middle_is_gone_on_with(pictures, tmp_path, decoded):
    decode(pictures, tmp_path / "whole")
    cache_dir = tmp_path / "cache"

    def slowly() -> None:
        plain = decoded_blocks.decode_image
        decoded_blocks.decode_image = lambda *given: time.sleep(0.01) or plain(*given)
        decode(pictures, cache_dir)

    process = multiprocessing.get_context("fork").Process(target=slowly)
    process.start()
    while not any(len(path.read_text().splitlines()) > 3 for path in cache_dir.glob(".building-*/progress.jsonl")):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    decoded.clear()
    decode(pictures, cache_dir)
    assert 0 < len(decoded) <= 60 - 3 * 7
    assert contents(cache_dir) == contents(tmp_path / "whole")
    assert not list(cache_dir.glob(".building-*"))


def scribble_on_the_second_block(left: Path) -> None:
    content = bytearray((left / "pixels.npy").read_bytes())
    content[-28 * 192 + 7 * 192 + 5] ^= 1
    (left / "pixels.npy").write_bytes(content)


def cut_the_pixels(left: Path) -> None:
    os.truncate(left / "pixels.npy", (left / "pixels.npy").stat().st_size - 1)


def cut_the_record(left: Path) -> None:
    record = left / "progress.jsonl"
    record.write_bytes(record.read_bytes()[:-3])


def change_a_fact(left: Path) -> None:
    record = left / "progress.jsonl"
    record.write_text(record.read_text().replace('"pillow": "', '"pillow": "0.', 1))


def add_other_things(left: Path) -> None:
    for name in (".checksums.json.0123456789abcdef.part", "readable.npy", "tiles.npy"):
        (left / name).write_text("half")
    (left / "folder").mkdir()
    (left / "folder/link").symlink_to(left.parent)


def link_to_the_pixels(left: Path) -> None:
    (left / "pixels.npy").rename(left.parent.parent / "pixels")
    (left / "pixels.npy").symlink_to(left.parent.parent / "pixels")


HARMS = {
    "other things": (add_other_things, 32),
    "a link": (link_to_the_pixels, 60),
    "nothing": (lambda left: None, 32),
    "a bit of a block": (scribble_on_the_second_block, 39),
    "pixels cut short": (cut_the_pixels, 39),
    "pixels gone": (lambda left: (left / "pixels.npy").unlink(), 60),
    "a record cut short": (cut_the_record, 39),
    "no record": (lambda left: (left / "progress.jsonl").unlink(), 60),
    "a record of nonsense": (lambda left: (left / "progress.jsonl").write_bytes(b"\xff\n[]"), 60),
    "another version of Pillow": (change_a_fact, 60),
}


@pytest.mark.parametrize("harm", HARMS)
def test_what_is_not_as_it_was_written_is_decoded_again(pictures, tmp_path, monkeypatch, decoded, harm):
    decode(pictures, tmp_path / "whole")
    left = interrupted(monkeypatch, pictures, tmp_path / "cache")
    decoded.clear()
    change, number = HARMS[harm]
    change(left)
    decode(pictures, tmp_path / "cache")
    assert len(decoded) == number
    assert contents(tmp_path / "cache") == contents(tmp_path / "whole")


def test_a_link_in_place_of_what_was_left_is_not_followed(pictures, tmp_path, monkeypatch, decoded):
    left = interrupted(monkeypatch, pictures, tmp_path / "cache")
    left.rename(tmp_path / "elsewhere")
    left.symlink_to(tmp_path / "elsewhere")
    before = (tmp_path / "elsewhere/progress.jsonl").read_bytes()
    decoded.clear()
    decode(pictures, tmp_path / "cache")
    assert len(decoded) == 60
    assert (tmp_path / "elsewhere/progress.jsonl").read_bytes() == before


def test_what_was_left_for_other_pictures_is_cleared_away(pictures, tmp_path, monkeypatch, decoded):
    interrupted(monkeypatch, pictures, tmp_path / "cache")
    Image.new("RGB", (9, 9), "red").save(pictures / "zz.png")
    decoded.clear()
    decode(pictures, tmp_path / "cache")
    assert len(decoded) == 61
    assert not list((tmp_path / "cache").glob(".building-*"))


def test_what_was_left_of_tiles_is_gone_on_with(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(decoded_blocks, "_BLOCK_BYTES", 7 * 4 * 5 * 3 * 6)
    options = {"image_size": [4, 5], "fit": "tile"}
    decode(pictures, tmp_path / "whole", **options)
    plain, names = decoded_blocks.decode_tiles, []
    monkeypatch.setattr(decoded_blocks, "decode_tiles", lambda path, *rest: names.append(path) or plain(path, *rest))
    counted = decoded_blocks.decode_tiles

    def stop(*given):
        if len(names) == 30:
            raise KeyboardInterrupt
        return counted(*given)

    with monkeypatch.context() as patched:
        patched.setattr(decoded_blocks, "decode_tiles", stop)
        with pytest.raises(KeyboardInterrupt):
            decode(pictures, tmp_path / "cache", **options)
    names.clear()
    decode(pictures, tmp_path / "cache", **options)
    assert len(names) == 32
    assert contents(tmp_path / "cache") == contents(tmp_path / "whole")


def test_a_build_that_fails_leaves_nothing_but_one_that_is_stopped_does(tmp_path):
    def build(folder: Path, error: Exception | None) -> None:
        (folder / "half").write_text("1")
        if error is not None:
            raise error

    for error, number in ((ValueError("x"), 0), (OSError(28, "full"), 0), (StoppedError("killed"), 1)):
        with pytest.raises(Exception, match=r"x|full|killed"):
            build_once(tmp_path / "target", lambda folder, error=error: build(folder, error), resumes=True)
        assert len(list(tmp_path.glob(".building-*"))) == number
    build_once(tmp_path / "target", lambda folder: build(folder, None), resumes=True)
    assert (tmp_path / "target/half").read_text() == "1"
    assert not list(tmp_path.glob(".building-*"))


def test_a_record_names_each_picture_once_and_only_pictures_there_are(tmp_path):
    path = tmp_path / "pixels.npy"
    path.write_bytes(bytes(12))
    pixels = PixelFile(path, 0, 1, 1)
    progress = BuildProgress(tmp_path, {"num_pictures": 12})
    assert progress.begin(pixels) == []
    sums = {length: pixels.checksum(range(length)) for length in (3, 4)}
    for numbers in (range(4), range(2, 5), range(6, 9)):
        progress.add(DecodedBlock(numbers, checksum=sums[len(numbers)]))
    blocks = progress.begin(pixels)
    assert [block.numbers for block in blocks] == [range(4), range(6, 9)]
    assert gaps(blocks, 12) == [range(4, 6), range(9, 12)]
    with (tmp_path / "progress.jsonl").open("a") as file:
        file.write(json.dumps({"numbers": [9, 13], "crc32": 0, "reasons": {}, "paged": []}) + "\n")
    assert progress.begin(pixels) == blocks
    assert pixels.checksum(range(9, 13)) is None


def test_gaps_of_nothing_and_of_everything():
    assert gaps([], 5) == [range(5)]
    assert gaps([DecodedBlock(range(5))], 5) == []
    assert np.concatenate([list(each) for each in gaps([DecodedBlock(range(1, 2))], 3)]).tolist() == [0, 2]
