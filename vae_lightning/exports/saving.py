"""Pictures and images as files."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from vae_lightning.drawing.png import encode_png
from vae_lightning.drawing.printing import DPI, TALLEST, WIDTHS, Format, Paper, encode_figure
from vae_lightning.drawing.shown import drawable
from vae_lightning.errors import UserError
from vae_lightning.pictures.picture import Drawing, NothingToDrawError, Picture, drawing_of
from vae_lightning.runs.source import Source

_USUAL = Paper()
_LEAST = 0.4  # inches that a picture among others takes
_paper: ContextVar[Paper] = ContextVar("paper", default=_USUAL)
_kept: ContextVar[dict[str, Drawing] | None] = ContextVar("kept", default=None)


@contextmanager
def collecting(drawings: dict[str, Drawing]) -> Iterator[None]:
    """Keep what is drawn meanwhile by its name, without a caption, rather than save it."""
    before = _kept.set(drawings)
    try:
        yield
    finally:
        _kept.reset(before)


@contextmanager
def printing_on(paper: Paper) -> Iterator[None]:
    """Save what is drawn meanwhile in these formats, as wide as that, with or without captions."""
    before = _paper.set(paper)
    try:
        yield
    finally:
        _paper.reset(before)


def context_of(source: Source) -> str:
    """What a picture that is to be saved says of where it comes from; empty where no captions are wanted."""
    return source.context if _paper.get().caption and _kept.get() is None else ""


def check_room(across: int, down: int) -> None:
    """Raise a UserError where so many pictures across and down have no room on the paper, if one was asked for."""
    columns = _paper.get().columns
    if columns and (across > WIDTHS[columns] / _LEAST or down > TALLEST / _LEAST):
        most = int(WIDTHS[columns] / _LEAST), int(TALLEST / _LEAST)
        raise UserError(
            f"columns={columns}: {across} x {down} pictures have no room there; {most[0]} x {most[1]} have. Give "
            "some of the runs, as in runs=[...], or leave columns out"
        )


def save_image(path: Path, image: UInt8[Tensor, "C H W"]) -> None:
    """One image at its own size, grey or RGB, without any margin; of more channels those that pictures show."""
    levels = drawable(image).permute(1, 2, 0).numpy()
    Image.fromarray(levels[..., 0] if levels.shape[2] == 1 else levels).save(path)


def save_drawing(folder: Path, name: str, drawing: Drawing) -> None:
    """`<name>.png`, or what `printing_on` says; of what moves `<name>.gif`, and, where it can be encoded, `.mp4`."""
    if (kept := _kept.get()) is not None:
        kept[name] = drawing
        return
    paper = _paper.get()
    for file_format, content in _encoded(drawing, paper):
        (folder / f"{name}.{file_format}").write_bytes(content)
    if drawing.animation is not None:
        (folder / f"{name}.gif").write_bytes(drawing.animation)
    video = None if drawing.film is None else drawing.film.mp4()
    if video is not None:
        (folder / f"{name}.mp4").write_bytes(video)


def _encoded(drawing: Drawing, paper: Paper) -> Iterator[tuple[Format, bytes]]:
    figure = None  # one for all formats: it may take a second
    for file_format in paper.formats:
        if file_format == "png" and paper.is_screen:
            yield file_format, encode_png(drawing.picture)
            continue
        if figure is None:
            figure = drawing.sheet.figure(WIDTHS[paper.columns] if paper.columns else drawing.sheet.own_width)
        yield file_format, encode_figure(figure, file_format, paper.dpi or DPI)


def save_made(made: Any, source: Source, folder: Path, name: str) -> None:
    """What a mode makes of a model: a picture by this name, or what an export writes.

    Raises:
        NothingToDrawError: there is no such picture of this model.
    """
    if isinstance(made, Picture):
        save_picture(made, source, folder, name)
    else:
        made(source, folder)


def save_picture(picture: Picture, source: Source, folder: Path, name: str) -> None:
    """A picture of a model by this name, and what it leaves beside it.

    Raises:
        NothingToDrawError: there is no such picture of this model.
    """
    reason = picture.why_not(source.vae)
    if reason is not None:
        raise NothingToDrawError(f"mode={name} is {reason}")
    picture.check(source)
    seen = picture.look(source)
    save_drawing(folder, name, drawing_of(picture, seen, context_of(source)))
    for number, image in enumerate(picture.single_images(seen)):
        save_image(folder / f"{picture.image_name}_{number:04d}.png", image)
