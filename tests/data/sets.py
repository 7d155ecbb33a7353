"""Tiny copies of public data sets in their own layouts, and a server that has them."""

import contextlib
import functools
import gzip
import hashlib
import http.server
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from vae_lightning.data.image_data import ImageDataModule


def noise(*shape: int, seed: int = 0, most: int = 255) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, most + 1, shape, dtype=np.uint8)


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape) + array.tobytes()


def idx_files(names: tuple[str, ...], first_label: int = 0, num_classes: int = 10) -> dict[str, np.ndarray]:
    """Training images, their labels, test images, their labels: 48 and 24."""
    labels = [(np.arange(count) % num_classes + first_label).astype(np.uint8) for count in (48, 24)]
    arrays = noise(48, 28, 28), labels[0], noise(24, 28, 28, seed=1), labels[1]
    return dict(zip(names, arrays, strict=True))


def packed(arrays: dict[str, np.ndarray]) -> dict[str, bytes]:
    return {f"{name}.gz": gzip.compress(idx(array)) for name, array in arrays.items()}


def written(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address under which a folder's files lie."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=lambda: server.serve_forever(0.02), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def content(data: ImageDataModule, split: str) -> torch.Tensor:
    """All images of a split, [N, C, H, W]."""
    images = data.splits[split]
    return images.images(torch.arange(len(images)))


def sizes(data: ImageDataModule) -> list[int]:
    return [len(data.splits[split]) for split in ("train", "val", "test")]


def write_bands(folder: Path, num_clips: int, num_frames: int, shape: tuple[int, int, int]) -> Path:
    """Clips of a bar or a disc that moves, in frames of 12 bits and many bands: `bar/clip00_0.npy`, [H, W, C]."""
    noise = np.random.default_rng(0)
    height, width, num_bands = shape
    rows, columns = np.mgrid[:height, :width]
    bands = np.arange(num_bands)
    for clip in range(num_clips):
        name = "disc" if clip % 2 else "bar"
        y, x = noise.uniform(height / 4, 3 * height / 4), noise.uniform(width / 4, 3 * width / 4)
        for frame in range(num_frames):
            away = columns - x - 0.7 * frame
            inside = away**2 + (rows - y) ** 2 < (height / 4) ** 2 if clip % 2 else abs(away) < 3
            values = 400 * bands + inside[..., None] * (3900 - 700 * bands) + noise.integers(0, 150, shape)
            path = folder / name / f"clip{clip:02}_{frame}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, values.clip(0, 4095).astype(np.uint16))
    return folder
