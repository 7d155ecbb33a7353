import base64
import io
import random

import pytest
from PIL import Image

from tests.reports.runs_on_disk import write_picture
from vae_lightning.reports.pictures import EmbeddedPicture, embed


def opened(picture: EmbeddedPicture) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(picture.uri.partition(",")[2])))


def num_bytes(picture: EmbeddedPicture) -> int:
    return len(base64.b64decode(picture.uri.partition(",")[2]))


def noise(seed: int, side: int = 200) -> Image.Image:
    return Image.frombytes("RGB", (side, side), random.Random(seed).randbytes(3 * side * side))


def test_small_pictures_are_kept_exactly(tmp_path):
    png, gif = write_picture(tmp_path, "samples", "teal"), write_picture(tmp_path, "training", "teal")
    pictures = embed([png, gif])
    assert pictures[png].uri.startswith("data:image/webp;base64,")
    assert pictures[png].size == (48, 32)
    assert opened(pictures[png]).convert("RGB").getpixel((5, 5)) == (0, 128, 128)
    assert pictures[gif].uri == f"data:image/gif;base64,{base64.b64encode(gif.read_bytes()).decode()}"
    assert not pictures[png].is_reduced
    assert not pictures[gif].is_reduced


def test_large_ones_are_shrunk_into_the_budget_and_say_so(tmp_path):
    files = [tmp_path / f"{seed}.png" for seed in range(4)]
    for seed, file in enumerate(files):
        noise(seed).save(file)
    pictures = embed(files, budget=40_000)
    assert sum(map(num_bytes, pictures.values())) <= 40_000
    assert all(picture.is_reduced and 40 <= picture.size[0] < 200 for picture in pictures.values())
    assert len(pictures) == 4


def test_what_small_files_leave_goes_to_the_others(tmp_path):
    small = [write_picture(tmp_path / str(n), "samples", "red") for n in range(9)]
    large = tmp_path / "large.png"
    noise(0).save(large)
    assert num_bytes(embed([*small, large], budget=100_000)[large]) > 20_000


@pytest.mark.parametrize("share", [300_000, 30_000])
def test_an_animation_loses_frames_but_no_time(tmp_path, share):
    frames = [noise(seed, 120) for seed in range(60)]
    file = tmp_path / "training.gif"
    frames[0].save(file, save_all=True, append_images=frames[1:], duration=[100] * 59 + [2500])
    picture = embed([file], budget=share)[file]
    animation = opened(picture)
    assert picture.is_reduced
    assert animation.format == "WEBP"
    assert num_bytes(picture) <= share
    assert 5 <= animation.n_frames <= 40
    total = 0
    for index in range(animation.n_frames):
        animation.seek(index)
        animation.load()
        total += animation.info["duration"]
    assert total == 59 * 100 + 2500
    assert animation.info["duration"] == 2500


def test_what_cannot_be_read_or_seen_is_left_out(tmp_path):
    torn = tmp_path / "torn.png"
    torn.write_bytes(write_picture(tmp_path, "samples", "red").read_bytes()[:40])
    gif = tmp_path / "training.gif"
    gif.write_bytes(b"GIF89a nonsense")
    large = tmp_path / "large.png"
    noise(1).save(large)
    assert embed([torn, gif, large], budget=300) == {}
    assert embed([]) == {}
