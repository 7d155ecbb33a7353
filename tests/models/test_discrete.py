"""The VAE of discrete codes, against the sum over all codes that there are."""

import copy
import itertools
import math
from dataclasses import replace
from functools import partial

import pytest
import torch

from tests.callbacks.struck import KilledError, assert_equal_states
from tests.callbacks.struck import fit as fit_with_checkpoints
from tests.given import fresh
from tests.tiny import ADAM, Noise, differing, fit, trainer
from tests.training.recorded_operators import RecordedOperators
from vae_lightning.errors import UserError
from vae_lightning.models.discrete import DiscreteVAE
from vae_lightning.models.likelihoods.bernoulli import BernoulliLikelihood
from vae_lightning.models.networks.conv5 import Conv5Decoder, Conv5Encoder
from vae_lightning.models.networks.mlp import MLPDecoder, MLPEncoder
from vae_lightning.models.networks.residual import ResidualDecoder, ResidualEncoder
from vae_lightning.models.quantizers.scalar import ScalarQuantizer
from vae_lightning.models.quantizers.vector import VectorQuantizer
from vae_lightning.noise import Indexed, Seeded
from vae_lightning.objectives.elbo import ELBO
from vae_lightning.objectives.iwae import IWAE
from vae_lightning.objectives.terms import Progress, rate, with_penalties
from vae_lightning.training import epochs
from vae_lightning.training.captured import Captured, _reason_against
from vae_lightning.training.module import VAEModule
from vae_lightning.training.stepping import Stepping

CPU = torch.device("cpu")
SMALL = {"channels": [4], "num_blocks": 1, "residual_channels": 2}
QUANTIZERS = {"vq": partial(VectorQuantizer, 3, 2), "fsq": partial(ScalarQuantizer, [4, 4])}


def model(kind: str, shape=(1, 4, 4)) -> DiscreteVAE:
    torch.manual_seed(0)
    networks = partial(ResidualEncoder, **SMALL), partial(ResidualDecoder, **SMALL)
    made = DiscreteVAE(shape, networks[0], QUANTIZERS[kind](), networks[1], BernoulliLikelihood())
    made.to_vectors.weight.data *= 20  # so that images differ in their codes
    if kind == "vq":
        codebook = made.quantizer.codebook._codebook
        codebook.embed.normal_()
        codebook.embed_avg.copy_(codebook.embed)
    return made.eval()


@torch.no_grad()
@pytest.mark.parametrize("kind", QUANTIZERS)
def test_the_elbo_is_one_term_of_the_sum_over_all_codes(kind):
    vae, x = model(kind), torch.rand(6, 1, 4, 4).round()
    num_codes, positions = vae.quantizer.num_codes, vae.num_positions
    assert positions == 4
    every = torch.tensor(list(itertools.product(range(num_codes), repeat=positions)))
    z = vae.vectors_of(every)
    assert z.shape == (num_codes**positions, vae.latent_dim)
    log_joint = vae.decode(z).log_prob(x.unsqueeze(1)) - positions * math.log(num_codes)
    terms = ELBO()(vae(x, Seeded(0, 6, CPU)), x, Progress(0))
    assert (terms.elbo < log_joint.logsumexp(1)).all()
    chosen = (every * num_codes ** torch.arange(positions).flip(0)).sum(1).tolist()
    numbers = (vae.observe(x).indices * num_codes ** torch.arange(positions).flip(0)).sum(1)
    rows = torch.tensor([chosen.index(number) for number in numbers.tolist()])
    torch.testing.assert_close(terms.elbo, log_joint[torch.arange(6), rows])


@torch.no_grad()
@pytest.mark.parametrize("kind", QUANTIZERS)
def test_the_rate_is_positions_times_the_logarithm_of_the_codebook(kind):
    vae, x = model(kind), torch.rand(5, 1, 4, 4)
    output = vae(x, fresh(3, 5))
    expected = torch.full((5,), 4 * math.log(vae.quantizer.num_codes))
    torch.testing.assert_close(rate(output), expected)
    torch.testing.assert_close(output.groups[0].rate_per_dimension().sum(1), expected)
    torch.testing.assert_close(output.groups[0].log_ratio(), -expected.expand(3, 5))
    bound = IWAE(3)(output, x, Progress(0))
    torch.testing.assert_close(-bound.loss, bound.elbo)  # for all samples are one
    with pytest.raises(UserError, match=r"^temperature=0\.5: the uniform prior over codes has no spread"):
        vae.draw(fresh(1, 2), temperature=0.5)


@torch.no_grad()
@pytest.mark.parametrize("kind", QUANTIZERS)
def test_a_map_is_decoded_as_it_was_encoded(kind):
    """Positions keep their places, and the codes of vectors are those vectors."""
    vae, x = model(kind, (3, 8, 6)), torch.rand(4, 3, 8, 6)
    seen = vae.observe(x)
    assert seen.vectors.shape == (4, 12, 2)
    latents = vae.encode(x)
    assert latents.scale is None
    assert torch.equal(latents.loc.unflatten(1, (2, 12)), seen.vectors.mT)
    torch.testing.assert_close(vae.vectors_of(seen.indices), latents.loc)
    assert torch.equal(vae.observe(x[:2]).indices, seen[:2].indices)
    assert len(seen.indices.unique()) > 1
    assert vae.reconstruct(x).shape == x.shape


@torch.no_grad()
def test_samples_take_each_code_equally_often():
    vae = model("vq")
    z = vae.draw(Seeded(0, 3000, CPU))[0].unflatten(1, (2, 4)).mT
    codes = vae.quantizer.codebook.codebook
    indices = (z.unsqueeze(2) - codes).square().sum(-1).argmin(-1)
    assert torch.equal(codes[indices], z)
    shares = torch.stack([(indices == code).float().mean(0) for code in range(3)])
    torch.testing.assert_close(shares, torch.full((3, 4), 1 / 3), atol=0.04, rtol=0)
    again = vae.draw(Indexed(0, torch.tensor([7]), 1, CPU))[0]
    assert torch.equal(again[0], vae.draw(Indexed(0, torch.arange(9), 1, CPU))[0, 7])


@pytest.mark.parametrize("kind", QUANTIZERS)
def test_a_batch_twice_changes_no_loss(kind):
    vae, x = model(kind).train(), torch.rand(5, 1, 4, 4)
    before = copy.deepcopy(vae)
    output, twice = vae(x, fresh(1, 5)), before(torch.cat([x, x]), fresh(1, 10))
    one, other = (
        with_penalties(ELBO()(each, x if each is output else torch.cat([x, x]), Progress(0)), each)
        for each in (output, twice)
    )
    torch.testing.assert_close(other.loss, torch.cat([one.loss, one.loss]))
    assert torch.equal(one.elbo, -(one.rate + one.distortion))
    assert ("penalty" in one.extra) is (kind == "vq")


@pytest.mark.parametrize("kind", QUANTIZERS)
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_gradients_reach_every_parameter_in_bfloat16_too(kind, scale):
    vae, x = model(kind).train(), scale * torch.rand(5, 1, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        output = vae(x, fresh(2, 5))
        assert output.groups[0].z.dtype == torch.float32
        loss = with_penalties(ELBO()(output, x.clamp(max=1), Progress(0)), output).loss
    assert loss.isfinite().all()
    loss.mean().backward()
    gradients = {name: parameter.grad for name, parameter in vae.named_parameters()}
    assert {name for name, each in gradients.items() if each is None or not each.isfinite().all()} == set()
    if scale == 1:
        assert {name for name, each in gradients.items() if not each.any()} == set()


def test_any_network_that_ends_in_a_map_will_do_and_no_other():
    shape, quantizer = (3, 20, 20), ScalarQuantizer([3, 4])
    encoder, decoder = (partial(each, channels=[4, 4]) for each in (Conv5Encoder, Conv5Decoder))
    vae = DiscreteVAE(shape, encoder, quantizer, decoder, BernoulliLikelihood())
    assert vae.num_positions == 25
    assert vae.reconstruct(torch.rand(2, *shape)).shape == (2, *shape)
    with pytest.raises(ValueError, match=r"^encoder must end in a map \(map_shape\), .* not MLPEncoder"):
        DiscreteVAE(shape, MLPEncoder, quantizer, MLPDecoder, BernoulliLikelihood())


def module(kind: str, **stepping) -> VAEModule:
    vae, optimizer = model(kind, (3, 8, 8)).train(), partial(ADAM, lr=2.0**-7)
    return VAEModule(vae, ELBO(), optimizer, 7, stepping=Stepping(**stepping))


def test_the_commitment_is_trained_on_and_told_and_no_part_of_the_elbo():
    fitted = []
    for commitment in (0.0, 100.0):
        trained = module("vq")
        trained.vae.quantizer.commitment = commitment
        fitted.append(fit(4, trained=trained, data=Noise(num_train=8), max_epochs=1))
    assert "vae.to_vectors.weight" in differing(*(each.weights for each in fitted))
    for commitment, (_, figures) in zip((0.0, 100.0), (each.of("val")[0] for each in fitted), strict=True):
        assert figures["val/elbo"] == pytest.approx(-figures["val/rate"] - figures["val/distortion"], rel=1e-5)
        assert figures["val/loss"] == pytest.approx(figures["val/penalty"] - figures["val/elbo"], rel=1e-5)
        assert (figures["val/penalty"] > 0) is (commitment > 0)


@pytest.mark.parametrize("per_step", [1, 3])
def test_recorded_steps_of_a_grid_are_the_operators_steps(per_step, monkeypatch):
    eager = fit(4, trained=module("fsq", accumulate_grad_batches=per_step), log_every_n_steps=1)
    recorder = RecordedOperators()
    monkeypatch.setattr(epochs, "capturing", lambda *_: lambda trained: Captured(trained, recorder))
    replayed = fit(4, trained=module("fsq", accumulate_grad_batches=per_step), log_every_n_steps=1)
    assert recorder.num_replayed > 0
    assert differing(eager.weights, replayed.weights) == []
    assert replayed.rows == eager.rows


@pytest.mark.parametrize(("kind", "why"), [("vq", "the library of the codebook asks the GPU"), ("fsq", "")])
def test_a_learned_codebook_is_not_captured_which_is_told(kind, why):
    trained, fitting = module(kind), trainer()
    fitting.optimizers = [trained.optimizer(trained.parameters())]
    reason = _reason_against(trained, fitting, VAEModule)
    assert (reason or "").startswith(why)
    assert (reason is None) is (kind == "fsq")


def test_a_learned_codebook_goes_on_bit_by_bit(tmp_path):
    whole, struck = tmp_path / "whole", tmp_path / "struck"
    make = partial(module, "vq", accumulate_grad_batches=2)
    fit_with_checkpoints(whole, 4, make, max_epochs=1)
    with pytest.raises(KilledError):
        fit_with_checkpoints(struck, 4, make, kill=9, max_epochs=1)
    fitted = fit_with_checkpoints(struck, 4, make, max_epochs=1)
    assert_equal_states(whole, struck)
    name = "quantizer.codebook._codebook.embed"
    assert not torch.equal(fitted.weights[f"vae.{name}"], make().vae.state_dict()[name])


class Broken(ELBO):
    def forward(self, output, x, progress):
        terms = super().forward(output, x, progress)
        return replace(terms, loss=terms.loss * torch.nan)


def test_a_step_that_is_dropped_leaves_the_codebook_as_it_was():
    trained = module("vq", on_nan="skip", max_skipped=100)
    trained.objective = Broken()
    before = {name: value.clone() for name, value in trained.vae.named_buffers()}
    fit(4, trained=trained, max_epochs=1, limit_val_batches=0)
    assert all(torch.equal(value, before[name]) for name, value in trained.vae.named_buffers())
