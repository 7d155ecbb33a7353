"""What the page is made of, without a browser."""

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

import vae_lightning.explorer.page as explorer
from vae_lightning.errors import UserError
from vae_lightning.explorer.page import MARK, WriteExplorer, vendor_versions

VENDOR = Path(explorer.__file__).parent / "vendor"


def test_the_libraries_are_those_that_are_told():
    told = json.loads((VENDOR / "vendor.json").read_text())
    digests = {f"{file}.gz": digest for facts in told.values() for file, digest in facts["sha256"].items()}
    assert digests.keys() == {file.name for file in VENDOR.glob("*.gz")}
    for name, digest in digests.items():
        assert hashlib.sha256(gzip.decompress((VENDOR / name).read_bytes())).hexdigest() == digest
    assert all((VENDOR / f"LICENSE.{name}.md").is_file() for name in told)
    assert vendor_versions() == "onnxruntime-web 1.30.0 (MIT), gifenc 1.0.3 (MIT)"


def test_the_page_needs_nothing_else_and_tells_what_it_is(colour, monkeypatch):
    monkeypatch.setattr(explorer, "networks_of", lambda run: {"decoder": b"x"})  # a browser's test has them
    text, told = WriteExplorer(num_images=6, num_neighbours=0)(colour)
    assert told == []
    assert MARK in text[:1000]
    assert not re.findall(r"(?:src|href)=\"(?!data:)", text)
    facts = json.loads(re.search(r'<script type="application/json" id="facts">(.*?)</script>', text)[1])
    assert facts["image"] == {"channels": 3, "height": 32, "width": 32, "fit": "crop"}
    assert facts["encoded"]["kind"] == "test"
    assert facts["training"] is None
    assert len(text) < 8_000_000


def test_no_image_leaves_with_it_unless_it_is_asked_to(digits, monkeypatch):
    sheets = []
    monkeypatch.setattr(explorer, "networks_of", lambda run: {})
    monkeypatch.setattr(explorer, "encoded_images", lambda run, split, count, thumbnails: sheets.append(thumbnails))
    WriteExplorer()(digits)
    WriteExplorer(thumbnails="originals")(digits)
    assert sheets == ["reconstructions"] * 2 + ["originals"] * 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_images": -1}, "num_images must be at least 0, got -1"),
        ({"num_neighbours": 20_000}, "num_neighbours must be at most 10000, got 20000"),
        ({"num_sliders": 0}, "num_sliders must be at least 1, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        WriteExplorer(**settings)


def test_codes_of_a_codebook_are_refused(digits, monkeypatch):
    monkeypatch.setattr(type(digits.vae), "is_discrete", True)
    with pytest.raises(UserError, match=r"^explore is for continuous latents: between codes of a codebook there is"):
        WriteExplorer()(digits)
