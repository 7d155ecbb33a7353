"""Noise that depends on a seed and an image's index only, so that no metric depends on batch size or ranks."""

from collections.abc import Iterator

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

_BLOCK = 256  # indices that share one generator: a batch of neighbours then costs one or two generator calls

_SAMPLES = 5000  # of one index that share a generator
_SPLITS = {"val": 1, "test": 2, "train": 3}


def indexed_normal(seed: int, indices: Int64[Tensor, " B"], shape: tuple[int, ...]) -> Float32[Tensor, "B ..."]:
    """Standard normal noise `[B, *shape]` on the CPU; row b depends on `seed`, `indices[b]` and `shape` alone."""
    return _indexed(torch.randn, seed, indices, shape)


def evaluation_noise(
    seed: int, split: str, indices: Int64[Tensor, " B"], num_samples: int, dim: int
) -> Float32[Tensor, "K B D"]:
    """The noise with which the images of a split are evaluated, on the CPU: the same whenever and wherever that is."""
    return indexed_normal(evaluation_seed(seed, split), indices, (num_samples, dim)).transpose(0, 1)


def evaluation_seed(seed: int, split: str, *purpose: int) -> int:
    """The seed of what is drawn to evaluate a split; the splits must not share their noise, nor the purposes theirs."""
    return derive_seed(seed, _SPLITS[split], *purpose)


def indexed_uniform(seed: int, indices: Int64[Tensor, " B"], shape: tuple[int, ...]) -> Float32[Tensor, "B ..."]:
    """Noise `[B, *shape]`, uniform on [0, 1), on the CPU; row b depends on `seed`, `indices[b]` and `shape` alone."""
    return _indexed(torch.rand, seed, indices, shape)


def indexed_normal_samples(
    seed: int, indices: Int64[Tensor, " B"], num_samples: int, dim: int, most: int
) -> Iterator[Float32[Tensor, "K B D"]]:
    """Standard normal noise for many samples of each index, `most` vectors or fewer at a time, on the CPU.

    The samples of an index depend on `seed`, the index, `num_samples` and `dim` alone: not on `most` or other indices.
    """
    step = max(1, most // len(indices))
    for start in range(0, num_samples, _SAMPLES):  # a generator serves so many samples of an index
        count = min(_SAMPLES, num_samples - start)
        seeds = [derive_seed(seed, index, start) for index in indices.tolist()]
        block = [torch.randn(count, dim, generator=torch.Generator().manual_seed(number)) for number in seeds]
        yield from torch.stack(block, 1).split(step)


def _indexed(draw, seed: int, indices: Tensor, shape: tuple[int, ...]) -> Tensor:
    indices = indices.cpu()
    blocks = indices // _BLOCK
    noise = torch.empty(len(indices), *shape)
    for block in blocks.unique().tolist():
        generator = torch.Generator().manual_seed(derive_seed(seed, block))
        rows = blocks == block
        noise[rows] = draw(_BLOCK, *shape, generator=generator)[indices[rows] % _BLOCK]
    return noise


def derive_seed(*numbers: int) -> int:
    """One 63-bit seed from several integers, such that neighbouring inputs give unrelated seeds (splitmix64)."""
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) % 2**64
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB % 2**64
        state ^= state >> 31
    return state >> 1
