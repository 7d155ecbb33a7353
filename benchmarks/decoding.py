"""How fast a folder of pictures is decoded into the image cache, beside the fastest decoding the cores can do.

    python -m benchmarks.decoding --pictures data/anime-faces --image-size 64

The bound is one process a core that opens, decodes and resizes its share of the files, keeps nothing and writes
nothing, by Pillow and by torchvision. All are measured in turns. The recorded results are in README.md.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vae_lightning.data.decoded_folder import FolderDecoder
from vae_lightning.machine.hardware import num_cpus

PILLOW = """
from PIL import Image
for file in files:
    with Image.open(file) as image:
        image.draft(None, (2 * size, 2 * size))
        image.resize((size, size), Image.Resampling.LANCZOS).tobytes()
"""
TORCHVISION = """
import torch
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.functional import resize
torch.set_num_threads(1)
for file in files:
    resize(decode_image(file, ImageReadMode.RGB), [size, size], antialias=True)
"""


def bound(loop: str, files: list[str], size: int) -> float:
    """Pictures per second of one process a core running the loop on its share, from the first one's start on."""
    prologue = f"import sys, time; size = {size}; files = sys.stdin.read().split(chr(10))\n"
    imports = "".join(line + "\n" for line in loop.splitlines() if line.startswith(("import ", "from ")))
    timed = f"{prologue}{imports}started = time.time()\n{loop}print(started, time.time())"
    workers = num_cpus()
    shares = ["\n".join(files[worker::workers]) for worker in range(workers)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([sys.executable, "-c", timed], **pipes) for _ in shares]
    for process, share in zip(processes, shares, strict=True):
        process.stdin.write(share)
    for process in processes:
        process.stdin.close()
    times = [[float(number) for number in process.stdout.read().split()] for process in processes]
    return len(files) / (max(end for _, end in times) - min(start for start, _ in times))


def built(folder: Path, size: int) -> float:
    """Pictures per second of building the cache, from looking for the files to the cache on disk."""
    with tempfile.TemporaryDirectory() as cache:
        started = time.perf_counter()
        decoded = FolderDecoder(folder, Path(cache), size, 3, 0.0, f"data.root={folder}")()
        return len(decoded.names) / (time.perf_counter() - started)


def main() -> None:
    """Measure and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--num-pictures", type=int, default=8000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in sorted(options.pictures.iterdir())[: options.num_pictures]:
            shutil.copyfile(file, folder / file.name)
        files = [str(file) for file in sorted(folder.iterdir())]
        rates: dict[str, list[float]] = {"Pillow": [], "torchvision": [], "image cache": []}
        for _ in range(options.repeats):
            rates["Pillow"].append(bound(PILLOW, files, options.image_size))
            rates["torchvision"].append(bound(TORCHVISION, files, options.image_size))
            rates["image cache"].append(built(folder, options.image_size))
    medians = {title: statistics.median(values) for title, values in rates.items()}
    fastest = max(medians["Pillow"], medians["torchvision"])
    for title, median in medians.items():
        print(f"{title:<14}{median:>8.0f} pictures/s{median / fastest:>8.2f} of the fastest decoder")


if __name__ == "__main__":
    main()
