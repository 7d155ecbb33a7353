import os
import signal
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.warm import Warm
from vae_lightning.data.cache import cache_key
from vae_lightning.data.decode import decode_image
from vae_lightning.data.decoded_folder import DecodedFolder, FolderDecoder, find_pictures
from vae_lightning.errors import UserError

REPOSITORY = Path(__file__).parents[2]


def decode(root: Path, cache_dir: Path, **options) -> DecodedFolder:
    defaults = {"image_size": 8, "channels": 3, "max_bad_fraction": 0.01, "source": f"data.root={root}"}
    return FolderDecoder(root, cache_dir, **{**defaults, **options})()


def built(cache_dir: Path) -> set[str]:
    return {path.name for path in cache_dir.iterdir() if path.is_dir()}


@pytest.fixture
def cache_dir(tmp_path) -> Path:
    return tmp_path / "cache"


def test_the_rows_are_the_decoded_files_in_the_order_of_their_names(pictures, cache_dir):
    (pictures / "deep" / "er").mkdir(parents=True)
    os.rename(pictures / "59.png", pictures / "deep" / "er" / "59.png")
    folder = decode(pictures, cache_dir)
    assert folder.names == (*(f"{number:02}.png" for number in range(59)), "deep/er/59.png")
    assert folder.pixels.shape == (60, 8, 8, 3)
    assert isinstance(folder.pixels, np.memmap)
    assert folder.readable.all()
    for name, row in zip(folder.names, folder.pixels, strict=True):
        assert np.array_equal(row, decode_image(pictures / name, 8, 3))


def test_what_was_decoded_as_squares_is_found_and_other_frames_lie_elsewhere(pictures, cache_dir):
    """The names are those of earlier versions, which knew no rectangles and no way but a crop."""
    key = cache_key(1, str(pictures.resolve()), 8, 3, sorted(find_pictures(pictures)))
    for size in (8, [8, 8]):
        decode(pictures, cache_dir, image_size=size)
        assert built(cache_dir) == {f"images-{key}"}
    frames = [{"image_size": [8, 9]}, {"image_size": [9, 8]}, {"fit": "pad"}, {"fit": "stretch"}, {"fit": "tile"}]
    for number, options in enumerate(frames, 2):
        decode(pictures, cache_dir, **options)
        assert len(built(cache_dir)) == number


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_rows_are_rectangles_where_that_is_wanted(pictures, cache_dir, fit):
    folder = decode(pictures, cache_dir, image_size=(6, 11), channels=1, fit=fit)
    assert folder.pixels.shape == (60, 6, 11, 1)
    assert folder.names == folder.files
    for name, row in zip(folder.names, folder.pixels, strict=True):
        assert np.array_equal(row, decode_image(pictures / name, [6, 11], 1, fit=fit))


def test_hidden_and_foreign_files_are_left_out(pictures):
    before = sorted(find_pictures(pictures))
    for name in (".hidden.png", "._00.png", "__MACOSX/00.png", ".git/00.png", "notes.txt", "png"):
        path = pictures / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes((pictures / "00.png").read_bytes())
    (pictures / "folder.png").mkdir()
    (pictures / "gone.png").symlink_to("nowhere")
    (pictures / "circle").symlink_to(pictures)
    assert sorted(find_pictures(pictures)) == before
    (pictures / "UPPER.JPEG").touch()
    assert len(list(find_pictures(pictures))) == 61


def test_it_is_reused_until_anything_changes(pictures, cache_dir, monkeypatch):
    first = decode(pictures, cache_dir)
    decoded = []
    monkeypatch.setattr(
        "vae_lightning.data.decoded_blocks.decode_image",
        lambda path, *options: decoded.append(path) or decode_image(path, *options),
    )
    assert np.array_equal(decode(pictures, cache_dir).pixels, first.pixels)
    assert decoded == []

    def is_decoded_again(**options) -> bool:
        decoded.clear()
        decode(pictures, cache_dir, **options)
        return len(decoded) > 0

    assert is_decoded_again(image_size=9)
    assert is_decoded_again(channels=1)
    Image.new("RGB", (9, 9), "red").save(pictures / "new.png")
    assert is_decoded_again()
    Image.new("RGB", (9, 9), "blue").save(pictures / "new.png")
    assert is_decoded_again()
    assert (decode(pictures, cache_dir).pixels[-1] == (0, 0, 255)).all()
    os.rename(pictures / "new.png", pictures / "other.png")
    assert is_decoded_again()
    os.utime(pictures / "other.png", ns=(1, 1))
    assert is_decoded_again()
    (pictures / "other.png").unlink()
    assert not is_decoded_again()  # as it was at first
    assert not is_decoded_again(max_bad_fraction=0.5)


def test_a_read_only_root_and_then_a_read_only_cache_will_do(pictures, cache_dir, monkeypatch):
    pictures.chmod(0o555)
    before = set(pictures.iterdir())
    decode(pictures, cache_dir)
    assert set(pictures.iterdir()) == before

    def refuse(*_, **__):
        raise PermissionError("read-only")

    monkeypatch.setattr("vae_lightning.data.cache.locked", refuse)
    assert decode(pictures, cache_dir).readable.all()
    with pytest.raises(UserError, match="read-only"):
        decode(pictures, cache_dir, image_size=9)


def test_unreadable_files_are_listed_and_left_out(pictures, cache_dir, caplog):
    (pictures / "07.png").write_bytes(b"not a picture")
    (pictures / "30.png").write_bytes((pictures / "30.png").read_bytes()[:60])
    (pictures / "31.png").write_bytes(b"")
    for _ in range(2):  # decoded and reused
        caplog.clear()
        folder = decode(pictures, cache_dir, max_bad_fraction=0.06)
        assert np.flatnonzero(~folder.readable).tolist() == [7, 30, 31]
        (listing,) = cache_dir.glob("bad_files-*.txt")
        told = f"3 of 60 images cannot be read, the first '07.png', listed with reasons in {listing} and left out"
        assert [each.getMessage() for each in caplog.records if "left out" in each.getMessage()] == [told]
    lines = listing.read_text().splitlines()
    assert [line.split(":")[0] for line in lines] == ["'07.png'", "'30.png'", "'31.png'"]
    assert lines[0].endswith(": cannot identify its format")
    assert lines[2] == "'31.png': UnidentifiedImageError: an empty file"


@pytest.mark.parametrize("suffix", [".gif", ".tif", ".webp"])
def test_that_of_several_pages_or_frames_the_first_is_taken_is_told(suffix, pictures, cache_dir, caplog):
    first, *others = (Image.new("RGB", (16, 16), colour) for colour in ("white", "red", "blue"))
    for name in ("05", "40"):
        (pictures / f"{name}.png").unlink()
        first.save(pictures / f"{name}{suffix}", save_all=True, append_images=others)
    first.save(pictures / f"41{suffix}")
    told = f"2 of 61 files have more pages or frames than one: the first is taken, as of '05{suffix}'"
    for _ in range(2):  # decoded and reused
        caplog.clear()
        folder = decode(pictures, cache_dir, value_range="auto")
        assert (folder.pixels[folder.names.index(f"40{suffix}")] == 255).all()
        assert [each.getMessage() for each in caplog.records if "frames" in each.getMessage()] == [told]


def test_too_many_unreadable_files_are_an_error_that_names_the_list(pictures, cache_dir):
    (pictures / "07.png").write_bytes(b"not a picture")
    with pytest.raises(UserError) as error:
        decode(pictures, cache_dir)
    (listing,) = cache_dir.glob("bad_files-*.txt")
    told = "data.max_bad_fraction=0.01: 1 of 60 images cannot be read, the first '07.png' ("
    assert str(error.value).startswith(f"{told}UnidentifiedImageError: cannot identify")
    assert str(error.value).endswith("; mend or remove them, or choose a larger fraction")
    assert str(listing) in str(error.value)
    assert "07.png" in listing.read_text()
    assert built(cache_dir) == set()
    decode(pictures, cache_dir, max_bad_fraction=0.02)
    with pytest.raises(UserError, match="max_bad_fraction"):  # also when it is decoded already
        decode(pictures, cache_dir)


def test_no_images_are_one_clear_line(tmp_path, cache_dir):
    with pytest.raises(UserError, match=r"^data\.root=\S+/absent: there is no folder \S+/absent$"):
        decode(tmp_path / "absent", cache_dir)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"^data\.root=\S+/empty: no images found; accepted .*\.jpg.*\.webp$"):
        decode(tmp_path / "empty", cache_dir)


def test_too_little_disk_space_is_told_before_decoding(pictures, cache_dir, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("vae_lightning.data.decoded_folder.disk_usage", lambda _: usage(9, 9, 2_100_000))
    with pytest.raises(UserError) as error:
        decode(pictures, cache_dir, image_size=200)
    assert str(error.value) == (
        f"data.cache_dir={cache_dir}: the decoded images need 8 MB and 2 MB are free; choose another folder"
    )
    assert built(cache_dir) == set()
    decode(pictures, cache_dir, image_size=100)  # 1.8 MB


def start(pictures: Path, cache_dir: Path, seconds_per_image: float) -> Warm:
    """A process that decodes slowly, and says how many pictures it decoded."""
    program = f"""
import time
from pathlib import Path
from vae_lightning.data import decoded_blocks, decoded_folder
count = 0
def slow(*arguments, decode=decoded_blocks.decode_image):
    global count
    count += 1
    time.sleep({seconds_per_image})
    return decode(*arguments)
decoded_blocks.decode_image = slow
folder = decoded_folder.FolderDecoder(Path({str(pictures)!r}), Path({str(cache_dir)!r}), 8, 3, 0.01, "root")()
print(count, int(folder.pixels.sum(dtype=int)))
"""
    return Warm("tests.script", program, cwd=REPOSITORY)


def wait_for_build(cache_dir: Path) -> None:
    deadline = time.monotonic() + 30
    while not list(cache_dir.glob(".building-*/pixels.npy")):
        assert time.monotonic() < deadline, "the build never began"
        time.sleep(0.02)


def test_two_processes_at_once_decode_it_once(pictures, cache_dir):
    processes = [start(pictures, cache_dir, 0.05) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0].split() for process in processes]
    assert sorted(int(count) for count, _ in outputs) == [0, 60]
    expected = decode(pictures, cache_dir).pixels.sum(dtype=int)
    assert [int(total) for _, total in outputs] == [expected, expected]
    assert len(built(cache_dir)) == 1


def test_a_killed_build_is_not_taken_for_whole_and_its_lock_does_not_block(pictures, cache_dir):
    process = start(pictures, cache_dir, 60)
    try:
        wait_for_build(cache_dir)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert len(built(cache_dir)) == 1  # the temporary folder
    folder = decode(pictures, cache_dir)
    assert np.array_equal(folder.pixels[59], decode_image(pictures / "59.png", 8, 3))
    assert len(built(cache_dir)) == 1
    assert not list(cache_dir.glob(".building-*"))
