"""Entry point: `python -m vae_lightning.data preview data=folder data.root=photos`, or `vae-data preview ...`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_lightning.building.early import check_early
from vae_lightning.command_line.composing import composed
from vae_lightning.command_line.console import reporting_errors
from vae_lightning.config import instantiate
from vae_lightning.data.cache import cache_folder
from vae_lightning.data.cleaning import chosen, contents, listing, remove, told_sum
from vae_lightning.disk.files import write_atomically
from vae_lightning.errors import UserError, one_line
from vae_lightning.machine.interruption import interruptible, undivided
from vae_lightning.machine.process import run_as_program

if TYPE_CHECKING:
    from vae_lightning.data.image_data import ImageDataModule
    from vae_lightning.data.previewing import Preview

_HELP = """Looks at images before anything is trained on them, and clears up what was kept of them.

  python -m vae_lightning.data preview data=folder data.root=photos data.image_size=[48,64]
  python -m vae_lightning.data info data=folder data.root=photos data.image_size=64
  python -m vae_lightning.data clean older_than_days=30

preview   writes preview.png (or out=<file>.png): images as training gets them, and the histogram of their values;
          prints how many pictures there are in each split, what was left out and why, and of what size they are
info      looks at every image and prints how many there are in each split and of each label, how many are there
          twice, what was left out and why, and where in the cache they lie
clean     lists what the cache holds: its size, when it was used last, what it was made of; removes what is named, or
          with remove=true all that is listed

The words after the first two are those of python -m vae_lightning.train, of which data, its keys and seed count, and
--config-dir=<folder with YAML of your own>. Besides, preview takes out=<file>.png and num_images=<so many in the
picture>, and clean nothing but cache_dir=<folder>, older_than_days=<number>, remove=true, dry_run=true and names."""
_OWN = {"out": "preview.png", "num_images": "64"}  # keys of the command's own
_CLEANING = {"cache_dir": "", "older_than_days": "0", "remove": "false", "dry_run": "false"}
_MOST_IMAGES = 1000
_MOST_DAYS = 10**6
_NAMES = 10  # columns of what stands before a figure


def main() -> None:
    """Run the command that the first word names."""
    with reporting_errors(), interruptible():
        words = sys.argv[1:]
        if not {"-h", "--help"}.isdisjoint(words):
            print(_HELP)
        elif not words or words[0] not in _COMMANDS:
            got = f"{words[0]}: no such command" if words else "no command"
            raise UserError(
                f"{got}; choose {', '.join(_COMMANDS)}, as in vae-data preview data=folder data.root=photos"
            )
        else:
            _COMMANDS[words[0]](words[1:])


def _preview(words: Sequence[str]) -> None:
    own, rest = _taken(words)
    out, number = Path(own["out"]).expanduser(), own["num_images"]
    if out.suffix.lower() != ".png":
        raise UserError(f"out={out}: a PNG is written; give a name that ends in .png")
    if not out.parent.is_dir():
        raise UserError(f"out={out}: there is no folder {out.parent}")
    if not number.isdecimal() or not 1 <= int(number) <= _MOST_IMAGES:
        raise UserError(f"num_images={number}: choose 1 to {_MOST_IMAGES}")
    data, seed = _data(rest, "preview")
    with undivided():  # imported here: `--help`, and what is refused, must be answered without torch
        import torch

        from vae_lightning.data.previewing import preview
    torch.manual_seed(seed)
    data.prepare_data()
    seen = preview(data, int(number))
    picture = _picture(data, seen)
    for name, text in _facts(data, seen):
        print(f"{name:<{_NAMES}}{one_line(text)}")
    try:
        write_atomically(out, picture)
    except OSError as error:
        raise UserError(f"out={out}: cannot be written ({error})") from error
    print(f"{'picture':<{_NAMES}}{one_line(out)}")


def _info(words: Sequence[str]) -> None:
    data, _ = _data(words, "info")
    data.prepare_data()
    from vae_lightning.data.telling import info_lines

    for line in info_lines(data):
        print(line)


def _clean(words: Sequence[str]) -> None:
    given = _cleaning(words)
    removes, is_dry = (_is_true(given, key) for key in ("remove", "dry_run"))
    folder = cache_folder(given["cache_dir"] or None)
    if given["cache_dir"] and not folder.is_dir():
        raise UserError(f"cache_dir={given['cache_dir']}: there is no such folder")
    names = [word for word in words if "=" not in word]
    found = contents(folder)
    listed = chosen(found.entries, names, _days(given["older_than_days"]))
    for line in listing(folder, found, listed):
        print(line)
    if not listed:
        return
    if is_dry or not (names or removes):
        print("nothing is removed: name what is to go, or type remove=true for all of these")
        return
    remove(folder, listed)
    print(f"removed {told_sum(listed)}")


def _cleaning(words: Sequence[str]) -> dict[str, str]:
    given = dict(word.split("=", 1) for word in words if "=" in word)
    wrong = next((key for key in given if key not in _CLEANING), None)
    option = next((word for word in words if word.startswith("-")), None)
    if wrong is not None or option is not None:
        told = f"{wrong}: no such key" if wrong is not None else f"{option}: no such option"
        raise UserError(f"{told}; clean takes {', '.join(_CLEANING)} and names of what it lists")
    return _CLEANING | given


def _days(given: str) -> float:
    try:
        days = float(given)
    except ValueError:
        days = -1
    if not 0 <= days < _MOST_DAYS:
        raise UserError(f"older_than_days={given}: choose a number of days from 0 on")
    return days


def _is_true(given: dict[str, str], key: str) -> bool:
    if given[key].lower() not in ("true", "false"):
        raise UserError(f"{key}={given[key]}: choose true or false")
    return given[key].lower() == "true"


def _taken(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The values of the command's own keys, and the other words."""
    pairs = [(word.partition("=")[0], word) for word in words]
    own = {key: word.partition("=")[2] for key, word in pairs if key in _OWN}
    return _OWN | own, [word for key, word in pairs if key not in _OWN]


def _data(words: Sequence[str], command: str) -> tuple["ImageDataModule", int]:
    """The images that `train` would train on with these words, and its seed."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd", nargs="?")
    known, overrides = parser.parse_known_args(words)
    option = next((word for word in overrides if word.startswith("-")), None)
    if option is not None:
        raise UserError(f"{option}: {command} has no such option; it takes what train takes as key=value, of one run")
    config, _ = composed("train", overrides, known.config_dir)
    check_early(config["data"], "data")
    with undivided():
        return instantiate(config["data"], "data"), config["seed"]


def _picture(data: "ImageDataModule", seen: "Preview") -> bytes:
    from vae_lightning.data.telling import told_format
    from vae_lightning.drawing.png import encode_png
    from vae_lightning.drawing.previews import preview_picture
    from vae_lightning.drawing.shown import showing, told_shown

    title = f"{len(seen.images)} of {len(data.splits['train']):,} training images, as a model gets them"
    note = f"values of {seen.num_counted:,} training images; the height is the square root of their share"
    context = ", ".join(filter(None, [told_format(data), told_shown(data.channels, data.shown_channels)]))
    with showing(data.shown_channels):
        return encode_png(preview_picture(seen.images, seen.levels.numpy(), title, context, note))


def _facts(data: "ImageDataModule", seen: "Preview") -> list[tuple[str, str]]:
    from vae_lightning.data.telling import told_format, told_sizes

    splits = {name: len(images) for name, images in data.splits.items()}
    told = f"{sum(splits.values()):,}: {', '.join(f'{count:,} {name}' for name, count in splits.items())}"
    low, high = seen.range
    values = f"{low} to {high} of 255, mean {seen.mean:.1f}"
    facts = [("images", told), ("format", told_format(data)), ("values", values)]
    facts += [("left out", f"{count:,} {reason}") for reason, count in data.left_out.items()]
    return [*facts, *told_sizes(data), *_warnings(data)]


def _warnings(data: "ImageDataModule") -> list[tuple[str, str]]:
    """What training would say of these images, or refuse them for."""
    from vae_lightning.training.variety import told_of_variety

    told, is_refused = told_of_variety(data)
    return [("refused" if is_refused else "but", told.removeprefix("data: "))] if told else []


_COMMANDS: dict[str, Any] = {"preview": _preview, "info": _info, "clean": _clean}

if __name__ == "__main__":
    run_as_program(main)
