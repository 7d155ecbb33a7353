"""The generate command's pictures for print: every mode, in every format, with letters and pixels as they are."""

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.drawing.pdfs import read_pdf
from tests.test_generate import WRITES

PICTURES = {
    mode: [name.removesuffix(".png") for name in files if name.endswith(".png") and not name[-5].isdigit()]
    for mode, (_, files) in WRITES.items()
}
DRAWN = [mode for mode, names in PICTURES.items() if names]


@pytest.mark.parametrize("mode", DRAWN)
def test_every_mode_writes_every_format_and_what_else_it_writes(generate, plane_run, mode):
    settings, files = WRITES[mode]
    printed = generate(f"run={plane_run.path}", f"mode={mode}", *settings, "format=[pdf,svg]", "columns=1", "out=there")
    kept = {file for file in files if file.removesuffix(".png") not in PICTURES[mode]}
    pictures = {f"{name}.{suffix}" for name in PICTURES[mode] for suffix in ("pdf", "svg")}
    assert {path.name for path in Path("there").iterdir()} == kept | pictures | {"generate.json"}
    context = printed.splitlines()[0]
    for name in PICTURES[mode]:
        found = read_pdf(Path(f"there/{name}.pdf").read_bytes())
        assert found.width == pytest.approx(234)
        assert min(found.sizes) >= 6
        assert context in found.texts
        assert f">{context}</text>" in Path(f"there/{name}.svg").read_text()
    told = json.loads(Path("there/generate.json").read_text())
    assert (told["format"], told["columns"]) == (["pdf", "svg"], 1)
    assert "caption" not in told


@pytest.mark.parametrize("mode", ["traversal", "units", "reconstructions"])
def test_without_captions_the_run_is_not_told_in_any_format_and_bytes_repeat(generate, plane_run, mode):
    settings = [f"mode={mode}", *WRITES[mode][0], "format=[png,pdf]", "caption=false"]
    for out in ("one", "other"):
        context = generate(f"run={plane_run.path}", *settings, f"out={out}").splitlines()[0]
    generate(f"run={plane_run.path}", f"mode={mode}", *WRITES[mode][0], "out=usual")
    for name in PICTURES[mode]:
        pdf = Path(f"one/{name}.pdf").read_bytes()
        assert context not in read_pdf(pdf).texts
        assert pdf == Path(f"other/{name}.pdf").read_bytes()
        bare, usual = (Image.open(f"{folder}/{name}.png") for folder in ("one", "usual"))
        assert bare.tobytes() != usual.tobytes()
        assert bare.height < usual.height or mode == "units"  # a plot takes the room that is left
    if mode == "traversal":
        bare, usual = (Image.open(f"{folder}/traversal.gif") for folder in ("one", "usual"))
        assert bare.height < usual.height


def test_a_png_for_print_is_as_wide_as_its_columns(generate, plane_run):
    run = [f"run={plane_run.path}", "num_images=2", "save=grid"]
    generate(*run, "columns=2", "dpi=100", "out=there")
    assert Image.open("there/samples.png").width == 675
    generate(*run, "format=png", "columns=null", "dpi=null", "caption=true", "out=as_usual")
    generate(*run, "out=usual")
    assert Path("as_usual/samples.png").read_bytes() == Path("usual/samples.png").read_bytes()
