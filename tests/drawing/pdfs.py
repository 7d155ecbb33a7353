"""What is in a PDF as matplotlib writes it: its page, its letters and the pixels of its images."""

import io
import re
import struct
import zlib
from typing import NamedTuple

import numpy as np
from PIL import Image

_OBJECT = re.compile(rb"obj\n(<<(?:(?!endobj).)*?>>)\nstream\n(.*?)\nendstream", re.DOTALL)
_KINDS = {b"DeviceGray": 0, b"DeviceRGB": 2}  # as a PNG counts them


class Pdf(NamedTuple):
    """The page's width and height in points, its lines of text, sizes of its letters, and its images."""

    width: float
    height: float
    texts: list[str]
    sizes: set[float]
    images: list[np.ndarray]


def read_pdf(content: bytes) -> Pdf:
    """Of one page."""
    (box,) = re.findall(rb"/MediaBox \[ 0 0 (\S+) (\S+) \]", content)
    texts, sizes, images = [], set(), []
    for told, stream in _OBJECT.findall(content):
        if b"/Subtype /Image" in told:
            images.append(_pixels(told, stream))
        elif b"/Length1" not in told:  # which a font has
            page = b"\n" + zlib.decompress(stream)
            texts += [_text(line) for line in re.findall(rb"\nBT\n(.*?)\nET\n", page, re.DOTALL)]
            sizes |= {float(size) for size in re.findall(rb"/F\S+ (\S+) Tf", page)}
    return Pdf(float(box[0]), float(box[1]), texts, sizes, images)


def _text(block: bytes) -> str:
    """A line, in which what has no code of a letter's own, a ligature or an arrow, is a box."""
    parts = b"".join(re.findall(rb"\(((?:\\.|[^\\)])*)\)", block, re.DOTALL))
    codes = _unescaped(parts)
    line = codes.decode("utf-16-be" if b"\0" in codes else "latin-1")  # by the version of matplotlib
    return "".join(letter if letter >= " " else "□" for letter in line)


def _unescaped(text: bytes) -> bytes:
    return re.sub(rb"\\(\d{3}|.)", lambda match: _byte(match[1]), text, flags=re.DOTALL)


def _byte(escaped: bytes) -> bytes:
    return bytes([int(escaped, 8)]) if escaped.isdigit() else {b"n": b"\n", b"r": b"\r"}.get(escaped, escaped)


def _pixels(told: bytes, stream: bytes) -> np.ndarray:
    """Those of an image whose stream is that of a PNG, which it becomes again."""
    (width,), (height,) = (re.findall(rb"/%s (\d+)" % name, told) for name in (b"Width", b"Height"))
    assert b"/DCTDecode" not in told  # a JPEG
    bits, *_ = re.findall(rb"/BitsPerComponent (\d+)", told)
    palette = re.findall(rb"/Indexed /DeviceRGB \d+\s\(((?:\\.|[^\\)])*)\)", told, re.DOTALL)
    kind = 3 if palette else _KINDS[re.findall(rb"/ColorSpace /(\w+)", told)[0]]
    header = struct.pack(">IIBBBBB", int(width), int(height), int(bits), kind, 0, 0, 0)
    colours = [(b"PLTE", _unescaped(text)) for text in palette]
    chunks = [(b"IHDR", header), *colours, (b"IDAT", stream), (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))[::-1]  # a PDF counts from below
