"""What loading costs, in time beside a conv5 step and in memory beside the size of the image cache.

    python -m benchmarks.loading --pictures data/anime-faces --image-size 64
    python -m benchmarks.loading --num-pictures 60000 --image-size 160

Without pictures, a folder of synthetic JPEGs (200, linked under many names) is decoded into a cache of several GB. One
epoch then goes through the loader.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.contenders.cases import CASES
from benchmarks.contenders.handwritten import train
from benchmarks.contenders.turns import Turns
from vae_lightning.data.image_data import ImageDataModule
from vae_lightning.data.image_folder import ImageFolder
from vae_lightning.machine.hardware import keep_freed_memory, native_precision

DIFFERENT = 200


class Alone(Turns):
    """Turns without others: epochs begin at once, and their images per second are kept."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def begin(self) -> None:
        self._started = time.perf_counter()

    def end(self, num_images: int) -> None:
        self.rates.append(num_images / (time.perf_counter() - self._started))


def make_pictures(folder: Path, num_pictures: int, size: int) -> None:
    """Smooth random pictures as JPEGs; most of the names are links."""
    generator = np.random.default_rng(0)
    for number in range(DIFFERENT):
        coarse = Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((size, size), Image.Resampling.BICUBIC).save(folder / f"{number:06d}.jpg", quality=90)
    for number in range(DIFFERENT, num_pictures):
        os.link(folder / f"{number % DIFFERENT:06d}.jpg", folder / f"{number:06d}.jpg")


def resident() -> dict[str, float]:
    """This process's memory in MB: its own, and what it has mapped of files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    sizes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Rss")}
    return {name: int(kilobytes) / 1024 for name, kilobytes in sizes.items()}


def epoch(data: ImageDataModule) -> Iterator[float]:
    """Seconds that each training batch takes to be loaded and made floats."""
    loader = data.train_dataloader()
    batches = iter(loader)
    for _ in range(len(loader)):
        started = time.perf_counter()
        for images in next(batches).images:
            data.training_images(images)
        yield time.perf_counter() - started


def main() -> None:
    """Build, load, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--num-pictures", type=int, default=60_000)
    parser.add_argument("--image-size", type=int, default=160)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, cache = options.pictures or Path(name) / "pictures", Path(name) / "cache"
        if options.pictures is None:
            folder.mkdir()
            make_pictures(folder, options.num_pictures, options.image_size)
        data = ImageFolder(
            root=str(folder), cache_dir=str(cache), image_size=options.image_size, horizontal_flip=True, seed=0
        )
        data.prepare_data()
        data.setup()
        pixels = data.splits["train"].pixels
        print(f"cache: {pixels.nbytes / 1e9:.1f} GB, {len(pixels)} images of {options.image_size} px")
        before, most = resident(), resident()
        seconds = []
        for duration in epoch(data):
            seconds.append(duration)
            most = {kind: max(size, most[kind]) for kind, size in resident().items()}
        growth = {kind: f"{most[kind] - before[kind]:.0f} MB" for kind in most}
        print(f"resident memory grew by at most {sum(most.values()) - sum(before.values()):.0f} MB: {growth}")
    loading = statistics.mean(seconds)
    print(f"loading a batch of {data.batch_size}: {1000 * loading:.2f} ms")
    if options.image_size == 64:
        keep_freed_memory()
        epochs = Alone()
        train(CASES["conv5"], data.batch_size, 3, native_precision("auto"), epochs)
        step = data.batch_size / epochs.rates[-1]
        print(f"a step of conv5: {1000 * step:.1f} ms, of which loading is {loading / step:.2%}")


if __name__ == "__main__":
    main()
