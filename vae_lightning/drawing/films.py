"""Pictures in motion: a GIF and, where an encoder is installed, an MP4, of true colours and a fraction of the size."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from vae_lightning.drawing.gifs import encode_gif

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import OutputContainer
    from av.video.stream import VideoStream

Frame = UInt8[np.ndarray, "_ _ 3"]

_CODECS = ("libx264", "libopenh264")
_OPTIONS = {"libx264": {"crf": "18", "preset": "veryfast", "threads": "1", "bf": "0"}, "libopenh264": {"b": "4M"}}
_MILLISECOND = Fraction(1, 1000)
_BT709, _LIMITED = 1, 1  # colours as a browser takes them to be


@dataclass(frozen=True, eq=False)
class Film:
    """Frames of one size.

    Attributes:
        draw: them, each time anew, one at least: they are large, and not always wanted.
        frame_ms: how long each is seen.
        hold_last_ms: how long the last one is; None is as long as the others.
    """

    draw: Callable[[], Iterable[Frame]]
    frame_ms: int
    hold_last_ms: int | None = None

    def gif(self) -> bytes:
        """Endless."""
        return encode_gif(list(self.draw()), self.frame_ms, self._held)

    def mp4(self) -> bytes | None:
        """Shown once, as long as the GIF is; None where there is no encoder, or these frames are too large for it."""
        if not has_encoder():
            return None
        from av import FFmpegError

        try:
            return encode_mp4(self.draw(), self.frame_ms, self._held)
        except FFmpegError:
            return None

    @property
    def _held(self) -> int:
        return self.frame_ms if self.hold_last_ms is None else self.hold_last_ms


def has_encoder() -> bool:
    """Whether PyAV is installed, `pip install 'vae-lightning[video]'`, and encodes H.264 without a GPU."""
    return _codec() is not None


def _codec() -> str | None:
    try:
        import av
    except Exception:  # also one that is there and can't be loaded
        return None
    return next((name for name in _CODECS if name in av.codecs_available), None)


def encode_mp4(frames: Iterable[Frame], frame_ms: int, hold_last_ms: int) -> bytes:
    """An MP4 for browsers and slides: H.264, yuv420p, with what is needed first at its beginning.

    Times are to the nearest 10 ms, as a GIF's are. Odd sides get a line more, as H.264 wants.

    Args:
        frames: one at least; they are looked at one by one.
        frame_ms: how long each is seen.
        hold_last_ms: how long the last one is.

    Raises:
        ValueError: no frames.
        RuntimeError: there is no encoder.
    """
    import av

    step, held = round(frame_ms / 10) * 10, round(hold_last_ms / 10) * 10
    timed = _timed(frames, step, held)
    first, at = next(timed, (None, 0))
    if first is None:
        raise ValueError("frames must be at least one")
    with TemporaryDirectory() as folder:  # what is moved to the beginning is read again, and that from a file only
        path = Path(folder, "film.mp4")
        with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
            stream = _stream(container, first, step)
            for frame, start in chain([(first, at)], timed):
                container.mux(stream.encode(_yuv(frame, start)))
            container.mux(stream.encode())
        return path.read_bytes()


def _timed(frames: Iterable[Frame], step: int, held: int) -> Iterator[tuple[Frame, int]]:
    """Frames of even sides, and from which millisecond on each is seen."""
    frame, at = None, -step
    for each in frames:
        sides = [(0, side % 2) for side in each.shape[:2]]
        frame, at = np.pad(each, (*sides, (0, 0)), mode="edge"), at + step
        yield frame, at
    if frame is not None and held > step:  # players do not agree on how long a last frame is: it follows itself
        yield frame, at + held - step


def _stream(container: "OutputContainer", frame: Frame, step: int) -> "VideoStream":
    from av.video.stream import VideoStream

    name = _codec()
    if name is None:
        raise RuntimeError("there is no encoder of H.264 here; pip install 'vae-lightning[video]' brings one")
    stream = container.add_stream(name, rate=Fraction(1000, step), options=_OPTIONS[name])
    assert isinstance(stream, VideoStream)
    stream.height, stream.width = frame.shape[:2]
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.time_base = stream.time_base = _MILLISECOND
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = _LIMITED
    return stream


def _yuv(frame: Frame, at: int) -> "VideoFrame":
    from av import VideoFrame
    from av.video.reformatter import Colorspace

    picture = VideoFrame.from_ndarray(frame, "rgb24").reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
    picture.pts, picture.time_base = at, _MILLISECOND
    return picture
