"""A recorded step does what the steps taken operator by operator do, to the last bit."""

import logging
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback

from tests.callbacks.struck import KilledError, assert_equal_states
from tests.callbacks.struck import fit as fit_with_checkpoints
from tests.tiny import ADAM, NUM_BATCHES, Noise, differing, fit, module
from tests.training.recorded_operators import RecordedOperators
from vae_lightning.callbacks.averaging import EMA
from vae_lightning.errors import UserError
from vae_lightning.models.ladder import Ladder
from vae_lightning.models.likelihoods.bernoulli import BernoulliLikelihood
from vae_lightning.models.likelihoods.continuous_bernoulli import ContinuousBernoulli
from vae_lightning.models.likelihoods.gaussian import GaussianLikelihood
from vae_lightning.models.likelihoods.laplace import LaplaceLikelihood
from vae_lightning.models.likelihoods.ms_ssim import MSSSIM
from vae_lightning.models.networks.gated import GatedBetween, GatedDecoder, GatedEncoder
from vae_lightning.models.networks.pyramid import PyramidEncoder
from vae_lightning.models.posteriors.diagonal_gaussian import DiagonalGaussian
from vae_lightning.models.priors.learned_gaussian import LearnedGaussian
from vae_lightning.models.priors.vamp import VampPrior
from vae_lightning.models.top_down import TopDown
from vae_lightning.objectives.beta_tcvae import BetaTCVAE
from vae_lightning.objectives.capacity import Capacity
from vae_lightning.objectives.dip import DIPVAE
from vae_lightning.objectives.elbo import ELBO
from vae_lightning.objectives.free_bits import FreeBits
from vae_lightning.objectives.geco import GECO
from vae_lightning.objectives.iwae import IWAE
from vae_lightning.objectives.rae import RAE
from vae_lightning.objectives.wae import WAE
from vae_lightning.training import epochs
from vae_lightning.training.captured import Captured
from vae_lightning.training.schedules import Cosine


@pytest.fixture
def recorder(monkeypatch):
    """Has every training record its steps, on this CPU."""
    made = RecordedOperators()
    monkeypatch.setattr(epochs, "capturing", lambda *_: lambda trained: Captured(trained, made))
    return made


RATE = partial(ADAM, lr=2.0**-7)  # which is the same in float32


def made(objective=None, schedule=None, optimizer=RATE, **stepping):
    trained = module(optimizer, **stepping)
    trained.objective = objective or ELBO()
    trained.schedule = schedule
    return trained


CASES = {
    "plain": {},
    "warm-up of beta": {"objective": lambda: ELBO(beta=0.5, warmup_steps=12)},
    "several samples": {"objective": lambda: ELBO(num_samples=3)},
    "iwae": {"objective": lambda: IWAE(num_samples=3)},
    "geco": {"objective": lambda: GECO(tolerance=0.2)},
    "cyclical beta, stl": {"objective": lambda: ELBO(schedule="cyclical", num_cycles=3, gradient="stl")},
    "capacity": {"objective": lambda: Capacity(rate_of="batch"), "accumulate_grad_batches": 2},
    "dreg": {"objective": lambda: IWAE(num_samples=3, gradient="dreg")},
    "free bits": {"objective": lambda: FreeBits(free_nats=0.01)},
    "tcvae, accumulated": {"objective": BetaTCVAE, "accumulate_grad_batches": 2},
    "dip": {"objective": DIPVAE},
    "wae": {"objective": WAE},
    "rae": {"objective": lambda: RAE(regularization="gp")},
    "clipped": {"gradient_clip_val": 1.0},
    "clipped by value": {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"},
    "accumulated": {"accumulate_grad_batches": 3},
    "accumulated in pairs": {"accumulate_grad_batches": 2, "gradient_clip_val": 1.0},
    "accumulated, geco": {"accumulate_grad_batches": 2, "objective": lambda: GECO(tolerance=0.2)},
    "skipping": {"on_nan": "skip"},
    "adamw": {"optimizer": partial(torch.optim.AdamW, lr=2.0**-7, weight_decay=0.1, fused=True)},
}


def of(case):
    options = dict(CASES[case])
    objective = options.pop("objective", None)
    return made(objective and objective(), **options)


def hierarchy():
    """Two groups with gated layers, a VampPrior at the top and a warm-up: `experiment=hvae_vamp_mnist`."""
    trained = made(ELBO(warmup_steps=12))
    torch.manual_seed(0)
    shape, prior = (3, 8, 8), partial(VampPrior, image_shape=(3, 8, 8), num_components=5)
    encoder, decoder = partial(GatedEncoder, hidden=[8, 8]), partial(GatedDecoder, hidden=[8], groups=[3, 2])
    parts = encoder, DiagonalGaussian, prior, decoder, BernoulliLikelihood()
    own = {"between": GatedBetween, "lower_encoder": partial(GatedEncoder, hidden=[8])}
    trained.vae = Ladder(shape, [3, 2], *parts, hidden=8, **own)
    return trained


def maps():
    """Groups of latent maps: `experiment=hvae_mnist`."""
    trained = made(ELBO())
    torch.manual_seed(0)
    encoder = partial(PyramidEncoder, channels=4, num_blocks=1)
    settings = {"groups": [2, 1], "channels": 4}
    trained.vae = TopDown((3, 8, 8), encoder, LearnedGaussian, BernoulliLikelihood(), **settings)
    return trained


@pytest.mark.parametrize("model", [hierarchy, maps])
def test_replayed_steps_of_a_hierarchy_are_the_operators_steps(model, request):
    eager = fit(4, trained=model(), data=Noise(binarize="dynamic"), max_epochs=2, log_every_n_steps=1)
    recorder = request.getfixturevalue("recorder")
    replayed = fit(4, trained=model(), data=Noise(binarize="dynamic"), max_epochs=2, log_every_n_steps=1)
    assert differing(eager.weights, replayed.weights) == []
    assert replayed.rows == eager.rows
    assert recorder.num_replayed == 2 * NUM_BATCHES - 3


@pytest.mark.parametrize("case", CASES)
def test_replayed_steps_are_the_operators_steps(case, request):
    data = {
        "horizontal_flip": True,
        "binarize": "dynamic",
        "augmentations": ["shift", "crop", {"name": "colour", "hue": 0.1}],
    }
    per_step = CASES[case].get("accumulate_grad_batches", 1)
    num_batches = NUM_BATCHES if per_step > 1 else 7
    options = {"max_epochs": 2, "log_every_n_steps": 1, "limit_train_batches": num_batches}
    eager = fit(4, trained=of(case), data=Noise(**data), **options)
    recorder = request.getfixturevalue("recorder")
    for number, steps in enumerate((1, 4), start=1):
        replayed = fit(steps, trained=of(case), data=Noise(**data), **options)
        assert differing(eager.weights, replayed.weights) == []
        assert replayed.rows == eager.rows
        assert replayed.trainer.global_step == eager.trainer.global_step
        assert recorder.num_replayed == number * (2 * num_batches - 3 * per_step)
        assert recorder.num_recorded <= number * 4


@pytest.mark.parametrize(
    "likelihood",
    [
        ContinuousBernoulli,
        LaplaceLikelihood,
        partial(GaussianLikelihood, "per_pixel"),
        partial(MSSSIM, (3, 8, 8), window=3),
    ],
)
def test_replayed_steps_of_each_likelihood_are_the_operators_steps(likelihood, monkeypatch, request):
    monkeypatch.setattr("tests.tiny.BernoulliLikelihood", likelihood)
    eager = fit(4, trained=made(), max_epochs=1, log_every_n_steps=1)
    recorder = request.getfixturevalue("recorder")
    replayed = fit(4, trained=made(), max_epochs=1, log_every_n_steps=1)
    assert differing(eager.weights, replayed.weights) == []
    assert replayed.rows == eager.rows
    assert recorder.num_replayed == NUM_BATCHES - 3  # after steps to warm up


def test_a_learning_rate_that_changes_is_followed(request):
    schedule = Cosine(warmup=0.3)
    eager = fit(4, trained=made(schedule=schedule), max_epochs=3, log_every_n_steps=1)
    recorder = request.getfixturevalue("recorder")
    replayed = fit(4, trained=made(schedule=schedule), max_epochs=3, log_every_n_steps=1)
    assert recorder.num_recorded == 1
    for name, value in eager.weights.items():  # a rate in the device's memory is float32
        torch.testing.assert_close(replayed.weights[name], value, rtol=1e-4, atol=1e-6, msg=name)
    rates = [[figures["learning_rate"] for _, figures in each.of("train")] for each in (eager, replayed)]
    assert rates[0] == rates[1]
    assert len(set(rates[0])) > 20


class Turns(Callback):
    """Turns off dropout, or moves a weight to another place, or changes Adam's memory, after the first epoch."""

    def __init__(self, what):
        self.what = what

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch:
            return
        if self.what == "mode":
            pl_module.vae.encoder.eval()
        elif self.what == "place":
            weight = pl_module.vae.posterior.loc.weight
            weight.data = weight.data.clone()
        else:
            trainer.optimizers[0].param_groups[0]["betas"] = (0.5, 0.9)

    def on_train_epoch_start(self, trainer, pl_module):
        if self.what == "mode" and trainer.current_epoch:
            pl_module.vae.encoder.eval()


@pytest.mark.parametrize("what", ["mode", "place", "betas"])
def test_what_a_recording_depends_on_may_change(what, request):
    eager = fit(4, Turns(what), trained=made(), max_epochs=3)
    recorder = request.getfixturevalue("recorder")
    replayed = fit(4, Turns(what), trained=made(), max_epochs=3)
    assert differing(eager.weights, replayed.weights) == []
    assert recorder.num_recorded == 2


def epoch_of(data):
    loader = data.train_dataloader()
    loader.batches.set_epoch(0)
    return list(loader.batches)


class Poisoned(Noise):
    """Has another value where a batch's pixels sum up to a number: what a graph would see, too."""

    bad, value = -1, float("nan")

    def training_images(self, images):
        good = super().training_images(images)
        return torch.where(images.sum() == self.bad, torch.full_like(good, self.value), good)


def poisoned(step, value=float("nan")):
    data = Poisoned()
    data.value = value
    data.bad = int(epoch_of(data)[step].images.sum())
    return data


def test_a_nan_at_step_7_ends_the_training_there(recorder):
    with pytest.raises(UserError, match="the loss was not finite at step 7 "):
        fit(4, trained=made(), data=poisoned(7), max_epochs=1)
    assert recorder.num_replayed > 0


def test_a_nan_at_step_7_is_skipped(request):
    eager = fit(4, trained=made(on_nan="skip"), data=poisoned(7), max_epochs=2)
    recorder = request.getfixturevalue("recorder")
    replayed = fit(4, trained=made(on_nan="skip"), data=poisoned(7), max_epochs=2)
    assert differing(eager.weights, replayed.weights) == []
    assert str(replayed.rows) == str(eager.rows)  # with the NaN among them
    assert recorder.num_replayed == 2 * NUM_BATCHES - 3


@pytest.mark.parametrize(
    "options",
    [
        {"skip_gradient_norm": 24.5, "gradient_clip_val": 1.0},
        {"skip_gradient_norm": 24.5, "on_nan": "skip"},
        {"skip_gradient_norm": 22.0, "accumulate_grad_batches": 2},
    ],
    ids=str,
)
def test_a_step_whose_gradient_is_too_large_is_skipped_also_before_the_first_that_is_taken(options, request):
    eager = fit(1, trained=made(**options), max_epochs=3, log_every_n_steps=1)
    recorder = request.getfixturevalue("recorder")
    replayed = fit(1, trained=made(**options), max_epochs=3, log_every_n_steps=1)
    assert differing(eager.weights, replayed.weights) == []
    assert replayed.rows == eager.rows
    skipped = [row["train/skipped"] for _, row in replayed.of("train")]
    assert skipped[:4] == [1, 2, 3, 4]
    assert skipped[-1] == 0
    assert recorder.num_replayed >= 13


def test_a_gradient_that_is_too_large_at_step_7_is_skipped(request):
    options = {"skip_gradient_norm": 30.0, "gradient_clip_val": 1.0}
    eager = fit(1, trained=made(**options), data=poisoned(7, 1.0), max_epochs=2, log_every_n_steps=1)
    recorder = request.getfixturevalue("recorder")
    replayed = fit(1, trained=made(**options), data=poisoned(7, 1.0), max_epochs=2, log_every_n_steps=1)
    assert differing(eager.weights, replayed.weights) == []
    assert replayed.rows == eager.rows
    assert [row["train/skipped"] for _, row in replayed.of("train")[:NUM_BATCHES]] == [0] * 7 + [1] * 4
    assert recorder.num_replayed == 2 * NUM_BATCHES - 3


def test_averages_are_those_of_the_operators_steps(request):
    eager = fit(1, EMA(0.9), trained=made(), max_epochs=2)
    recorder = request.getfixturevalue("recorder")
    replayed = fit(1, EMA(0.9), trained=made(), max_epochs=2)
    assert differing(eager.weights, replayed.weights) == []
    assert recorder.num_recorded == 1


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_training_that_was_killed_goes_on_to_the_same_end(accumulate, recorder, tmp_path):
    make = partial(made, accumulate_grad_batches=accumulate)
    for folder, kill in (("whole", None), ("killed", 17)):
        try:
            fit_with_checkpoints(tmp_path / folder, 1, make, kill=kill, every=kill and 1, max_epochs=3)
        except KilledError:
            fit_with_checkpoints(tmp_path / folder, 1, make, every=None, max_epochs=3)
    assert_equal_states(tmp_path / "whole", tmp_path / "killed")


def test_what_can_not_be_recorded_is_taken_operator_by_operator(recorder, monkeypatch, caplog):
    eager = fit(4, trained=made(), max_epochs=2)
    caplog.set_level(logging.INFO)

    def refuse(function):
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(recorder, "record", refuse)
    fallen_back = fit(4, trained=made(), max_epochs=2)
    assert differing(eager.weights, fallen_back.weights) == []
    told = [each.message for each in caplog.records if "CUDA graph" in each.message]
    assert told == ["steps are not captured as a CUDA graph: operation not permitted when stream is capturing"]


def test_a_step_that_must_be_captured_and_can_not_is_refused(recorder, monkeypatch):
    monkeypatch.setattr(epochs, "capturing", lambda *_: lambda trained: Captured(trained, recorder, needed=True))
    monkeypatch.setattr(recorder, "record", lambda function: (_ for _ in ()).throw(RuntimeError("no way")))
    with pytest.raises(UserError, match=r"trainer\.capture=true: the step can't be captured .* \(no way\)"):
        fit(4, trained=made(), max_epochs=1)


def test_capture_true_is_refused_on_a_cpu():
    trained = made()
    trained.capture = True
    with pytest.raises(UserError, match=r"trainer\.capture=true: there is no NVIDIA GPU; choose auto or false"):
        fit(1, trained=trained, max_epochs=1)
