"""The hierarchy of latent maps, against integration over its latents on a grid."""

from collections import Counter
from functools import partial

import pytest
import torch

from tests.callbacks.test_same_pictures import FEW
from tests.models.test_ladder import check_likelihood
from tests.trained import train_once
from vae_lightning.models.initialization import Glorot, He
from vae_lightning.models.likelihoods.bernoulli import BernoulliLikelihood
from vae_lightning.models.likelihoods.gaussian import GaussianLikelihood
from vae_lightning.models.networks.mlp import MLPDecoder
from vae_lightning.models.networks.pyramid import LatentPyramid, PyramidEncoder
from vae_lightning.models.priors.learned_gaussian import LearnedGaussian
from vae_lightning.models.priors.vamp import VampPrior
from vae_lightning.models.top_down import TopDown
from vae_lightning.noise import Indexed, Seeded
from vae_lightning.objectives.terms import rate

SHAPE = (1, 6, 5)
CPU = torch.device("cpu")


def top_down(shape=SHAPE, spread: float = 0.3, likelihood=None, prior=LearnedGaussian, **settings) -> TopDown:
    """A small one whose weights are all random, as none is that has just been made; of spread 0 it is."""
    torch.manual_seed(0)
    encoder = partial(PyramidEncoder, channels=6, num_blocks=1)
    settings = {"encoder": encoder, "channels": 6, "groups": [2, 1]} | settings
    model = TopDown(shape, prior=prior, likelihood=likelihood or GaussianLikelihood(0.2), **settings)
    if spread:
        for parameter in model.parameters():
            parameter.data.normal_(0, spread)
    return model.eval()


@torch.no_grad()
def test_importance_sampling_finds_the_integral_over_its_latents():
    model, x = top_down((1, 2, 2), groups=[2]), torch.rand(5, 1, 2, 2)
    axis = torch.linspace(-7, 7, 281)
    top, lower = (each.reshape(-1, 1) for each in torch.meshgrid(axis, axis, indexing="ij"))
    means, scales = [], []
    for part in top.split(20_000):
        below, _ = model.blocks[1].prior(model.blocks[0].carried(model.first_state, None, part))
        means.append(below.base_dist.loc)
        scales.append(below.base_dist.scale)
    below = torch.distributions.Normal(torch.cat(means), torch.cat(scales))
    log_prior = model.prior().log_prob(top) + below.log_prob(lower).sum(1)
    check_likelihood(model, x, torch.cat([top, lower], 1), log_prior, axis[1] - axis[0])


@torch.no_grad()
def test_each_group_depends_on_those_above_and_on_the_image():
    model, x = top_down(), torch.rand(4, *SHAPE)
    assert model.map_shapes == [(1, 2, 2), (1, 2, 2), (1, 3, 3)]
    assert model.group_dims == (4, 4, 9)
    groups = model.infer(model.observe(x), Seeded(0, 4, CPU))
    assert [group.z.shape[-1] for group in groups] == [4, 4, 9]
    assert [tuple(group.posterior.batch_shape) for group in groups] == [(4,), (1, 4), (1, 4)]
    others = model.infer(model.observe(x.flip(0)), Seeded(0, 4, CPU))
    assert all(
        not torch.equal(one.posterior.mean, other.posterior.mean) for one, other in zip(groups, others, strict=True)
    )
    again = model.infer(model.observe(x), Seeded(1, 4, CPU))
    assert torch.equal(again[0].posterior.mean, groups[0].posterior.mean)
    for one, other in zip(again[1:], groups[1:], strict=True):
        assert not torch.equal(one.posterior.mean, other.posterior.mean)
        assert not torch.equal(one.prior.mean, other.prior.mean)


@torch.no_grad()
def test_several_samples_are_each_of_their_image():
    model, x = top_down(), torch.rand(4, *SHAPE)
    noise = Indexed(0, torch.arange(4), 3, CPU)
    groups = model.infer(model.observe(x), noise)
    assert {tuple(group.log_ratio().shape) for group in groups} == {(3, 4)}
    z = torch.cat([group.z for group in groups], -1)
    state = model.blocks[0].carried(model.first_state, None, groups[0].z[2, 1:2])
    prior, _ = model.blocks[1].prior(state)
    torch.testing.assert_close(groups[1].prior.mean[2, 1:2], prior.mean)
    posterior = model.blocks[1].posterior(model.encoder(x)[0][1:2], state)
    torch.testing.assert_close(groups[1].posterior.mean[2, 1:2], posterior.mean)
    assert model.decode(z).batch_shape == (3, 4)
    alone = model.infer(model.observe(x)[2:3], Indexed(0, torch.tensor([2]), 3, CPU))  # as a part of them is looked at
    torch.testing.assert_close(torch.cat([group.z for group in alone], -1), z[:, 2:3], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_codes_are_means_at_means_and_side_by_side():
    model, x = top_down(), torch.rand(4, *SHAPE)
    latents = model.encode(x)
    assert latents.scale is None
    assert latents.loc.shape == (4, 17)
    cold = [torch.zeros(1, 4, width) for width in model.group_dims]

    class Still(Seeded):
        def normal(self, shape):
            return cold.pop(0)

    groups = model.infer(model.observe(x), Still(0, 4, CPU))
    torch.testing.assert_close(latents.loc, torch.cat([group.z[0] for group in groups], -1))
    assert model.latent_prior() is None
    assert model.reconstruct(x).shape == x.shape


@torch.no_grad()
def test_rates_of_the_dimensions_make_up_the_rate_and_where_the_posterior_is_the_prior_it_is_none():
    model, x = top_down(), torch.rand(4, *SHAPE)
    output = model(x, Indexed(0, torch.arange(4), 4, CPU))
    by_dimension = torch.cat([group.rate_per_dimension() for group in output.groups], 1)
    torch.testing.assert_close(by_dimension.sum(1), rate(output), atol=1e-4, rtol=1e-4)
    fresh = top_down(spread=0)(x, Indexed(0, torch.arange(4), 1, CPU))
    assert [float(group.rate().abs().max()) for group in fresh.groups] == [0, 0, 0]


@torch.no_grad()
def test_samples_are_drawn_from_the_top_down():
    model = top_down()
    z = model.draw(Indexed(0, torch.arange(5000), 1, CPU))[0]
    prior, _ = model.blocks[1].prior(model.blocks[0].carried(model.first_state, None, z[:, :4]))
    standardized = (z[:, 4:8] - prior.mean) / prior.stddev
    assert float(standardized.mean()) == pytest.approx(0, abs=0.03)
    assert float(standardized.std()) == pytest.approx(1, abs=0.03)
    torch.testing.assert_close(z[:, :4].mean(0), model.prior().mean, atol=0.1, rtol=0)
    coldest = model.draw(Indexed(0, torch.arange(3), 1, CPU), temperature=0)[0]
    torch.testing.assert_close(coldest, coldest[:1].expand(3, 17))
    completed = model.completed(z[None, :5, :4], Indexed(1, torch.arange(5), 1, CPU))
    assert torch.equal(completed[0, :, :4], z[:5, :4])
    of_two = model.completed(z[None, :5, :8], Indexed(1, torch.arange(5), 1, CPU))
    assert torch.equal(of_two[0, :, :8], z[:5, :8])
    assert torch.equal(model.completed(z[None, :5], Indexed(1, torch.arange(5), 1, CPU))[0], z[:5])
    with pytest.raises(ValueError, match=r"^code must be of whole groups, of 4, 8, 17 dimensions; got 5$"):
        model.completed(z[None, :5, :5], Indexed(1, torch.arange(5), 1, CPU))


@torch.no_grad()
def test_the_prior_of_the_top_may_be_given_the_encoder():
    prior = partial(VampPrior, image_shape=SHAPE, num_components=4)
    model, x = top_down(prior=prior), torch.rand(6, *SHAPE)
    top = model.infer(model.observe(x), Seeded(0, 6, CPU))[0].prior
    expected = model.blocks[0].posterior(model.encoder(model.prior.pseudo_inputs)[0], model.first_state).mean
    torch.testing.assert_close(top.components.loc, expected)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 40, 27), (3, 150, 150)])
@pytest.mark.parametrize(("starts_halved", "decoder"), [(False, None), (True, partial(LatentPyramid, channels=4))])
@torch.no_grad()
def test_images_of_any_size_come_back_at_it(shape, starts_halved, decoder):
    encoder = partial(PyramidEncoder, channels=4, num_blocks=1, starts_halved=starts_halved)
    model, x = top_down(shape, encoder=encoder, channels=4, groups=None, decoder=decoder), torch.rand(1, *shape)
    assert model.reconstruct(x).shape == x.shape
    assert min(model.map_shapes[0][1:]) in (5, 7)
    maps = model.encoder(x)
    assert [each.shape[1:] for each in maps] == model.encoder.map_shapes
    assert len(model.map_shapes) == 4 * len(maps)
    assert {each[0] for each in model.map_shapes} == {1 if shape[0] == 1 else 4}


@pytest.mark.parametrize(
    ("size", "groups", "found"),
    [
        (28, None, [4, 4]),
        (28, "auto", [4, 4]),
        (32, "auto", [4, 4]),
        (64, None, [4, 4, 4]),
        (64, "auto", [2, 2, 2, 2, 1]),
        (150, "auto", [2, 2, 2, 2, 2, 2, 1]),
    ],
)
def test_how_many_groups_there_are_where_nobody_says(size, groups, found):
    model = top_down((3, size, size), groups=groups, spread=0)
    smallest_first = sorted(Counter(model.map_shapes).items())
    assert [count for _, count in smallest_first] == found
    assert min(model.map_shapes)[1] == -(-size // 2 ** len(found))


def test_maps_that_are_learned_at_each_size_are_no_larger_than_there_may_be_room_for(monkeypatch):
    monkeypatch.setattr("vae_lightning.models.top_down._MOST_LEARNED", 40)  # 3 x 3 and 2 x 2 pixels are 13
    assert len(top_down(channels=3, positions=True).positions) == 1
    with pytest.raises(ValueError, match=r"^channels must be at most 3, got 4$"):
        top_down(channels=4, positions=True)
    top_down(channels=4)


def test_it_is_as_large_as_the_ladder_of_the_paper():
    model = TopDown((1, 28, 28), PyramidEncoder, LearnedGaussian, BernoulliLikelihood())
    assert model.latent_dim == 980
    assert model.map_shapes == [(1, 7, 7)] * 4 + [(1, 14, 14)] * 4
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(600_702, rel=0.06)


@pytest.mark.parametrize("initialization", [He(), Glorot()])
def test_it_begins_where_its_posterior_is_its_prior_however_it_is_initialized(initialization):
    model, x = top_down(spread=0), torch.rand(4, *SHAPE)
    initialization(model, x.mean(0))
    with torch.no_grad():
        assert [float(group.rate().abs().max()) for group in model(x, Seeded(0, 4, CPU)).groups] == [0, 0, 0]


@pytest.mark.parametrize(("decoder", "positions"), [(None, False), (partial(LatentPyramid, channels=5), True)])
def test_every_parameter_is_trained(decoder, positions):
    model, x = top_down(decoder=decoder, positions=positions), torch.rand(4, *SHAPE)
    output = model(x, Seeded(0, 4, CPU))
    (rate(output) - output.likelihood.log_prob(x)).mean().backward()
    assert [name for name, each in model.named_parameters() if each.grad is None or not each.grad.any()] == []


@pytest.mark.parametrize("size", [1e-3, 1])
def test_it_is_finite_at_extremes_in_bfloat16(size):
    model, x = top_down(spread=size), torch.rand(4, *SHAPE).round()
    with torch.autocast("cpu", torch.bfloat16):
        output = model(x, Seeded(0, 4, CPU))
    loss = (rate(output) - output.likelihood.log_prob(x)).mean()
    loss.backward()
    assert bool(loss.isfinite())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"groups": []}, r"^groups must be a number of each size, at least 1, 2 in all; got \[\]$"),
        ({"groups": [1]}, r"^groups must be a number of each size, at least 1, 2 in all; got \[1\]$"),
        ({"groups": [2, 0]}, r"^groups must be a number of each size"),
        ({"groups": [10**9]}, r"^groups must be at most 200, got 1000000000$"),
        ({"latent_channels": 0}, r"^latent_channels must be at least 1, got 0$"),
        ({"latent_channels": 10**8}, r"^latent_channels must be at most 1024, got 100000000$"),
        ({"channels": 10**6}, r"^channels must be at most 1024, got 1000000$"),
        ({"channels": 0}, r"^channels must be at least 1, got 0$"),
        ({"groups": [1] * 9}, r"^image_size=\[6,5\] is too small for 9 halvings"),
        (
            {"encoder": lambda shape, _: PyramidEncoder(shape, 1)},
            r"^encoder must make 2 maps, as many as groups has sizes; it makes 1$",
        ),
        (
            {"encoder": lambda *_: torch.nn.Identity()},
            r"^encoder must make maps \(map_shapes\), as PyramidEncoder does, and",
        ),
        ({"encoder": lambda shape: PyramidEncoder(shape, 2)}, r"^encoder must make maps, as PyramidEncoder does \("),
        ({"decoder": partial(LatentPyramid, channels=0)}, r"^decoder\.channels must be at least 1, got 0$"),
        ({"decoder": partial(LatentPyramid, num_blocks=101)}, r"^decoder\.num_blocks must be at most 100, got 101$"),
        ({"decoder": MLPDecoder}, r"^decoder must be of maps, as LatentPyramid is \("),
        ({"min_log_variance": 30.0}, r"^min_log_variance must be at most 0\.0, got 30\.0$"),
        ({"min_log_variance": -1e9}, r"^min_log_variance must be at least -20\.0"),
        ({"encoder": partial(PyramidEncoder, num_blocks=101)}, r"^encoder\.num_blocks must be at most 100, got 101$"),
    ],
)
def test_what_makes_no_hierarchy_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        top_down(**settings)


@torch.no_grad()
def test_each_group_has_its_own_way_to_the_image():
    for decoder in (None, partial(LatentPyramid, channels=5)):
        model, z = top_down(decoder=decoder), torch.randn(1, 1, 17)
        image = model.decode(z).mean
        for start, width in ((0, 4), (4, 4), (8, 9)):
            moved = z.clone()
            moved[..., start : start + width] += 1
            assert float((model.decode(moved).mean - image).abs().max()) > 1e-3


SHORT = ["data.eval_batch_size=20", *(f"trainer.limit_{split}_batches=2" for split in ("train", "val", "test"))]


def test_it_trains_and_opens_again(tmp_path):
    from vae_lightning.runs.trained import open_trained

    settings = ["data=digits", "trainer=cpu", "model=hvae", "model.groups=[2,1]", "model.channels=4"]
    run = train_once(tmp_path / "run", *settings, "trainer.max_epochs=1", *SHORT)
    opened = open_trained(str(run.path), device="cpu")
    assert opened.units is not None
    assert len(opened.units.rate) == opened.latent_dim == opened.vae.latent_dim


def test_everything_is_drawn_of_more_dimensions_than_there_are_images(command, tmp_path):
    settings = ["data=digits", "data.image_size=8", "model=hvae", "model.groups=[2,1]", "model.latent_channels=60"]
    small = [
        "model.channels=4",
        "trainer=cpu",
        "trainer.max_epochs=1",
        "callbacks.traversals.num_dims=2",
        "logger=tensorboard",
    ]
    small += [*SHORT, *(f"callbacks.{each}" for each in FEW)]
    command(*settings, *small, "callbacks=all", f"run_dir={tmp_path / 'run'}")
    drawn = {path.parent.name for path in (tmp_path / "run/images").glob("*/epoch_0001.png")}
    assert {"pca", "tsne", "latent_units", "traversals", "group_samples", "neighbours"} <= drawn
    points = (tmp_path / "run/projector/epoch_0001.tsv").read_text().splitlines()
    assert {line.count("\t") + 1 for line in points} == {240}  # of the top group's 4 positions


def test_a_resumed_training_on_rectangles_ends_where_one_without_a_stop_does(tmp_path):
    from vae_lightning.runs.trained import open_trained

    settings = ["data=digits", "data.image_size=[12,9]", "trainer=cpu", "model=hvae", "model.groups=[1,1]"]
    settings += ["model.channels=4", "objective=iwae", "objective.num_samples=2", *SHORT]
    whole = train_once(tmp_path / "whole", *settings, "trainer.max_epochs=2")
    part = train_once(tmp_path / "part", *settings, "trainer.max_epochs=1")
    train_once(tmp_path / "part", f"resume={part.path}", "trainer.max_epochs=2")
    ended = [open_trained(str(run.path), "last", "cpu").vae.state_dict() for run in (whole, part)]
    assert [name for name, value in ended[0].items() if not torch.equal(value, ended[1][name])] == []
