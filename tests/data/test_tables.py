"""Tables that people have: of whatever program, and with file names as they write them."""

import os
from pathlib import Path

import pytest

from vae_lightning.data.tables import located, parsed, pictures_meant, read_lines, wrapping_folder
from vae_lightning.errors import UserError

ROOT = Path("/pictures/faces")
TOLD = "data.labels=x.csv"


@pytest.mark.parametrize(
    "text", ["file,label\na.png,cat\n", "file;label\r\na.png; cat\r\n", "file\tlabel\n\na.png\tcat"]
)
def test_commas_semicolons_and_tabs_and_empty_lines(text):
    table = parsed(text, TOLD)
    assert (table.header, table.rows) == (("file", "label"), [["a.png", "cat"]])


def test_a_cell_in_quotes_may_hold_what_separates_the_others():
    assert parsed('file,label\n"a,b.png","big\ncat"\n', TOLD).rows == [["a,b.png", "big\ncat"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows"),
        ("file,label\n", "has no rows"),
        ("file,label\na.png,cat\nb.png\n", "line 3 has 1 cells, where there are 2 columns"),
        ("file,Label,label\na.png,cat,1\n", "has two columns of the name 'label'"),
    ],
)
def test_what_is_no_table_is_told_with_its_line(text, message):
    with pytest.raises(UserError, match=f"^{TOLD}: {message}"):
        parsed(text, TOLD)


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbffile,label\na.png,cat\n")
    assert parsed(read_lines(tmp_path / "x.csv", TOLD), TOLD).position("file") == 0


def test_a_file_that_is_missing_binary_or_a_pipe_is_named(tmp_path, in_time):
    with pytest.raises(UserError, match=f"^{TOLD}: there is no such file"):
        read_lines(tmp_path / "x.csv", TOLD)
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\0")
    with pytest.raises(UserError, match=f"^{TOLD}: is no text in UTF-8"):
        read_lines(tmp_path / "x.csv", TOLD)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match=f"^{TOLD}: can't be read"):
        read_lines(tmp_path / "pipe", TOLD)


def test_a_table_may_lie_below_the_root_of_the_pictures(tmp_path, monkeypatch):
    root = tmp_path / "root"
    root.mkdir()
    (root / "x.csv").touch()
    (tmp_path / "beside.csv").touch()
    monkeypatch.chdir(root)
    assert located("beside.csv", Path()) == tmp_path / "beside.csv"
    monkeypatch.chdir(tmp_path)
    assert located("x.csv", root) == root / "x.csv"
    (tmp_path / "x.csv").touch()
    assert located("x.csv", root).absolute() == tmp_path / "x.csv"


NAMES = ["all/train/a.png", "all/train/b.jpg", "all/val/b.png", "all/c/d.png"]


@pytest.mark.parametrize(
    ("entry", "picture"),
    [
        ("all/train/a.png", 0),
        ("./all/train/a.png", 0),
        ("all\\train\\a.png", 0),
        ("train/a.png", 0),
        ("a.png", 0),
        ("a", 0),
        ("b.jpg", 1),
        ("val/b", 2),
        ("c/d", 3),
        ("/pictures/faces/all/train/a.png", 0),
        ("/pictures/faces/a", 0),
        ("faces\\val\\b.png", 2),
    ],
)
def test_an_entry_may_leave_out_what_tells_nothing(entry, picture):
    assert pictures_meant([entry], NAMES, TOLD, ROOT) == [NAMES[picture]]


def test_an_entry_that_may_be_either_is_refused_and_one_of_none_is_none():
    with pytest.raises(UserError, match=f"^{TOLD}: 'b' may be 'all/train/b.jpg' or 'all/val/b.png'; write the whole"):
        pictures_meant(["b"], NAMES, TOLD, ROOT)
    assert pictures_meant(["d.png", "e.png"], NAMES, TOLD, ROOT) == [None, None]


def test_two_entries_of_one_picture_are_refused():
    with pytest.raises(UserError, match=f"^{TOLD}: names a picture twice, by 'a.png' and 'train/a.png'"):
        pictures_meant(["a.png", "train/a.png"], NAMES, TOLD, ROOT)


def test_only_a_folder_that_holds_all_and_is_no_split_wraps_them():
    assert wrapping_folder(NAMES) == "all/"
    assert wrapping_folder([*NAMES, "b.png"]) == wrapping_folder(["train/a.png"]) == wrapping_folder([]) == ""
