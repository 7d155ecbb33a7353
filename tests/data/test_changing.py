import os
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.data.test_decoded_folder import decode
from vae_lightning.data.decode import decode_image
from vae_lightning.data.decoded_arrays import write_arrays
from vae_lightning.data.decoded_folder import FolderDecoder


@pytest.fixture
def changing(pictures, tmp_path, monkeypatch):
    """Decodes with two files changed in the meantime: one is rewritten, one taken away; and puts them back."""
    kept = shutil.copytree(pictures, tmp_path / "kept")
    names = ("07.png", "08.png")

    def put_back() -> None:
        for name in names:
            shutil.copy2(kept / name, pictures / name)

    def decoded_meanwhile(path, *options):
        if path.name == names[0]:
            Image.new("RGB", (9, 9), "red").save(path)
            (pictures / names[1]).unlink(missing_ok=True)
        return decode_image(path, *options)

    def decode_changing(cache_dir, **options):
        with monkeypatch.context() as patch:
            patch.setattr("vae_lightning.data.decoded_blocks.decode_image", decoded_meanwhile)
            patch.setattr("vae_lightning.data.decoded_blocks.num_cpus", lambda: 0)
            made = decode(pictures, cache_dir, max_bad_fraction=0.5, **options)
        put_back()
        return made

    return decode_changing


def test_files_that_change_while_they_are_decoded_are_told_and_decoded_anew_should_they_come_back(
    pictures, tmp_path, changing, caplog
):
    cache = tmp_path / "cache"
    made = changing(cache)
    assert (made.pixels[7] == (255, 0, 0)).all()
    assert not made.readable[8]
    told = f"data.root={pictures}: 2 of 60 files were changed or taken away while they were decoded, the first '07.png'"
    assert caplog.text.count(told) == 1
    caplog.clear()
    again = decode(pictures, cache)
    assert again.folder == made.folder
    assert again.readable.all()
    for name, row in zip(again.names, again.pixels, strict=True):
        assert np.array_equal(row, decode_image(pictures / name, 8, 3))
    assert (made.pixels[7] == (255, 0, 0)).all()  # who has opened it keeps it
    stamp = os.stat(again.folder / "pixels.npy").st_ino
    decode(pictures, cache)
    assert os.stat(again.folder / "pixels.npy").st_ino == stamp
    assert "were changed" not in caplog.text


def test_what_was_made_of_changing_files_is_not_taken_from_a_cache_that_is_only_looked_into(
    pictures, tmp_path, changing
):
    changing(tmp_path / "cache")
    options = (pictures, tmp_path / "cache", 8, 3, 0.5, f"data.root={pictures}")
    assert FolderDecoder(*options).open_valid() is None
    decode(pictures, tmp_path / "cache")
    assert FolderDecoder(*options).open_valid() is not None


def test_a_file_of_arrays_that_changes_while_it_is_read_is_told(tmp_path, monkeypatch, caplog):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((5, 8, 8, 3), np.uint8))

    def write_meanwhile(*options):
        os.utime(path, ns=(1, 1))
        write_arrays(*options)

    monkeypatch.setattr("vae_lightning.data.decoded_folder.write_arrays", write_meanwhile)
    decode(path, tmp_path / "cache")
    assert f"data.root={path}: 1 of 1 files were changed" in caplog.text
