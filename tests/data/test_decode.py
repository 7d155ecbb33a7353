import numpy as np
import pytest
from PIL import Image

from vae_lightning.data.decode import _to_8_bit, decode_grey, decode_image, stated_size
from vae_lightning.data.fitting import fitted

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def saved(image: Image.Image, path, **options):
    image.save(path, **options)
    return path


def quadrants(size: tuple[int, int] = (40, 40)) -> Image.Image:
    """Red and green above, blue and white below."""
    image = Image.new("RGB", (2, 2))
    for position, color in zip([(0, 0), (1, 0), (0, 1), (1, 1)], [RED, GREEN, BLUE, WHITE], strict=True):
        image.putpixel(position, color)
    return image.resize(size, Image.Resampling.NEAREST)


def corners(pixels: np.ndarray) -> list[tuple[int, ...]]:
    return [tuple(int(v) for v in pixels[y, x]) for y, x in [(1, 1), (1, -2), (-2, 1), (-2, -2)]]


def is_close(colors, expected, tolerance=12) -> bool:
    return np.abs(np.array(colors, dtype=int) - np.array(expected)).max() <= tolerance


@pytest.mark.parametrize("suffix", ["png", "webp", "bmp", "gif", "jpg"])
def test_formats_keep_colors_and_places(tmp_path, suffix):
    options = {"jpg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}.get(suffix, {})
    pixels = decode_image(saved(quadrants(), tmp_path / f"picture.{suffix}", **options), 20, 3)
    assert pixels.shape == (20, 20, 3)
    assert pixels.dtype == np.uint8
    assert is_close(corners(pixels), [RED, GREEN, BLUE, WHITE])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path, orientation):
    # what a camera held that way stores, so that undoing it gives the quadrants again
    turned = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    image = quadrants() if turned is None else quadrants().transpose(turned)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(image, tmp_path / "picture.jpg", quality=100, subsampling=0, exif=exif)
    assert is_close(corners(decode_image(path, 20, 3)), [RED, GREEN, BLUE, WHITE])


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_white(tmp_path, mode):
    image = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 10, 20))
    image.paste((0, 0, 0, 128), (0, 0, 10, 10))
    if mode == "P":
        image = image.quantize(8)
    path = saved(image.convert(mode), tmp_path / "picture.png")
    assert Image.open(path).mode == mode
    half_black, clear, black, _ = corners(decode_image(path, 20, 3))
    assert is_close(half_black, (127, 127, 127), 2)
    assert clear == WHITE
    assert black == (0, 0, 0)


def test_a_transparent_color_is_laid_on_white(tmp_path):
    path = saved(quadrants(), tmp_path / "picture.png", transparency=RED)
    assert corners(decode_image(path, 40, 3)) == [WHITE, GREEN, BLUE, WHITE]


def test_an_opaque_palette_keeps_its_colors(tmp_path):
    path = saved(quadrants().quantize(4), tmp_path / "picture.png")
    assert Image.open(path).mode == "P"
    assert corners(decode_image(path, 40, 3)) == [RED, GREEN, BLUE, WHITE]


def test_cmyk(tmp_path):
    path = saved(quadrants().convert("CMYK"), tmp_path / "picture.jpg", quality=100, subsampling=0)
    assert Image.open(path).mode == "CMYK"
    assert is_close(corners(decode_image(path, 20, 3)), [RED, GREEN, BLUE, WHITE])


@pytest.mark.parametrize("mode", ["1", "L"])
@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_black_and_white(tmp_path, mode, channels):
    image = Image.new(mode, (20, 20), 0)
    image.paste(255, (10, 0, 20, 20))
    pixels = decode_image(saved(image, tmp_path / "picture.png"), 20, channels)
    assert pixels.shape == (20, 20, channels)
    assert (pixels[:, :9] == 0).all()
    assert (pixels[:, 11:] == 255).all()


def test_color_becomes_grey_by_luminance(tmp_path):
    pixels = decode_image(saved(quadrants(), tmp_path / "picture.png"), 40, 1)
    assert is_close(corners(pixels), [(76,), (150,), (29,), (255,)], 1)


def test_16_bit_grey_is_scaled_not_clipped(tmp_path):
    ramp = np.linspace(0, 65535, 64).round().astype(np.uint16)
    path = saved(Image.fromarray(np.tile(ramp, (64, 1))), tmp_path / "picture.png")
    assert Image.open(path).mode == "I;16"
    pixels = decode_image(path, 64, 1)[32, :, 0].astype(int)
    assert np.abs(pixels - np.linspace(0, 255, 64)).max() <= 1


@pytest.mark.parametrize(
    ("mode", "values", "expected"),
    [
        ("I;16", [0, 257, 65535], [0, 1, 255]),
        ("I", [0, 32896, 65535], [0, 128, 255]),
        ("I", [-5, 0, 2**20], [0, 0, 255]),
        ("F", [0.0, 0.5, 1.0], [0, 128, 255]),
        ("F", [0.0, 100.0, 255.0], [0, 100, 255]),
        ("F", [np.nan, 257.0, 65535.0], [0, 1, 255]),
        ("F", [0.0, 0.0, 0.0], [0, 0, 0]),
    ],
)
def test_numbers_become_grey_levels(mode, values, expected):
    assert _to_8_bit(np.array([values]), mode).tolist() == [expected]


def test_a_grey_picture_keeps_its_own_size(tmp_path):
    levels = np.random.default_rng(0).integers(0, 256, (20, 37), dtype=np.uint8)
    assert np.array_equal(decode_grey(saved(Image.fromarray(levels), tmp_path / "picture.png")), levels)


def test_a_grey_picture_is_upright_opaque_and_of_colours_their_luminance(tmp_path):
    image = quadrants()
    exif = Image.Exif()
    exif[0x0112] = 3
    turned = saved(image.transpose(Image.Transpose.ROTATE_180), tmp_path / "turned.png", exif=exif)
    assert is_close(corners(decode_grey(turned)[..., None]), [(76,), (150,), (29,), (255,)], 1)
    clear = saved(quadrants(), tmp_path / "clear.png", transparency=RED)
    assert corners(decode_grey(clear)[..., None])[0] == (255,)
    ramp = np.tile(np.linspace(0, 65535, 64).round().astype(np.uint16), (64, 1))
    deep = decode_grey(saved(Image.fromarray(ramp), tmp_path / "deep.png"))
    assert np.abs(deep[0].astype(int) - np.linspace(0, 255, 64)).max() <= 1


# Frames


@pytest.mark.parametrize("size", [(640, 160), (320, 1280)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_fills_a_wide_frame_sharply_whichever_way_it_is_turned(tmp_path, orientation, size):
    """JPEG is decoded at a part of its size, which must never be less than the frame's."""
    stripes = np.zeros((size[1], size[0], 3), np.uint8)
    for offset in range(4):
        stripes[:, offset::20] = 255
    image, exif = Image.fromarray(stripes), Image.Exif()
    exif[0x0112] = orientation
    stored = image if orientation == 1 else image.transpose(Image.Transpose.ROTATE_90)
    path = saved(stored, tmp_path / "picture.jpg", quality=100, exif=exif)
    assert stated_size(path) == size
    for fit in ("crop", "pad", "stretch"):
        expected = np.asarray(fitted(image, (80, 320), fit)).astype(int)
        assert np.abs(decode_image(path, [80, 320], 3, fit=fit) - expected).mean() < 6


def test_the_orientation_of_a_picture_in_memory_counts_for_its_size():
    image = Image.new("L", (30, 20))
    image.getexif()[0x0112] = 8
    assert stated_size(image) == (20, 30)
