"""A run opened from its directory alone: its weights, its way with pictures, and what is said when it can't be."""

import shutil

import pytest
import torch

from vae_lightning.errors import UserError
from vae_lightning.latents.units import UnitStatistics, unit_statistics
from vae_lightning.runs.records import RunDir
from vae_lightning.runs.trained import open_trained, told_of_others


def edit(file, change) -> None:
    """Store a changed checkpoint."""
    stored = torch.load(file, weights_only=True)
    change(stored)
    torch.save(stored, file)


def edit_config(run: RunDir, change) -> None:
    config = run.config()
    change(config)
    run.write_config(config, [])


def message_of(run: RunDir, **options) -> str:
    with pytest.raises(UserError) as error:
        open_trained(str(run.path), device="cpu", **options)
    assert "\n" not in str(error.value)
    return str(error.value)


# What is opened


def test_the_model_is_the_checkpoints_in_evaluation_mode(colour, colour_run):
    stored = torch.load(colour_run.best, weights_only=True)["state_dict"]
    weights = colour.vae.state_dict()
    assert {f"vae.{name}" for name in weights} == set(stored)
    assert all(torch.equal(stored[f"vae.{name}"], value) for name, value in weights.items())
    assert not any(module.training for module in colour.vae.modules())
    assert {value.dtype for value in colour.vae.parameters()} == {torch.float32}
    assert colour.latent_dim == 3


def test_best_and_last_are_told_apart_by_their_weights_and_epochs(digits_run, moved):
    run = moved(digits_run)
    edit(run.best, lambda stored: stored.update(epoch=0))
    edit(run.last, lambda stored: stored["state_dict"]["vae.posterior.loc.bias"].fill_(7))
    best, last = (open_trained(str(run.path), choice, "cpu") for choice in ("best", "last"))
    assert (best.epoch, last.epoch) == (1, 2)
    assert (best.context, last.context) == ("digits_mlp · epoch 1", "digits_mlp · epoch 2")
    assert (last.vae.posterior.loc.bias == 7).all()
    assert not (best.vae.posterior.loc.bias == 7).any()


def test_a_run_without_validation_has_its_last_for_its_best(digits_run, moved):
    run = moved(digits_run)
    run.best.unlink()
    edit(run.last, lambda stored: stored.update(epoch=4, units=None))
    opened = open_trained(str(run.path), device="cpu")
    assert opened.epoch == 5
    assert opened.units is None


def test_a_checkpoint_of_a_gpu_is_read_onto_the_cpu(digits_run, digits, moved, monkeypatch):
    run = moved(digits_run)
    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:7")
    edit(run.best, lambda stored: None)
    assert b"cuda:7" in run.best.read_bytes()
    weights = open_trained(str(run.path), device="cpu").vae.state_dict()
    assert {value.device.type for value in weights.values()} == {"cpu"}
    assert all(torch.equal(value, digits.vae.state_dict()[name]) for name, value in weights.items())


def test_the_units_are_the_stored_ones_to_the_last_bit(digits, digits_run, moved):
    stored = torch.load(digits_run.best, weights_only=True)["units"]
    assert digits.units.as_dict() == stored
    assert len(stored["rate"]) == 4
    older = moved(digits_run)
    edit(older.best, lambda checkpoint: checkpoint.pop("units"))
    assert open_trained(str(older.path), device="cpu").units is None


def test_the_stored_units_are_those_of_the_validation_images(digits):
    computed = unit_statistics(digits.encoded("val", 10_000).latents)
    assert isinstance(digits.units, UnitStatistics)
    torch.testing.assert_close(digits.units.rate, computed.rate, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(digits.units.variance, computed.variance, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["digits", "colour"])
def test_no_image_depends_on_the_batch_that_it_is_computed_in(request, name):
    # In float32 about one value in ten differs in its last bits. Of float64 rounded to float32 hardly any does.
    run = request.getfixturevalue(name)
    z = 3 * run.draw(torch.arange(64), 0)
    x = run.data.example_images(36)
    whole = [run.decode(z, batch_size=64), run.encode(x, batch_size=36)]
    for size in (1, 7):
        for together, apart in zip(
            whole, [run.decode(z, batch_size=size), run.encode(x, batch_size=size)], strict=True
        ):
            assert together.dtype == apart.dtype == torch.float32
            assert (together != apart).float().mean() < 1e-4
    with torch.no_grad():
        torch.testing.assert_close(run.decode(z), run.vae.generate(z), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(run.encode(x), run.vae.encode(x).loc, atol=1e-5, rtol=1e-4)
    assert next(run.vae.parameters()).dtype == torch.float32  # the float64 model is a copy


# Away from home


def test_all_but_the_data_is_in_the_run_directory(colour_run, colour, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    place = tmp_path / "elsewhere"
    shutil.copytree(colour_run.path, place)
    edit_config(RunDir(place), lambda config: config["data"].update(root="/gone", cache_dir=str(tmp_path / "cache")))
    run = open_trained(str(place), device="cpu")
    z = run.draw(torch.arange(3), 0)
    assert torch.equal(run.decode(z), colour.decode(z))
    file = next((colour_run.path.parent / "pictures").glob("*.png"))
    assert torch.equal(run.preprocessing.read_image(file), colour.preprocessing.read_image(file))
    with pytest.raises(UserError, match=r"^data\.root=/gone: there is no folder /gone$"):
        _ = run.data
    pictures = str(colour_run.path.parent / "pictures")
    mended = open_trained(str(place), device="cpu", data={"root": pictures, "archive": None, "cache_dir": None})
    assert torch.equal(mended.data.examples(4).images, colour.data.examples(4).images)
    assert mended.config["data"]["cache_dir"] == str(tmp_path / "cache")


def test_a_root_stands_in_for_an_archive_that_is_gone(colour_run, moved, colour):
    run = moved(colour_run)
    root = run.config()["data"]["root"]
    edit_config(run, lambda config: config["data"].update(root=None, archive="/gone/faces.zip"))
    with pytest.raises(UserError, match=r"^data\.archive=/gone/faces\.zip: "):
        _ = open_trained(str(run.path), device="cpu").data
    mended = open_trained(str(run.path), device="cpu", data={"root": root})
    assert torch.equal(mended.data.examples(4).images, colour.data.examples(4).images)
    given = open_trained(str(run.path), device="cpu", data={"root": root, "archive": "other.zip"})
    assert given.config["data"]["archive"] == "other.zip"


def test_data_that_have_no_place_say_so(digits_run):
    run = open_trained(str(digits_run.path), device="cpu", data={"root": "/somewhere"})
    with pytest.raises(UserError, match=r"^data\.root: no such key; valid here: augmentations, "):
        _ = run.data


# What can't be opened


def test_what_is_no_run_is_told_in_one_line(digits_run, moved, tmp_path):
    assert message_of(RunDir(tmp_path / "nowhere")) == f"run={tmp_path / 'nowhere'}: no such directory"
    assert message_of(RunDir(tmp_path)) == f"run={tmp_path}: not a run directory (it has no config.yaml)"
    run = moved(digits_run)
    shutil.rmtree(run.checkpoints)
    assert message_of(run) == f"run={run.path}: it has no checkpoint yet (checkpoints/best.ckpt)"
    assert message_of(run, ckpt="last").endswith("no checkpoint yet (checkpoints/last.ckpt)")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", "cut short", "a picture", "no weights"])
def test_a_checkpoint_that_cannot_be_read_is_named(digits_run, moved, content):
    run = moved(digits_run)
    whole = run.best.read_bytes()
    if content == "no weights":
        torch.save({"epoch": 1}, run.best)
    else:
        kinds = {"cut short": whole[: len(whole) // 2], "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100)}
        run.best.write_bytes(kinds.get(content, content))
    assert message_of(run).startswith(f"run={run.path}: best.ckpt can't be read (")


def test_a_checkpoint_that_would_run_code_is_not_read(digits_run, moved, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    run = moved(digits_run)
    edit(run.best, lambda stored: stored.update(bomb=Bomb()))
    assert "best.ckpt can't be read" in message_of(run)
    assert not (tmp_path / "owned").exists()


def test_a_checkpoint_of_another_model_is_told(digits_run, colour_run, moved):
    expected = "best.ckpt is of another model than its config.yaml says (it differs in "
    wider, other = moved(digits_run, "wider"), moved(digits_run, "other")
    edit_config(wider, lambda config: config["model"].update(latent_dim=5))
    assert expected in message_of(wider)
    shutil.copy(colour_run.best, other.best)
    assert expected in message_of(other)


@pytest.mark.parametrize(
    "place", ["s3://bucket/best.ckpt", "http://localhost:1/best.ckpt", "local:///x", "~nobody-here/x"]
)
def test_a_checkpoint_is_a_file_of_this_machine(digits_run, place):
    expected = f"ckpt={place}: no such file; choose best, last or the path of a checkpoint"
    assert message_of(digits_run, ckpt=place) == expected


@pytest.mark.parametrize("text", ["", "a: [", "just a text", "name: x", b"\xff\xfe\x00"])
def test_a_config_that_cannot_be_read_is_named(digits_run, moved, text):
    run = moved(digits_run)
    (run.path / "config.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert message_of(run).startswith(f"run={run.path}: config.yaml can't be read (")


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused(digits_run, device):
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if available[device]:
        pytest.skip(f"{device} is there")
    with pytest.raises(UserError) as error:
        open_trained(str(digits_run.path), device=device)
    assert str(error.value) == f"device={device}: there is none here; valid here: auto, cpu"


# Foreign classes

FOREIGN = """
from vae_lightning.data import digits
from vae_lightning.models.networks import mlp
open({owned!r}, "w").close()
class MLPDecoder(mlp.MLPDecoder): ...
def Digits(**options):
    return digits.Digits(**options)
"""


@pytest.mark.parametrize("part", ["model", "data"])
def test_a_foreign_class_is_built_only_where_it_is_trusted(digits_run, moved, tmp_path, monkeypatch, part):
    name = f"foreign_{part}"
    (tmp_path / f"{name}.py").write_text(FOREIGN.format(owned=str(tmp_path / "owned")))
    monkeypatch.syspath_prepend(tmp_path)
    run = moved(digits_run)

    def swap(config):
        node = config["model"]["decoder"] if part == "model" else config["data"]
        node["_target_"] = f"{name}.{node['_target_'].rpartition('.')[2]}"

    edit_config(run, swap)
    with pytest.raises(UserError, match=rf"trust=\[{name}\]"):
        _ = open_trained(str(run.path), device="cpu").preprocessing
    assert not (tmp_path / "owned").exists()
    trusted = open_trained(str(run.path), device="cpu", trust=(name,))
    assert trusted.preprocessing.image_shape == (1, 28, 28)
    assert (tmp_path / "owned").exists()


# A run from a stranger


@pytest.mark.parametrize(
    "model",
    [
        {"_target_": "vae_lightning.callbacks.pictures.write_atomically"},
        {"_target_": "vae_lightning.models.vae.VAE.generate"},
        {"_target_": "vae_lightning.models.distributions.normal_image"},
        {"_target_": "vae_lightning.data.cache.cache_folder"},
        {"_target_": "torch.optim.Adam"},
    ],
    ids=lambda model: model["_target_"],
)
def test_a_strangers_config_calls_no_function_and_nothing_of_another_room(digits_run, moved, model, tmp_path):
    run = moved(digits_run)
    edit_config(run, lambda config: config["model"].update(encoder=model | {"path": str(tmp_path / "bad")}))
    message = message_of(run)
    assert "a stored config may only build one of " in message
    assert not (tmp_path / "bad").exists()


def test_what_is_no_vae_is_told(digits_run, moved):
    run = moved(digits_run)
    linear = {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1}
    edit_config(run, lambda config: config.update(model=linear))
    told = "model._target_=torch.nn.Linear: a stored config may only build build_vae or what is"
    assert told in message_of(run)
    assert "its config.yaml has no VAE for a model" in message_of(run, trust=["torch.nn"])


def test_other_images_than_it_was_trained_with_are_told_of(colour_run, digits_run, tmp_path, caplog):
    pictures = shutil.copytree(colour_run.config()["data"]["root"], tmp_path / "pictures")
    assert open_trained(str(colour_run.path), device="cpu", data={"root": str(pictures)}).data
    assert open_trained(str(digits_run.path), device="cpu").data
    assert "not the images" not in caplog.text
    for index in range(3):
        shutil.copy(next(pictures.rglob("*.png")), pictures / f"more{index}.png")
    data = open_trained(str(colour_run.path), device="cpu", data={"root": str(pictures)}).data
    (told,) = [record.getMessage() for record in caplog.records if "not the images" in record.getMessage()]
    assert told.startswith(f"run={colour_run.path}: these are not the images that it was trained with: ")
    assert f"{len(data.splits['train'])} training images in place of " in told


def test_as_many_images_of_other_names_are_others():
    before = {split: {"num_images": 4, "digest": "a"} for split in ("train", "val", "test")}
    now = before | {"val": {"num_images": 4, "digest": "b"}, "test": {"num_images": 3, "digest": "c"}}
    assert told_of_others(before, before) is None
    assert told_of_others({}, now) is None
    assert told_of_others(before, now) == (
        "these are not the images that it was trained with: 4 validation images that are others, by their names or "
        "labels, 3 test images in place of 4; what is computed is of these"
    )
