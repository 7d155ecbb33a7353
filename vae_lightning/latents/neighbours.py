"""The images of a data set that lie nearest to given ones: has the model learned to generate, or by heart?"""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

_CHUNK = 1024  # pixels summed in float32 at a time: the fewer, the tighter the bounds that rounding leaves


def nearest(
    queries: Float[Tensor, "N C H W"], batches: Iterable[UInt8[Tensor, "_ C H W"]], num_nearest: int
) -> tuple[UInt8[Tensor, "N K C H W"], Float[Tensor, "N K"]]:
    """The K = `num_nearest` images nearest to each query, nearest first, and their distances, on the CPU.

        distance = sqrt(mean over C, H, W of (query - image / 255)^2), in units of the [0, 1] pixel range

    One pass over the batches, which keeps N x K images. Equally near images come in the order of the stream, and an
    image that equals the query has distance 0; a stream of fewer than K images lowers K.

    Raises:
        ValueError: a num_nearest below 1, queries that are not finite, or images of another shape than the queries.
    """
    if num_nearest < 1:
        raise ValueError(f"num_nearest must be at least 1, got {num_nearest}")
    if not queries.isfinite().all():
        raise ValueError("queries must be finite")
    pixels = queries.detach().cpu().float().flatten(1).numpy()
    found = [_Found(query, num_nearest) for query in pixels]
    for batch in batches:
        if batch.shape[1:] != queries.shape[1:]:
            raise ValueError(f"batches must be of shape {tuple(queries.shape[1:])}, got {tuple(batch.shape[1:])}")
        _search(found, pixels, batch.cpu().flatten(1).numpy())
    images = np.stack([each.images for each in found]) if found else np.empty((0, 0, *pixels.shape[1:]), np.uint8)
    distances = np.stack([each.distances for each in found]) if found else np.empty((0, 0), np.float32)
    return torch.from_numpy(images).unflatten(2, queries.shape[1:]), torch.from_numpy(distances)


class _Found:
    """The nearest images of one query so far, nearest first."""

    def __init__(self, query: np.ndarray, num_nearest: int):
        self.query = query
        self.num_nearest = num_nearest
        self.images = np.empty((0, query.size), np.uint8)
        self.distances = np.empty(0, np.float32)

    @property
    def bound(self) -> float:
        """The distance beyond which no image comes in any more."""
        return float(self.distances[-1]) if len(self.distances) == self.num_nearest else np.inf

    def offer(self, candidates: np.ndarray) -> None:
        """Take in those of some later uint8 images that are nearer."""
        difference = _unit_range(candidates) - self.query
        distances = np.sqrt(np.square(difference).mean(1, dtype=np.float64)).astype(np.float32)
        distances = np.concatenate([self.distances, distances])
        order = np.argsort(distances, kind="stable")[: self.num_nearest]
        self.images = np.concatenate([self.images, candidates])[order]
        self.distances = distances[order]


def _search(found: list[_Found], queries: np.ndarray, images: np.ndarray) -> None:
    """Offer each query the images of a batch that can be among its nearest, judged by bounds on their distances."""
    lower, upper = _bounds(queries, images)
    bound = np.array([each.bound for each in found])
    num_nearest = found[0].num_nearest if found else 1
    if num_nearest <= len(images):  # so many images are at most this far away
        bound = np.minimum(bound, np.partition(upper, num_nearest - 1)[:, num_nearest - 1])
    candidates = lower <= bound[:, None]
    for row in np.flatnonzero(candidates.any(1)):
        found[row].offer(images[candidates[row]])


def _bounds(queries: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the distances [N, B] are at least and at most: matrix products, in which rounding hides small distances.

    In numpy because torch's product may be told to round to bfloat16 (autocast, `set_float32_matmul_precision`).
    """
    num_pixels = queries.shape[1]
    squares = np.zeros((len(queries), len(images)))
    products = np.zeros_like(squares)
    for first in range(0, num_pixels, _CHUNK):
        left, right = queries[:, first : first + _CHUNK], _unit_range(images[:, first : first + _CHUNK])
        squares += np.einsum("np,np->n", left, left)[:, None] + np.einsum("bp,bp->b", right, right)
        products += left @ right.T
    # A sum of n float32 products is off by at most n 2^-24 times the sum of their sizes, and 2 |q x| is at most
    # q^2 + x^2: that makes twice 2^-24 n squares. Twice that again leaves room for the few other roundings.
    error = 4 * 2.0**-24 * (min(num_pixels, _CHUNK) + 8) * squares
    lower, upper = (squares - 2 * products - error).clip(min=0), (squares - 2 * products + error).clip(min=0)
    return np.sqrt(lower / num_pixels), np.sqrt(upper / num_pixels)


def _unit_range(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) / np.float32(255)
