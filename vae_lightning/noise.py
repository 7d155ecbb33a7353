"""Noise that depends on a seed and an image's index only, so that no metric depends on batch size or ranks."""

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

_BLOCK = 256  # indices that share one generator: a batch of neighbours then costs one or two generator calls


def indexed_normal(seed: int, indices: Int64[Tensor, " B"], shape: tuple[int, ...]) -> Float32[Tensor, "B ..."]:
    """Standard normal noise `[B, *shape]` on the CPU; row b depends on `seed`, `indices[b]` and `shape` alone."""
    return _indexed(torch.randn, seed, indices, shape)


def indexed_uniform(seed: int, indices: Int64[Tensor, " B"], shape: tuple[int, ...]) -> Float32[Tensor, "B ..."]:
    """Noise `[B, *shape]`, uniform on [0, 1), on the CPU; row b depends on `seed`, `indices[b]` and `shape` alone."""
    return _indexed(torch.rand, seed, indices, shape)


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
