"""Sprites with known factors, for what is said of disentanglement: drawn here, or read from dSprites' own file."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from PIL import Image
from torch import Tensor

from vae_lightning.data.augmenting import Given
from vae_lightning.data.class_names import Label
from vae_lightning.data.decode import decode_image
from vae_lightning.data.drawn_sprites import SHAPES, SIDE, SpriteGrid
from vae_lightning.data.fitting import FitInMemory, ImageSize
from vae_lightning.data.image_data import Binarize, ImageDataModule
from vae_lightning.data.loader import ImageSet, seeded_generator
from vae_lightning.data.npz import NpzFile
from vae_lightning.data.pages import Pages
from vae_lightning.data.splits import SPLITS, check_fractions
from vae_lightning.data.stored_pixels import Cache, StoredPixels
from vae_lightning.errors import UserError, require_at_least, require_at_most

_FORMAT = 1  # of the cache; to be raised when drawing changes


@final
class Sprites(ImageDataModule):
    """737,280 binary images of 64 x 64: 3 shapes x 6 scales x 40 orientations x 32 x 32 positions, with these factors.

    The pixels are 0 or 255; a draw from them is themselves, so `binarize` only says what figures are of. The labels
    are the shapes. The splits are dealt once and for all, whatever the seed.

    Args:
        root: dSprites' own .npz file, to be used in place of what is drawn here; None for none. Its factors must be
            those of the numbers below.
        cache_dir: holds the images, which are made once; None is `vae_lightning` in the user's cache folder.
        num_scales, num_orientations, num_positions: fewer of them make a smaller set; see `SpriteGrid`.
        val_fraction, test_fraction: the shares of these splits.
        fit: how pictures from elsewhere become images of 64 x 64; the sprites are drawn so.
    """

    def __init__(
        self,
        *,
        root: str | None = None,
        cache_dir: str | None = None,
        num_scales: int = 6,
        num_orientations: int = 40,
        num_positions: int = 32,
        val_fraction: float = 0.05,
        test_fraction: float = 0.05,
        image_size: ImageSize = SIDE,
        channels: int = 1,
        batch_size: int = 128,
        eval_batch_size: int = 500,
        seed: int = 0,
        shuffle: bool = True,
        horizontal_flip: bool = False,
        binarize: Binarize = "fixed",
        fit: FitInMemory = "crop",
        augmentations: Sequence[Given] = (),
        exclude_labels: Sequence[Label] = (),
    ):
        super().__init__(
            image_size=image_size,
            channels=channels,
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            seed=seed,
            shuffle=shuffle,
            horizontal_flip=horizontal_flip,
            binarize=binarize,
            fit=fit,
            augmentations=augmentations,
            exclude_labels=exclude_labels,
        )
        require_at_least("num_scales", num_scales, 1)
        require_at_least("num_orientations", num_orientations, 1)
        require_at_least("num_positions", num_positions, 1)
        require_at_most("num_scales", num_scales, 6)
        require_at_most("num_orientations", num_orientations, 40)
        require_at_most("num_positions", num_positions, 32)
        self.root = root
        self.cache_dir = cache_dir
        self.grid = SpriteGrid(num_scales, num_orientations, num_positions)
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction
        self._check_options()

    def prepare_data(self) -> None:
        """Makes the images unless they are in the cache; raises UserError naming data.cache_dir or data.root."""
        _ = self._pixels

    def load_splits(self) -> dict[str, ImageSet]:
        """The three splits, memory-mapped as bits, with the shapes as labels and all factors."""
        pixels, pages = self._pixels
        factors = {name: torch.from_numpy(classes) for name, classes in self.grid.classes().items()}
        names = {name: tuple(f"{value:.4g}" for value in values) for name, values in self.grid.values.items()}
        whole = ImageSet(
            pixels,
            torch.arange(len(pixels)),
            None,
            pages=pages,
            class_names=SHAPES,
            factor_names=names | {"shape": SHAPES},
            packed_channels=self.channels,
        )
        return {
            split: replace(
                whole,
                rows=rows,
                labels=factors["shape"][rows],
                factors={name: classes[rows] for name, classes in factors.items()},
            )
            for split, rows in self._dealt(len(pixels)).items()
        }

    def decode(self, path: Path | Image.Image) -> UInt8[Tensor, "H W C"]:
        """One picture, cropped and resized to the size of the sprites."""
        return torch.from_numpy(decode_image(path, self.frame, self.channels, fit=self.fit).copy())

    def _as_trained_on(self, images: ImageSet, split: str) -> ImageSet:
        return images  # a draw from binary pixels is themselves

    @cached_property
    def _pixels(self) -> tuple[UInt8[Tensor, "N 64 8 1"], Pages]:
        cache, shape = Cache(self.cache_dir, "cache_dir" in self.read_only), (len(self.grid), SIDE, SIDE, 1)
        if self.root is None:
            return StoredPixels(cache, "sprites", "the sprites", (_FORMAT,), shape, is_packed=True)(self.grid.blocks)
        path = Path(self.root).expanduser().absolute()
        try:
            facts = path.stat()
            key = (_FORMAT, str(path.resolve()), facts.st_size, facts.st_mtime_ns)
            return StoredPixels(cache, "sprites", "the sprites of dSprites", key, shape, is_packed=True)(self._original)
        except (OSError, ValueError) as error:
            raise UserError(f"data.root={self.root}: is no file of dSprites that can be read ({error})") from error

    def _original(self) -> Iterator[UInt8[np.ndarray, "n 64 64 1"]]:
        with NpzFile(Path(str(self.root)).expanduser()) as file:
            classes = np.stack([*self.grid.classes().values()], 1)
            if not np.array_equal(file.array("latents_classes")[:, 1:], classes):  # the first one is the colour
                raise ValueError("its factors are not those of dSprites, one image for each combination")
            header = file.headers.get("imgs")
            if header is None or header.shape != (len(classes), SIDE, SIDE) or header.dtype != np.uint8:
                raise ValueError("it has no imgs of 64 x 64, a byte a pixel, for each combination")
            for block in file.blocks("imgs"):
                if block.max(initial=0) > 1:
                    raise ValueError("its pixels are not 0 or 1")
                yield block[..., None] * np.uint8(255)

    def _dealt(self, num_images: int) -> dict[str, Int64[Tensor, " _"]]:
        num_val, num_test = (round(share * num_images) for share in (self.val_fraction, self.test_fraction))
        order = torch.randperm(num_images, generator=seeded_generator("sprites", num_images))
        parts = order.split([num_images - num_val - num_test, num_val, num_test])
        return {split: rows.sort().values for split, rows in zip(SPLITS, parts, strict=True)}

    def _check_options(self) -> None:
        if self.frame != (SIDE, SIDE):
            raise ValueError(f"image_size must be {SIDE}, as the sprites are drawn, got {self.image_size}")
        check_fractions(self.val_fraction, self.test_fraction)
