"""The generate command: what each mode writes and where, and that it needs the run directory alone."""

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_class
from PIL import Image

from tests.conftest import refusal
from vae_lightning.command_line.schema import CONF_DIR, register
from vae_lightning.config import instantiate, plain
from vae_lightning.runs.records import RunDir

MODES = sorted(file.stem for file in (CONF_DIR / "mode").glob("*.yaml"))
# Of each mode, what keeps it short and the files that it writes for two latent dimensions.
WRITES = {
    "samples": (["num_images=2"], ["sample_000000.png", "sample_000001.png", "samples.png"]),
    "reconstructions": (["num_images=1"], ["reconstruction_0000.png", "reconstructions.png"]),
    "transition": (["num_frames=2"], ["transition.gif", "transition.png"]),
    "traversal": (["num_columns=2"], ["traversal.gif", "traversal.png"]),
    "manifold": (["num_points=2"], ["manifold.png"]),
    "embedding": (["num_images=8"], ["embedding.csv", "pca.png", "plane.png", "tsne.png"]),
    "units": (["num_images=9"], ["aggregated_posterior.png", "latent_units.png", "units.csv"]),
    "neighbours": (["num_images=1"], ["neighbours.png"]),
    "encode": (["split=val"], ["posterior.csv", "posterior.npz"]),
}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def hashes(folder: Path) -> dict[str, str]:
    """Of all files below the folder but those in `generated`."""
    files = [path for path in folder.rglob("*") if path.is_file() and "generated" not in path.parts]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def manifest(folder: Path) -> dict:
    return json.loads((folder / "generate.json").read_text())


def edit_config(run: RunDir, change) -> None:
    config = run.config()
    change(config)
    run.write_config(config, [])


# Modes


# Of a hierarchy alone: tests/pictures/test_groups.py.
OF_GROUPS = ["group_reconstructions", "group_samples"]


def test_every_mode_is_tested():
    assert sorted([*WRITES, *OF_GROUPS]) == MODES


@pytest.mark.parametrize("mode", WRITES)
def test_a_mode_writes_its_files_into_the_run_and_changes_nothing_there(generate, plane_run, moved, mode):
    run = moved(plane_run)
    before = hashes(run.path)
    settings, files = WRITES[mode]
    printed = generate(f"run={run.path}", f"mode={mode}", *settings)
    folder = run.path / "generated" / mode
    assert names(folder) == sorted(["generate.json", *files])
    assert names(folder.parent) == [mode]
    assert hashes(run.path) == before
    assert list(Path.cwd().iterdir()) == []
    told = manifest(folder)
    assert {key: told[key] for key in ("run", "checkpoint", "epoch", "mode")} == {
        "run": str(run.path),
        "checkpoint": "best.ckpt",
        "epoch": 1,
        "mode": mode,
    }
    assert told["files"] == files
    name, _, value = settings[0].partition("=")
    assert str(told["settings"][name]) == value
    assert "epoch 1" in printed.splitlines()[0]
    assert printed.splitlines()[1] == str(folder)
    assert files[-1] in printed
    for picture in [name for name in files if name.endswith((".png", ".gif"))]:
        Image.open(folder / picture).verify()


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_documents_the_parameters_of_its_class_with_their_defaults(mode):
    register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        composed = plain(compose("generate", overrides=[f"mode={mode}"]))
    kind = get_class(composed["_target_"])
    hidden = ("every_n_epochs", "files")  # of callbacks
    defaults = {field.name: field.default for field in dataclasses.fields(kind) if field.name not in hidden}
    documented = {key: composed[key] for key in composed if key in defaults}
    documented |= {"sampler": documented["sampler"] or None} if "sampler" in documented else {}
    as_tuples = {key: tuple(value) if isinstance(value, list) else value for key, value in documented.items()}
    assert as_tuples == defaults
    built = instantiate({"_target_": composed["_target_"]} | documented, "")
    assert type(built) is kind


# Where to


def test_files_go_where_they_are_wanted(generate, digits_run, monkeypatch, tmp_path):
    before = hashes(digits_run.path)
    generate(f"run={digits_run.path}", "num_images=1", "out=new/there", "save=png")
    assert names(Path("new/there")) == ["generate.json", "sample_000000.png"]
    monkeypatch.setenv("HOME", str(tmp_path))
    generate(f"run={digits_run.path}", "num_images=1", "out='~/album'", "save=grid")
    assert names(tmp_path / "album") == ["generate.json", "samples.png"]
    assert hashes(digits_run.path) == before
    assert not (digits_run.path / "generated").exists()


def test_a_folder_of_its_own_is_numbered_where_it_is_taken(generate, digits_run, moved):
    run = moved(digits_run)
    for _ in range(2):
        generate(f"run={run.path}", "num_images=1", "save=grid")
    generate(f"run={run.path}", "num_images=2", "save=png", "overwrite=true")
    assert names(run.path / "generated") == ["samples", "samples_2"]
    assert names(run.path / "generated/samples") == ["generate.json", "sample_000000.png", "sample_000001.png"]
    assert names(run.path / "generated/samples_2") == ["generate.json", "samples.png"]


def test_a_folder_that_is_not_empty_is_overwritten_only_on_demand(generate, digits_run):
    run = f"run={digits_run.path}"
    generate(run, "num_images=3", "out=there")
    before = hashes(Path("there"))
    message = refusal(generate, run, "num_images=1", "out=there")
    assert message.startswith("out=there: is not empty; overwrite=true ")
    assert hashes(Path("there")) == before
    Path("there/notes.txt").write_text("mine")
    generate(run, "num_images=1", "out=there", "overwrite=true", "seed=1")
    assert names(Path("there")) == ["generate.json", "notes.txt", "sample_000000.png", "samples.png"]
    assert hashes(Path("there"))["sample_000000.png"] != before["sample_000000.png"]
    assert manifest(Path("there"))["settings"]["seed"] == 1


def test_a_failure_leaves_no_trace(generate, digits_run):
    run = f"run={digits_run.path}"
    assert refusal(generate, run, "mode=reconstructions", "images=missing.png", "out=new/there")
    assert refusal(generate, run, "mode=reconstructions", "images=missing.png")
    assert list(Path.cwd().iterdir()) == []
    assert not (digits_run.path / "generated").exists()
    generate(run, "num_images=1", "out=there")
    before = hashes(Path("there"))
    assert refusal(generate, run, "mode=encode", "images=missing.png", "out=there", "overwrite=true")
    assert hashes(Path("there")) == before
    assert names(Path.cwd()) == ["there"]


def test_equal_settings_make_equal_files(generate, colour_run):
    for mode in ("samples", "transition", "embedding"):
        for out in ("one", "other"):
            generate(f"run={colour_run.path}", f"mode={mode}", "num_images=6", f"out={mode}_{out}")
        one, other = hashes(Path(f"{mode}_one")), hashes(Path(f"{mode}_other"))
        assert one == other
        assert len(one) > 2


# Which weights


def test_a_checkpoint_can_be_chosen_and_its_epoch_stands_in_the_pictures(generate, digits_run, moved, monkeypatch):
    from vae_lightning.pictures import samples

    run = moved(digits_run)
    stored = torch.load(run.last, weights_only=True)
    stored["epoch"] = 6
    stored["state_dict"]["vae.decoder.layers.0.weight"].neg_()
    torch.save(stored, run.last)
    contexts = []
    captioned = samples.Captioned
    monkeypatch.setattr(samples, "Captioned", lambda *given: contexts.append(given[2]) or captioned(*given))
    for checkpoint in ("best", "last"):
        key = "++checkpoint" if checkpoint == "last" else "ckpt"  # two names of one key
        printed = generate(f"run={run.path}", f"{key}={checkpoint}", "num_images=1", f"out={checkpoint}")
        assert printed.splitlines()[0] == contexts[-1]
    assert contexts[0].endswith("epoch 2")
    assert contexts[1].endswith("epoch 7")
    told = manifest(Path("last"))
    assert (told["checkpoint"], told["epoch"]) == ("last.ckpt", 7)
    assert hashes(Path("best"))["sample_000000.png"] != hashes(Path("last"))["sample_000000.png"]


def test_a_foreign_class_is_built_only_where_it_is_trusted(generate, digits_run, moved, tmp_path, monkeypatch):
    (tmp_path / "strange_nets.py").write_text(
        "from vae_lightning.models.networks import mlp\nclass Net(mlp.MLPDecoder): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    run = moved(digits_run)
    edit_config(run, lambda config: config["model"]["decoder"].update(_target_="strange_nets.Net"))
    message = refusal(generate, f"run={run.path}", "out=there")
    assert message.startswith("model.decoder._target_=strange_nets.Net: a stored config may only build")
    assert message.endswith("trust=[strange_nets]")
    assert "strange_nets" not in sys.modules
    generate(f"run={run.path}", "out=there", "num_images=1", "trust=[strange_nets]")
    assert "samples.png" in names(Path("there"))


# The user's own pictures


def test_own_pictures_are_given_by_name_or_by_folder(generate, digits_run):
    Path("my photos").mkdir()
    for name in ("one.png", "my photos/two words.png", "my photos/three.png"):
        Image.new("RGB", (30, 50), "red").save(name)
    run = f"run={digits_run.path}"
    generate(run, "mode=reconstructions", "images=one.png", "out=a")
    generate(run, "mode=reconstructions", "images=[one.png,'my photos/two words.png']", "out=b")
    generate(run, "mode=transition", "images='my photos'", "num_frames=2", "out=c")
    assert len(names(Path("a"))) == 3
    assert len(names(Path("b"))) == 4
    Path("my photos/bad.png").write_bytes(b"not a picture")
    printed = generate(run, "mode=encode", "images='my photos'", "out=d")
    assert "1 of 3 pictures can't be read and are left out; see unreadable.txt" in printed
    assert manifest(Path("d"))["files"] == ["posterior.csv", "posterior.npz", "unreadable.txt"]


def test_nothing_but_the_run_directory_is_needed(generate, colour_run, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    home = tmp_path / "home"
    shutil.copytree(colour_run.path.parent / "pictures", home / "pictures")
    run = RunDir(shutil.copytree(colour_run.path, home / "run"))
    places = {"root": str(home / "pictures"), "cache_dir": str(tmp_path / "cache")}
    edit_config(run, lambda config: config["data"].update(places))
    for path in sorted(home.glob("pictures/*.png"))[:2]:
        shutil.copy(path, tmp_path / f"own_{path.name}")
    owned = sorted(map(str, tmp_path.glob("own_*.png")))
    generate(f"run={run.path}", "mode=units", "num_images=5", "out=at_home")
    shutil.copytree(home / "run", tmp_path / "new" / "run")
    shutil.copytree(home / "pictures", tmp_path / "moved_pictures")
    shutil.rmtree(home)
    new = f"run={tmp_path / 'new' / 'run'}"

    generate(new, "num_images=2", "out=samples")
    generate(new, "mode=traversal", "num_columns=3", "out=traversal")
    generate(new, "mode=traversal", f"images={owned[0]}", "num_columns=3", "out=around_own")
    generate(new, "mode=reconstructions", f"images=[{','.join(owned)}]", "out=reconstructions")
    generate(new, "mode=transition", f"images=[{','.join(owned)}]", "num_frames=2", "out=transition")
    generate(new, "mode=encode", f"images={tmp_path / 'moved_pictures'}", "out=encode")

    own_data = ["mode=units", "mode=neighbours", "mode=embedding", "mode=encode", "mode=reconstructions"]
    for arguments in [*([mode] for mode in own_data), ["mode=transition", "indices=[0,1]"]]:
        message = refusal(generate, new, *arguments, "out=data")
        assert message == (
            f"data.root={home / 'pictures'}: there is no folder {home / 'pictures'}; what was decoded into "
            f"{tmp_path / 'own/vae_lightning'} before is not used without it: "
            "if it has moved, data.root= says where it lies now"
        )
    assert not Path("data").exists()
    mended = f"data.root={tmp_path / 'moved_pictures'}"
    generate(new, "mode=units", "num_images=5", mended, "out=mended")
    assert hashes(Path("mended"))["units.csv"] == hashes(Path("at_home"))["units.csv"]


def test_a_manifold_needs_no_data_either(generate, plane_run, moved):
    run = moved(plane_run)
    folder = {"_target_": "vae_lightning.data.image_folder.ImageFolder", "root": "/gone", "batch_size": 9}
    edit_config(run, lambda config: config.update(data=folder))
    generate(f"run={run.path}", "mode=manifold", "num_points=2")
    assert "manifold.png" in names(run.path / "generated/manifold")


# Help


def test_help_answers_without_torch_and_shows_the_keys_of_the_mode():
    program = (
        "import contextlib, sys\nfrom vae_lightning.generate import main\n"
        "for mode in ([], ['mode=encode']):\n    sys.argv[1:] = [*mode, '--help']\n"
        "    with contextlib.suppress(SystemExit):\n        main()\n"
        "    print('torch' in sys.modules, '(after a help)')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    helps = done.stdout.split("(after a help)\n")[:-1]
    for told, key in zip(helps, ("temperature: 1.0", "split: test"), strict=True):
        lines = told.splitlines()
        assert lines[-1] == "False "
        assert key in lines
        for known in ("run: null", "ckpt: best", "out: null", "overwrite: false"):
            assert known in lines
        for known in MODES:
            assert any(line.startswith(f"mode={known} ") for line in lines)


# Images of one's own


@pytest.fixture
def black_on_white(digits, tmp_path) -> Path:
    """A folder with three of the run's test images, inverted."""
    folder = tmp_path / "drawn"
    folder.mkdir()
    for number, image in enumerate(digits.data.images_at(torch.arange(3), "test").images):
        Image.fromarray(255 - image[0].numpy()).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("mode", ["transition", "encode"])
def test_images_that_are_far_from_the_runs_are_warned_of_in_a_line(generate, digits_run, black_on_white, mode):
    arguments = [f"run={digits_run.path}", f"mode={mode}", f"images={black_on_white}", "out=there"]
    (warning,) = [line for line in generate(*arguments).splitlines() if line.startswith("images: ")]
    assert warning.startswith("images: mean 0.")
    assert warning.endswith("inverted (invert=true) they would fit")
    assert "invert" not in manifest(Path("there"))
    assert "images: " not in generate(*arguments, "invert=true", "overwrite=true")
    assert manifest(Path("there"))["invert"] is True


def test_inverted_images_are_those_of_the_run_and_its_own_stay_as_they_are(
    generate, digits_run, digits, black_on_white
):
    generate(f"run={digits_run.path}", "mode=encode", f"images={black_on_white}", "invert=true", "out=there")
    loc = torch.from_numpy(np.load("there/posterior.npz")["loc"])
    images = digits.data.images_at(torch.arange(3), "test").images.float() / 255
    assert torch.allclose(loc, digits.encode(images), atol=1e-5)
    inverted = dataclasses.replace(digits, invert=True)
    assert torch.equal(inverted.data.images_at(torch.arange(3), "test").images.float() / 255, images)


def test_what_was_inverted_in_vain_is_told(generate, digits_run, black_on_white):
    for file in black_on_white.iterdir():
        Image.eval(Image.open(file), lambda value: 255 - value).save(file)
    settings = ["mode=reconstructions", f"images={black_on_white}", "invert=true", "out=there"]
    assert "inverted (invert=false) they would fit\n" in generate(f"run={digits_run.path}", *settings)


def test_a_sampler_is_named_in_the_picture_and_in_the_list_of_what_was_made(generate, plane_run, moved):
    run = moved(plane_run)
    generate(f"run={run.path}", "sampler=gmm", "sampler.num_components=2", "num_images=2", "out=samples")
    assert manifest(Path("samples"))["settings"]["sampler"]["num_components"] == 2
    assert names(run.path / "samplers") == ["gmm.pt"]
    generate(f"run={run.path}", "sampler=prior", "num_images=2", "out=prior")
    generate(f"run={run.path}", "num_images=2", "out=usual")
    pictures = [Path(folder, "samples.png").read_bytes() for folder in ("samples", "prior", "usual")]
    assert pictures[1] == pictures[2]
    assert pictures[0] != pictures[1]
