import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from vae_lightning.data.archive import Unpacker
from vae_lightning.errors import UserError

FILES = {"a.png": b"first", "deep/er/b.png": b"second", "deep/empty.png": b""}
KINDS = ["zip", "tar", "tar.gz", "tgz"]


def pack(path: Path, members: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


def pack_special(path: Path, name: str, kind: bytes) -> Path:
    """An archive of good files and a member that is none: a link to /etc/passwd, a device or a pipe."""
    pack(path, FILES)
    if path.suffix == ".zip":
        modes = {tarfile.SYMTYPE: stat.S_IFLNK, tarfile.CHRTYPE: stat.S_IFCHR, tarfile.FIFOTYPE: stat.S_IFIFO}
        info = zipfile.ZipInfo(name)
        info.create_system = 3
        info.external_attr = (modes[kind] | 0o777) << 16
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(info, "/etc/passwd")
    else:
        with tarfile.open(path, "a") as archive:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    return path


def unpack(archive: Path, max_gigabytes: float = 1.0) -> Path:
    return Unpacker(archive, archive.parent / "cache", max_gigabytes)()


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_refused(archive: Path, message: str, **options) -> None:
    outside = {path for path in archive.parent.iterdir() if path.name != "cache"}
    with pytest.raises(UserError) as error:
        unpack(archive, **options)
    assert str(error.value).startswith(f"data.archive={archive}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert {path for path in archive.parent.iterdir() if path.name != "cache"} == outside
    cache = archive.parent / "cache"
    assert not cache.exists() or {path.name for path in cache.iterdir()} <= {".lock"}


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_unpacked_once_and_again_when_the_archive_changes(tmp_path, kind):
    archive = pack(tmp_path / f"faces.{kind}", FILES)
    folder = unpack(archive)
    assert content(folder) == FILES
    (folder / "a.png").write_bytes(b"marked")
    assert unpack(archive) == folder
    assert content(folder)["a.png"] == b"marked"
    pack(archive, {"c.png": b"third"})
    os.utime(archive, ns=(1, 1))
    assert content(unpack(archive)) == {"c.png": b"third"}


@pytest.mark.parametrize("kind", KINDS)
def test_too_little_disk_space_is_told_before_unpacking(tmp_path, monkeypatch, kind):
    archive = pack(tmp_path / f"faces.{kind}", {f"{number}.png": bytes(1_000_000) for number in range(3)})
    usage = namedtuple("usage", "free")
    monkeypatch.setattr("vae_lightning.data.archive.disk_usage", lambda _: usage(2_999_999))
    with pytest.raises(UserError) as error:
        unpack(archive)
    told = f"data.cache_dir={tmp_path / 'cache'}: faces.{kind} unpacks to {3 if kind == 'zip' else 4} MB"
    assert str(error.value) == f"{told} and 2 MB are free; choose another folder"
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {".lock"}
    monkeypatch.setattr("vae_lightning.data.archive.disk_usage", lambda _: usage(4_000_000))
    assert len(content(unpack(archive))) == 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/tmp/evil.png", "..\\evil", "C:\\x"])
def test_members_that_leave_the_folder_are_refused(tmp_path, kind, name):
    archive = pack(tmp_path / f"faces.{kind}", {**FILES, name: b"evil"})
    assert_refused(archive, f"its member {name!r} lies outside its folder")
    assert not Path("/tmp/evil.png").exists()


@pytest.mark.parametrize("name", ["../evil\n.png"])
def test_the_message_stays_on_one_line(tmp_path, name):
    assert_refused(pack(tmp_path / "faces.tar", {name: b"evil"}), "lies outside")


@pytest.mark.parametrize("suffix", ["zip", "tar"])
@pytest.mark.parametrize(
    ("kind", "word"), [(tarfile.SYMTYPE, "link"), (tarfile.CHRTYPE, "device"), (tarfile.FIFOTYPE, "device")]
)
def test_links_and_devices_are_refused(tmp_path, suffix, kind, word):
    archive = pack_special(tmp_path / f"faces.{suffix}", "c.png", kind)
    assert_refused(archive, f"its member 'c.png' is a {word}")


def test_hard_links_are_refused(tmp_path):
    archive = pack_special(tmp_path / "faces.tar", "c.png", tarfile.LNKTYPE)
    assert_refused(archive, "its member 'c.png' is a link")


@pytest.mark.parametrize("kind", KINDS)
def test_bombs_are_stopped(tmp_path, kind):
    archive = pack(tmp_path / f"faces.{kind}", {f"{number}.png": bytes(600_000) for number in range(4)})
    assert_refused(archive, "unpacks to more than data.max_archive_gb=0.002", max_gigabytes=0.002)
    assert len(content(unpack(archive, 0.0024))) == 4


def test_what_is_really_unpacked_counts_and_not_the_stated_size(tmp_path):
    archive = pack(tmp_path / "faces.zip", {"bomb.png": bytes(3_000_000)})
    honest, lie = (3_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")
    assert archive.read_bytes().count(honest) == 2
    archive.write_bytes(archive.read_bytes().replace(honest, lie))
    assert zipfile.ZipFile(archive).getinfo("bomb.png").file_size == 10
    assert_refused(archive, "cannot be read")  # zipfile reads what is stated, and the checksum fails


LONGEST = ["a/" * 49 + "a.png", "a" * 251 + ".png", "/".join([*["a" * 249] * 3, "a" * 246 + ".png"])]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", LONGEST, ids=["deep", "a long part", "long"])
def test_names_may_be_as_deep_and_as_long_as_is_allowed_and_no_more(tmp_path, kind, name):
    for folder in ("taken", "refused"):
        (tmp_path / folder).mkdir()
    assert content(unpack(pack(tmp_path / f"taken/faces.{kind}", {name: b"first"}))) == {name: b"first"}
    more = ("a/" if name == LONGEST[0] else "a") + name
    assert_refused(pack(tmp_path / f"refused/faces.{kind}", {more: b"first"}), "has too long a name; nothing was")


def test_a_name_with_a_nul_in_it_is_refused(tmp_path):
    info = tarfile.TarInfo("a.png")
    info.pax_headers = {"path": "a.png\0b"}
    with tarfile.open(tmp_path / "faces.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info)
    assert_refused(tmp_path / "faces.tar", "its member 'a.png\\x00b' lies outside its folder")


def test_an_archive_packed_by_xz_is_told_apart(tmp_path):
    (tmp_path / "faces.tar").write_bytes(lzma.compress(b"whatever"))
    assert_refused(tmp_path / "faces.tar", "cannot be read (packed by xz, not by gzip)")


def test_absent_archives_are_named(tmp_path):
    assert_refused(tmp_path / "absent.zip", "cannot be opened (No such file or directory)")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["nonsense", "truncated"])
def test_damaged_archives_are_named(tmp_path, kind, damage):
    archive = pack(tmp_path / f"faces.{kind}", {"a.png": os.urandom(50_000)})
    archive.write_bytes(b"nonsense" * 200 if damage == "nonsense" else archive.read_bytes()[:25_000])
    assert_refused(archive, "cannot be read (")


def test_a_checksum_that_fails_is_noticed(tmp_path):
    archive = pack(tmp_path / "faces.tgz", {"a.png": bytes(5000)})
    packed = bytearray(archive.read_bytes())
    packed[-6] ^= 255  # of the checksum in gzip's trailer
    archive.write_bytes(packed)
    with pytest.raises(gzip.BadGzipFile):
        gzip.decompress(packed)
    assert_refused(archive, "cannot be read (")


@pytest.mark.parametrize("kind", KINDS)
def test_one_name_for_a_file_and_a_folder_is_refused(tmp_path, kind):
    assert_refused(pack(tmp_path / f"faces.{kind}", {"a": b"file", "a/b.png": b"in it"}), "cannot be read (")
