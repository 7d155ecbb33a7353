"""A folder of pictures, decoded once into one memory-mapped array."""

import logging
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from io import BytesIO
from pathlib import Path
from shutil import disk_usage
from typing import Any

import numpy as np
import PIL
from jaxtyping import Bool, UInt8

from vae_lightning.data.arrays import Arrays, open_arrays
from vae_lightning.data.build_progress import BuildProgress, allocated, gaps
from vae_lightning.data.cache import StoppedError, build_unless, cache_key
from vae_lightning.data.changing import build_of_files, is_of_its_files, note_changed
from vae_lightning.data.decoded_arrays import write_arrays
from vae_lightning.data.decoded_blocks import DecodedBlock, PixelFile
from vae_lightning.data.fitting import Fit, ImageSize, frame_of
from vae_lightning.data.opening import MAX_PIXELS
from vae_lightning.data.picture_files import (
    ALL_EXTENSIONS,
    ARRAY_EXTENSIONS,
    EXTENSIONS,
    PictureFile,
    check_folder,
    find_pictures,
    named_paths_of,
    paths_of,
    told_others,
)
from vae_lightning.data.pixel_cache import (
    PIXELS,
    READABLE,
    TILES,
    DamagedError,
    has_checksums,
    note_paged,
    open_cached,
    open_tiles,
    paged,
    write_checksums,
)
from vae_lightning.data.provenance import note_use
from vae_lightning.data.range_finding import reading_of
from vae_lightning.data.survey import Survey, found_in_files
from vae_lightning.data.tiling import Tiling, planned, whole
from vae_lightning.data.values import Found, Layout, Reading, Scale
from vae_lightning.data.waiting import counting, watched
from vae_lightning.disk.files import write_atomically
from vae_lightning.errors import UserError, one_line

logger = logging.getLogger(__name__)

_FORMAT = 1  # of the cache; to be raised when decoding changes
_MEGABYTE = 10**6
UNREADABLE, TOO_SMALL = "can't be read", "smaller than a tile"  # why a picture is left out


@dataclass(frozen=True)
class DecodedFolder:
    """The pictures of a folder in the order of their names; unreadable ones are black and not `readable`."""

    pixels: UInt8[np.memmap, "N H W C"]  # memory-mapped, read-only
    readable: Bool[np.ndarray, " N"]
    names: tuple[str, ...]
    root: Path
    files: tuple[str, ...]  # the picture of each row: its name, but for tiles, of which a picture has many
    left_out: dict[str, int]  # why pictures are not among the readable ones: how many
    reading: Reading | None = None  # by which they were read
    folder: Path | None = None  # of the cache, that holds them
    arrays: Arrays | None = None  # with their labels and splits, where the folder is a file of arrays


@dataclass(frozen=True)
class FolderDecoder:
    """Decodes a folder of pictures into `cache_dir`, or finds there what was decoded before.

    Args:
        root: the folder, searched with its subfolders; hidden files and `__MACOSX` are left out.
        cache_dir: holds one folder for each state of the root and choice of options.
        image_size: height and width in pixels, one number for both or [height, width].
        channels: of the pixels.
        max_bad_fraction: more unreadable files than this are an error.
        source: how messages call the root, as `data.root=faces`.
        max_pixels: a picture that has more of them counts as unreadable.
        fit: how each is brought to that size; see `ImageFolder`.
        value_range: `auto` or [low, high], one scale for all; None is an earlier version's way, a scale for each file.
        layout: of arrays.
        max_archive_gb: the most 10^9 bytes that a compressed array may unpack to.
        scratch: a folder that it may unpack to; None is the system's own.
        with_labels: whether those of a file of arrays are read.

    The root may be a file of arrays, too.
    """

    root: Path
    cache_dir: Path
    image_size: ImageSize
    channels: int
    max_bad_fraction: float
    source: str
    max_pixels: int = MAX_PIXELS
    fit: Fit = "crop"
    value_range: str | Sequence[float] | None = None
    layout: Layout = "auto"
    max_archive_gb: float = 20.0
    scratch: Path | None = None
    with_labels: bool = True

    def __call__(self) -> DecodedFolder:
        """The decoded folder; raises UserError if there are no pictures, too many bad ones, or no space."""
        files = self._files()
        self._find_reading(files, writes=True)
        folder = self._folder(files)
        build = partial(self._build, files=files, name=folder.name)
        build_of_files(folder, build, resumes=self._arrays is None)
        try:
            decoded = self._open(folder, files)
        except DamagedError as error:
            # The name says that it was made of these pictures, which are as they were.
            logger.warning("data.cache_dir=%s: %s is damaged (%s) and built anew", self.cache_dir, folder.name, error)
            decoded = self._mended(folder, files, build)
        self._tell_left_out(decoded, files)
        self._give_checksums(folder)
        self._note_use(folder)
        return decoded

    def open_valid(self) -> DecodedFolder | None:
        """What was decoded before, if it is there and sound; nothing is ever written.

        Raises UserError if there are no pictures, or too many bad ones.
        """
        files = self._files()
        self._find_reading(files, writes=False)
        folder = self._folder(files)
        if not folder.is_dir() or not is_of_its_files(folder):
            return None
        try:
            decoded = self._open(folder, files)
        except DamagedError as error:
            logger.warning("data.cache_dir=%s: %s is damaged (%s) and not used", self.cache_dir, folder.name, error)
            return None
        self._tell_left_out(decoded, files)
        return decoded

    def _find_reading(self, files: list[PictureFile], *, writes: bool) -> None:
        """See by which scale the files are read, which their place in the cache may depend on."""
        if self.value_range is None and self._arrays is None:
            return
        survey = Survey(partial(self._values_file, files), partial(self._look, files, writes), writes)
        self._found[:] = reading_of(self.value_range, self.layout, self.channels, self.source, survey)

    def _values_file(self, files: list[PictureFile], scale: Scale | None) -> Path:
        limits = self.channels, self.max_pixels, self.layout, () if scale is None else tuple(scale.pair)
        return self.cache_dir / f"values-{cache_key(_FORMAT, str(self.root.resolve()), files, *limits)}.json"

    def _look(
        self, files: list[PictureFile], writes: bool, scale: Scale | None, names: Collection[str] | None
    ) -> Found:
        if names is not None:
            files = [file for file in files if file.name in names]
        elif writes and self.fit != "tile" and not self._folder(files).exists():
            # It takes as long as decoding does where files are deep: that there is no room is told before.
            self._check_space(int(np.prod(self._shape(whole(len(files))), dtype=np.int64)))
        if self._arrays is not None:
            return self._arrays.found(scale)
        pictures = named_paths_of(self.root, files)
        return found_in_files(pictures, self.channels, self.max_pixels, Reading(scale, self.layout))

    @cached_property
    def _found(self) -> list[Any]:
        """How files are read, and what of it the cache's key names."""
        return [None, ()]

    @cached_property
    def _arrays(self) -> Arrays | None:
        if not self.root.is_file():
            return None
        check_folder(self.root, self.source, self.cache_dir)
        if self.fit == "tile":
            raise UserError(f"data.fit=tile: cuts up files of one picture each, and {self.source} is a file of arrays")
        limits = self.max_pixels, self.max_archive_gb
        options = self.channels, self.layout, self.source, *limits, self.scratch
        arrays = open_arrays(self.root, *options, with_labels=self.with_labels)
        logger.info("%s: %s", self.source, one_line(arrays.told))
        return arrays

    def _folder(self, files: list[PictureFile]) -> Path:
        options: tuple = () if self.max_pixels == MAX_PIXELS else (self.max_pixels,)  # there was no such option once
        options += () if self.fit == "crop" else ("fit", self.fit)  # nor this, and images were squares
        options += self._found[1]
        height, width = frame_of(self.image_size)
        size = height if height == width else (height, width)
        key = cache_key(_FORMAT, str(self.root.resolve()), size, self.channels, files, *options)
        return self.cache_dir / f"images-{key}"

    def _open(self, folder: Path, files: list[PictureFile]) -> DecodedFolder:
        names, tiling = [file.name for file in files], self._tiling(folder, files)
        pixels, readable = open_cached(folder, self._shape(tiling))
        of_rows = tiling.of_rows(names)
        row_names = tiling.tile_names(names) if self.fit == "tile" else of_rows
        facts = self.root, of_rows, _left_out(tiling, readable), self._found[0], folder, self._arrays
        return DecodedFolder(pixels, readable, row_names, *facts)

    def _tiling(self, folder: Path, files: list[PictureFile]) -> Tiling:
        return Tiling(open_tiles(folder, len(files))) if self.fit == "tile" else whole(len(files))

    def _mended(self, folder: Path, files: list[PictureFile], build: Callable[[Path], None]) -> DecodedFolder:
        build_unless(lambda target: self._is_good(target, files), folder, build, resumes=self._arrays is None)
        try:
            return self._open(folder, files)
        except DamagedError as error:
            raise UserError(
                f"data.cache_dir={self.cache_dir}: {folder.name} is damaged as soon as it is built ({error})"
            ) from error

    def _is_good(self, folder: Path, files: list[PictureFile]) -> bool:
        try:
            self._open(folder, files)
        except DamagedError:
            return False
        return True

    def _give_checksums(self, folder: Path) -> None:
        if has_checksums(folder):
            return
        try:
            write_checksums(folder)
            logger.info("%s is of an earlier version and valid; from now on it has checksums", folder)
        except OSError:
            logger.info("%s is of an earlier version and can't be given checksums; it is used unchecked", folder)

    def _note_use(self, folder: Path) -> None:
        of = self.source if self._is_unpacked else str(self.root.resolve())
        height, width = frame_of(self.image_size)
        note_use(folder, of, f"{width} x {height}, {self.channels} channels, fit={self.fit}")

    @property
    def _is_unpacked(self) -> bool:
        return self.root.parent == self.cache_dir

    def _shape(self, tiling: Tiling) -> tuple[int, int, int, int]:
        return tiling.num_rows, *frame_of(self.image_size), self.channels

    def _files(self) -> list[PictureFile]:
        check_folder(self.root, self.source, self.cache_dir)
        if self._arrays is not None:
            facts = self.root.stat()
            return [PictureFile(name, facts.st_size, facts.st_mtime_ns) for name in self._arrays.names]
        extensions, others = EXTENSIONS if self.value_range is None else ALL_EXTENSIONS, Counter[str]()
        try:
            found = watched(find_pictures(self.root, extensions, others), f"searching {self.source}", "img")
            files = sorted(found)
        except OSError as error:
            raise UserError(f"{self.source}: cannot be searched ({error})") from error
        told = one_line(told_others(others)) if others else ""
        if not files:
            besides = f"; {told}" if told else ""
            if not others.keys().isdisjoint(ARRAY_EXTENSIONS):
                besides += "; a file of arrays is a dataset by itself: data.root=<that file>"
            raise UserError(f"{self.source}: no images found; accepted are {', '.join(extensions)}{besides}")
        if told:
            logger.info("%s: %s", self.source, told)
        return files

    def _build(self, folder: Path, files: list[PictureFile], name: str) -> None:
        pictures, tiling = paths_of(self.root, files), whole(len(files))
        if self.fit == "tile":
            tiling = planned(pictures, frame_of(self.image_size), self.max_pixels)
        shape, path = self._shape(tiling), folder / PIXELS
        header = _header(shape)
        options = self.image_size, self.channels, self.max_pixels, self.fit, tiling, self._found[0]
        pixels = PixelFile(path, len(header), *options)
        progress = BuildProgress(folder, _facts(len(files), shape, tiling))
        before = progress.begin(pixels) if self._arrays is None else []
        if self.fit == "tile":
            np.save(folder / TILES, tiling.grids)
        self._check_space(int(np.prod(shape, dtype=np.int64)) - (allocated(path) if before else 0))
        with path.open("r+b" if before else "wb") as file:
            # Not written through a memory map, which would fill RAM, and kill the process if the disk is full.
            file.write(header)
        of = self.source if self._is_unpacked else self.root
        logger.info("decoding %d images of %s into %s", len(files), of, self.cache_dir)
        if self._arrays is None:
            reasons, more = self._decode(pictures, pixels, before, progress)
            note_paged(folder, more)
        else:
            write_arrays(self._arrays, path, self.image_size, self.channels, self._found[0].scale, self.fit)
            reasons = {}
        note_changed(folder, self.root, files, self.source)
        bad = next((number for number in sorted(reasons) if tiling.grids[number].prod()), None)
        is_good = np.array([number not in reasons for number in range(len(files))])
        readable = is_good.repeat(np.diff(tiling.starts))
        np.save(folder / READABLE, readable)
        if reasons:
            lines = [f"{files[number].name!r}: {reason}\n" for number, reason in reasons.items()]
            write_atomically(self._bad_files(name), "".join(lines).encode(errors="backslashreplace"))
        first = "" if bad is None else f"{files[bad].name!r} ({reasons[bad]})"
        self._check_left_out(_left_out(tiling, readable), len(files), name, first)
        write_checksums(folder)
        progress.end()

    def _decode(
        self, pictures: Sequence[Path], pixels: PixelFile, before: Sequence[DecodedBlock], progress: BuildProgress
    ) -> tuple[dict[int, str], list[int]]:
        """Fill the file; why pictures could not be read, by their number, and which have more pages than one."""
        more = [number for block in before for number in block.paged]
        reasons = {number: reason for block in before for number, reason in block.reasons.items()}
        num_before = sum(len(block.numbers) for block in before)
        if before:
            logger.info("%d of them were decoded by a build that was stopped", num_before)
        with counting("decoding images", "img", len(pictures), num_before) as count:
            for block in self._blocks(pixels, pictures, gaps(before, len(pictures))):
                if block.write_error is not None:
                    raise block.write_error
                progress.add(block)
                reasons |= block.reasons
                more += block.paged
                count(len(block.numbers))
        return reasons, more

    def _blocks(self, pixels: PixelFile, pictures: Sequence[Path], wanted: Sequence[range]) -> Iterator[DecodedBlock]:
        try:
            yield from pixels.decode(pictures, wanted)
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise StoppedError(
                f"data.max_pixels={self.max_pixels}: a process that decodes the images was killed, most likely for "
                "want of memory; give the job more, or choose fewer pixels"
            ) from error

    def _check_space(self, needed: int) -> None:
        there = next(folder for folder in (self.cache_dir, *self.cache_dir.parents) if folder.exists())
        free = disk_usage(there).free
        if free < needed:
            raise UserError(
                f"data.cache_dir={self.cache_dir}: the decoded images need {-(-needed // _MEGABYTE)} MB and "
                f"{free // _MEGABYTE} MB are free; choose another folder"
            )

    def _check_left_out(self, left_out: dict[str, int], num_files: int, name: str, first: str) -> None:
        if left_out.get(TOO_SMALL) == num_files:
            size = " x ".join(map(str, frame_of(self.image_size)))
            raise UserError(
                f"data.fit=tile: all {num_files} images are smaller than a tile of {size}; choose a smaller one"
            )
        if left_out.get(UNREADABLE, 0) > self.max_bad_fraction * num_files:
            told = self._unreadable(left_out, num_files, name, first)
            cure = "mend or remove them, or choose a larger fraction"
            raise UserError(one_line(f"data.max_bad_fraction={self.max_bad_fraction}: {told}; {cure}"))

    def _tell_left_out(self, decoded: DecodedFolder, files: list[PictureFile]) -> None:
        assert decoded.folder is not None
        left_out, name, num_files = decoded.left_out, decoded.folder.name, len(files)
        bad = np.flatnonzero(~decoded.readable)
        first = repr(decoded.files[bad[0]]) if len(bad) else ""
        self._check_left_out(left_out, num_files, name, first)
        if num_small := left_out.get(TOO_SMALL, 0):
            told = f"{num_small} of {num_files} images {'is' if num_small == 1 else 'are'} smaller than a tile"
            logger.warning("%s, listed in %s and left out", told, self._bad_files(name))
        if UNREADABLE in left_out:
            logger.warning("%s and left out", self._unreadable(left_out, num_files, name, first))
        if pages := paged(decoded.folder, num_files):
            count, number = pages
            have = "has more pages or frames than one: its" if count == 1 else "have more pages or frames than one: the"
            logger.warning("%d of %d files %s first is taken, as of %r", count, num_files, have, files[number].name)

    def _unreadable(self, left_out: dict[str, int], num_files: int, name: str, first: str) -> str:
        told = f"{left_out[UNREADABLE]} of {num_files} images cannot be read, the first {first}, listed with reasons"
        return f"{told} in {self._bad_files(name)}"

    def _bad_files(self, name: str) -> Path:
        return self.cache_dir / f"bad_files-{name.removeprefix('images-')}.txt"


def _header(shape: tuple[int, int, int, int]) -> bytes:
    content = BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return content.getvalue()


def _facts(num_pictures: int, shape: tuple[int, int, int, int], tiling: Tiling) -> dict[str, Any]:
    """What blocks of a build that was stopped depend on besides the cache's key."""
    grids = zlib.crc32(np.ascontiguousarray(tiling.grids, np.int64).data)
    return {"num_pictures": num_pictures, "shape": list(shape), "tiling": grids, "pillow": PIL.__version__}


def _left_out(tiling: Tiling, readable: Bool[np.ndarray, " N"]) -> dict[str, int]:
    """Pictures by the reason that they are left out for; reasons without any are not there."""
    is_small = tiling.grids.prod(1) == 0
    is_bad = ~readable[tiling.starts[:-1]] & ~is_small
    counts = {UNREADABLE: int(is_bad.sum()), TOO_SMALL: int(is_small.sum())}
    return {reason: count for reason, count in counts.items() if count}
