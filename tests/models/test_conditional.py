"""A conditional VAE is told labels, in training, in evaluation, and by whoever wants images of one."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from tests.callbacks.test_same_pictures import FEW
from tests.conftest import TINY, refusal
from tests.tiny import Noise
from tests.trained import DIGITS, train_once
from vae_lightning.errors import UserError
from vae_lightning.models.conditional import LabelChannel
from vae_lightning.models.likelihoods.bernoulli import BernoulliLikelihood
from vae_lightning.models.networks.conv import ConvDecoder, ConvEncoder
from vae_lightning.models.networks.mlp import MLPDecoder, MLPEncoder
from vae_lightning.models.posteriors.diagonal_gaussian import DiagonalGaussian
from vae_lightning.models.priors.standard_normal import StandardNormal
from vae_lightning.models.priors.vamp import VampPrior
from vae_lightning.models.vae import VAE, build_vae
from vae_lightning.noise import Seeded
from vae_lightning.runs.records import RunDir
from vae_lightning.training.preflight import check_labels

SHAPE = (3, 8, 8)
CPU = torch.device("cpu")
NETWORKS = {
    "mlp": (MLPEncoder, MLPDecoder),
    "conv": (partial(ConvEncoder, channels=[4, 8], hidden=8), partial(ConvDecoder, channels=[4, 8], hidden=8)),
}


def vae(network: str = "mlp", prior=StandardNormal) -> VAE:
    torch.manual_seed(0)
    encoder, decoder = NETWORKS[network]
    options = {"num_classes": 4, "conditioning": LabelChannel}
    return build_vae(SHAPE, 3, encoder, DiagonalGaussian, prior, decoder, BernoulliLikelihood(), **options).eval()


@torch.no_grad()
@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_encoder_and_decoder_are_told_the_label(network):
    model, x = vae(network), torch.rand(2, *SHAPE)
    zeros, ones = torch.zeros(2, dtype=torch.int64), torch.ones(2, dtype=torch.int64)
    assert not torch.equal(model.encode(x, zeros).loc, model.encode(x, ones).loc)
    z = torch.randn(2, 3)
    assert not torch.equal(model.generate(z, zeros), model.generate(z, ones))
    assert torch.equal(model.generate(z, torch.tensor([0, 1]))[1], model.generate(z, ones)[1])


@torch.no_grad()
def test_all_samples_of_an_image_are_told_its_label():
    model, x, labels = vae(), torch.rand(3, *SHAPE), torch.tensor([2, 0, 3])
    output = model(x, Seeded(0, 3, CPU), labels)
    z = output.groups[0].z.repeat(5, 1, 1)
    for image, label in enumerate(labels.tolist()):
        own = model.decode(z[:, image], torch.full((5,), label)).mean
        torch.testing.assert_close(model.decode(z, labels).mean[:, image], own)


def test_a_label_is_wanted():
    with pytest.raises(ValueError, match=r"^labels must be given to a model with num_classes"):
        vae().encode(torch.rand(1, *SHAPE))


def test_a_prior_that_needs_an_encoder_is_refused(error_of, tmp_path):
    message = error_of(*TINY, "model.num_classes=10", "model/prior=vamp")
    told = "the model's encoder is told labels (num_classes), which a prior's own images have not"
    assert message == f"model.prior must not be a VampPrior, which needs an encoder: {told}; choose another prior"
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"^prior must not be a VampPrior"):
        vae(prior=partial(VampPrior, image_shape=SHAPE))


@pytest.mark.parametrize(
    ("num_classes", "message"),
    [
        (0, "model.num_classes must be from 1 to 10,000, got 0"),
        (9, "model.num_classes=9: the training images have labels 0 to 9; choose at least 10"),
    ],
)
def test_labels_outside_of_num_classes_are_refused(error_of, tmp_path, num_classes, message):
    assert error_of(*TINY, f"model.num_classes={num_classes}") == message
    assert not list(tmp_path.iterdir())


def test_figures_say_that_the_label_is_given(conditional):
    assert conditional.metrics()["test/kind"] == "cross-entropy of grey levels, no likelihood, given the label"


def test_data_without_labels_are_refused():
    with pytest.raises(UserError, match=r"^model\.num_classes=4: these data have no labels; choose null$"):
        check_labels(vae(), Noise())


@pytest.fixture(scope="module")
def conditional(tmp_path_factory) -> RunDir:
    """Two epochs on digits, told their labels, with every picture drawn."""
    settings = [*DIGITS, "model.num_classes=10", "model.latent_dim=2", "trainer.max_epochs=2", "optimizer.lr=0.01"]
    few = [f"callbacks.{each}" for each in FEW]
    return train_once(tmp_path_factory.mktemp("conditional") / "run", *settings, *few, callbacks="all")


def test_every_picture_is_drawn(conditional):
    drawn = {path.name for path in (conditional.path / "images").iterdir() if any(path.iterdir())}
    assert {"samples", "training", "transition", "traversals", "manifold", "neighbours", "tsne"} <= drawn


def test_image_n_has_label_n_modulo_their_number_or_the_one_that_is_asked_for(conditional, generate, tmp_path):
    options = [f"run={conditional.path}", "mode=samples", "num_images=23", "save=[grid,npz]"]
    generate(*options, f"out={tmp_path / 'all'}")
    generate(*options, "label=7", f"out={tmp_path / 'sevens'}")
    every, sevens = (np.load(tmp_path / name / "samples.npz") for name in ("all", "sevens"))
    assert every["labels"].tolist() == [n % 10 for n in range(23)]
    assert sevens["labels"].tolist() == [7] * 23
    assert np.array_equal(every["z"], sevens["z"])
    is_seven = every["labels"] == 7
    assert np.array_equal(every["images"][is_seven], sevens["images"][is_seven])
    assert not np.array_equal(every["images"], sevens["images"])
    assert json.loads((tmp_path / "sevens/generate.json").read_text())["label"] == 7


@pytest.mark.parametrize("mode", ["reconstructions", "transition", "embedding", "units", "neighbours", "encode"])
def test_images_of_a_split_bring_their_labels(conditional, generate, tmp_path, mode):
    generate(f"run={conditional.path}", f"mode={mode}", f"out={tmp_path / mode}")
    assert any((tmp_path / mode).iterdir())


@pytest.mark.parametrize("mode", ["traversal", "manifold"])
def test_a_picture_of_the_prior_is_of_one_label_the_first_where_none_is_asked_for(
    conditional, generate, tmp_path, mode
):
    asked = {"none": [], "first": ["label=0"], "other": ["label=3"]}
    for name, label in asked.items():
        generate(f"run={conditional.path}", f"mode={mode}", f"out={tmp_path / name}", *label)
    pictures = [(tmp_path / name / f"{mode}.png").read_bytes() for name in asked]
    assert pictures[0] == pictures[1] != pictures[2]


def test_images_of_ones_own_need_a_label(conditional, generate, tmp_path):
    Image.new("L", (40, 40)).save(tmp_path / "own.png")
    options = [
        f"run={conditional.path}",
        "mode=reconstructions",
        f"images={tmp_path / 'own.png'}",
        f"out={tmp_path / 'o'}",
    ]
    assert refusal(generate, *options).startswith("label: this run's model is told labels")
    generate(*options, "label=0")


@pytest.mark.parametrize(("label", "message"), [(10, "label=10: choose 0 to 9"), (-1, "label=-1: choose 0 to 9")])
def test_a_label_that_there_is_not_is_refused(conditional, generate, label, message):
    assert refusal(generate, f"run={conditional.path}", "mode=samples", f"label={label}") == message


def test_a_model_that_knows_no_labels_is_not_told_any(digits_run, generate):
    told = "label=1: this run's model is not told labels; that takes model.num_classes="
    assert refusal(generate, f"run={digits_run.path}", "mode=samples", "label=1") == told
