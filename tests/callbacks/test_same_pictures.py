"""A picture from a callback and from `generate`, of the same run at the same epoch, is the same, pixel by pixel."""

import pytest

from tests.trained import DIGITS, train_once
from vae_lightning.config import instantiate
from vae_lightning.drawing.png import encode_png
from vae_lightning.pictures.picture import Picture
from vae_lightning.runs.trained import open_trained

# What all callbacks draw, with few images.
FEW = ["transition.num_images=3", "manifold.num_points=4", "neighbours.num_images=3", "samples.num_images=12"]
FEW += ["transition.num_frames=3", "traversals.num_columns=3", "training_gif.num_images=4", "projector.num_images=40"]
FEW += [f"{name}.num_images=40" for name in ("tsne", "pca", "plane", "latent_units", "aggregated_posterior")]
FEW += [f"{name}.num_images=3" for name in ("reconstructions", "reconstruction_history")]
FOUR = [*DIGITS, "model.latent_dim=4"]
SMALL = ["data=digits", "trainer=cpu"]
CHANNELS = ["model.encoder.channels=[8,16]", "model.encoder.hidden=32"]
MODELS = {
    "two dimensions": [*DIGITS, "model.latent_dim=2", "seed=3"],
    "around an image": [*FOUR, "callbacks.traversals.centre=image", "trainer.precision=bf16-mixed"],
    "convolutions with labels": [*SMALL, "model=conv", *CHANNELS, "model.latent_dim=4", "model.num_classes=10"],
    "a ladder": [*SMALL, "model=ladder", "model.latent_dims=[4,2]"],
    "averaged": [*FOUR, "averaging=ema", "optimizer.lr=0.01"],
    "a mixture": [*DIGITS, "model/prior=mixture", "model.latent_dim=3"],
}
NAMES = {
    *("samples", "reconstructions", "transition", "traversals", "neighbours", "tsne", "pca", "latent_units"),
    *("aggregated_posterior", "manifold", "plane"),
}
LEFT_OUT = {kind: {"manifold", "plane"} for kind in MODELS} | {"two dimensions": set()}
LEFT_OUT["a ladder"] = {"manifold", "plane", "aggregated_posterior"}


@pytest.mark.parametrize("kind", MODELS)
def test_of_a_model(kind, tmp_path):
    few = [f"callbacks.{each}" for each in FEW]
    epochs = ["trainer.max_epochs=2", "callbacks.progress=null", "trainer.limit_train_batches=3"]
    run = train_once(tmp_path / "run", *MODELS[kind], *few, *epochs, callbacks="default")
    # In threads of another number, and of a label where a callback has nobody to ask.
    source = open_trained(str(run.path), "last", "cpu")
    drawn = {path.parent.name: path for path in (run.path / "images").glob("*/epoch_0002.png")}
    assert set(drawn) & NAMES == NAMES - LEFT_OUT[kind]
    for name in set(drawn) & NAMES:
        picture = instantiate(source.config["callbacks"][name], f"callbacks.{name}", trusted=source.trusted)
        assert isinstance(picture, Picture)
        asked = source.with_label(0) if name in ("manifold", "traversals") and source.vae.num_classes else source
        drawing = picture.draw(picture.look(asked), asked.context)
        assert encode_png(drawing.picture) == drawn[name].read_bytes(), name
        if drawing.animation is not None:
            assert drawing.animation == drawn[name].with_suffix(".gif").read_bytes()


def test_by_the_command(generate, tmp_path):
    few = ["transition.num_images=3", "neighbours.num_images=3", "samples.num_images=12"]
    run = train_once(
        tmp_path / "run",
        *(*MODELS["two dimensions"], "trainer.max_epochs=1", "trainer.limit_train_batches=3"),
        *(f"callbacks.{each}" for each in few),
        callbacks="[samples,transition,traversals,neighbours,manifold]",
    )
    modes = {"transition": "transition", "traversals": "traversal", "manifold": "manifold"}
    modes |= {"neighbours": "neighbours", "samples": "samples"}
    keys = dict(each.split(".") for each in few)
    for name, mode in modes.items():
        generate(f"run={run.path}", "ckpt=last", f"mode={mode}", *([keys[name]] if name in keys else []))
        of_the_callback = run.path / "images" / name / "epoch_0001.png"
        assert (run.path / f"generated/{mode}/{mode}.png").read_bytes() == of_the_callback.read_bytes(), name
