"""Every network runs at every contract size, or says at construction why it can't."""

import pytest
import torch

from tests.given import fresh
from vae_lightning.models.likelihoods.auto import default_likelihood
from vae_lightning.models.networks.conv import ConvDecoder, ConvEncoder
from vae_lightning.models.networks.conv5 import Conv5Decoder, Conv5Encoder
from vae_lightning.models.networks.gated import GatedBetween, GatedDecoder, GatedEncoder
from vae_lightning.models.networks.mlp import MLPDecoder, MLPEncoder
from vae_lightning.models.networks.residual import ResidualDecoder, ResidualEncoder
from vae_lightning.models.networks.sizes import halvings
from vae_lightning.models.networks.upsample import UpsampleDecoder, UpsampleEncoder
from vae_lightning.models.posteriors.diagonal_gaussian import DiagonalGaussian
from vae_lightning.models.priors.standard_normal import StandardNormal
from vae_lightning.models.vae import build_vae
from vae_lightning.noise import Seeded

NETWORKS = {
    "mlp": (MLPEncoder, MLPDecoder),
    "gated": (GatedEncoder, GatedDecoder),
    "conv": (ConvEncoder, ConvDecoder),
    "conv5": (Conv5Encoder, Conv5Decoder),
    "upsample": (UpsampleEncoder, UpsampleDecoder),
}


def test_a_residual_decoder_needs_a_vector_a_position():
    with pytest.raises(ValueError, match=r"^latent_dim must be a multiple of 49, a vector a position; got 50$"):
        ResidualDecoder(50, (1, 28, 28))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 18, 45)])
def test_a_residual_network_goes_to_a_map_and_back(shape):
    encoder = ResidualEncoder(shape, [4, 6, 8], num_blocks=1, residual_channels=3)
    channels, height, width = encoder.map_shape
    assert (channels, height, width) == (8, -(-shape[1] // 8), -(-shape[2] // 8))
    assert encoder(torch.rand(2, *shape)).shape == (2, encoder.num_features)
    decoder = ResidualDecoder(5 * height * width, shape, [4, 6, 8], num_blocks=1, residual_channels=3)
    assert decoder(torch.randn(2, 5 * height * width)).shape == (2, *shape)


def build(name, shape, latent_dim=5):
    encoder, decoder = NETWORKS[name]
    return build_vae(shape, latent_dim, encoder, DiagonalGaussian, StandardNormal, decoder, default_likelihood(shape))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [28, 32, 64, 96, 128, 150])
@pytest.mark.parametrize("name", NETWORKS)
def test_reconstructs_to_exactly_the_input_size(name, size, channels):
    shape = (channels, size, size)
    vae = build(name, shape).eval()
    x = torch.rand(2, *shape)
    with torch.no_grad():
        output = vae(x, fresh(3, 2))
        assert output.groups[0].z.shape == (3, 2, 5)
        assert output.likelihood.batch_shape == (3, 2)
        assert output.likelihood.event_shape == shape
        reconstruction = vae.reconstruct(x)
    assert reconstruction.shape == x.shape
    assert reconstruction.min() >= 0
    assert reconstruction.max() <= 1


@pytest.mark.parametrize("shape", [(1, 18, 45), (3, 45, 18)])
@pytest.mark.parametrize("name", NETWORKS)
def test_rectangles_come_out_as_they_went_in(name, shape):
    vae = build(name, shape)
    assert vae.reconstruct(torch.rand(2, *shape)).shape == (2, *shape)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_reach_every_parameter(name):
    vae = build(name, (3, 28, 28))
    x = torch.rand(4, 3, 28, 28)
    output = vae(x, fresh(1, 4))
    (-output.likelihood.log_prob(x).mean() + output.groups[0].posterior.mean.square().mean()).backward()
    without = [key for key, value in vae.named_parameters() if value.grad is None or not value.grad.any()]
    assert without == []


@pytest.mark.parametrize("name", ["conv5", "upsample"])
def test_too_small_images_are_refused_with_the_smallest_that_works(name):
    with pytest.raises(ValueError, match="image_size=7 is too small for 5 halvings; choose at least 17"):
        build(name, (3, 7, 7))
    with pytest.raises(ValueError, match=r"image_size=\[16,64\] is too small for 5 halvings; .* 17 for each side"):
        build(name, (3, 16, 64))
    build(name, (3, 17, 17))(torch.rand(2, 3, 17, 17), fresh(1, 2))


def test_halvings_round_up():
    assert halvings((28, 40), 3) == [(28, 40), (14, 20), (7, 10), (4, 5)]
    assert halvings((150, 17), 5) == [(150, 17), (75, 9), (38, 5), (19, 3), (10, 2), (5, 1)]


@pytest.mark.parametrize("latent_dim", [0, -1])
def test_latent_dim_must_be_positive(latent_dim):
    with pytest.raises(ValueError, match=f"^latent_dim must be at least 1, got {latent_dim}"):
        build("mlp", (1, 28, 28), latent_dim)


@pytest.mark.parametrize(
    ("network", "arguments"),
    [
        (MLPEncoder, {"hidden": []}),
        (GatedEncoder, {"hidden": [300, 0]}),
        (ConvEncoder, {"dropout": 1.0}),
        (ConvEncoder, {"channels": []}),
        (Conv5Encoder, {"channels": [8, 0]}),
    ],
)
def test_impossible_network_arguments_are_refused_by_name(network, arguments):
    with pytest.raises(ValueError, match=f"^{next(iter(arguments))} must"):
        network((1, 28, 28), **arguments)


@pytest.mark.parametrize("groups", [[], [2], [3, 3], [6, -1]])
def test_groups_that_do_not_make_up_the_latents_are_refused(groups):
    with pytest.raises(ValueError, match=r"^groups must be positive widths that add up to 5 latents, got \["):
        GatedDecoder(5, (1, 4, 4), groups=groups)


@torch.no_grad()
def test_a_gated_layer_lets_through_as_much_as_its_gate_says():
    between = GatedBetween(3, 2, hidden=4)
    given, latents = torch.randn(6, 3), torch.randn(6, 2)

    def gated(layer, x):
        return layer[0](x)[:, :4] * layer[0](x)[:, 4:].sigmoid()

    expected = gated(between.of_both, torch.cat([given, gated(between.of_latents, latents)], 1))
    torch.testing.assert_close(between(torch.cat([given, latents], 1)), expected)
    alone = GatedBetween(0, 2, hidden=4)
    torch.testing.assert_close(alone(latents), gated(alone.of_both, gated(alone.of_latents, latents)))


@torch.no_grad()
def test_each_group_has_a_first_layer_of_its_own():
    decoder = GatedDecoder(5, (1, 2, 2), hidden=[4, 3], groups=[3, 2])
    z = torch.randn(6, 5)
    features = torch.cat([decoder.of_groups[0](z[:, :3]), decoder.of_groups[1](z[:, 3:])], 1)
    assert features.shape == (6, 8)
    torch.testing.assert_close(decoder(z), decoder.layers(features))


def test_prior_samples_depend_on_the_seed_alone():
    vae = build("mlp", (1, 28, 28))
    torch.manual_seed(3)
    state = torch.random.get_rng_state()

    def drawn(seed):
        return vae.draw(Seeded(seed, 4, torch.device("cpu")))[0]

    first = drawn(seed=7)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first, drawn(seed=7))
    assert not torch.equal(first, drawn(seed=8))
    assert torch.equal(first, torch.randn(4, 5, generator=torch.Generator().manual_seed(7)))


def test_more_residual_blocks_than_can_be_made_are_refused():
    for make in (
        lambda: ResidualEncoder((1, 8, 8), num_blocks=10**9),
        lambda: ResidualDecoder(16, (1, 8, 8), num_blocks=10**9),
    ):
        with pytest.raises(ValueError, match=r"^num_blocks must be at most 100, got 1000000000$"):
            make()
