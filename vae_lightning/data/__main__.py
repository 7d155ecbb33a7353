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
from vae_lightning.disk.files import write_atomically
from vae_lightning.errors import UserError, one_line
from vae_lightning.machine.interruption import interruptible, undivided
from vae_lightning.machine.process import run_as_program

if TYPE_CHECKING:
    from vae_lightning.data.image_data import ImageDataModule
    from vae_lightning.data.previewing import Preview

_HELP = """Looks at images before anything is trained on them.

  python -m vae_lightning.data preview data=folder data.root=photos data.image_size=[48,64]

preview   writes preview.png (or out=<file>.png): images as training gets them, and the histogram of their values;
          prints how many pictures there are in each split, what was left out and why, and of what size they are

The words after it are those of python -m vae_lightning.train, of which data, its keys and seed count. Besides:
out=<file>.png, num_images=<so many in the picture>, and --config-dir=<folder with YAML of your own>."""
_OWN = {"out": "preview.png", "num_images": "64"}  # keys of the command's own
_MOST_IMAGES = 1000
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
    data, seed = _data(rest)
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


def _taken(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The values of the command's own keys, and the other words."""
    pairs = [(word.partition("=")[0], word) for word in words]
    own = {key: word.partition("=")[2] for key, word in pairs if key in _OWN}
    return _OWN | own, [word for key, word in pairs if key not in _OWN]


def _data(words: Sequence[str]) -> tuple["ImageDataModule", int]:
    """The images that `train` would train on with these words, and its seed."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd", nargs="?")
    known, overrides = parser.parse_known_args(words)
    option = next((word for word in overrides if word.startswith("-")), None)
    if option is not None:
        raise UserError(f"{option}: preview has no such option; it takes what train takes as key=value, of one run")
    config, _ = composed("train", overrides, known.config_dir)
    check_early(config["data"], "data")
    with undivided():
        return instantiate(config["data"], "data"), config["seed"]


def _picture(data: "ImageDataModule", seen: "Preview") -> bytes:
    from vae_lightning.drawing.png import encode_png
    from vae_lightning.drawing.previews import preview_picture

    title = f"{len(seen.images)} of {len(data.splits['train']):,} training images, as a model gets them"
    note = f"values of {seen.num_counted:,} training images; the height is the square root of their share"
    return encode_png(preview_picture(seen.images, seen.levels.numpy(), title, _format(data), note))


def _format(data: "ImageDataModule") -> str:
    height, width = data.frame
    kind = "grey" if data.channels == 1 else "RGB"
    others = [f"binarize={data.binarize}"] * (data.binarize != "none") + ["flipped at random"] * data.horizontal_flip
    return ", ".join([f"{width} x {height} {kind}", f"fit={data.fit}", *others])


def _facts(data: "ImageDataModule", seen: "Preview") -> list[tuple[str, str]]:
    splits = {name: len(images) for name, images in data.splits.items()}
    told = f"{sum(splits.values()):,}: {', '.join(f'{count:,} {name}' for name, count in splits.items())}"
    low, high = seen.range
    facts = [("images", told), ("format", _format(data)), ("values", f"{low} to {high} of 255, mean {seen.mean:.1f}")]
    facts += [("left out", f"{count:,} {reason}") for reason, count in data.left_out.items()]
    return [*facts, *_sizes(data), *_warnings(data)]


def _sizes(data: "ImageDataModule") -> list[tuple[str, str]]:
    sizes = data.original_sizes()
    if not sizes:
        return []
    ends = [f"{width} x {height}" for height, width in (min(sizes, key=_area), max(sizes, key=_area))]
    return [("originals", f"{' to '.join(dict.fromkeys(ends))} pixels, of {len(sizes):,} looked at")]


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _warnings(data: "ImageDataModule") -> list[tuple[str, str]]:
    """What training would say of these images, or refuse them for."""
    from vae_lightning.training.variety import told_of_variety

    told, is_refused = told_of_variety(data)
    return [("refused" if is_refused else "but", told.removeprefix("data: "))] if told else []


_COMMANDS: dict[str, Any] = {"preview": _preview}

if __name__ == "__main__":
    run_as_program(main)
