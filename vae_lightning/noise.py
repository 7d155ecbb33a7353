"""Where every draw comes from: fresh noise in training, and noise that depends on a seed and an image's index only.

With the latter no figure depends on batch size, on ranks, or on what ran before.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

_BLOCK = 256  # indices that share one generator: a batch of neighbours then costs one or two generator calls

_SAMPLES = 5000  # of one index that share a generator
_SPLITS = {"val": 1, "test": 2, "train": 3}

Draw = Callable[..., Tensor]  # torch.randn or torch.rand


class Noise(ABC):
    """All that is drawn in one pass over B images, K times for each of them.

    A model asks for one draw after another; which is the first matters, for recorded figures hang on it.
    """

    @abstractmethod
    def draw(self, draw: Draw, shape: tuple[int, ...]) -> Float32[Tensor, "K B ..."]:
        """The next draw, by `torch.randn` or `torch.rand`."""

    def normal(self, shape: tuple[int, ...]) -> Float32[Tensor, "K B ..."]:
        """Standard normal noise, `[K, B, *shape]`."""
        return self.draw(torch.randn, shape)

    def uniform(self, shape: tuple[int, ...]) -> Float32[Tensor, "K B ..."]:
        """Noise uniform on [0, 1), `[K, B, *shape]`."""
        return self.draw(torch.rand, shape)


class Fresh(Noise):
    """From the device's global generator, as training draws; safe inside a CUDA graph.

    Args:
        num_samples: K.
        num_images: B.
        device: where it is drawn.
    """

    def __init__(self, num_samples: int, num_images: int, device: torch.device):
        self._batch = (num_samples, num_images)
        self._device = device

    def draw(self, draw: Draw, shape: tuple[int, ...]) -> Float32[Tensor, "K B ..."]:
        return draw(*self._batch, *shape, device=self._device)


class Seeded(Noise):
    """A function of the seed, the number of images and the order of the draws; K = 1. No other generator is moved.

    Args:
        seed: of the generator that all draws come from.
        num_images: B.
        device: where the noise is wanted; it is drawn on the CPU.
    """

    def __init__(self, seed: int, num_images: int, device: torch.device):
        self._generator = torch.Generator().manual_seed(seed)
        self._num_images = num_images
        self._device = device

    def draw(self, draw: Draw, shape: tuple[int, ...]) -> Float32[Tensor, "K B ..."]:
        return draw(1, self._num_images, *shape, generator=self._generator).to(self._device)


class Indexed(Noise):
    """A function of the seed, each image's index, K and the number of the draw: the same in every batch.

    Args:
        seed: of all draws; see `evaluation_seed`.
        indices: of the images.
        num_samples: K.
        device: where the noise is wanted; it is drawn on the CPU.
    """

    def __init__(self, seed: int, indices: Int64[Tensor, " B"], num_samples: int, device: torch.device):
        self._seed = seed
        self._indices = indices
        self._num_samples = num_samples
        self._device = device
        self._number = 0

    @torch.compiler.disable  # no kernel: nothing here could be compiled
    def draw(self, draw: Draw, shape: tuple[int, ...]) -> Float32[Tensor, "K B ..."]:
        seed, self._number = _seed_of_draw(self._seed, self._number), self._number + 1
        noise = _indexed(draw, seed, self._indices, (self._num_samples, *shape))
        return noise.transpose(0, 1).to(self._device)


def indexed_parts(
    seed: int, indices: Int64[Tensor, " B"], num_samples: int, most: int, device: torch.device
) -> Iterator[Noise]:
    """Noise for many samples of each index, `most` of all samples or fewer at a time.

    The samples of an index depend on `seed`, the index, the number of samples and that of the draw alone: not on `most`
    or other indices. They are drawn where `noise_device` says, and are others there than on the CPU.
    """
    step = max(1, most // len(indices))
    for start in range(0, num_samples, _SAMPLES):  # a generator serves so many samples of an index
        block = _Block(seed, indices, start, min(_SAMPLES, num_samples - start), noise_device(device))
        for first in range(0, block.num_samples, step):
            yield _Part(block, slice(first, first + step), device)


def noise_device(device: torch.device) -> torch.device:
    """Where many samples for this device are drawn: on an NVIDIA GPU itself, which a CPU can't keep up with."""
    return device if device.type == "cuda" else torch.device("cpu")


class _Block:
    """Samples of each index that share a generator, drawn once however they are divided."""

    def __init__(self, seed: int, indices: Int64[Tensor, " B"], start: int, num_samples: int, device: torch.device):
        self.num_samples = num_samples
        self._device = device
        self._seed = seed
        self._indices = indices.tolist()
        self._start = start
        self._draws: list[Tensor] = []

    def drawn(self, number: int, draw: Draw, shape: tuple[int, ...]) -> Tensor:
        if number == len(self._draws):
            seed = _seed_of_draw(self._seed, number)
            seeds = [derive_seed(seed, index, self._start) for index in self._indices]
            generator, noise = torch.Generator(self._device), []
            for each in seeds:
                generator.manual_seed(each)
                noise.append(draw(self.num_samples, *shape, generator=generator, device=self._device))
            self._draws.append(torch.stack(noise, 1))
        return self._draws[number]


class _Part(Noise):
    """Some samples of a block."""

    def __init__(self, block: _Block, samples: slice, device: torch.device):
        self._block = block
        self._samples = samples
        self._device = device
        self._number = 0

    def draw(self, draw: Draw, shape: tuple[int, ...]) -> Float32[Tensor, "K B ..."]:
        number, self._number = self._number, self._number + 1
        return self._block.drawn(number, draw, shape)[self._samples].to(self._device)


def indexed_uniform(seed: int, indices: Int64[Tensor, " B"], shape: tuple[int, ...]) -> Float32[Tensor, "B ..."]:
    """Noise `[B, *shape]`, uniform on [0, 1), on the CPU; row b depends on `seed`, `indices[b]` and `shape` alone."""
    return _indexed(torch.rand, seed, indices, shape)


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Start the global generators (the CPU's, and that of a GPU that is given) at this seed in the block.

    After it they go on as if nothing had been drawn.
    """
    devices = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def evaluation_seed(seed: int, split: str, *purpose: int) -> int:
    """The seed of what is drawn to evaluate a split; the splits must not share their noise, nor the purposes theirs."""
    return derive_seed(seed, _SPLITS[split], *purpose)


def _seed_of_draw(seed: int, number: int) -> int:
    return derive_seed(seed, number) if number else seed


def _indexed(draw: Draw, seed: int, indices: Tensor, shape: tuple[int, ...]) -> Tensor:
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
