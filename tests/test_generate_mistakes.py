"""Every mistake of a generate command is answered with one line, and nothing is written."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.conftest import refusal
from vae_lightning.runs.records import RunDir


@pytest.fixture
def error_of(generate, digits_run, colour_run):
    """The one line with which the generate command refuses."""

    def call(*arguments: str) -> str:
        before = listing(Path.cwd(), digits_run.path, colour_run.path)
        message = refusal(generate, *arguments)
        assert listing(Path.cwd(), digits_run.path, colour_run.path) == before
        return message

    return call


def listing(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*"))


VALID = (
    "batch_size, caption, checkpoint, ckpt, columns, data, device, dpi, format, invert, label, mode, num_images, out, "
    "overwrite, run, runs, sampler, save, seed, sweep, temperature, trust"
)
PLACES = "archive, cache_dir, labels, root, shown_channels, split_file"
MODES = (
    "embedding, encode, group_reconstructions, group_samples, manifold, neighbours, reconstructions, samples, "
    "transition, traversal, units"
)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["mode=sampels"], f"mode=sampels: no such option; did you mean samples? valid here: {MODES}"),
        (["num_image=3"], f"num_image: no such key; did you mean num_images? valid here: {VALID}"),
        (["+new=3"], "new: no such key; valid here: batch_size, num_images, sampler, save, seed, temperature"),
        (["split=val"], f"split: no such key; valid here: {VALID}"),
        (
            ["data.rot=x"],
            f"data.rot: no such key; did you mean root? valid here: {PLACES}",
        ),
        (
            ["sampler=gm"],
            "sampler=gm: no such option; did you mean gmm? valid here: flow, gaussian, gmm, prior, two_stage, vamp",
        ),
        (["sampler=gmm", "mode=traversal"], "sampler=gmm: mode=traversal takes none; mode=samples does"),
        (["sampler=gmm", "sampler.num_components=0"], "sampler.num_components must be at least 1, got 0"),
        (["sampler=gmm", "sampler.num_components=x"], "sampler.num_components='x': expected int"),
        (["num_images=many"], "num_images='many': expected int"),
        (["num_images=null"], "num_images=None: expected int"),
        (["num_images=0"], "num_images must be at least 1, got 0"),
        (["batch_size=0"], "batch_size must be at least 1, got 0"),
        (["temperature=-1"], "temperature must be at least 0, got -1"),
        (["temperature=warm"], "temperature='warm': expected float or a list of float"),
        (["save=[gif]"], "save=['gif']: expected grid, png, npz or a list of grid, png, npz"),
        (["save=[]"], "save must be one or more of grid, png, npz"),
        (["seed=-1"], "seed must be at least 0, got -1"),
        (["device=tpu"], "device='tpu': expected auto, cpu, cuda, mps"),
        (["ckpt=worst"], "ckpt=worst: no such file; choose best, last or the path of a checkpoint"),
        (["checkpoint=worst"], "ckpt=worst: no such file; choose best, last or the path of a checkpoint"),
        (["~overwrite"], "~overwrite: can't be left out; give a value, as in --help"),
        (["checkpoint=a", "ckpt=b"], "checkpoint=a and ckpt=b: are two names of one key; give one"),
        (["overwrite=maybe"], "overwrite=maybe: expected true or false"),
        (["invert=1"], "invert=1: expected true or false"),
        (["format=jpg"], "format='jpg': expected png, pdf, svg or a list of png, pdf, svg"),
        (["format=[pdf,eps]"], "format=['pdf', 'eps']: expected png, pdf, svg or a list of png, pdf, svg"),
        (["format=[]"], "format must be one or more of png, pdf, svg"),
        (["format=7", "num_image=3"], f"num_image: no such key; did you mean num_images? valid here: {VALID}"),
        (["columns=3"], "columns=3: expected 1, 2 or null"),
        (["dpi=30"], "dpi must be from 36 to 2400, got 30"),
        (["dpi=fine"], "dpi='fine': expected int or null"),
        (["caption=1"], "caption=1: expected bool"),
        (["mode=encode", "format=pdf"], "format=pdf: there is no picture with mode=encode"),
        (["mode=encode", "caption=false"], "caption=false: there is no picture with mode=encode"),
        (
            ["columns=1", "save=[png,npz]"],
            "columns=1: there is no picture with save=png,npz; with save=grid there is one",
        ),
        (
            ["invert=true"],
            "invert=true: inverts images of your own, and none are given; give images=, with a mode that takes them",
        ),
        (["mode=manifold"], "mode=manifold is for two latent dimensions, and this run has 4"),
        (["mode=manifold", "num_points=101"], "num_points must be at most 100, got 101"),
        (
            ["mode=reconstructions", "num_images=1001"],
            "num_images: 1,001 images are too many for one picture; choose at most 1,000",
        ),
        (["mode=transition", "num_images=41"], "num_images: 41 images are too many for one picture; choose at most 40"),
        (["mode=manifold", "num_points=0"], "num_points must be at least 1, got 0"),
        (["mode=embedding", "methods=[plane]"], "methods: plane is for two latent dimensions, and this run has 4"),
        (
            ["mode=embedding", "methods=umap"],
            "methods='umap': expected tsne, pca, plane or a list of tsne, pca, plane or null",
        ),
        (["mode=embedding", "methods=[]"], "methods: is empty; choose from tsne, pca, plane"),
        (["mode=embedding", "num_images=3"], "num_images must be at least 4, got 3"),
        (["mode=embedding", "seed=-1"], "seed must be from 0 to 4294967295, got -1"),
        (["mode=traversal", "dims=[0,4]"], "dims=[0, 4]: choose from 0 to 3"),
        (["mode=traversal", "dims=2"], "dims=2: expected a list of int or null"),
        (["mode=traversal", "limit=0"], "limit must be positive and finite, got 0"),
        (["mode=traversal", "indices=[1,2]"], "a traversal starts from one image, and 2 were given"),
        (["mode=reconstructions", "num_images=0"], "num_images must be at least 1, got 0"),
        (["mode=reconstructions", "split=valid"], "split='valid': expected train, val, test"),
        (["mode=reconstructions", "images=[]"], "images: is empty"),
        (
            ["mode=reconstructions", "images=7"],
            "images=7: is no text for Hydra unless it is quoted, for Hydra and for the shell: images=\"'7'\"",
        ),
        (["mode=reconstructions", "images=[a.png]", "indices=[1]"], "images and indices: give only one of them"),
        (
            ["mode=reconstructions", "indices=[0,180]"],
            "indices: 180 is none of the 180 val images; choose 0 to 179",
        ),
        (["mode=null"], f"mode=null: choose an option; valid here: {MODES}"),
        (["data=mnist"], "data: has no options to choose from here; give single keys, data.<key>=..., as in --help"),
        (["save=[grid,gif]"], "save=['grid', 'gif']: expected grid, png, npz or a list of grid, png, npz"),
        (["mode=reconstructions", "indices=[3,a]"], "indices=[3, 'a']: expected a list of int or null"),
        (["mode=reconstructions", "indices=[a]"], "indices=['a']: expected a list of int or null"),
        (
            ["mode=reconstructions", "labels=[11]"],
            "labels: the val images have no more of label 11; valid here: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        ),
        (["mode=transition", "num_frames=1"], "num_frames must be at least 2, got 1"),
        (["mode=transition", "images=[]"], "images: is empty"),
        (["mode=units", "num_dims=0"], "num_dims must be at least 1, got 0"),
        (["mode=neighbours", "num_nearest=0"], "num_nearest must be at least 1, got 0"),
        (["mode=encode", "images=[]"], "images: is empty"),
        (["mode=encode", "images=[missing.png]"], "images: missing.png: no such file"),
        (["mode=encode", "images=missing"], "images: missing: no such file"),
    ],
)
def test_a_mistake_is_told_in_one_line(error_of, digits_run, arguments, expected):
    assert error_of(f"run={digits_run.path}", *arguments) == expected


def test_a_run_that_cannot_be_opened_is_told(error_of, digits_run, colour_run, moved):
    assert error_of() == "run: give a run directory, as in run=outputs/<date>/<time>_<name>"
    assert error_of("run=nowhere") == "run=nowhere: no such directory"
    Path("empty").mkdir()
    assert error_of("run=empty") == "run=empty: not a run directory (it has no config.yaml)"
    assert error_of("run=[a,b]") == "run=['a', 'b']: expected str"
    fresh, corrupt, other = (moved(digits_run, name) for name in ("fresh", "corrupt", "other"))
    for file in fresh.checkpoints.iterdir():
        file.unlink()
    assert error_of(f"run={fresh.path}").endswith("it has no checkpoint yet (checkpoints/best.ckpt)")
    corrupt.best.write_bytes(corrupt.best.read_bytes()[:1000])
    assert error_of(f"run={corrupt.path}").startswith(f"run={corrupt.path}: best.ckpt can't be read (")
    other.best.write_bytes(RunDir(colour_run.path).best.read_bytes())
    assert (
        error_of(f"run={other.path}")
        .partition(": ")[2]
        .startswith("best.ckpt is of another model than its config.yaml says")
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(error_of, digits_run):
    assert error_of(f"run={digits_run.path}", "device=cuda") == "device=cuda: there is none here; valid here: auto, cpu"


def test_pictures_that_cannot_be_read_are_named(error_of, digits_run):
    Path("text.png").write_text("not a picture")
    Path("empty.jpg").touch()
    Path("folder").mkdir()
    Image.effect_noise((28, 28), 100).save("cut.png")
    Path("cut.png").write_bytes(Path("cut.png").read_bytes()[:300])
    Image.new("L", (28, 28)).save("good.png")
    for mode in ("reconstructions", "transition", "traversal", "encode", "embedding"):
        start = [f"run={digits_run.path}", f"mode={mode}"]
        assert error_of(*start, "images=[good.png,missing.png]") == "images: missing.png: no such file"
        for name in ("text.png", "empty.jpg", "cut.png"):
            assert error_of(*start, f"images=[good.png,{name}]").startswith(
                f"images: {name}: can't be read as a picture ("
            )
        assert error_of(*start, "images=folder") == "images: folder: has no pictures in it"
    assert error_of(*start[:1], "mode=transition", "images=good.png").startswith(
        "a transition needs two images or more"
    )
    assert error_of(*start, "images=good.png") == "an embedding needs 4 images or more, and there are 1"


def test_data_without_labels_or_without_a_place_say_so(error_of, digits_run, colour_run):
    message = error_of(f"run={colour_run.path}", "mode=transition", "labels=[3,8]")
    assert message == "labels=[3, 8]: these data have no labels; choose by indices or images"
    message = error_of(f"run={digits_run.path}", "mode=units", "data.root=/somewhere")
    assert message.startswith("data.root: no such key; valid here: augmentations, ")


def test_a_place_that_cannot_be_written_to_is_told(error_of, digits_run):
    run = f"run={digits_run.path}"
    Path("file").write_text("mine")
    for out in ("file", "file/below", "file/far/below"):
        for overwrite in ("false", "true"):
            message = error_of(run, "num_images=1", f"out={out}", f"overwrite={overwrite}")
            assert message.startswith(f"out={out}: can't be written to (")
    assert Path("file").read_text() == "mine"


def test_a_sweep_is_refused(error_of, digits_run):
    for arguments in (["-m", "seed=1,2"], ["--multirun"]):
        message = error_of(f"run={digits_run.path}", *arguments)
        assert message == "-m: generate takes one run and one mode; start it for each"
