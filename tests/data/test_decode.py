import numpy as np
import pytest
from PIL import Image, ImageOps

from vae_lightning.data.decode import _to_8_bit, decode_grey_square, decode_image

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


@pytest.mark.parametrize("size", [(60, 20), (20, 60), (37, 20)])
def test_the_middle_is_kept_and_the_shorter_side_fits(tmp_path, size):
    width, height = size
    image = Image.new("RGB", size, BLUE)
    left, top = (width - 20) // 2, (height - 20) // 2
    image.paste(quadrants((20, 20)), (left, top))
    pixels = decode_image(saved(image, tmp_path / "picture.png"), 20, 3)
    assert is_close(corners(pixels), [RED, GREEN, BLUE, WHITE], 40)
    larger = decode_image(tmp_path / "picture.png", 33, 3)
    assert larger.shape == (33, 33, 3)
    assert is_close(corners(larger), [RED, GREEN, BLUE, WHITE], 40)


def test_shrinking_is_antialiased(tmp_path):
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    pixels = decode_image(saved(Image.fromarray(stripes), tmp_path / "picture.png"), 16, 1)
    assert is_close(pixels[4:-4, 4:-4], 127, 4)


def test_a_large_jpeg_is_decoded_small_but_never_below_the_wanted_size(tmp_path, monkeypatch):
    sizes = []
    fit = ImageOps.fit
    monkeypatch.setattr(ImageOps, "fit", lambda image, *rest: sizes.append(image.size) or fit(image, *rest))
    path = saved(quadrants((800, 640)), tmp_path / "picture.jpg")
    for image_size in (30, 64, 100, 500, 700):
        assert is_close(corners(decode_image(path, image_size, 3)), [RED, GREEN, BLUE, WHITE], 20)
    assert sizes == [(100, 80), (200, 160), (400, 320), (800, 640), (800, 640)]


def test_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (8, 8), color) for color in (RED, GREEN)]
    for suffix in ("gif", "webp"):
        path = tmp_path / f"animation.{suffix}"
        frames[0].save(path, save_all=True, append_images=frames[1:])
        assert is_close(decode_image(path, 8, 3)[4, 4], RED)


def test_damaged_files_raise(tmp_path):
    path = saved(quadrants(), tmp_path / "picture.jpg")
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(OSError, match=r"(?i)truncated"):
        decode_image(path, 20, 3)
    path.write_bytes(b"not a picture")
    with pytest.raises(OSError, match="cannot identify"):
        decode_image(path, 20, 3)


# Grey squares


def test_a_grey_square_keeps_every_level(tmp_path):
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for suffix in ("png", "bmp", "gif"):
        path = saved(Image.fromarray(levels), tmp_path / f"picture.{suffix}")
        assert np.array_equal(decode_grey_square(path), levels)


@pytest.mark.parametrize("size", [(60, 20), (20, 60), (37, 20)])
def test_of_a_longer_side_the_middle_is_kept_at_its_own_size(tmp_path, size):
    levels = np.random.default_rng(0).integers(0, 256, size[::-1], dtype=np.uint8)
    square = decode_grey_square(saved(Image.fromarray(levels), tmp_path / "picture.png"))
    assert square.shape == (20, 20)
    left, top = (size[0] - 20) // 2, (size[1] - 20) // 2
    assert np.array_equal(square, levels[top : top + 20, left : left + 20])


def test_a_grey_square_is_upright_opaque_and_of_colours_their_luminance(tmp_path):
    image = quadrants()
    exif = Image.Exif()
    exif[0x0112] = 3
    turned = saved(image.transpose(Image.Transpose.ROTATE_180), tmp_path / "turned.png", exif=exif)
    assert is_close(corners(decode_grey_square(turned)[..., None]), [(76,), (150,), (29,), (255,)], 1)
    clear = saved(quadrants(), tmp_path / "clear.png", transparency=RED)
    assert corners(decode_grey_square(clear)[..., None])[0] == (255,)
    ramp = np.tile(np.linspace(0, 65535, 64).round().astype(np.uint16), (64, 1))
    deep = decode_grey_square(saved(Image.fromarray(ramp), tmp_path / "deep.png"))
    assert np.abs(deep[0].astype(int) - np.linspace(0, 255, 64)).max() <= 1
