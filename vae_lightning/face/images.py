"""Images as Python code has them, be it arrays, tensors, PIL images, files or folders, as what a model is given."""

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, groupby
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float32
from PIL import Image
from torch import Tensor

from vae_lightning.data.image_data import ImageDataModule
from vae_lightning.data.values import Scale, as_levels
from vae_lightning.errors import ArgumentError, UserError, first_line
from vae_lightning.machine.hardware import num_cpus
from vae_lightning.runs.images import picture_files, tell_of_cuts, tell_of_lost

Images: TypeAlias = Any  # an array, a tensor, a PIL image, a path, or a sequence of them: no annotation tells arrays
Shape: TypeAlias = tuple[int, int, int]

_ROUNDING = 0.01  # so far beyond [0, 1] pixels may come out of arithmetic
_KINDS = "arrays, tensors, PIL images, paths of files or folders, or a list of them"


def as_batch(images: Images, data: ImageDataModule) -> Float32[Tensor, "N C H W"]:
    """Images of any kind as the model is given them: float32 in [0, 1], on the CPU.

    Files and PIL images are prepared as the run's data were: cropped, resized, brought to its channels, and binarized
    where those were, by a draw that depends on the run's seed and on the image's place among those given. Arrays and
    tensors are taken as they are: uint8 divided by 255, bool as 0 and 1, floats as long as they lie in [0, 1]. Of a run
    whose files were deeper than 8 bits, other whole numbers and floats are of its scale, `data.value_range`, and become
    one of 256 levels as those have; floats in [0, 1] stay pixels where that scale is one of whole numbers.

    Args:
        images: one image, a batch of them, or a sequence of both. An array has the layout [C, H, W] or [H, W, C], with
            N before it for a batch, and for grey images also [H, W] and [N, H, W]. Of a folder it is all pictures
            below it, in the order of their names.
        data: the run's, for its preparation and its images' shape; its own images are not needed.

    Raises:
        ArgumentError: what can't be understood, an array of another size or whose layout can't be told, or values that
            are no pixels.
    """
    parts: list[Tensor] = []
    each = images if isinstance(images, list | tuple) else [images]
    for are_pictures, given in groupby(each, lambda one: isinstance(one, str | os.PathLike | Image.Image)):
        if are_pictures:  # together, so that what is to be told of them is told once
            pictures = [picture for one in given for picture in _pictures(one, data)]
            parts.append(_prepared(pictures, data, sum(map(len, parts))))
        else:
            parts += [_taken(one, data) for one in given]
    if not parts:
        raise ArgumentError(f"images: is empty; give {_KINDS}")
    return torch.cat(parts)


def _pictures(given: str | os.PathLike[str] | Image.Image, data: ImageDataModule) -> Sequence[Any]:
    if isinstance(given, Image.Image):
        return [given]
    if not os.fspath(given):  # which would be the current folder
        raise ArgumentError("images: a path is empty")
    return _files(given, data)


def _taken(given: Images, data: ImageDataModule) -> Float32[Tensor, "N C H W"]:
    array = _tensor(given, data.scale())
    return _pixels(_laid_out(array, data.image_shape), str(array.dtype).removeprefix("torch."))


def _files(given: str | os.PathLike, data: ImageDataModule) -> Sequence[Any]:
    try:
        return picture_files([os.fspath(given)], data)
    except UserError as error:
        raise ArgumentError(str(error)) from error


def _prepared(pictures: Sequence[Any], data: ImageDataModule, first_index: int) -> Float32[Tensor, "N C H W"]:
    tell_of_cuts(pictures, data.frame, data.fit)
    tell_of_lost(pictures, data.channels)
    with ThreadPoolExecutor(num_cpus()) as pool:  # threads: Pillow releases the GIL
        images = list(pool.map(lambda index: _read(data, pictures[index], first_index + index), range(len(pictures))))
    return torch.stack(images).float().div_(255)


def _read(data: ImageDataModule, picture: Any, index: int) -> Tensor:
    try:
        if not isinstance(picture, Image.Image):
            return data.read_images([picture], index)[0]
        if 0 in picture.size:
            raise ValueError("it has no pixels")
        return data.read_image(picture, index)
    except UserError as error:
        raise ArgumentError(str(error)) from error
    except Exception as error:  # Pillow raises anything of an image that was damaged, or closed
        raise ArgumentError(f"images: image {index} can't be read ({first_line(error)})") from error


def _tensor(given: Any, scale: Scale | None) -> Tensor:
    if isinstance(given, Tensor):
        if given.layout != torch.strided or given.is_meta or given.is_quantized or given.is_nested:
            raise ArgumentError(
                "images: a tensor that is sparse, quantized or without values is no image; give a dense one"
            )
        given = given.detach().cpu()
        is_plain = scale is not None and given.dtype not in (torch.bfloat16, torch.bool)
        return torch.from_numpy(_scaled(given.numpy(), scale)) if is_plain else given
    if not hasattr(given, "__array__"):
        raise ArgumentError(f"images: {type(given).__name__} is no image; give {_KINDS}")
    if np.ma.isMaskedArray(given):
        raise ArgumentError("images: a masked array may lack pixels; give one that is filled")
    array = _scaled(np.asarray(given), scale)
    if array.dtype.kind not in "fb" and array.dtype != np.uint8:
        raise _no_pixels(str(array.dtype))
    if array.dtype.kind == "f":
        array = array.astype(np.float64 if array.dtype.itemsize > 4 else np.float32)
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))  # PIL's arrays are not to be written to


def _scaled(array: np.ndarray, scale: Scale | None) -> np.ndarray:
    """Numbers of the run's own scale as levels; what are pixels already stays as it is."""
    if scale is None or array.dtype == np.bool_ or array.dtype.kind not in "iuf":
        return array
    if array.dtype == np.uint8:
        return as_levels(array, scale)
    if array.dtype.kind == "f" and array.size and bool(np.isfinite(array).all()):
        # All within one of the 256 levels they would be one grey: these are pixels.
        are_pixels = array.min() >= 0 and array.max() <= 1 and scale.high - scale.low >= 255
        return array if are_pixels or (scale.low, scale.high) == (0, 1) else scale.levels(array)
    return scale.levels(array) if array.dtype.kind in "iu" else array


def _pixels(images: Tensor, dtype: str) -> Float32[Tensor, "N C H W"]:
    if images.dtype == torch.uint8:
        return images.float().div_(255)
    if images.dtype != torch.bool and not images.is_floating_point():
        raise _no_pixels(dtype)
    if not bool(images.isfinite().all()):
        raise ArgumentError("images: has values that are not finite; give floats in [0, 1], or uint8")
    pixels = images.float()
    low, high = (float(end) for end in pixels.aminmax()) if pixels.numel() else (0.0, 0.0)
    if low < 0 or high > 1:
        is_near = low > -_ROUNDING and high < 1 + _ROUNDING
        hint = "clip them" if is_near else "divide them by 255" if low >= 0 else "shift and scale them"
        got = f"{low:.9g} to {high:.9g}" if is_near else f"{low:g} to {high:g}"
        raise ArgumentError(f"images: floats must lie in [0, 1], got {got}; {hint}, or give uint8")
    return pixels


def _no_pixels(dtype: str) -> ArgumentError:
    return ArgumentError(f"images: {dtype} are no pixels; give uint8 (0 to 255), floats in [0, 1], or bool")


def _laid_out(array: Tensor, shape: Shape) -> Tensor:
    """The array as [N, C, H, W], by whichever layout fits the shape of the model's images."""
    fitting = list(_readings(array, shape))
    if not fitting:
        raise ArgumentError(f"images: an array of shape {_told(array.shape)}; {_wanted(shape)}")
    # Two that put every value in the same place are one: [1, H, W] is a grey image, and a batch of one.
    first, *others = _readings(_places(array.shape), shape)
    if any(not torch.equal(first, other) for other in others):
        raise ArgumentError(
            f"images: an array of shape {_told(array.shape)} may be channels first or last, for the model's images are "
            f"{' x '.join(map(str, shape))}; give PIL images"
        )
    return fitting[0]


def _places(shape: Sequence[int]) -> Tensor:
    """The number of each value's place; of a batch [N, ., ., .] in its first image, for all are laid out alike."""
    sizes = [min(shape[0], 1), *shape[1:]] if len(shape) == 4 else list(shape)
    return torch.arange(math.prod(sizes)).reshape(sizes)


def _readings(array: Tensor, shape: Shape) -> Iterator[Tensor]:
    """The array as [N, C, H, W] by each layout that it may have."""
    channels, height, width = shape
    one = [array.unsqueeze(0)] if array.ndim in (2, 3) else []
    for batch in chain(one, [array]):
        sizes = tuple(batch.shape[1:])
        if sizes == shape:
            yield batch
        if sizes == (height, width, channels):
            yield batch.permute(0, 3, 1, 2)
        if channels == 1 and sizes == (height, width):
            yield batch.unsqueeze(1)


def _wanted(shape: Shape) -> str:
    channels, height, width = shape
    layouts = [f"[{channels}, {height}, {width}]", f"[{height}, {width}, {channels}]"]
    layouts += [f"[{height}, {width}]"] if channels == 1 else []
    kind = {1: "grey", 3: "RGB"}.get(channels, f"{channels}-channel")
    return (
        f"this run's model wants {kind} images of {height} x {width}: {' or '.join(layouts)}, or with N before it for "
        "many; PIL images and files are brought to that size"
    )


def _told(shape: Sequence[int]) -> str:
    return f"[{', '.join(map(str, shape))}]"
