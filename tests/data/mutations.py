"""Picture files damaged by chance or made to do harm: whatever reads them must end soon, and take nothing down.

A name tells what the content began as, not what it is now; some are plainly of another kind than their name says.
"""

import functools
import io
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, PngImagePlugin

Mutation = Callable[[np.random.Generator, bytes], bytes]
SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp")
_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def mutated_pictures(generator: np.random.Generator, count: int) -> Iterator[tuple[str, bytes]]:
    """So many names and contents of picture files, each with 1 to 4 mutations; a function of the generator's state."""
    seeds = list(seed_pictures().items())
    for number in range(count):
        name, content = seeds[generator.integers(len(seeds))]
        for _ in range(generator.integers(1, 5)):
            content = MUTATIONS[generator.integers(len(MUTATIONS))](generator, content)
        suffix = SUFFIXES[generator.integers(len(SUFFIXES))] if generator.random() < 0.1 else _suffix(name)
        yield f"{number:05}{suffix}", content


@functools.cache
def seed_pictures() -> dict[str, bytes]:
    """Whole pictures by a name for each: all formats, in many modes, with what formats hold besides pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 31, 4), dtype=np.uint8)
    pixels[:12] //= 32
    rgba = Image.fromarray(pixels)
    rgb, grey = rgba.convert("RGB"), rgba.convert("L")
    frames = [Image.new("RGB", (31, 24), color) for color in ("red", "green", "blue")]
    animated = {"save_all": True, "append_images": frames[1:]}
    exif = Image.Exif()
    exif[0x0112] = 6
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "a" * 300, zip=True)
    deep = Image.fromarray(np.linspace(0, 65535, 744).astype(np.uint16).reshape(24, 31))
    return {
        "plain.jpg": _saved(rgb, "JPEG", exif=exif, icc_profile=b"icc" * 50, comment=b"a comment"),
        "progressive.jpg": _saved(rgb, "JPEG", progressive=True),
        "grey.jpeg": _saved(grey, "JPEG"),
        "cmyk.jpg": _saved(rgb.convert("CMYK"), "JPEG"),
        "plain.png": _saved(rgb, "PNG", pnginfo=text, icc_profile=b"icc" * 50),
        "clear.png": _saved(rgba, "PNG", exif=exif),
        "palette.png": _saved(rgb.quantize(16), "PNG", transparency=3),
        "deep.png": _saved(deep, "PNG"),
        "bits.png": _saved(grey.convert("1"), "PNG"),
        "animated.png": _saved(frames[0], "PNG", **animated),
        "plain.gif": _saved(rgb.quantize(32), "GIF"),
        "animated.gif": _saved(frames[0], "GIF", **animated, loop=0, comment=b"a comment"),
        "plain.webp": _saved(rgb, "WEBP", exif=exif),
        "lossless.webp": _saved(rgba, "WEBP", lossless=True),
        "animated.webp": _saved(frames[0], "WEBP", **animated),
        "plain.bmp": _saved(rgb, "BMP"),
        "palette.bmp": _saved(grey, "BMP"),
        "runs.bmp": _run_length_bmp(),
        "plain.tiff": _saved(rgb, "TIFF"),
        "packed.tiff": _saved(grey, "TIFF", compression="tiff_lzw"),
        "pages.tiff": _saved(frames[0], "TIFF", **animated),
    }


def _suffix(name: str) -> str:
    # a TIFF is no format that folders are searched for, and comes under the name of one
    return ".png" if name.endswith(".tiff") else name[name.rindex(".") :]


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _run_length_bmp() -> bytes:
    rows = (b"\x08\x01\x04\x02" + b"\x00\x00") * 8 + b"\x00\x01"
    header = struct.pack("<IiiHHIIiiII", 40, 12, 8, 1, 8, 1, len(rows), 0, 0, 256, 0)
    palette = bytes(value for level in range(256) for value in (level, level, level, 0))
    offset = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(rows), 0, 0, offset) + header + palette + rows


# Mutations


def _flip_bits(generator: np.random.Generator, content: bytes) -> bytes:
    changed = bytearray(content)
    for place in generator.integers(0, len(changed), generator.integers(1, 9)) if changed else ():
        changed[place] ^= 1 << int(generator.integers(8))
    return bytes(changed)


def _overwrite(generator: np.random.Generator, content: bytes) -> bytes:
    start, length = _span(generator, content)
    return content[:start] + generator.bytes(length) + content[start + length :]


def _blank(generator: np.random.Generator, content: bytes) -> bytes:
    start, length = _span(generator, content)
    return content[:start] + bytes([int(generator.integers(2)) * 255]) * length + content[start + length :]


def _truncate(generator: np.random.Generator, content: bytes) -> bytes:
    return content[: generator.integers(len(content) + 1)]


def _delete(generator: np.random.Generator, content: bytes) -> bytes:
    start, length = _span(generator, content)
    return content[:start] + content[start + length :]


def _repeat(generator: np.random.Generator, content: bytes) -> bytes:
    start, length = _span(generator, content)
    return (
        content[: start + length] + content[start : start + length] * int(generator.integers(1, 30)) + content[start:]
    )


def _splice(generator: np.random.Generator, content: bytes) -> bytes:
    others = list(seed_pictures().values())
    other = others[generator.integers(len(others))]
    return content[: generator.integers(len(content) + 1)] + other[generator.integers(len(other)) :]


def _extreme(generator: np.random.Generator, content: bytes) -> bytes:
    """A number at the limit of its type in the header, where sizes and counts are."""
    value = _EXTREMES[generator.integers(len(_EXTREMES))]
    width = int(generator.choice([1, 2, 4]))
    number = (value & (256**width - 1)).to_bytes(width, "big" if generator.random() < 0.5 else "little")
    start = int(generator.integers(min(len(content), 120) + 1))
    return content[:start] + number + content[start + width :]


def _valid_chunk(generator: np.random.Generator, content: bytes) -> bytes:
    """A mutated chunk of a PNG whose checksum is right, so that it is read further than a damaged one would be."""
    chunks = list(_png_chunks(content))
    if not chunks:
        return _flip_bits(generator, content)
    chosen = int(generator.integers(len(chunks)))
    kind, body = chunks[chosen]
    chunks[chosen] = kind, _extreme(generator, _flip_bits(generator, body))
    return content[:8] + b"".join(png_chunk(*chunk) for chunk in chunks)


def _extra_chunk(generator: np.random.Generator, content: bytes) -> bytes:
    """Another chunk behind a PNG's header: text or a profile that unpacks to a megabyte, or one of odd content."""
    chunks = list(_png_chunks(content))
    if not chunks:
        return _overwrite(generator, content)
    bomb = zlib.compress(bytes(10**6))
    extra = (
        (b"zTXt", b"Comment\0\0" + bomb),
        (b"iTXt", b"Comment\0\1\0\0\0" + bomb),
        (b"iCCP", b"profile\0\0" + bomb),
        (b"eXIf", generator.bytes(60)),
        (b"acTL", struct.pack(">II", 2**31 - 1, 0)),
        (b"tRNS", generator.bytes(7)),
        (b"PLTE", generator.bytes(31)),
    )
    return content[:8] + b"".join(png_chunk(*chunk) for chunk in (chunks[0], extra[generator.integers(7)], *chunks[1:]))


def _of_another_kind(generator: np.random.Generator, content: bytes) -> bytes:
    """What only a picture by its name is; a program that is trusted with it would run a part of it."""
    others = (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n/x {x} def x\n",
        b"%PDF-1.4\n1 0 obj\n<< >>\nendobj\n",
        b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        b"P6 9999999 9999999 255\n" + content,
        b"SIMPLE  =                    T" + content,
        b"\x00\x00\x01\x00\x01\x00" + content,
        b"icns" + struct.pack(">I", 2**31) + content,
        b"8BPS" + content,
        b"\x89HDF\r\n\x1a\n" + content,
        b"\xd7\xcd\xc6\x9a" + content,
        b"",
    )
    return others[generator.integers(len(others))]


def _span(generator: np.random.Generator, content: bytes) -> tuple[int, int]:
    start = int(generator.integers(len(content) + 1))
    return start, min(int(generator.integers(1, 65)), len(content) - start)


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 8 if content.startswith(b"\x89PNG\r\n\x1a\n") else len(content)
    while place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        yield content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        place += 12 + length


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk with its length and the checksum that it ought to have."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


MUTATIONS: tuple[Mutation, ...] = (
    *(_flip_bits, _flip_bits, _overwrite, _blank, _truncate, _delete, _repeat, _splice, _extreme, _extreme),
    *(_valid_chunk, _extra_chunk, _of_another_kind),
)
