"""What is told before a run begins of images that teach little: of one colour, or cropped to what shows nothing."""

import math
import sys

from vae_lightning.data.fitting import cropped_size
from vae_lightning.data.image_data import ImageDataModule
from vae_lightning.data.variety import variety_of
from vae_lightning.errors import UserError
from vae_lightning.runs.records import for_shell

_MANY = 0.1  # of the images
_MUCH = 1.1  # of what a crop keeps
_LOOKED_AT = 64  # pictures whose proportions are looked at
_OF_IMAGES = ("data=", "data.", "experiment=", "seed=", "--config-dir=")  # words that say which images are trained on


def check_variety(data: ImageDataModule) -> list[str]:
    """Lines to tell of training images where many are of one colour.

    Raises:
        UserError: all are, or nearly: there is nothing to learn.
    """
    told, is_refused = told_of_variety(data)
    if not told:
        return []
    line = f"{told}; {preview_command()} shows what the network sees"
    if is_refused:
        raise UserError(line)
    return [line]


def told_of_variety(data: ImageDataModule) -> tuple[str, bool]:
    """What there is to say of training images of one colour, empty if nothing; and whether none can be trained on."""
    images = data.splits["train"]
    found = variety_of(images)
    seen = f"{found.num_images:,}{'' if found.num_images == len(images) else f' of {len(images):,}'} training images"
    if found.is_nearly_constant:
        levels = f"all {found.lowest}" if found.lowest == found.highest else f"{found.lowest} to {found.highest}"
        spread = f"{levels} of 255, with a deviation of {found.deviation:.2g}"
        return f"data: there is nothing to learn: the pixels of {seen} are {spread}{_cut_off(data)}", True
    if len(found.one_coloured) <= _MANY * found.num_images:
        return "", False
    first = found.one_coloured[0]
    name = f"number {first}" if images.names is None else images.names[first]
    many = f"{len(found.one_coloured):,} of {seen} are of one colour throughout"
    return f"data: {many}, the first is {name}{_cut_off(data)}", False


def _cut_off(data: ImageDataModule) -> str:
    """What of a message says how much of the pictures a crop leaves, where it is not all."""
    frame = data.frame
    sizes = data.original_sizes(_LOOKED_AT) if data.fit == "crop" else []
    cut = [size for size in sizes if math.prod(size) > _MUCH * math.prod(cropped_size(size, frame))]
    if not cut:
        return ""
    (height, width), part = cut[0], cropped_size(cut[0], frame)
    shorter = min(frame)
    longer = round(shorter * max(height, width) / min(height, width))
    whole = f"[{shorter},{longer}]" if height < width else f"[{longer},{shorter}]"
    return (
        f"; data.fit=crop keeps the middle {part[1]} x {part[0]} of pictures such as the first one, of {width} x "
        f"{height}: data.fit=pad or data.image_size={whole} shows the whole"
    )


def preview_command() -> str:
    """The command that shows the images of this command line, as it can be typed."""
    is_sweep = not {"-m", "--multirun"}.isdisjoint(sys.argv)
    words = [word for word in sys.argv[1:] if not is_sweep and word.lstrip("+").startswith(_OF_IMAGES)]
    return " ".join(["python -m vae_lightning.data preview", *map(for_shell, words)])
