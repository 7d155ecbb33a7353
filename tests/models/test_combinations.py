"""Every prior with every likelihood, objective and model: trained two steps, evaluated and sampled from."""

import functools
import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from tests.tiny import one_thread
from vae_lightning.command_line.schema import CONF_DIR, register
from vae_lightning.likelihood.importance import importance_sampled
from vae_lightning.noise import Indexed
from vae_lightning.objectives.iwae import IWAE
from vae_lightning.objectives.terms import Progress, distortion
from vae_lightning.runs.records import RunDir
from vae_lightning.training.run import build

CPU = torch.device("cpu")
MODELS = {
    "mlp": {"encoder.hidden": [16], "decoder.hidden": [16], "latent_dim": 3},
    "conv": {"encoder.channels": [4, 8], "encoder.hidden": 16, "latent_dim": 3},
    "ladder": {"encoder.hidden": [16], "decoder.hidden": [16], "latent_dims": [2, 2, 1], "hidden": 8},
}
PRIORS: dict[str, dict[str, Any]] = {
    "standard_normal": {},
    "vamp": {"num_components": 5},
    "mixture": {"num_components": 3},
    "flow": {"num_steps": 2, "hidden": [6], "bins": 3},
}
POSTERIORS: dict[str, dict[str, Any]] = {
    "diagonal_gaussian": {},
    "log_scale_gaussian": {},
    "full_covariance": {},
    "flow": {"hidden": [6], "num_context": 2},
}
LIKELIHOODS: dict[str, dict[str, Any]] = {
    "bernoulli": {},
    "gaussian": {},
    "discretized_logistic": {},
    "discretized_logistic_mixture": {"num_components": 2},
}
OBJECTIVES = ("elbo", "iwae", "geco")
# Each of these with every model and prior, and with likelihoods in turn.
OTHERS: dict[str, dict[str, Any]] = {"capacity": {"rate_of": "batch"}, "free_bits": {"free_nats": 1e-4}}
ALONG_THE_PATH = (("elbo", "stl"), ("iwae", "dreg"), ("iwae", "stl"))  # gradients, for one group of latents
TINY = (
    *("data=digits", "data.image_size=8", "data.batch_size=16", "name=combination", "run_dir=none"),
    *(
        "trainer.accelerator=cpu",
        "trainer.max_epochs=1",
        "++trainer.limit_train_batches=2",
        "trainer.precision=32-true",
    ),
    *("++trainer.limit_val_batches=1", "++trainer.limit_test_batches=1", "callbacks=none", "logger=none"),
    *("++trainer.num_sanity_val_steps=0", "++trainer.enable_model_summary=false", "data.eval_batch_size=20"),
)


@functools.cache
def composed(model: str) -> Any:
    register()
    settings = [f"model.{key}={value}" for key, value in MODELS[model].items()]
    with initialize_config_dir(str(CONF_DIR), version_base=None):
        return compose("train", [*TINY, f"model={model}", *settings])


def option(name: str, settings: dict[str, Any]) -> Any:
    return OmegaConf.merge(OmegaConf.load(CONF_DIR / f"{name}.yaml"), settings)


def config_of(
    model: str,
    prior: str,
    likelihood: str,
    objective: str,
    *,
    posterior: str = "diagonal_gaussian",
    settings: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The config of a run, with the options' own YAML, and settings of the objective."""
    config = composed(model).copy()
    OmegaConf.set_struct(config, False)
    config.model.posterior = option(f"model/posterior/{posterior}", POSTERIORS[posterior])
    config.model.prior = option(f"model/prior/{prior}", PRIORS[prior])
    config.model.likelihood = option(f"model/likelihood/{likelihood}", LIKELIHOODS[likelihood])
    config.objective = option(f"objective/{objective}", settings or {})
    resolved: Any = OmegaConf.to_container(config, resolve=True)
    return resolved


# A flow meets every likelihood, objective and model, though not all at once: it takes longer than the others.
QUICK = [prior for prior in PRIORS if prior != "flow"]
WITH_A_FLOW = [
    *(("mlp", "flow", likelihood, "elbo") for likelihood in LIKELIHOODS),
    *(("ladder", "flow", "bernoulli", objective) for objective in OBJECTIVES),
    ("conv", "flow", "bernoulli", "iwae"),
]


@pytest.mark.parametrize(
    ("model", "prior", "likelihood", "objective"),
    [*itertools.product(MODELS, QUICK, LIKELIHOODS, OBJECTIVES), *WITH_A_FLOW],
)
def test_it_trains_and_is_evaluated_and_sampled_from(model, prior, likelihood, objective, tmp_path):
    check_run(config_of(model, prior, likelihood, objective), tmp_path)


@pytest.mark.parametrize(
    ("number", "objective", "model", "prior"),
    [(number, *pair) for number, pair in enumerate(itertools.product(OTHERS, MODELS, PRIORS))],
)
def test_other_objectives_go_with_every_model_and_prior(number, objective, model, prior, tmp_path):
    likelihood = list(LIKELIHOODS)[number % len(LIKELIHOODS)]
    check_run(config_of(model, prior, likelihood, objective, settings=OTHERS[objective]), tmp_path)


@pytest.mark.parametrize(("number", "prior"), list(enumerate(PRIORS)))
@pytest.mark.parametrize(("objective", "gradient"), ALONG_THE_PATH)
def test_gradients_along_the_path_go_with_every_prior(number, prior, objective, gradient, tmp_path):
    likelihood = list(LIKELIHOODS)[-number]
    check_run(config_of("mlp", prior, likelihood, objective, settings={"gradient": gradient}), tmp_path)


@pytest.mark.parametrize(
    ("posterior", "model", "prior", "objective"),
    [
        ("full_covariance", "mlp", "mixture", "iwae"),
        ("full_covariance", "conv", "flow", "geco"),
        ("full_covariance", "ladder", "standard_normal", "elbo"),
        ("flow", "mlp", "standard_normal", "iwae"),
        ("flow", "conv", "mixture", "elbo"),
        ("flow", "ladder", "flow", "elbo"),
        ("log_scale_gaussian", "ladder", "vamp", "iwae"),
    ],
)
def test_so_it_does_with_another_posterior(posterior, model, prior, objective, tmp_path):
    check_run(config_of(model, prior, "bernoulli", objective, posterior=posterior), tmp_path)


@pytest.mark.parametrize("posterior", ["full_covariance", "flow", "log_scale_gaussian"])
def test_gradients_along_the_path_go_with_every_posterior(posterior, tmp_path):
    settings = {"gradient": "dreg"}
    check_run(config_of("mlp", "flow", "bernoulli", "iwae", posterior=posterior, settings=settings), tmp_path)


def check_run(config, tmp_path):
    """It trains two steps that move every weight, and is evaluated and sampled from."""
    (tmp_path / "run").mkdir()
    with one_thread():
        parts = build(config, RunDir(tmp_path / "run"))
        before = {name: value.clone() for name, value in parts.module.vae.named_parameters()}
        parts.trainer.fit(parts.module, parts.data)
        assert parts.trainer.global_step == 2
        moved = [name for name, value in parts.module.vae.named_parameters() if not torch.equal(value, before[name])]
        assert moved == list(before)
        parts.trainer.test(parts.module, parts.data, verbose=False)
        assert {math.isfinite(mean.value) for mean in parts.module.results.values()} == {True}
        assert parts.module.results["test/elbo"].value == pytest.approx(
            -parts.module.results["test/rate"].value - parts.module.results["test/distortion"].value, rel=1e-5
        )
        vae, x = parts.module.vae.eval(), parts.data.images_at(torch.arange(20), "test").images / 255
        with torch.no_grad():
            check_bounds(vae, x)
            check_samples(vae)
            check_bound_of_one_sample(vae.double(), x.double())


def check_bounds(vae, x):
    """The importance-weighted bound is above the mean of the weights' logarithms, and an image's is its own."""

    def bounds_of(rows):
        parts = importance_sampled(vae, x[rows], rows, num_samples=4, seed=0, max_latents=100)
        return [
            torch.cat(column) for column in zip(*((each.log_likelihood, each.elbo) for _, each in parts), strict=True)
        ]

    log_likelihood, elbo = bounds_of(torch.arange(len(x)))
    assert bool(log_likelihood.isfinite().all())
    assert bool((log_likelihood >= elbo - 1e-4).all())
    torch.testing.assert_close(bounds_of(torch.tensor([7]))[0], log_likelihood[7:8], atol=1e-3, rtol=1e-6)


def check_samples(vae):
    images = vae.generate(vae.draw(Indexed(0, torch.arange(5), 1, CPU))[0])
    assert images.shape == (5, 1, 8, 8)
    assert 0 <= float(images.min()) <= float(images.max()) <= 1


def check_bound_of_one_sample(vae, x):
    """Of one sample the importance-weighted bound is the ELBO with a sampled rate."""
    output = vae(x, Indexed(0, torch.arange(len(x)), 1, CPU))
    sampled_rate = -sum(group.log_ratio() for group in output.groups)[0]
    sampled_elbo = -distortion(output.likelihood.log_prob(x)) - sampled_rate
    torch.testing.assert_close(-IWAE(1)(output, x, Progress(0)).loss, sampled_elbo, atol=1e-5, rtol=0)


def test_there_is_a_combination_for_every_option_of_the_configs():
    def options(group: str) -> set[str]:
        return {path.stem for path in Path(CONF_DIR, group).glob("*.yaml")}

    assert options("model/prior") == set(PRIORS)
    assert options("model/posterior") == set(POSTERIORS)
    assert options("model/likelihood") - {"auto"} == set(LIKELIHOODS)
    assert options("objective") == {*OBJECTIVES, *OTHERS}
