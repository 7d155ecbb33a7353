"""How files of a run directory are written and read, whatever lies there."""

import io
import os
import stat
import time
from pathlib import Path

import pytest

from tests.disk.full import full
from vae_lightning.disk.files import (
    check_contents,
    dump_yaml,
    folder_in,
    is_part,
    load_json,
    load_yaml,
    open_for_appending,
    open_regular,
    part_of,
    read_bytes,
    read_text,
    replacing,
    write_atomically,
)


@pytest.fixture
def foreign(tmp_path) -> Path:
    """A file outside of the folder `run`, which nothing may change."""
    (tmp_path / "run").mkdir()
    file = tmp_path / "foreign.txt"
    file.write_text("kept")
    return file


def test_a_folder_in_a_files_place_is_named(tmp_path):
    (tmp_path / "metrics.csv").mkdir()
    with pytest.raises(IsADirectoryError) as refused:
        write_atomically(tmp_path / "metrics.csv", "x")
    assert refused.value.filename == str(tmp_path / "metrics.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def test_a_link_is_replaced_and_never_followed(tmp_path, foreign):
    target = tmp_path / "run/metrics.json"
    target.symlink_to(foreign)
    write_atomically(target, "new")
    assert not target.is_symlink()
    assert target.read_text() == "new"
    assert foreign.read_text() == "kept"


@pytest.mark.parametrize("durable", [False, True])
def test_what_is_written_is_whole_and_alone(tmp_path, durable):
    target = tmp_path / "a file"
    for content, expected in ((b"\x00\xff", b"\x00\xff"), ("Übung", "Übung".encode())):
        write_atomically(target, content, durable=durable)
        assert target.read_bytes() == expected
    assert list(tmp_path.iterdir()) == [target]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("durable", [False, True])
def test_what_must_outlast_a_power_failure_is_synced_before_it_takes_its_name_and_the_name_after(
    tmp_path, monkeypatch, durable
):
    target, synced = tmp_path / "last.ckpt", []
    monkeypatch.setattr("os.fsync", lambda file: synced.append((stat.S_ISDIR(os.fstat(file).st_mode), target.exists())))
    write_atomically(target, b"new", durable=durable)
    assert synced == ([(False, False), (True, True)] if durable else [])


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt(), RuntimeError()])
def test_what_was_there_survives_a_failure_and_nothing_is_left_behind(tmp_path, failure):
    target = tmp_path / "last.ckpt"
    target.write_text("before")

    def write() -> None:
        with replacing(target) as file:
            file.write(b"half")
            raise failure

    with pytest.raises(type(failure)):
        write()
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_write_atomically_leaves_nothing_of_what_failed(tmp_path):
    write_atomically(tmp_path / "file", b"old")
    with full(2), pytest.raises(OSError, match="too large"):
        write_atomically(tmp_path / "file", b"newer")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("file", b"old")]


def test_a_file_that_can_not_take_its_name_is_removed(tmp_path, monkeypatch):
    target = tmp_path / "picture.png"
    write_atomically(target, b"old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_in_the_place_of_the_temporary_file_is_not_written_through(tmp_path, foreign, monkeypatch):
    monkeypatch.setattr("secrets.token_hex", lambda _: "guessed")
    target = tmp_path / "run/status.json"
    part_of(target).symlink_to(foreign)
    with pytest.raises(FileExistsError):
        write_atomically(target, "new")
    assert foreign.read_text() == "kept"


def test_the_names_of_temporary_files_differ_and_are_known_again(tmp_path):
    names = {part_of(tmp_path / "best.ckpt") for _ in range(50)}
    assert len(names) == 50
    assert all(map(is_part, names))
    assert not is_part(tmp_path / "best.ckpt")
    assert not is_part(tmp_path / ".status.json")
    assert len(os.fsencode(part_of(tmp_path / ("\N{GRINNING FACE}" * 63)).name)) <= 255


def test_a_log_is_appended_to(tmp_path):
    for line in ("one", "two"):
        with open_for_appending(tmp_path / "train.log") as file:
            file.write(f"{line}\n")
    assert (tmp_path / "train.log").read_text() == "one\ntwo\n"


def test_nothing_is_appended_through_a_link(tmp_path, foreign):
    log = tmp_path / "run/train.log"
    log.symlink_to(foreign)
    with pytest.raises(ValueError, match=r"^no regular file but a link$"):
        open_for_appending(log)
    assert foreign.read_text() == "kept"


def test_a_file_with_a_second_name_becomes_a_copy_before_it_is_appended_to(tmp_path, foreign):
    log = tmp_path / "run/train.log"
    log.hardlink_to(foreign)
    with open_for_appending(log) as file:
        file.write(" on")
    assert log.read_text() == "kept on"
    assert foreign.read_text() == "kept"


@pytest.mark.usefixtures("in_time")
@pytest.mark.parametrize("call", [open_for_appending, read_bytes], ids=["append", "read"])
def test_no_pipe_is_waited_for(tmp_path, call):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match=r"^no regular file but a named pipe$"):
        call(tmp_path / "pipe")


@pytest.mark.usefixtures("in_time")
@pytest.mark.parametrize("call", [open_for_appending, read_bytes], ids=["append", "read"])
def test_what_takes_the_place_of_a_file_after_the_look_is_not_followed_or_waited_for(
    tmp_path, foreign, monkeypatch, call
):
    monkeypatch.setattr("vae_lightning.disk.files.check_regular", lambda _: None)
    monkeypatch.setattr("os.path.realpath", lambda path: path)
    (tmp_path / "link").symlink_to(foreign)
    with pytest.raises(OSError, match="symbolic"):
        call(tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises((OSError, ValueError), match=r"^no regular file but a named pipe$|No such device"):
        call(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(ValueError, match=r"^no regular file but a named pipe$"):
        call(tmp_path / "pipe")
    os.close(reader)


@pytest.mark.parametrize(("path", "kind"), [("/dev/zero", "a device"), ("/", "a folder")])
def test_neither_devices_nor_folders_are_read(path, kind):
    with pytest.raises(ValueError, match=f"no regular file but {kind}"):
        read_bytes(Path(path))


def test_what_is_read_has_a_limit(tmp_path):
    file = tmp_path / "metrics.json"
    with file.open("wb") as stream:
        stream.truncate(10**13)  # sparse: it takes no place
    with pytest.raises(ValueError, match=r"^larger than 16 MB$"):
        read_text(file)
    file.write_text("12345678")
    assert read_text(file, limit=8) == "12345678"
    with pytest.raises(ValueError, match=r"^larger than 1 MB$"):
        read_text(file, limit=7)


def test_a_file_that_grows_while_it_is_read_has_a_limit_too(tmp_path, monkeypatch):
    class Growing(io.BytesIO):
        def read(self, size: int = -1) -> bytes:
            assert size == 8
            return super().read(size)

    monkeypatch.setattr("vae_lightning.disk.files.open_regular", lambda *_, **__: Growing(b"123456789"))
    with pytest.raises(ValueError, match="larger"):
        read_bytes(tmp_path / "metrics.json", limit=7)


def test_a_folder_of_too_many_entries_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("vae_lightning.disk.files._MOST_ENTRIES", 3)
    for name in ("a/b", "a/c"):
        (tmp_path / name).mkdir(parents=True)
    check_contents(tmp_path)
    (tmp_path / "a/d").mkdir()
    with pytest.raises(ValueError, match=r"^it holds more than 3 files$"):
        check_contents(tmp_path)


def test_links_lead_only_within_the_folder(tmp_path, foreign):
    run = tmp_path / "run"
    (run / "own").write_text("own")
    (run / "inside").symlink_to("own")
    (run / "outside").symlink_to(foreign)
    (run / "folder").symlink_to(tmp_path)
    (tmp_path / "way").symlink_to(run)
    assert read_text(tmp_path / "way/inside", within=tmp_path / "way") == "own"
    for path in (run / "outside", run / "folder/foreign.txt", run / "../foreign.txt"):
        with pytest.raises(ValueError, match="a link leads out of"):
            read_text(path, within=run)


def test_a_folder_is_made_within_the_root_only_and_the_root_never(tmp_path, foreign):
    run = tmp_path / "run"
    assert folder_in(run, "images", "samples").is_dir()
    (run / "generated").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="a link leads out of"):
        folder_in(run, "generated", "samples")
    assert not (tmp_path / "samples").exists()
    with pytest.raises(FileNotFoundError):
        folder_in(tmp_path / "gone", "images")
    assert not (tmp_path / "gone").exists()


def test_what_is_not_there_is_told_as_such(tmp_path):
    (tmp_path / "circle").symlink_to("circle")
    for name in ("none", "circle"):
        with pytest.raises((FileNotFoundError, ValueError)):
            open_regular(tmp_path / name, 1)


BOMB = "a: &a [x, x]\n" + "".join(
    f"{new}: &{new} [*{old}, *{old}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BOMB, r"line 2: has an alias \(\*a\)"),
        ("a: &a [*a]", "has an alias"),
        ("[" * 20_000, "nested too deep"),
        ("{a: " * 20_000, "nested too deep"),
        ("a: !!python/object/apply:os.system [true]", "line 1: could not determine a constructor for the tag"),
        ("a: !!python/name:os.system", "could not determine a constructor"),
        ("a: [1", "line 2: did not find expected"),
        ("{a: 1, a", "."),
        ("a: !!timestamp never", "."),
        ("a: !!bool maybe", "."),
        ("a: 2026-99-99", "month"),
        ("a: " + "9" * 5000, "Exceeds the limit"),
        ("a: \x00", "."),
        ("? [a]\n: 1", "unhashable"),
    ],
)
def test_yaml_from_a_stranger_ends_in_one_line(text, told):
    with pytest.raises(ValueError, match=told) as error:
        load_yaml(text)
    assert str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_dumped_is_read_again():
    shared = [1, 2.5, None, True, "text\nof two lines"]
    data = {"b": shared, "a": shared, "Ü": {"x": {}}}
    assert load_yaml(dump_yaml(data)) == data
    assert list(load_yaml(dump_yaml(data))) == ["b", "a", "Ü"]


@pytest.mark.usefixtures("in_time")
@pytest.mark.parametrize("text", ["12:30:45", "-1:2", "1:30.5", "1" + ":1" * 480_000, "1" + ":1" * 480_000 + ".5"])
def test_numbers_in_base_60_are_text(text):
    started = time.monotonic()
    assert load_yaml(f"a: {text}\nb: !!int {text}\nc: [45045, 1.5]") == {"a": text, "b": text, "c": [45045, 1.5]}
    assert load_yaml(dump_yaml([text])) == [text]
    assert time.monotonic() - started < 10


def test_json_that_is_nested_too_deep_ends_in_one_line():
    with pytest.raises(ValueError, match=r"^nested too deep$"):
        load_json("[" * 200_000)
    assert load_json('{"a": [1]}') == {"a": [1]}


def test_a_key_that_stands_twice_is_refused_where_each_must_be_once():
    text = '{"a": {"b": 1, "b": 2}}'
    assert load_json(text) == {"a": {"b": 2}}
    with pytest.raises(ValueError, match=r"^has the key 'b' twice$"):
        load_json(text, keys_once=True)


@pytest.mark.parametrize("read", [load_json, load_yaml])
@pytest.mark.parametrize("number", ["1" + 20 * "0", "-9" + 19 * "0", "0x" + 5000 * "f"])
def test_whole_numbers_have_64_bits(read, number):
    if number.startswith("0x") and read is load_json:
        number = str(2**64)
    with pytest.raises(ValueError, match="has a whole number of more than 64 bits"):
        read(f'{{"a": [{number}]}}')
    assert read('{"a": [18446744073709551615, -9223372036854775808]}')["a"][0] == 2**64 - 1


def test_keys_have_64_bits_too():
    with pytest.raises(ValueError, match="has a whole number of more than 64 bits"):
        load_yaml(f"{{{2**64}: 1}}")
