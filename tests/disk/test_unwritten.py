"""What can't be written ends nothing, is told once, and is written as soon as there is room."""

import errno
import logging
import os

import pytest

from tests.disk.full import failing, full
from vae_lightning.disk.unwritten import HeldFile, overwrite, room_of, spared


@pytest.fixture
def told():
    """What is logged, line by line."""
    lines, handler = [], logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    log = logging.getLogger("vae_lightning")
    level = log.level
    log.handlers = [handler]  # not the terminal of an earlier command: pytest has it in a file, which `full` holds for
    log.setLevel(logging.INFO)
    yield lines
    log.handlers = []  # those from before may be pytest's, of another phase of the test
    log.setLevel(level)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG])
def test_a_failed_write_is_told_once_until_it_succeeds(told, number):
    for _ in range(3):
        with spared("things"):
            failing(number)
    with spared("other things"):
        pass
    assert told == [f"things: can't be written ({os.strerror(number)}); the run goes on"]
    for _ in range(2):
        with spared("things"):
            pass
    assert told[1:] == ["things: can be written again"]


@pytest.mark.parametrize("error", [ValueError("no"), FileNotFoundError(errno.ENOENT, "gone"), PermissionError("no")])
def test_other_mistakes_are_not_spared(error):
    with pytest.raises(type(error)), spared("things"):
        raise error


def test_a_held_file_has_whole_pieces_in_order(tmp_path, told):
    file = HeldFile(tmp_path / "file", "the file")
    file.write(b"one\n")
    file.flush()
    with full(6):  # two bytes of the next
        for piece in (b"two\n", b"three\n"):
            file.write(piece)
            file.flush()
            assert (tmp_path / "file").read_bytes() == b"one\n"
    file.write(b"four\n")
    file.close()
    assert (tmp_path / "file").read_bytes() == b"one\ntwo\nthree\nfour\n"
    assert told == ["the file: can't be written (File too large); the run goes on", "the file: can be written again"]


def test_what_is_held_is_limited_and_what_is_lost_is_told(tmp_path, monkeypatch, told):
    monkeypatch.setattr("vae_lightning.disk.unwritten._MOST_HELD", 10)
    file = HeldFile(tmp_path / "file", "the limited file")
    with full():
        for _ in range(5):
            file.write(b"1234")
    file.flush()
    assert (tmp_path / "file").read_bytes() == b"12341234"
    file.write(b"5")
    file.close()
    assert [line for line in told if "lost" in line] == [
        "the limited file: 3 pieces are lost, for which there was no room"
    ]


def test_a_piece_larger_than_what_is_held_reaches_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("vae_lightning.disk.unwritten._MOST_HELD", 10)
    file = HeldFile(tmp_path / "file", "the large file")
    for piece in (b"1", 20 * b"2", b"3"):
        file.write(piece)
    file.close()
    assert (tmp_path / "file").read_bytes() == b"1" + 20 * b"2" + b"3"


def test_overwriting_asks_for_no_more_than_there_is(tmp_path, monkeypatch):
    monkeypatch.setattr("vae_lightning.disk.unwritten._OF_BLOCKS", 0)  # a disk that tells of none
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    overwrite(file, b"12345")
    with pytest.raises(OSError, match="No space left"):
        overwrite(file, b"123456")
    overwrite(file, b"abc")
    assert file.read_bytes() == b"abc"
    link = tmp_path / "link"
    link.symlink_to(file)
    with pytest.raises(OSError, match="symbolic"):
        overwrite(link, b"x")
    second = tmp_path / "second"
    os.link(file, second)  # in a stranger's run directory, say, of a file of the user's
    with pytest.raises(OSError, match="No space left"):
        overwrite(second, b"x")
    assert file.read_bytes() == b"abc"


def test_overwriting_uses_the_rest_of_a_files_last_block(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    os.sync()
    room = room_of(file)
    assert room > 5
    overwrite(file, b"x" * room)
    assert (file.stat().st_size, room_of(file)) == (room, room)
    with pytest.raises(OSError, match="No space left"):
        overwrite(file, b"x" * (room + 1))
