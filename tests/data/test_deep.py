import struct
import sys
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.data import deep_files
from tests.data.deep_files import written
from tests.data.mutations import MUTATIONS
from vae_lightning.data.decode import decode_image
from vae_lightning.data.memory import MemoryBudget
from vae_lightning.data.survey import found_in_file
from vae_lightning.data.values import Found, Reading, Scale

TWELVE_BITS = Scale(0, 4095)


def ramp(channels: int, highest: int = 4095, dtype: type = np.uint16) -> np.ndarray:
    """[16, 16, S] from 0 to the highest, each channel shifted by a row."""
    values = np.linspace(0, highest, 256).reshape(16, 16).astype(dtype)
    return np.stack([np.roll(values, channel, axis=0) for channel in range(channels)], axis=-1)


def decoded(path, channels: int, scale: Scale | None = TWELVE_BITS) -> np.ndarray:
    return decode_image(path, 16, channels, reading=Reading(scale))


def found(path, channels: int = 3) -> Found:
    return found_in_file(path, path.name, channels, 10**6, Reading(), MemoryBudget())


@pytest.mark.parametrize(
    "content",
    [
        deep_files.png(ramp(1)),
        deep_files.saved(ramp(1)[..., 0], "TIFF"),
        deep_files.saved(ramp(1)[..., 0], "TIFF", compression="tiff_lzw"),
        deep_files.tiff(ramp(1)[..., 0], byteorder=">"),
        deep_files.saved(ramp(1)[..., 0].astype(np.int32), "TIFF"),
        deep_files.saved(ramp(1)[..., 0].astype(np.float32), "TIFF"),
        deep_files.saved(ramp(1)[..., 0], "JPEG2000", irreversible=False),
    ],
    ids=["png", "tiff", "lzw", "big-endian", "int32", "float", "jp2"],
)
def test_grey_keeps_the_levels_of_the_scale(tmp_path, content):
    path = written(tmp_path / "picture", content)
    assert np.array_equal(decoded(path, 1), TWELVE_BITS.levels(ramp(1)))
    assert (found(path).low, found(path).high) == (0, 4095)


@pytest.mark.parametrize(
    "content",
    [
        deep_files.png(ramp(3)),
        deep_files.tiff(ramp(3), photometric="rgb"),
        deep_files.tiff(ramp(3), photometric="rgb", byteorder=">"),
        deep_files.tiff(ramp(3), photometric="rgb", compression="zlib"),
        deep_files.tiff(ramp(3), photometric="rgb", rowsperstrip=3),
    ],
    ids=["png", "tiff", "big-endian", "deflate", "strips"],
)
def test_colours_keep_them_too_of_which_pillow_alone_keeps_16(tmp_path, content):
    path = written(tmp_path / "picture", content)
    assert len(np.unique(decoded(path, 3))) > 200
    assert np.array_equal(decoded(path, 3), TWELVE_BITS.levels(ramp(3)))
    assert (found(path).low, found(path).high, found(path).num_integers) == (0, 4095, 1)
    assert len(np.unique(decode_image(path, 16, 3))) <= 16 if path.read_bytes()[:4] == b"\x89PNG" else True


def test_transparency_is_laid_on_white_or_kept(tmp_path):
    values = ramp(4)
    values[..., 3] = 65535
    values[:4, :, 3] = 0
    path = written(tmp_path / "picture.png", deep_files.png(values))
    assert np.array_equal(decoded(path, 3)[4:], TWELVE_BITS.levels(values)[4:, :, :3])
    assert (decoded(path, 3)[:4] == 255).all()
    kept = decoded(path, 4)
    assert np.array_equal(kept[..., :3], TWELVE_BITS.levels(values[..., :3]))
    assert np.array_equal(kept[..., 3], values[..., 3] >> 8)
    assert found(path).high == 4095
    grey = written(tmp_path / "grey.png", deep_files.png(values[..., [0, 3]]))
    assert np.array_equal(decoded(grey, 1)[4:, :, 0], TWELVE_BITS.levels(values[4:, :, 0]))
    assert (decoded(grey, 1)[:4] == 255).all()


def test_deep_pictures_are_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3
    image = Image.fromarray(ramp(1)[..., 0])
    image.save(tmp_path / "picture.png", exif=exif)
    assert np.array_equal(decoded(tmp_path / "picture.png", 1), TWELVE_BITS.levels(ramp(1)[::-1, ::-1]))


def test_a_picture_that_pillow_has_opened_goes_by_the_scale_too():
    image = Image.fromarray(ramp(1)[..., 0])
    assert np.array_equal(decoded(image, 1), TWELVE_BITS.levels(ramp(1)))


def test_without_a_scale_deep_pictures_have_that_of_their_type(tmp_path):
    path = written(tmp_path / "picture.png", deep_files.png(ramp(3, 65535)))
    assert np.array_equal(decoded(path, 3, None), np.round(ramp(3, 65535) / 257).astype(np.uint8))


def test_floats_that_are_not_finite_are_refused(tmp_path):
    values = ramp(1, 1, np.float32)[..., 0]
    values[3, 3] = np.nan
    path = written(tmp_path / "picture.tif", deep_files.saved(values, "TIFF"))
    with pytest.raises(ValueError, match="not finite"):
        decoded(path, 1, Scale(0, 1))
    assert found(path).not_finite == "picture.tif"


def test_bands_of_rows_are_one_picture(tmp_path, monkeypatch):
    monkeypatch.setattr("vae_lightning.data.deep._BAND", 40)
    for channels in (1, 3):
        path = written(tmp_path / "picture.png", deep_files.png(ramp(channels)))
        assert np.array_equal(decoded(path, channels), TWELVE_BITS.levels(ramp(channels)))
        assert (found(path).low, found(path).high, found(path).num_files) == (0, 4095, 1)


# Later formats


def flat(kind: str, size: tuple[int, int] = (40, 30)) -> bytes:
    return deep_files.saved(np.full((*size[::-1], 3), (200, 40, 40), np.uint8), kind)


@pytest.mark.parametrize("kind", ["TIFF", "JPEG2000", "AVIF"])
def test_later_formats_are_read_by_their_content_where_one_scale_holds(tmp_path, kind):
    path = written(tmp_path / "picture.png", flat(kind))
    assert np.abs(decode_image(path, 8, 3, reading=Reading()).astype(int) - (200, 40, 40)).max() < 6
    with pytest.raises(OSError, match="cannot identify"):
        decode_image(path, 8, 3)
    for limit in (1199, 100):
        with pytest.raises(ValueError, match=rf"(40 x 30|1200) pixels are more than data\.max_pixels={limit}$"):
            decode_image(path, 8, 3, max_pixels=limit, reading=Reading())


@pytest.mark.parametrize("kind", ["TIFF", "JPEG2000", "AVIF"])
def test_truncated_ones_are_an_error(tmp_path, kind):
    whole = flat(kind, (200, 200))
    path = written(tmp_path / "picture", whole[: len(whole) // 2])
    with pytest.raises((OSError, ValueError, RuntimeError)):
        decode_image(path, 8, 3, reading=Reading())


def test_of_several_pages_the_first_is_taken(tmp_path):
    pages = [Image.new("RGB", (8, 8), color) for color in ("red", "lime", "blue")]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    assert decode_image(tmp_path / "pages.tif", 8, 3, reading=Reading())[4, 4].tolist() == [255, 0, 0]


def test_a_tiff_that_states_a_huge_size_is_refused_before_memory_is_taken(tmp_path):
    content = bytearray(deep_files.saved(np.zeros((30, 40), np.uint8), "TIFF"))
    for tag in (256, 257):  # width and height
        place = content.index(tag.to_bytes(2, "little") + b"\4\0\1\0\0\0", 8)
        content[place + 8 : place + 12] = (60_000).to_bytes(4, "little")
    path = written(tmp_path / "picture.tif", bytes(content))
    with pytest.raises(ValueError, match=r"^(60000 x 60000|3600000000) pixels are more than"):
        decode_image(path, 8, 3, reading=Reading())


def test_mutated_files_of_all_formats_are_pixels_or_an_error(tmp_path):
    generator = np.random.default_rng(0)
    seeds = [flat(kind, (24, 24)) for kind in ("TIFF", "JPEG2000", "AVIF")]
    seeds += [deep_files.png(ramp(channels)) for channels in (1, 2, 3, 4)]
    packings = (None, "tiff_lzw", "tiff_deflate")
    seeds += [deep_files.saved(ramp(1)[..., 0], "TIFF", compression=packing) for packing in packings]
    bands = {"photometric": "minisblack", "planarconfig": "contig"}
    seeds += [deep_files.tiff(ramp(5), **bands), deep_files.tiff(ramp(5), **bands, compression="zlib")]
    path, bad_ends, num_whole, num_refused = tmp_path / "picture", [], 0, 0
    for _ in range(400):
        content = seeds[generator.integers(len(seeds))]
        for _ in range(generator.integers(1, 5)):
            content = MUTATIONS[generator.integers(len(MUTATIONS))](generator, content)
        path.write_bytes(content)
        try:
            pixels = decode_image(path, 8, int(generator.choice([1, 3, 3, 4, 5])), 10**5, reading=Reading(TWELVE_BITS))
        except (MemoryError, RecursionError) as error:
            bad_ends.append(error)
        except Exception:  # Pillow's plugins raise anything
            num_refused += 1
        else:
            num_whole += (pixels.dtype, pixels.shape[:2]) == (np.uint8, (8, 8))
    assert bad_ends == []
    assert min(num_whole, num_refused) > 20


def test_a_bomb_in_a_tiff_of_many_channels_is_refused(tmp_path):
    bands = {"photometric": "minisblack", "planarconfig": "contig"}
    content = deep_files.tiff(ramp(5), **bands, compression="zlib")
    assert np.array_equal(decoded(written(tmp_path / "a.tif", content), 5), TWELVE_BITS.levels(ramp(5)))
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        page = tiff.pages[0]
        counts, place = page.tags[279], len(content)
        offsets = page.tags[273]
    bomb = zlib.compress(bytes(10**7))
    changed = bytearray(content + bomb)
    kind = "<H" if counts.dtype == 3 else "<I"
    struct.pack_into(kind, changed, counts.valueoffset, len(bomb))
    struct.pack_into("<H" if offsets.dtype == 3 else "<I", changed, offsets.valueoffset, place)
    with pytest.raises(ValueError, match="unpacks to more than"):
        decoded(written(tmp_path / "b.tif", bytes(changed)), 5)


def test_without_tifffile_a_tiff_of_many_channels_says_what_to_install(tmp_path, monkeypatch):
    content = deep_files.tiff(ramp(5), photometric="minisblack", planarconfig="contig")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(ValueError, match=r"pip install 'vae-lightning\[tiff\]'"):
        decoded(written(tmp_path / "a.tif", content), 5)
