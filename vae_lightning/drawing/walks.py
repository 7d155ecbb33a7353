"""Walks through the latent space as pictures, and as frames of animations that go there and back."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from vae_lightning.drawing.captions import nats, with_caption
from vae_lightning.drawing.grids import image_table, named_grid, table_of
from vae_lightning.drawing.sheets import Captioned, Layout, Named, Noted, Pixels, SideBySide
from vae_lightning.drawing.sliders import there_and_back, with_slider
from vae_lightning.drawing.tables import ImageTable, Labels

_SIDE, _LONGEST_SIDE = 96, 1400  # of an image and of a whole picture, where images need not be shrunk for it
_MOVING_SIDE, _MOVING_LONGEST_SIDE = 128, 640  # of animations, which show fewer images
_TICKS = 7  # of a plane of more rows than are all named
_ALL_NAMED = 12
_ROWS_OF_ONE_BLOCK = 6


def traversal_picture(
    images: Float[Tensor, "R N C H W"],
    dims: Sequence[int],
    rates: Sequence[float] | None,
    values: Sequence[float],
    title: str,
    context: str,
    in_deviations: bool = False,
) -> Layout:
    """A row a latent dimension: images as that dimension alone takes the values above the columns.

    Args:
        images: of R dimensions at N values.
        dims: the dimensions' numbers, at the left of their rows.
        rates: each dimension's KL in nats, at the right; None where they have none.
        values: the N values.
        title: of the picture.
        context: what it was made from, such as "mnist_conv · epoch 15".
        in_deviations: the values are standard deviations of the prior from its mean, not those of z.

    Raises:
        ValueError: dims, rates or values are more or fewer than the rows or columns.
    """
    _require_labels(images, dims, rates, values)
    first, *others = _numbers(values)
    first = f"{first} s.d." if in_deviations else f"z = {first}"
    labels = Labels(
        left=[f"z {dim}" for dim in dims],
        right=None if rates is None else [f"KL = {nats(rate)}" for rate in rates],
        top=[first, *others],
    )
    return Captioned(table_of(images, labels, scale=_scale(images, *images.shape[:2])), title, context)


def traversal_frames(
    images: Float[Tensor, "R N C H W"],
    dims: Sequence[int],
    rates: Sequence[float] | None,
    values: Sequence[float],
    title: str,
    context: str,
    in_deviations: bool = False,
) -> list[Pixels]:
    """Frames there and back: all dimensions side by side, at one value after the other.

    Args, errors: those of `traversal_picture`.

    Returns:
        2 N - 2 frames of one size, one where N = 1.
    """
    _require_labels(images, dims, rates, values)
    told = [""] * len(dims) if rates is None else [f"  KL {rate:.2f}" for rate in rates]
    names = [f"z {dim}{rate}" for dim, rate in zip(dims, told, strict=True)]
    columns = _num_columns(len(names))
    tables = [
        named_grid(column, names, columns, _scale(images, 1, columns, moving=True)) for column in images.unbind(1)
    ]
    pictures = [_captioned(table, title, context) for table in tables]
    told = [f"{number} s.d." if in_deviations else f"z = {number}" for number in _numbers(values)]
    return _animation(pictures, told)


def _num_columns(count: int) -> int:
    """Of the nearly square arrangements the one that leaves the fewest cells empty."""
    square = math.ceil(math.sqrt(count))
    return min(range(square, square + 3), key=lambda columns: -count % columns)


def transition_picture(
    images: Float[Tensor, "P L N C H W"],
    paths: Sequence[str],
    starts: Float[Tensor, "P C H W"],
    ends: Float[Tensor, "P C H W"],
    title: str,
    context: str,
) -> Layout:
    """From one input image to another, a row a path: the input, the N images on the way, the other input.

    Args:
        images: of P pairs along L paths in N steps, both ends included.
        paths: the L paths' names, at the left.
        starts: the P input images that the paths start from.
        ends: the P input images that they lead to.
        title: of the picture.
        context: what it was made from.

    Raises:
        ValueError: the paths' names are not L.
    """
    num_pairs, num_paths, num_steps = images.shape[:3]
    _require("paths", paths, num_paths)
    inputs = [inputs[:, None, None].expand(-1, num_paths, -1, -1, -1, -1) for inputs in (starts, ends)]
    rows = torch.cat([inputs[0], images, inputs[1]], dim=2).flatten(0, 1)
    table = table_of(
        rows,
        Labels(
            left=list(paths) * num_pairs,
            top=["input", *(str(Fraction(step, max(1, num_steps - 1))) for step in range(num_steps)), "input"],
        ),
        gaps_after_columns=[0, num_steps],
        gaps_after_rows=range(num_paths - 1, num_pairs * num_paths - 1, num_paths),
        scale=_scale(rows, *rows.shape[:2]),
    )
    return Captioned(table, title, context)


def transition_frames(
    images: Float[Tensor, "P L N C H W"], paths: Sequence[str], title: str, context: str
) -> list[Pixels]:
    """Frames there and back along the paths: a column a pair, a row a path.

    Args, errors: those of `transition_picture`.

    Returns:
        2 N - 2 frames of one size, one where N = 1.
    """
    scale = _scale(images, len(paths), len(images), moving=True)
    tables = [image_table(step.transpose(0, 1), left=paths, scale=scale) for step in images.unbind(2)]
    pictures = [_captioned(table, title, context) for table in tables]
    return _animation(pictures, [""] * len(pictures))


def manifold_picture(images: Float[Tensor, "n n C H W"], values: Sequence[float], title: str, context: str) -> Layout:
    """The images that a two-dimensional latent space holds, as a map with z 0 to the right and z 1 upwards.

    Args:
        images: `images[i, j]` at z 0 = `values[j]` and z 1 = `values[n - 1 - i]`: the top row has the largest z 1.
        values: of both coordinates, ascending.
        title: of the picture.
        context: what it was made from.

    Raises:
        ValueError: the values are not n.
    """
    _require("values", values, len(images))
    count = len(values) if len(values) <= _ALL_NAMED else _TICKS
    ticks = {round(index) for index in np.linspace(0, len(values) - 1, count)}
    labels = [_number(value, 1) if index in ticks else "" for index, value in enumerate(values)]
    scale = _scale(images, *images.shape[:2])
    table = table_of(images, Labels(left=labels[::-1], top=labels), padding=0, scale=scale)
    return Captioned(Named(table, "z 0 →", "z 1 →"), title, context)


def history_picture(images: Float[Tensor, "R N C H W"], labels: Sequence[str], title: str, context: str) -> Layout:
    """The inputs in the first row, and below it what became of them, a row an epoch.

    Args:
        images: R rows of N images, the first the inputs.
        labels: the R rows' names, such as "input", "epoch 1", "epoch 2", "epoch 5".
        title: of the picture.
        context: what it was made from.

    Raises:
        ValueError: the labels are not R.
    """
    table = table_of(images, Labels(left=labels), gaps_after_rows=[0], scale=_scale(images, *images.shape[:2]))
    return Captioned(table, title, context)


def neighbours_picture(
    samples: Float[Tensor, "N C H W"],
    neighbours: Float[Tensor, "N K C H W"],
    distances: Float[Tensor, "N K"],
    reference: float,
    title: str,
    context: str,
) -> Layout:
    """Whether a model has memorized: samples, each beside the training images nearest to it.

    Args:
        samples: N images that the model made.
        neighbours: of each the K nearest training images, the nearest first.
        distances: of each the K root mean squared pixel differences.
        reference: the median distance of reconstructed held-out images to their nearest training image.
        title: of the picture.
        context: what it was made from.
    """
    rows = torch.cat([samples[:, None], neighbours], dim=1)
    labels = [f"{distance:.3f}" for distance in distances[:, 0].tolist()]
    blocks = 1 if len(rows) <= _ROWS_OF_ONE_BLOCK else 2
    height = math.ceil(len(rows) / blocks)
    tables = [
        _neighbours_table(rows[start : start + height], labels[start : start + height])
        for start in range(0, len(rows), height)
    ]
    note = (
        "root mean squared pixel difference to the nearest; "
        f"held-out images reconstructed at their posterior means: {reference:.3f} (median)"
    )
    return Captioned(Noted(SideBySide(tables), note), title, context)


def _neighbours_table(rows: Float[Tensor, "N M C H W"], labels: Sequence[str]) -> ImageTable:
    num_neighbours = rows.shape[1] - 1
    heading, place = ("nearest training images", 1 + num_neighbours // 2) if num_neighbours > 2 else ("nearest", 1)
    top = {0: "sample", place: heading}
    beside = Labels(right=labels, top=[top.get(column, "") for column in range(1 + num_neighbours)])
    return table_of(rows, beside, gaps_after_columns=[0])


def _captioned(table: UInt8[np.ndarray, "H W 3"], title: str, context: str) -> Pixels:
    """As `Captioned` is in pixels."""
    return with_caption(table, title, context) if context else table


def _animation(pictures: Sequence[UInt8[np.ndarray, "H W 3"]], texts: Sequence[str]) -> list[Pixels]:
    frames = with_slider(pictures, texts)
    return [frames[index] for index in there_and_back(len(frames))]


def _require_labels(
    images: Float[Tensor, "R N C H W"], dims: Sequence[int], rates: Sequence[float] | None, values: Sequence[float]
) -> None:
    _require("dims", dims, images.shape[0])
    _require("rates", dims if rates is None else rates, images.shape[0])
    _require("values", values, images.shape[1])


def _require(name: str, items: Sequence[object], count: int) -> None:
    if len(items) != count:
        raise ValueError(f"{name} must be {count}, got {len(items)}")


def _scale(images: Float[Tensor, "... C H W"], rows: int, columns: int, moving: bool = False) -> int:
    """The enlargement that leaves each image, and the whole picture, below a comfortable size."""
    of_one, of_all = (_MOVING_SIDE, _MOVING_LONGEST_SIDE) if moving else (_SIDE, _LONGEST_SIDE)
    height, width = images.shape[-2:]
    return max(1, min(of_one // max(height, width), of_all // max(rows * height, columns * width)))


def _numbers(values: Sequence[float]) -> list[str]:
    """The values with as many decimals as they all need, at most two."""
    decimals = next((n for n in (0, 1) if np.allclose(values, np.round(values, n), atol=1e-6)), 2)
    return [_number(value, decimals) for value in values]


def _number(value: float, decimals: int) -> str:
    return f"{round(value, decimals) + 0.0:.{decimals}f}"  # + 0.0 turns -0.0 into 0.0
