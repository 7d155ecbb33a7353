import base64
import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.data import deep_files
from tests.data.deep_files import written
from vae_lightning.data.array_files import tiff_no_data
from vae_lightning.data.decode import decode_image, lost_of
from vae_lightning.data.image_folder import ImageFolder
from vae_lightning.data.memory import MemoryBudget
from vae_lightning.data.opening import opened
from vae_lightning.data.stated import what_is_lost
from vae_lightning.data.survey import found_in_file
from vae_lightning.data.values import WITHOUT_DATA, Found, Reading, Scale

# Ramps of 8 x 8 in RGB, by libavif and OpenJPEG: Pillow writes none of more than 8 bits.
AVIF_10 = (
    "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUEAAADrbWV0YQAAAAAAAAAhaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAAAAAAAO"
    "cGl0bQAAAAAAAQAAAB5pbG9jAAAAAEQAAAEAAQAAAAEAAAETAAAANAAAAChpaW5mAAAAAAABAAAAGmluZmUCAAAAAAEAAGF2MDFDb2xvcgAA"
    "AABqaXBycAAAAEtpcGNvAAAAFGlzcGUAAAAAAAAACAAAAAgAAAAQcGl4aQAAAAADCgoKAAAADGF2MUOBIEAAAAAAE2NvbHJuY2x4AAIAAgAG"
    "gAAAABdpcG1hAAAAAAAAAAEAAQQBAoMEAAAAPG1kYXQSAAoIOAi/bwICBpAyJhICQ0qAAPIAAACQPFP1nD3sN5hR3v+fTO66k0CjUmILRuLr"
    "OMCA"
)
AVIF_12 = (
    "AAAAHGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZgAAAOttZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAAA5waXRt"
    "AAAAAAABAAAAHmlsb2MAAAAARAAAAQABAAAAAQAAAQ8AAAArAAAAKGlpbmYAAAAAAAEAAAAaaW5mZQIAAAAAAQAAYXYwMUNvbG9yAAAAAGpp"
    "cHJwAAAAS2lwY28AAAAUaXNwZQAAAAAAAAAIAAAACAAAABBwaXhpAAAAAAMMDAwAAAAMYXYxQ4FAYAAAAAATY29scm5jbHgAAgACAAaAAAAA"
    "F2lwbWEAAAAAAAAAAQABBAECgwQAAAAzbWRhdBIACghYCL9rQICBojIdEgJDSoAA8gAAkDsl2/fTPs0lXSX7s2Jski/M908="
)
J2K_12 = (
    "/0//UQAvAAAAAAAIAAAACAAAAAAAAAAAAAAACAAAAAgAAAAAAAAAAAADCwEBCwEBCwEB/1IADAAAAAEBAAQEAAH/XAAEQGD/ZAAlAAFDcmVh"
    "dGVkIGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjT/kAAKAAAAAADNAAH/k9/hXBIrZxaPj5TXRwjWBoYUTjkDzElE5rr4ula5zbkFCNTptUCl"
    "jlNUzJhLQM6j4aOJfqmjiYYqhcRLIgNxE2ISxKXNh+bD82Ba6uE631tLq2Nvm+b5vm+b5sH4F4A7DQ0dQEsT5mUsh38GCQAAMdekPCzr1WNS"
    "V2e50i9W0urab4gwbDYbDYYEIJiSv8PzLzu5Dx1ASxPmZSyHfwYJAAAx16Q8LOvVY1JXZ7nSL1bS6tpviDBsNhsNhgQgmJKm/9k="
)
JP2_16 = (
    "AAAADGpQICANCocKAAAAFGZ0eXBqcDIgAAAAAGpwMiAAAAAtanAyaAAAABZpaGRyAAAACAAAAAgAAw8HAAAAAAAPY29scgEAAAAAABAAAAFN"
    "anAyY/9P/1EALwAAAAAACAAAAAgAAAAAAAAAAAAAAAgAAAAIAAAAAAAAAAAAAw8BAQ8BAQ8BAf9SAAwAAAABAQAEBAAB/1wABECA/2QAJQAB"
    "Q3JlYXRlZCBieSBPcGVuSlBFRyB2ZXJzaW9uIDIuNS40/5AACgAAAAAA1QAB/5Pf+JLoEitnFo+PoYIYFlz1Nl9Aqt6T6IReOQPMSUTmuvi6"
    "VrnNuQUI1Om1QKWOU1TMmEtAzqPho4l+qaOJhiqFxEsiA3ETYhLEpc2H5sPzYFrq4TrfW0urY2+b5vm+b5vmwB+BeDsNDR1ASxPmZSyHfwYJ"
    "AAAx16Q8LOvVY1JXZ7nSL1bS6tpviDBsNhsNhgQgmJK/wD8y8Du5Dx1ASxPmZSyHfwYJAAAx16Q8LOvVY1JXZ7nSL1bS6tpviDBsNhsNhgQg"
    "mJKm/9k="
)

FULL = Scale(0, 65535)


def ramp(dtype: type = np.uint16, channels: int = 1, highest: float = 65535) -> np.ndarray:
    """[16, 16] or [16, 16, S], the channels one after the other."""
    values = np.linspace(0, highest, 256 * channels).reshape(channels, 16, 16).astype(dtype)
    return values[0] if channels == 1 else np.moveaxis(values, 0, -1)


def decoded(path, channels: int, scale: Scale | None) -> np.ndarray:
    return decode_image(path, 16, channels, reading=Reading(scale))


def found(path, channels: int = 1, scale: Scale | None = None) -> Found:
    return found_in_file(path, path.name, channels, 10**6, Reading(scale), MemoryBudget())


def planes(values: np.ndarray, **options: object) -> bytes:
    return deep_files.tiff(np.moveaxis(values, -1, 0), photometric="rgb", planarconfig="separate", **options)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"byteorder": ">"}, {"tile": (16, 16)}])
def test_planes_of_16_bits_are_the_numbers_of_the_file(tmp_path, options):
    values = ramp(channels=3)
    path = written(tmp_path / "a.tif", planes(values, **options))
    assert np.array_equal(decoded(path, 3, FULL), FULL.levels(values))
    assert (found(path, 3).low, found(path, 3).high) == (0, 65535)


def test_planes_of_16_bits_that_are_packed_otherwise_are_refused(tmp_path):
    content = bytearray(planes(ramp(channels=3)))
    with tifffile.TiffFile(io.BytesIO(content)) as tiff:
        place = tiff.pages[0].tags[259].valueoffset
    content[place : place + 2] = (5).to_bytes(2, "little")  # LZW
    with pytest.raises(ValueError, match="is read unpacked or deflated, and this one is LZW"):
        decoded(written(tmp_path / "a.tif", bytes(content)), 3, FULL)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_fourth_band_that_is_no_transparency_is_kept_where_there_are_four(tmp_path, dtype):
    values, scale = ramp(dtype, 4, np.iinfo(dtype).max), Scale(0, np.iinfo(dtype).max)
    content = deep_files.tiff(values, photometric="rgb", extrasamples=["unspecified"])
    path = written(tmp_path / "a.tif", content)
    assert np.array_equal(decoded(path, 4, scale), scale.levels(values))
    assert np.array_equal(decoded(path, 3, scale), scale.levels(values[..., :3]))
    assert found(path, 3).notes == (("a band besides the colours, which is left out", 1, "a.tif"),)
    assert found(path, 4).notes == ()


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_bytes_with_a_sign_have_it(tmp_path, compression):
    values = (ramp(np.int16, 1, 255) - 128).astype(np.int8)
    content = deep_files.tiff(values)
    if compression:
        with Image.open(io.BytesIO(content)) as image:
            buffer = io.BytesIO()
            image.save(buffer, "TIFF", compression=compression, tiffinfo={339: 2})
            content = buffer.getvalue()
    path = written(tmp_path / "a.tif", content)
    assert (found(path).low, found(path).high) == (-128, 127)
    assert np.array_equal(decoded(path, 1, Scale(-128, 127))[..., 0], values.astype(int) + 128)


def test_32_bits_without_a_sign_have_none(tmp_path):
    values = ramp(np.uint32, 1, 2**32 - 1)
    path = written(tmp_path / "a.tif", deep_files.tiff(values))
    assert (found(path).low, found(path).high) == (0, 2**32 - 1)
    assert np.array_equal(decoded(path, 1, Scale(0, 2**32 - 1))[..., 0], Scale(0, 2**32 - 1).levels(values))
    assert found(written(tmp_path / "b.tif", deep_files.tiff(values.view(np.int32)))).low < 0


@pytest.mark.parametrize(("dtype", "options"), [(np.uint8, {}), (np.uint16, {}), (np.uint32, {})])
def test_where_0_is_white_it_is_so_at_any_depth(tmp_path, dtype, options):
    values, scale = ramp(dtype, 1, np.iinfo(dtype).max), Scale(0, np.iinfo(dtype).max)
    path = written(tmp_path / "a.tif", deep_files.tiff(values, photometric="miniswhite", **options))
    assert np.array_equal(decoded(path, 1, scale)[..., 0], scale.levels(np.iinfo(dtype).max - values))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiffs_that_tifffile_reads_are_turned_as_others_are(tmp_path, orientation):
    values = ramp(channels=5)
    tag = [(274, "H", 1, orientation, True)]
    bands = {"photometric": "minisblack", "planarconfig": "contig", "extratags": tag}
    path = written(tmp_path / "a.tif", deep_files.tiff(values, **bands))
    first = written(tmp_path / "b.tif", deep_files.tiff(values[..., 0], extratags=tag))
    assert np.array_equal(decoded(path, 5, FULL)[..., :1], decoded(first, 1, FULL))


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_pixels_without_data_do_not_make_the_range(tmp_path, channels):
    values = ramp(np.float32, channels, 1000)
    values[:3, :3] = -9999
    tag = [(_NO_DATA, "s", 0, "-9999", True)]
    kind = {"photometric": "minisblack", "planarconfig": "contig"} if channels == 5 else {}
    path = written(tmp_path / "a.tif", deep_files.tiff(values, extratags=tag, **kind))
    facts = found(path, channels)
    assert (facts.low, facts.high, facts.num_outside) == (float(values[values >= 0].min()), 1000, 0)
    assert facts.notes == ((WITHOUT_DATA, 1, "a.tif"),)
    assert (decoded(path, channels, Scale(0, 1000))[:3, :3] == 0).all()
    whole = written(tmp_path / "b.tif", deep_files.tiff(np.maximum(values, 0), extratags=tag, **kind))
    assert found(whole, channels).notes == ()


_NO_DATA = 42113


@pytest.mark.parametrize("text", ["none", "nan", ""])
def test_a_mark_that_says_nothing_changes_nothing(tmp_path, text):
    content = deep_files.tiff(ramp(np.float32), extratags=[(_NO_DATA, "s", 0, text, True)])
    path = written(tmp_path / "a.tif", content)
    assert (found(path).high, found(path).notes) == (65535, ())
    assert tiff_no_data(written(tmp_path / "b.npy", b"junk")) is None


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (AVIF_10, "AVIF of 10 bits, which are read as 8"),
        (AVIF_12, "AVIF of 12 bits, which are read as 8"),
        (J2K_12, "JPEG 2000 of 12 bits, which are read as 8"),
        (JP2_16, "JPEG 2000 of 16 bits, which are read as 8"),
    ],
)
def test_bits_that_pillow_does_not_give_are_told(tmp_path, content, told):
    path = written(tmp_path / "a", base64.b64decode(content))
    assert found(path, 3).notes == ((told, 1, "a"),)
    assert lost_of(path, 3) == told
    assert decoded(path, 3, None).shape == (16, 16, 3)


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000", "TIFF"])
def test_of_8_bits_nothing_is_lost(tmp_path, kind):
    path = written(tmp_path / "a", deep_files.saved(ramp(np.uint8, 3, 255), kind))
    assert found(path, 3).notes == ()


def test_16_bits_in_other_colours_are_told(tmp_path):
    values = ramp(channels=4)
    for number, options in enumerate(({"photometric": "separated"}, {"photometric": "rgb", "extrasamples": [1]})):
        path = written(tmp_path / f"{number}.tif", deep_files.tiff(values, **options))
        assert [what for what, _, _ in found(path, 3).notes] == ["TIFF of 16 bits, which are read as 8"]


def test_a_mutated_head_says_something_or_nothing(tmp_path):
    generator = np.random.default_rng(0)
    for content in (AVIF_10, J2K_12):
        whole = base64.b64decode(content)
        with opened(written(tmp_path / "a", whole)) as (_, image):
            for length in range(0, len(whole), 7):
                cut = bytearray(whole[:length])
                if cut:
                    cut[generator.integers(len(cut))] ^= 255
                assert isinstance(what_is_lost(io.BufferedReader(io.BytesIO(cut)), image, 3), str)


def test_a_folder_tells_what_is_lost_of_how_many(tmp_path, caplog):
    caplog.set_level("INFO")
    (tmp_path / "files").mkdir()
    for number in range(20):
        written(tmp_path / "files" / f"{number:02}.avif", base64.b64decode(AVIF_10) + bytes(number))
    options = {"val_fraction": 0.2, "test_fraction": 0.2, "image_size": 8, "batch_size": 2, "value_range": "auto"}
    for _ in range(2):
        caplog.clear()
        _ = ImageFolder(root=str(tmp_path / "files"), cache_dir=str(tmp_path / "cache"), **options).splits
        assert "20 files, the first '00.avif': AVIF of 10 bits, which are read as 8" in caplog.text


def test_readers_of_tiffs_write_no_lines_of_their_own(tmp_path, caplog):
    bands = {"photometric": "minisblack", "planarconfig": "contig"}
    path = written(tmp_path / "a.tif", deep_files.tiff(ramp(np.uint8, 12, 255), **bands))
    assert decoded(path, 12, None).shape == (16, 16, 12)
    assert caplog.text == ""
