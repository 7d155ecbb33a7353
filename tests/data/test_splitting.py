"""Which split a picture belongs to, as names, folders, files and groups say it."""

import hashlib
from collections import Counter
from pathlib import Path

import pytest

from vae_lightning.data.splitting import Splitting, deal, joined, same_files, split_by_folders, split_of
from vae_lightning.errors import UserError

SOURCE = "data.root=x"


def dealt(names, root=Path(), unreadable=(), **options):
    return Splitting(SOURCE, **{"val_fraction": 0.2, "test_fraction": 0.2} | options)(names, root, unreadable)


def numbered(folder: str, count: int) -> list[str]:
    return [f"{folder}{number:03}.png" for number in range(count)]


OWN = numbered("Train/", 80) + numbered("valid/", 10) + numbered("TEST/", 10)


@pytest.mark.parametrize("wrapping", ["", "photos/"])
def test_folders_called_so_are_the_splits_and_told(wrapping, told):
    splits = dealt([wrapping + name for name in OWN], own_splits=True)
    assert Counter(splits.values()) == {"train": 80, "val": 10, "test": 10}
    assert splits[f"{wrapping}TEST/003.png"] == "test"
    assert told() == ["train 80 / val 10 / test 10: by the folders Train, valid, TEST"]


def test_without_the_switch_folders_are_names_as_any(told):
    assert dealt(OWN) == {name: split_of(name, 0.2, 0.2) for name in OWN}
    assert told() == []


@pytest.mark.parametrize(("there", "missing"), [("test", "val"), ("val", "test")])
def test_a_split_that_has_no_folder_is_taken_out_of_train_by_the_names(there, missing, told):
    names = numbered("train/", 100) + numbered(f"{there}/", 10)
    splits = dealt(names, own_splits=True)
    counts = Counter(splits.values())
    assert counts[there] == 10
    assert {splits[name] for name in names[:100]} == {"train", missing}
    assert splits == dealt(names[::-1], own_splits=True)
    assert told()[0].endswith(f"; {missing} is taken out of train by the names, data.{missing}_fraction=0.2")


def test_pictures_beside_the_splits_are_refused():
    with pytest.raises(UserError, match=r"^data.root=x: 2 images beside the folders Train, valid, TEST, the first "):
        dealt([*OWN, "extra/a.png", "b.png"], own_splits=True)


def test_one_folder_called_so_is_no_split_and_two_without_train_are_told(told):
    assert split_by_folders(["train/a.png", "car/b.png", "c.png"], SOURCE) is None
    assert told() == []
    assert split_by_folders(["val/a.png", "test/b.png"], SOURCE) is None
    assert told() == ["data.root=x: the folders val, test are not taken for splits, for there is no train"]


# A file


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.csv", "file,split\na.png,train\nb.png,valid\nc.png,test\n"),
        ("s.csv", "label;Split;File\n1;train;a.png\n2;val;b.png\n3;test;c.png\n"),
        ("s.txt", "a.png,Train\nb.png,val\nc.png,test\n"),
        ("s.json", '{"train": ["a.png"], "val": ["b.png"], "test": ["c.png"]}'),
    ],
)
def test_a_file_says_the_splits(name, text, tmp_path, told):
    (tmp_path / name).write_text(text)
    splits = dealt(["a.png", "b.png", "c.png"], tmp_path, split_file=name, own_splits=True)
    assert splits == {"a.png": "train", "b.png": "val", "c.png": "test"}
    assert told() == [f"train 1 / val 1 / test 1: by data.split_file={name}"]


def test_a_val_that_the_file_lacks_is_taken_out_of_train(tmp_path):
    names = numbered("", 100)
    (tmp_path / "s.csv").write_text("".join(f"{name},{'test' if name > '090' else 'train'}\n" for name in names))
    counts = Counter(dealt(names, tmp_path, split_file="s.csv").values())
    assert counts["test"] == 10
    assert 0 < counts["val"] < counts["train"]


def test_a_file_may_name_pictures_that_can_not_be_read(tmp_path):
    (tmp_path / "s.csv").write_text("a.png,train\nb.png,val\nc.png,test\nd.png,train\n")
    assert len(dealt(["a.png", "b.png", "c.png"], tmp_path, ["d.png"], split_file="s.csv")) == 3


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "s.csv",
            "a.png,train\nb.png,val\nx.png,test\ny.png,test\n",
            "names 2 files not to be found, the first 'x.p",
        ),
        ("s.csv", "a.png,train\nb.png,val\n", "has no split for 1 of 3 images, the first 'c.png'"),
        ("s.csv", "a.png,val\nb.png,val\nc.png,test\n", "has no file for train"),
        (
            "s.csv",
            "a.png,train\nb.png,holdout\nc.png,test\n",
            "line 2: 'holdout' is no split; valid are train, val and",
        ),
        ("s.csv", "id,fold\na.png,train\n", "its first line must name the columns file and split, got id, fold"),
        ("s.json", '["a.png"]', "expected lists of files by split"),
        ("s.json", '{"train": "a.png"}', "expected lists of files by split"),
        ("s.json", "{", "can't be read as JSON"),
        ("s.json", '{"train": ["a.png"], "train": ["b.png"]}', r"can't be read as JSON \(has the key 'train' twice\)"),
        ("none.csv", None, "there is no such file"),
    ],
)
def test_what_a_file_can_not_say_is_told_in_a_line(name, text, message, tmp_path):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=rf"^data\.split_file={name}: {message}"):
        dealt(["a.png", "b.png", "c.png"], tmp_path, split_file=name)


# Groups

FRAMES = [f"clip{clip:02}_frame{frame}.png" for clip in range(30) for frame in range(4)]


@pytest.mark.parametrize("group_by", [r"clip\d+", r"(clip\d+)_frame(\d)"])
def test_pictures_of_one_group_stay_together_by_the_hash_of_its_name(group_by, told):
    splits = dealt(FRAMES, group_by=group_by)
    assert splits == {name: split_of(name[:6], 0.2, 0.2) for name in FRAMES}
    counts = [Counter(splits.values())[split] for split in ("train", "val", "test")]
    assert told() == ["train {} / val {} / test {}: by 30 groups (data.group_by={})".format(*counts, group_by)]


def test_a_folder_is_a_group():
    names = [name.replace("_", "/") for name in FRAMES]
    assert dealt(names, group_by="folder") == {name: split_of(name[:6], 0.2, 0.2) for name in names}


def test_groups_stay_together_where_val_is_taken_out_of_train():
    names = [f"train/{name}" for name in FRAMES] + numbered("test/clip99_", 9)
    splits = dealt(names, own_splits=True, group_by=r"clip\d+")
    assert splits | dict.fromkeys(names[-9:], "test") == splits
    assert all(splits[name] == split_of(name[6:12], 0.2, 0.0) for name in names[:-9])
    assert set(splits.values()) == {"train", "val", "test"}


def test_a_file_that_the_expression_does_not_match_is_told():
    with pytest.raises(UserError, match=r"^data\.group_by=clip\(\\d\+\): does not match 2 of 122 files, as 'a\.png'"):
        dealt([*FRAMES, "a.png", "b.png"], group_by=r"clip(\d+)")
    with pytest.raises(UserError, match=r"does not match 1 of 121 files, as 'clip\.png'"):
        dealt([*FRAMES, "clip.png"], group_by=r"clip(\d+)?")


def test_a_split_without_a_group_is_told():
    with pytest.raises(
        UserError,
        match=r"^data\.root=x: 8 images in 2 groups: too few for train, val and test, which take 3 groups at least$",
    ):
        dealt(FRAMES[:8], group_by=r"clip\d+")


@pytest.mark.parametrize("num_clips", [3, 5, 12])
@pytest.mark.parametrize("fraction", [0.001, 0.2, 0.49])
def test_a_split_that_no_group_falls_to_gets_the_nearest(num_clips, fraction, told):
    frames = [f"clip{clip:02}_{number}.png" for clip in range(num_clips) for number in range(4)]
    options = {"val_fraction": fraction, "test_fraction": fraction}
    splits = dealt(frames, group_by=r"clip\d+", **options)
    assert set(splits.values()) == {"train", "val", "test"}
    assert all(
        len({splits[name] for name in frames if name[:6] == clip}) == 1 for clip in {name[:6] for name in frames}
    )
    moved = {name[:6] for name in frames if splits[name] != split_of(name[:6], fraction, fraction)}
    lines = [line for line in told() if line.endswith("the nearest, is moved there")]
    assert {line.split("'")[1] for line in lines} == moved
    assert splits == dealt(frames[::-1], group_by=r"clip\d+", **options)


def test_the_nearest_is_the_one_that_the_smallest_raise_would_give():
    clips = {f"clip{number}" for number in range(6)}
    least = next(n for n in range(1, 1000) if "test" in {split_of(clip, 0.2, n / 1000) for clip in clips})
    nearest = {clip for clip in clips if split_of(clip, 0.2, least / 1000) == "test"}
    assert {clip for clip, split in deal(clips, 0.2, (least - 0.9) / 1000)[0].items() if split == "test"} == nearest
    few = deal({"a", "b"}, 0.001, 0.001)
    assert few == ({"a": "train", "b": "train"}, {})  # which is refused


def test_groups_that_are_added_move_no_other_unless_a_split_was_empty():
    keys = [f"clip{number}" for number in range(40)]
    before, moved = deal(keys[:30], 0.2, 0.2)
    assert moved == {}
    assert before.items() <= deal(keys, 0.2, 0.2)[0].items()


def test_groups_that_own_splits_tear_apart_are_warned_of(told):
    names = ["train/clip1_a.png", "train/clip2_a.png", "val/clip1_b.png", "test/clip3_a.png"]
    dealt(names, own_splits=True, group_by=r"clip\d")
    assert r"data.group_by=clip\d: 1 group in more than one split, the first 'clip1'" in told()


# Copies


@pytest.fixture
def files(tmp_path):
    """Makes files of the content that a name is given."""

    def make(contents: dict[str, bytes]) -> list[str]:
        for name, content in contents.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(content)
        return list(contents)

    return make


def test_files_of_the_same_bytes_are_found_whatever_they_have_in_common(files, tmp_path):
    long = bytes(20_000)
    contents = {"a": long, "b": long[:-1], "c": long[:7000] + b"x" + long[7001:], "d/e": long, "f": b"", "g": b""}
    assert same_files(files(contents), tmp_path, SOURCE) == [["a", "d/e"], ["f", "g"]]
    with pytest.raises(UserError, match=r"^data\.root=x: \S+h can't be read \(No such file"):
        same_files(["h"], tmp_path, SOURCE)


def test_files_of_different_sizes_are_not_read(files, tmp_path, monkeypatch):
    monkeypatch.setattr(hashlib, "sha256", None)
    assert same_files(files({"a": b"1", "b": b"22"}), tmp_path, SOURCE) == []


def test_copies_lie_in_the_split_of_their_first_and_others_where_they_were(files, tmp_path, told):
    plain = {f"{number:03}": str(number).encode() for number in range(100)}
    names = files({**plain, **{f"copy{number}": b"50" for number in range(20)}, "zz": b"51"})
    splits = dealt(names, tmp_path, keep_duplicates_together=True)
    assert {splits[name] for name in names if name.startswith("copy")} == {splits["050"]} == {split_of("050", 0.2, 0.2)}
    assert all(splits[name] == split_of(name, 0.2, 0.2) for name in plain)
    assert told() == ["21 files are copies of others: each lies in the split of its first"]
    before = dealt(names, tmp_path)
    assert before == {name: split_of(name, 0.2, 0.2) for name in names}


def test_one_copy_is_told_as_one_and_none_that_lies_there_anyway_is_told(files, tmp_path, told):
    apart = next(f"x{number}" for number in range(99) if split_of(f"x{number}", 0.4, 0.3) != split_of("a", 0.4, 0.3))
    beside = next(f"y{number}" for number in range(99) if split_of(f"y{number}", 0.4, 0.3) == split_of("a", 0.4, 0.3))
    others = {f"{number:03}": str(number).encode() for number in range(40)}
    options = {"val_fraction": 0.4, "test_fraction": 0.3, "keep_duplicates_together": True}
    dealt(files({**others, "a": b"same", beside: b"same"}), tmp_path, **options)
    assert told() == []
    dealt(files({**others, "a": b"same", apart: b"same"}), tmp_path, **options)
    assert told() == ["1 file is a copy of another: it lies in the split of that one"]


def test_copies_hold_groups_together():
    groups = {"a1": "a", "a2": "a", "b1": "b", "c1": "c", "d1": "d", "e1": "e"}
    keys = joined(groups, [["c1", "d1"], ["b1", "d1"], ["a2", "c1"]])
    assert keys == {"a1": "a", "a2": "a", "b1": "a", "c1": "a", "d1": "a", "e1": "e"}


def test_copies_in_splits_of_ones_own_are_warned_of_and_not_moved(files, tmp_path, told):
    names = files({"train/a": b"1", "train/b": b"2", "val/c": b"1", "test/d": b"1", "test/e": b"5"})
    splits = dealt(names, tmp_path, own_splits=True, keep_duplicates_together=True)
    assert splits == {name: name.partition("/")[0] for name in names}
    leak = "data.root=x: 2 files of val or test have copies in another split, the first 'test/d'"
    assert told()[0].startswith(leak)


def test_copies_are_counted_where_they_leave_too_few(tmp_path):
    for number in range(5):
        (tmp_path / f"{number}.png").write_bytes(b"the same")
    splitting = Splitting("data.root=pictures", 0.2, 0.2, keep_duplicates_together=True)
    with pytest.raises(UserError, match="5 images, 1 without copies: too few for train, val and test, which take 3"):
        splitting([f"{number}.png" for number in range(5)], tmp_path)


def test_one_picture_is_told_how_many_it_takes(tmp_path):
    with pytest.raises(
        UserError, match=r"^data\.root=x: 1 image: too few for train, val and test, which take 3 images"
    ):
        dealt(["a.png"])
    in_train = r"^data\.root=x: 1 image in train: too few for train and test, which take 2 images at least$"
    with pytest.raises(UserError, match=in_train):
        dealt(["train/a.png", "val/b.png", "val/c.png"], own_splits=True)
