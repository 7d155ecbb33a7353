"""Films: a GIF always, and a video of the same frames and times where there is an encoder."""

import io
import struct
import sys

import numpy as np
import pytest

from vae_lightning.drawing.films import Film, encode_mp4, has_encoder
from vae_lightning.drawing.gifs import encode_gif


def frames(count=4, height=41, width=63):
    """Smooth, coloured, and each another."""
    ramp = np.linspace(0, 1, width)[None, :, None] * np.ones((height, 1, 3))
    return [(ramp * (60 + 40 * number) + [10, 30, 50]).clip(0, 255).astype(np.uint8) for number in range(count)]


def test_without_an_encoder_there_is_a_gif_alone():
    film = Film(frames, 120)
    assert film.gif() == encode_gif(frames(), 120, 120)
    assert not has_encoder()
    assert film.mp4() is None


def test_frames_are_drawn_when_they_are_wanted():
    drawn = []
    film = Film(lambda: drawn.append(1) or frames(), 120, 500)
    assert drawn == []
    assert film.gif() == encode_gif(frames(), 120, 500)


@pytest.mark.parametrize(("frame_ms", "held", "seconds"), [(300, 2500, 3.4), (120, 120, 0.48), (124, 96, 0.46)])
def test_a_video_is_as_long_as_the_gif_and_shows_each_frame_as_long(encoder, frame_ms, held, seconds):
    import av

    with av.open(io.BytesIO(encode_mp4(iter(frames()), frame_ms, held))) as video:
        (stream,) = video.streams
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height) == (64, 42)
        assert float(stream.duration * stream.time_base) == pytest.approx(max(seconds, 4 * round(frame_ms, -1) / 1000))
        shown = list(video.decode(stream))
    step = round(frame_ms / 10) / 100
    assert [frame.time for frame in shown[:4]] == pytest.approx([number * step for number in range(4)])
    for frame, expected in zip(shown, frames(), strict=False):
        pixels = frame.reformat(format="rgb24", src_colorspace=1).to_ndarray()[:41, :63]
        assert np.abs(pixels.astype(int) - expected).mean() < 3
    assert len(shown) == (5 if held > frame_ms else 4)


def test_a_video_repeats_and_begins_with_what_is_needed_first(encoder):
    video = encode_mp4(frames(), 100, 100)
    assert video == encode_mp4(frames(), 100, 100)
    names, place = [], 0
    while place < len(video):
        size, name = struct.unpack(">I4s", video[place : place + 8])
        names.append(name)
        place += size
    assert names.index(b"moov") < names.index(b"mdat")


def test_one_frame_is_a_video_and_none_are_refused(encoder):
    assert encode_mp4(frames(1), 100, 100)
    with pytest.raises(ValueError, match="frames must be at least one"):
        encode_mp4([], 100, 100)


def test_frames_that_are_too_large_for_it_are_no_video(encoder):
    assert Film(lambda: frames(1, height=2, width=17_000), 100).mp4() is None


def test_a_library_that_can_not_be_loaded_is_no_encoder(encoder, monkeypatch):
    assert has_encoder()
    monkeypatch.setitem(sys.modules, "av", None)
    assert not has_encoder()
