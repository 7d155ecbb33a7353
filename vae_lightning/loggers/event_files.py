"""TensorBoard's event files, written without a thread that a full disk would end, and read for what is there."""

import itertools
import os
import re
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vae_lightning.disk.files import open_regular
from vae_lightning.disk.unwritten import HeldFile
from vae_lightning.loggers.checksums import masked_crc32c

_NAME = re.compile(r"events\.out\.tfevents\.(\d{10})\.")
_HEADER, _FOOTER = 12, 4  # bytes around an event: its length and a checksum, and a checksum
_MOST_BYTES = 100_000_000_000  # of an event file that is looked through; it is not read at once
_numbers = itertools.count()


class EventFile:
    """A new event file in a run directory; stands in for TensorBoard's own `EventFileWriter`.

    What the disk does not take is held, see `unwritten`. TensorBoard reads files by their names: a new one comes behind
    all that are there, even where the clock has been set back.

    Args:
        folder: the run directory.
        suffix: of the file's name.
    """

    def __init__(self, folder: Path, suffix: str = ""):
        from tensorboard.compat.proto.event_pb2 import Event

        self._folder = folder
        self._file = HeldFile(folder / (_new_name(folder) + suffix), "TensorBoard's events")
        self.add_event(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def get_logdir(self) -> str:
        return str(self._folder)

    def add_event(self, event: Any) -> None:
        content = event.SerializeToString()
        length = struct.pack("<Q", len(content))
        checksums = (struct.pack("<I", masked_crc32c(part)) for part in (length, content))
        self._file.write(length + next(checksums) + content + next(checksums))

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def summary_writer(folder: str, first_step: int) -> Any:
    """PyTorch's SummaryWriter on an `EventFile`; what is there of `first_step` and later steps is hidden, if not 0."""
    from torch.utils.tensorboard.writer import FileWriter, SummaryWriter

    class Files(FileWriter):
        def __init__(self, log_dir: str, *_: Any):
            self.event_writer = EventFile(Path(log_dir))

    class Writer(SummaryWriter):
        def _get_file_writer(self) -> Any:
            if self.file_writer is None:
                files: Any = Files(self.log_dir)
                self.file_writer, self.all_writers = files, {self.log_dir: files}  # type: ignore[assignment]
                if self.purge_step is not None:
                    files.event_writer.add_event(_restart(self.purge_step))
                    self.purge_step = None
            return self.file_writer

    return Writer(folder, purge_step=first_step or None)


def shown_points(folder: Path) -> set[tuple[str, int]]:
    """The tags and steps of the figures and images that TensorBoard shows of a run directory."""
    shown: set[tuple[str, int]] = set()
    for path in _files(folder):
        for event in _events(path):
            if event.WhichOneof("what") == "session_log" and event.session_log.status == event.session_log.START:
                shown = {(tag, step) for tag, step in shown if step < event.step}
            shown |= {(value.tag, event.step) for value in event.summary.value}
    return shown


def tags_written(folder: Path) -> Iterator[str]:
    """The tags of a run directory's event files in the order in which they were written, of what is hidden, too."""
    for path in _files(folder):
        for event in _events(path):
            yield from (value.tag for value in event.summary.value)


def _restart(step: int) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog

    started = SessionLog(status=SessionLog.START)
    return Event(wall_time=time.time(), step=step, session_log=started)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("events.out.tfevents.*") if _NAME.match(path.name))


def _new_name(folder: Path) -> str:
    times = [int(match[1]) for match in map(_NAME.match, os.listdir(folder)) if match]
    seconds = max([int(time.time()), *(newest + 1 for newest in times)])
    return f"events.out.tfevents.{seconds:010d}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"


def _events(path: Path) -> Iterator[Any]:
    """The events of a file, up to where it was cut short."""
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event

    with open_regular(path, _MOST_BYTES) as file:
        size = os.fstat(file.fileno()).st_size
        while len(header := file.read(_HEADER)) == _HEADER:
            (length,) = struct.unpack_from("<Q", header)
            if file.tell() + length + _FOOTER > size:
                return
            content = file.read(length)
            file.seek(_FOOTER, os.SEEK_CUR)
            try:
                yield Event.FromString(content)
            except DecodeError:
                return
