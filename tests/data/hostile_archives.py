"""Archives made to do harm: whatever unpacks them must end soon, in its own folder, or refuse them in a line."""

import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

Members = list[tuple[str | tarfile.TarInfo | zipfile.ZipInfo, bytes]]
MANY = 70_000  # members, of which there is nothing but the name
_BOMB = 12 * 10**6  # bytes that pack into some thousand


def hostile_archives(folder: Path) -> list[Path]:
    """About 90 archives in a folder that is there, 9 MB in all.

    The name of one says what is to become of it: `refused-` ones end in one line with limits of 2,000 members and
    30 MB, `either-` ones in that or well, and `taken-` ones are odd but whole.
    """
    (folder / "outside").mkdir(exist_ok=True)
    for made in (_leaving, _special, _bombs, _zip_lies, _tar_lies, _damaged, _odd):
        for name, content in made():
            (folder / name).write_bytes(content)
    return sorted(path for path in folder.iterdir() if path.is_file())


def picture() -> bytes:
    """A small PNG."""
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9), "red").save(buffer, "PNG")
    return buffer.getvalue()


def zipped(members: Members) -> bytes:
    """A .zip of names, or of `ZipInfo`s, and their contents."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            assert not isinstance(name, tarfile.TarInfo)
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(members: Members) -> bytes:
    """A .tar of names, or of `TarInfo`s, and their contents."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(str(name))
            info.size = info.size or len(content)
            archive.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return buffer.getvalue()


def _leaving() -> Iterator[tuple[str, bytes]]:
    """Members beside or above the folder that they are to be unpacked into."""
    names = {
        "up": "../up.png",
        "up-within": "a/../../up.png",
        "up-far": "../" * 40 + "tmp/up.png",
        "absolute": "/tmp/absolute.png",
        "backslash": "..\\up.png",
        "drive": "C:\\up.png",
        "unc": "\\\\server\\share\\up.png",
        "last": "a/..",
        "newline": "../up\n.png",
    }
    for kind, name in names.items():
        yield f"refused-{kind}.zip", zipped([("a.png", picture()), (name, b"out")])
        yield f"refused-{kind}.tar", tarred([("a.png", picture()), (name, b"out")])


def _special() -> Iterator[tuple[str, bytes]]:
    """Links, through which the next member would leave, devices and pipes."""
    kinds = {
        "link": (tarfile.SYMTYPE, stat.S_IFLNK),
        "hard-link": (tarfile.LNKTYPE, None),
        "pipe": (tarfile.FIFOTYPE, stat.S_IFIFO),
        "device": (tarfile.CHRTYPE, stat.S_IFCHR),
        "disk": (tarfile.BLKTYPE, stat.S_IFBLK),
        "socket": (b"s", stat.S_IFSOCK),
    }
    for name, (kind, mode) in kinds.items():
        link = tarfile.TarInfo("deep")
        link.type, link.linkname, link.devmajor, link.devminor = kind, "../outside", 1, 3
        yield f"refused-{name}.tar", tarred([("a.png", picture()), (link, b""), ("deep/b.png", picture())])
        if mode is not None:
            info = zipfile.ZipInfo("deep")
            info.create_system, info.external_attr = 3, (mode | 0o777) << 16
            yield (
                f"refused-{name}.zip",
                zipped([("a.png", picture()), (info, b"../outside"), ("deep/b.png", picture())]),
            )


def _bombs() -> Iterator[tuple[str, bytes]]:
    """Little that unpacks to much: of bytes, members, folders, names and headers."""
    zeros = bytes(_BOMB)
    yield "refused-bomb.zip", zipped([("a.png", zeros)])
    yield "refused-bomb.tgz", gzip.compress(tarred([("a.png", zeros)]), 1)
    yield "refused-two-bombs.tar.gz", gzip.compress(tarred([("a.png", zeros[::2]), ("b.png", zeros[::2])]), 1)
    yield "refused-trailing-bomb.tgz", gzip.compress(tarred([("a.png", picture())]) + zeros * 4, 1)
    yield "refused-many.zip", many_entries(MANY)
    yield "refused-many-small.tgz", gzip.compress(tarfile.TarInfo("a").tobuf() * MANY, 1)
    yield "refused-deep.tar", tarred([("a/" * 10_000 + "a.png", picture())])
    yield "refused-deep.zip", zipped([("a/" * 10_000 + "a.png", picture())])
    yield "refused-long-name.tar", tarred([("a" * 5000 + ".png", picture())])
    yield "refused-long-name.zip", zipped([("a" * 5000 + ".png", picture())])
    folders = [(f"{number}/" + "b/" * 45 + "a.png", b"") for number in range(60)]
    yield "refused-folders.zip", zipped([*folders])
    yield "refused-giant-name.tgz", gzip.compress(_long_header(tarfile.GNUTYPE_LONGNAME, zeros), 1)
    yield "refused-giant-pax.tgz", gzip.compress(_long_header(tarfile.XHDTYPE, zeros), 1)
    yield "refused-many-pax.tgz", gzip.compress(_long_header(tarfile.XGLTYPE, b"9 a=bbbb\n") * 20_000, 1)
    yield "refused-sparse.tar", _sparse(10**12)
    yield "refused-sparse-map.tgz", gzip.compress(_sparse(10**6, 200_000), 1)
    yield "refused-bzip2.zip", _with_method(zipfile.ZIP_BZIP2, zeros)
    yield "refused-lzma.zip", _with_method(zipfile.ZIP_LZMA, zeros)
    yield "refused-xz.tar", lzma.compress(tarred([("a.png", zeros)]))


def many_entries(number: int) -> bytes:
    """A .zip whose directory names the same empty member so many times, in 47 bytes each."""
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 33, 0, 0, 0, 1, 0) + b"a"
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    size, start = number * len(entry), len(local)
    far = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, number, number, size, start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, start + size, 1)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return local + entry * number + far + locator + end


def _long_header(kind: bytes, content: bytes) -> bytes:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, len(content)
    return info.tobuf() + content + bytes(-len(content) % 512)


def _sparse(size: int, num_maps: int = 0) -> bytes:
    """A GNU sparse file of so many bytes, all of them holes; its map may go on over so many more blocks."""
    info = tarfile.TarInfo("a.png")
    info.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"%011o\0%011o\0" % (0, 0)
    header[482] = num_maps > 0
    header[483:495] = b"\x80" + size.to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    block = (b"%011o\0%011o\0" % (1, 0)) * 21 + b"\1" + bytes(7)
    return bytes(header) + block * num_maps + bytes(1024)


def _with_method(method: int, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("a.png", content)
    return buffer.getvalue()


def _zip_lies() -> Iterator[tuple[str, bytes]]:
    """A directory that says other things than the members' own headers."""
    content = bytes(100_000)
    honest, small, large = (struct.pack("<I", size) for size in (100_000, 10, 2**31))
    plain = zipped([("a.png", content)])
    yield "refused-stated-small.zip", plain.replace(honest, small)
    yield "either-stated-large.zip", plain.replace(honest, large)
    yield "refused-wrong-crc.zip", plain.replace(struct.pack("<I", zlib.crc32(content)), b"\1\2\3\4")
    yield "refused-other-name.zip", plain.replace(b"a.png", b"b.png", 1)
    yield "refused-encrypted.zip", _changed(zipped([("a.png", picture())]), 6, 1)
    yield "refused-strongly-encrypted.zip", _changed(zipped([("a.png", picture())]), 6, 65)
    yield "refused-unknown-method.zip", _changed(zipped([("a.png", picture())]), 8, 99)
    yield "refused-overlapping.zip", _overlapping(400)
    yield "either-nul.zip", zipped([("a.pngX/../b.png", picture())]).replace(b"a.pngX/", b"a.png\0/")
    yield "either-two-directories.zip", zipped([("a.png", picture())]) + zipped([("b.png", picture())])
    yield "either-comment.zip", zipped([("a.png", picture())])[:-2] + b"\xff\xff" + b"PK\5\6" * 16_383 + b"PK\5"


def _changed(archive: bytes, place: int, value: int) -> bytes:
    """With another byte at this place of the first member's own header, and where the directory repeats it."""
    changed = bytearray(archive)
    changed[place] = changed[archive.index(b"PK\1\2") + place + 2] = value
    return bytes(changed)


def _overlapping(number: int) -> bytes:
    """A .zip all of whose members are the same 100 kB."""
    plain = zipped([("a.png", bytes(100_000))])
    start, end = plain.index(b"PK\1\2"), plain.index(b"PK\5\6")
    size = number * (end - start)
    return (
        plain[:start]
        + plain[start:end] * number
        + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, number, number, size, start, 0)
    )


def _tar_lies() -> Iterator[tuple[str, bytes]]:
    """Headers with numbers that cannot be."""
    plain = tarred([("a.png", picture())])
    for name, size in {"negative": b"\xff" * 12, "endless": b"\x80" + b"\x7f" * 11, "large": b"77777777777\0"}.items():
        header = bytearray(plain[:512])
        header[124:136] = size
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        kind = "either" if name == "negative" else "refused"
        yield f"{kind}-{name}-size.tar", bytes(header) + plain[512:]
    yield "refused-checksum.tar", b"b" + plain[1:]
    pax = tarred([("a.png", picture())])
    yield "either-pax-size.tar", _long_header(tarfile.XHDTYPE, b"12 size=-1\n") + pax
    yield "refused-pax-path.tar", _long_header(tarfile.XHDTYPE, b"22 path=../outside/a\n"[:21].ljust(22, b"\n")) + pax


def _damaged() -> Iterator[tuple[str, bytes]]:
    noise = bytes((number * number) % 251 for number in range(50_000))
    whole = {
        "zip": zipped([("a.png", noise)]),
        "tar": tarred([("a.png", noise)]),
        "tgz": gzip.compress(tarred([("a.png", noise)])),
    }
    for suffix, content in whole.items():
        yield f"refused-truncated.{suffix}", content[: len(content) // 2]
        yield f"refused-nonsense.{suffix}", b"nonsense" * 200
        yield f"refused-empty.{suffix}", b""
    yield "refused-checksum.tgz", whole["tgz"][:-6] + b"\1\2\3\4\5\6"
    yield "refused-zip-named.tar", whole["zip"]
    yield "refused-tar-named.zip", whole["tar"]


def _odd() -> Iterator[tuple[str, bytes]]:
    """Whole archives with names that something may trip over."""
    inner = zipped([("b.png", picture())])
    builders: dict[str, Callable[[Members], bytes]] = {"zip": zipped, "tar": tarred}
    for suffix, build in builders.items():
        yield f"taken-nested.{suffix}", build([("a.png", picture()), ("inner.zip", inner)])
        yield f"refused-file-and-folder.{suffix}", build([("a", b"file"), ("a/b.png", picture())])
        names = [
            "ä\u202egnp.png",
            " .png",
            "-rf.png",
            "$(touch x).png",
            "a b'c\".png",
            "CON.png",
            "🙂.png",
            "./dot/a.png",
        ]
        yield f"taken-odd-names.{suffix}", build([(name, picture()) for name in names])
    yield "taken-twice.tar", tarred([("a.png", b"first"), ("a.png", picture())])
    yield "taken-latin.zip", zipped([("aXb.png", picture())]).replace(b"aXb.png", b"a\xe9b.png")
    yield "taken-nothing.zip", zipped([])
