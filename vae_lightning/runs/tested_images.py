"""test_images.npz: the test figures of each image, so that two runs can be compared image by image; without torch.

It belongs to the figures of metrics.json, whose `test/elbo` is the mean of it: training's own test writes both, and
so does an evaluation of the same checkpoint and split.
"""

import io
import math
import zlib
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float32, Int64, UInt8, UInt32

from vae_lightning.data.npz import NpzFile
from vae_lightning.disk.files import open_regular, write_atomically
from vae_lightning.runs.records import RunDir

TEST_IMAGES = "test_images.npz"
_DTYPES = {"elbo": "float32", "indices": "int64", "digest": "uint32"}
_MOST_BYTES = 320_000_000  # 20 million images
_LITTLE = 1e-5  # of a mean, by which it may differ where another machine has added it up


class ImageRows(NamedTuple):
    """What a test found of each image, in the order of the images.

    Attributes:
        elbo: nats per image at beta = 1; whether they are nats, `test/kind` of metrics.json says.
        indices: of the images within the split.
        digest: CRC-32 of the bytes of each image as the model was given it, uint8 [C, H, W].
    """

    elbo: Float32[np.ndarray, " N"]
    indices: Int64[np.ndarray, " N"]
    digest: UInt32[np.ndarray, " N"]


@dataclass(frozen=True, eq=False)
class TestImages:
    """What a test has left: its `ImageRows`, and what they are of.

    Attributes:
        elbo, indices, digest: as in `ImageRows`.
        epoch: after which the weights that were tested had been kept, counted from 1.
        seed: of the noise.
    """

    __test__: ClassVar[bool] = False  # for pytest, to which its name is one of tests

    elbo: Float32[np.ndarray, " N"]
    indices: Int64[np.ndarray, " N"]
    digest: UInt32[np.ndarray, " N"]
    epoch: int
    seed: int


def digests_of(images: UInt8[np.ndarray, "B C H W"]) -> UInt32[np.ndarray, " B"]:
    """CRC-32 of each image's bytes, row by row and channel after channel, however they lie in memory."""
    return np.fromiter(map(zlib.crc32, np.ascontiguousarray(images)), np.uint32, len(images))


def write_test_images(run_dir: RunDir, rows: ImageRows, epoch: int, seed: int) -> None:
    """Write the file, whole or not at all.

    Raises:
        OSError: it can't be written.
    """
    content = io.BytesIO()
    arrays: dict[str, Any] = rows._asdict() | {"epoch": np.asarray(epoch), "seed": np.asarray(seed)}
    np.savez(content, **arrays)
    write_atomically(run_dir.path / TEST_IMAGES, content.getvalue())


def read_test_images(run_dir: RunDir) -> TestImages | None:
    """What the file holds; None where it is absent or damaged, or not what the figures of metrics.json are made of."""
    try:
        found, metrics = _read(run_dir), run_dir.metrics()
    except (OSError, ValueError):
        return None
    mean: Any = metrics.get("test/elbo")
    if metrics.get("test/elbo_epoch", found.epoch) != found.epoch or type(mean) not in (int, float):
        return None
    own = float(found.elbo.mean(dtype=np.float64))
    return found if math.isclose(own, mean, rel_tol=_LITTLE, abs_tol=_LITTLE) else None


def _read(run_dir: RunDir) -> TestImages:
    path = run_dir.path / TEST_IMAGES
    with open_regular(path, _MOST_BYTES, within=run_dir.path), NpzFile(path) as file:
        headers = [file.headers[name] for name in _DTYPES if name in file.headers]
        shapes = {header.shape for header in headers}
        if [str(header.dtype) for header in headers] != list(_DTYPES.values()) or len(shapes) > 1:
            raise ValueError("it has other arrays than a test leaves")
        shape = shapes.pop()
        if len(shape) != 1 or shape[0] < 1:
            raise ValueError("it has no images")
        elbo, indices, digest = (file.array(name) for name in _DTYPES)
        epoch, seed = (_number(file, name) for name in ("epoch", "seed"))
    if indices[0] < 0 or not bool((np.diff(indices) > 0).all()):
        raise ValueError("its indices are none")
    return TestImages(elbo, indices, digest, epoch, seed)


def _number(file: NpzFile, name: str) -> int:
    header = file.headers.get(name)
    if header is None or header.shape != () or header.dtype.kind not in "iu":
        raise ValueError(f"it has no {name}")
    return int(file.array(name).item())
