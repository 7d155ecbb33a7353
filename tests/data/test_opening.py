import re
import warnings
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageOps, JpegImagePlugin, MpoImagePlugin

from tests.data.mutations import MUTATIONS, seed_pictures
from vae_lightning.data import decode, opening
from vae_lightning.data.decode import decode_image, decode_rgb
from vae_lightning.data.opening import opened, plain_jpeg
from vae_lightning.data.values import Reading, Scale

NOISE = np.random.default_rng(0).integers(0, 256, (70, 91, 3), dtype=np.uint8)
TURNED = Image.Exif()
TURNED[0x0112] = 6
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
PLAIN = {
    "colours": {},
    "sharp colours": {"subsampling": 0},
    "scans": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "a comment": {"comment": b"\xff\xda of its own"},
    "dots": {"dpi": (300, 300)},
}
MORE = {
    "turned": {"exif": TURNED},
    "turned by XMP": {"xmp": XMP},
    "a profile": {"icc_profile": b"icc" * 50},
    "a long comment before what turns it": {"comment": b"\xff\xda" + b"a" * 60_000, "exif": TURNED},
}


def jpeg(path, size=(70, 91), mode="RGB", **options):
    Image.fromarray(NOISE).resize(size).convert(mode).save(path, "JPEG", **options)
    return path


def is_plain(path) -> bool:
    with path.open("rb") as file:
        return plain_jpeg(file) is not None


def by_pillow(path, size: int, mode: str = "RGB") -> np.ndarray:
    """As the documentation of Pillow would have a thumbnail made."""
    with Image.open(path) as image:
        image.draft(None, (2 * size, 2 * size))
        upright = ImageOps.exif_transpose(image).convert(mode)
        return np.asarray(ImageOps.fit(upright, (size, size), Image.Resampling.LANCZOS))


@pytest.fixture
def without_haste(monkeypatch):
    """Everything is opened as `Image.open` does it."""

    def leave():
        for module in (opening, decode):
            monkeypatch.setattr(module, "plain_jpeg", lambda _: None)

    return leave


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("options", PLAIN.values(), ids=PLAIN)
def test_plain_ones_have_the_pixels_that_pillow_gives(tmp_path, mode, options):
    for size in (64, 64), (91, 70), (300, 70), (259, 256), (127, 128), (700, 513), (8, 9):
        path = jpeg(tmp_path / "picture.jpg", size, mode, **options)
        assert is_plain(path)
        assert np.array_equal(decode_image(path, 32, 3), by_pillow(path, 32)), size
        assert np.array_equal(decode_image(path, 32, 1)[..., 0], by_pillow(path, 32, "L")), size


@pytest.mark.parametrize("options", MORE.values(), ids=MORE)
def test_what_says_more_than_pixels_is_asked_of_pillow_and_heeded(tmp_path, options):
    path = jpeg(tmp_path / "picture.jpg", (40, 24), **options)
    assert not is_plain(path)
    assert np.array_equal(decode_image(path, 16, 3), by_pillow(path, 16))
    assert decode_rgb(path).shape == ((24, 40, 3) if "icc_profile" in options else (40, 24, 3))


def test_a_jpeg_of_several_pictures_is_told_as_one(tmp_path):
    path = tmp_path / "picture.jpg"
    Image.fromarray(NOISE).save(path, "MPO", save_all=True, append_images=[Image.fromarray(NOISE[::-1])])
    assert not is_plain(path)
    with opened(path) as (_, image):
        assert isinstance(image, MpoImagePlugin.MpoImageFile)


def test_its_segments_are_looked_at_where_they_lie_behind_what_looks_like_pixels(tmp_path):
    buffer = BytesIO()
    Image.fromarray(NOISE).save(buffer, "JPEG", exif=TURNED)
    content = buffer.getvalue()
    comment = b"\xff\xfe\x00\x06\xff\xda\xff\xda"
    path = tmp_path / "picture.jpg"
    path.write_bytes(content[:2] + comment + content[2:])
    assert JpegImagePlugin.JpegImageFile(BytesIO(path.read_bytes())).info["exif"]
    assert not is_plain(path)
    assert decode_rgb(path).shape == (91, 70, 3)


@pytest.mark.parametrize("before", [b"", b"\xff\xfe\x00\x06\xff\xda\xff\xda"])
def test_a_damaged_note_of_a_camera_is_no_warning(tmp_path, before):
    exif = b"Exif\0\0II*\0\x08\0\0\0" + b"\xff" * 40
    path = jpeg(tmp_path / "picture.jpg", exif=exif)
    content = path.read_bytes()
    path.write_bytes(content[:2] + before + content[2:])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert decode_rgb(path).shape == (91, 70, 3)
    assert told == []


@pytest.mark.parametrize("name", [name for name in seed_pictures() if not name.endswith((".jpg", ".jpeg"))])
def test_other_formats_are_none(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(seed_pictures()[name])
    assert not is_plain(path)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_damaged_ones_are_read_or_refused_as_pillow_does_it(tmp_path, mode, without_haste):
    """A function of a fixed state, so that a failure can be looked at again."""
    generator = np.random.default_rng(1)
    begun = jpeg(tmp_path / "begun.jpg", (31, 24), mode).read_bytes()
    paths = []
    for number in range(300):
        content = begun
        for _ in range(generator.integers(0, 3)):
            content = MUTATIONS[generator.integers(len(MUTATIONS) - 3)](generator, content)
        paths.append(tmp_path / f"{number:03}.jpg")
        paths[-1].write_bytes(content)
    in_haste = [outcome(path) for path in paths]
    assert 30 < sum(map(is_plain, paths)) < 300
    assert 30 < sum(isinstance(each, str) for each in in_haste) < 270
    without_haste()
    assert in_haste == [outcome(path) for path in paths]


def outcome(path, size=16, channels=3, **options) -> bytes | str:
    try:
        return decode_image(path, size, channels, max_pixels=100_000, **options).tobytes()
    except Exception as error:  # Pillow's plugins raise anything
        # Of a very large one, Pillow tells the number of pixels only.
        return re.sub(r"(\d+ x )?\d+ pixels", "pixels", f"{type(error).__name__}: {error}")


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch", "tile"])
def test_all_ways_of_fitting_and_reading_have_what_pillow_gives(tmp_path, fit, without_haste):
    readings = [None, Reading(), Reading(Scale(0.0, 127.0)), Reading(Scale(0.0, 4095.0))]
    files = [jpeg(tmp_path / f"{width}.jpg", (width, 70), mode) for mode in ("RGB", "L") for width in (70, 91, 300)]
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(jpeg(tmp_path / "whole.jpg", (31, 24)).read_bytes()[:-60])

    def outcomes() -> list[bytes | str]:
        options = [(channels, reading) for channels in (1, 3, 4) for reading in readings]
        return [
            outcome(path, (32, 28), channels, fit=fit, reading=reading)
            for path in (*files, cut)
            for channels, reading in options
        ]

    in_haste = outcomes()
    assert len(set(in_haste)) > 15
    without_haste()
    assert in_haste == outcomes()


def test_too_many_pixels_are_refused_with_their_size(tmp_path):
    path = jpeg(tmp_path / "picture.jpg", (70, 90))
    with pytest.raises(ValueError, match=r"^70 x 90 pixels are more than data\.max_pixels=6299$"):
        decode_image(path, 16, 3, max_pixels=6299)
    assert decode_image(path, 16, 3, max_pixels=6300).shape == (16, 16, 3)


def test_levels_of_bytes_are_scaled_in_plain_ones_too(tmp_path):
    path = jpeg(tmp_path / "picture.jpg", (32, 32))
    plain, scaled = decode_image(path, 32, 3), decode_image(path, 32, 3, reading=Reading(Scale(0.0, 127.0)))
    assert not np.array_equal(plain, scaled)
    assert np.array_equal(scaled[plain >= 127], np.full((plain >= 127).sum(), 255))
