"""Every two options that have a meaning together: trained two steps, evaluated and sampled from; or refused in a line.

A combination is a choice of model, posterior, prior, likelihood and objective. Few of them hold all pairs.
"""

import functools
import itertools
import math
import pickle
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from tests.tiny import one_thread
from vae_lightning.command_line.schema import CONF_DIR, register
from vae_lightning.errors import UserError
from vae_lightning.likelihood.importance import importance_sampled
from vae_lightning.noise import Indexed
from vae_lightning.objectives.iwae import IWAE
from vae_lightning.objectives.terms import Progress, distortion
from vae_lightning.runs.records import RunDir
from vae_lightning.training.run import build

CPU = torch.device("cpu")
_NETWORKS: dict[str, Any] = {"encoder.hidden": [16], "decoder.hidden": [16]}
_RESIDUAL: dict[str, Any] = {"encoder.channels": [4, 8], "encoder.num_blocks": 1, "encoder.residual_channels": 4}
MODELS: dict[str, dict[str, Any]] = {
    "mlp": _NETWORKS | {"latent_dim": 3},
    "conv": {"encoder.channels": [4, 8], "encoder.hidden": 16, "latent_dim": 3},
    "gated": _NETWORKS | {"latent_dim": 3},
    "ladder": _NETWORKS | {"latent_dims": [2, 2, 1], "hidden": 8},
    "gated_hvae": {
        "encoder.hidden": [16, 16],
        "lower_encoder.hidden": [16],
        "decoder.hidden": [16, 16],
        "latent_dims": [2, 1],
        "hidden": 8,
    },
    "hvae": {"groups": [2, 1], "channels": 4, "encoder.num_blocks": 1},
    "vq": _RESIDUAL | {"quantizer.num_codes": 8, "quantizer.code_dim": 3},
    "fsq": _RESIDUAL | {"quantizer.levels": [4, 4]},
}
NONE = "none"  # of models that have no such part
POSTERIORS: dict[str, dict[str, Any]] = {
    "diagonal_gaussian": {},
    "log_scale_gaussian": {},
    "bounded_gaussian": {},
    "full_covariance": {},
    "flow": {"hidden": [6], "num_context": 2},
    "point": {},
    NONE: {},
}
PRIORS: dict[str, dict[str, Any]] = {
    "standard_normal": {},
    "learned_gaussian": {},
    "vamp": {"num_components": 5},
    "mixture": {"num_components": 3},
    "flow": {"num_steps": 2, "hidden": [6], "bins": 3},
    NONE: {},
}
LIKELIHOODS: dict[str, dict[str, Any]] = {
    "bernoulli": {},
    "gaussian": {},
    "gaussian scale=per_pixel": {"scale": "per_pixel"},
    "discretized_logistic": {},
    "discretized_logistic_mixture": {"num_components": 2},
    "continuous_bernoulli": {},
    "laplace": {},
    "laplace scale=per_pixel": {"scale": "per_pixel"},
    "ms_ssim": {"window": 3},
}
OBJECTIVES: dict[str, dict[str, Any]] = {
    "elbo": {},
    "elbo gradient=stl": {"gradient": "stl"},
    "iwae": {},
    "iwae gradient=dreg": {"gradient": "dreg"},
    "iwae gradient=stl": {"gradient": "stl"},
    "geco": {},
    "capacity": {"rate_of": "batch"},
    "free_bits": {"per": "image", "free_nats": 1e-4},
    "beta_tcvae": {},
    "dip": {},
    "info_vae": {},
    "wae": {},
    "rae": {},
}


class Combination(NamedTuple):
    """One option of each group."""

    model: str = "mlp"
    posterior: str = "diagonal_gaussian"
    prior: str = "standard_normal"
    likelihood: str = "bernoulli"
    objective: str = "elbo"

    def has(self, **options: tuple[str, ...]) -> bool:
        """Whether its option is one of these in each of the groups."""
        return all(getattr(self, group) in of_group for group, of_group in options.items())


GROUPS = {"model": MODELS, "posterior": POSTERIORS, "prior": PRIORS, "likelihood": LIKELIHOODS, "objective": OBJECTIVES}
CODES, HIERARCHIES = ("vq", "fsq"), ("ladder", "gated_hvae", "hvae")
WITHOUT_POSTERIOR = ("hvae",)  # its own are maps
ALONG_THE_PATH = tuple(each for each in OBJECTIVES if "gradient=" in each)
PER_PIXEL = tuple(each for each in LIKELIHOODS if "per_pixel" in each)
WITHOUT_DENSITY = ("wae", "rae")
# What has no meaning together, and how it is refused.
REFUSED: list[tuple[dict[str, tuple[str, ...]], str]] = [
    (
        {"model": CODES, "objective": ("capacity", "free_bits", "beta_tcvae", "dip", "info_vae", "wae", "rae")},
        "objective: {} needs continuous latents, and DiscreteVAE has codes; choose objective=elbo or another model",
    ),
    ({"model": CODES, "objective": ALONG_THE_PATH}, "objective: {} needs continuous latents; choose another model"),
    ({"model": ("ladder", "gated_hvae"), "posterior": ("point",)}, "posterior must have a density"),
    (
        {"model": HIERARCHIES, "objective": (*ALONG_THE_PATH, "beta_tcvae", "dip", "rae")},
        "objective: {} needs one group of latents, and ",
    ),
    (
        {"posterior": ("flow", "full_covariance", "point"), "prior": ("vamp",)},
        "prior must not be a VampPrior, which needs an encoder: that of a ",
    ),
    ({"posterior": ("flow",), "objective": ("beta_tcvae", "dip")}, "objective: {} needs "),
    (
        {"posterior": ("point",), "objective": tuple(each for each in OBJECTIVES if each not in WITHOUT_DENSITY)},
        "objective: {} needs a posterior with a density; choose another model/posterior, or objective=rae or ",
    ),
    (
        {"posterior": tuple(each for each in POSTERIORS if each not in ("point", NONE)), "objective": ("rae",)},
        "objective: {} has a code without noise; choose model/posterior=point",
    ),
    (
        {"posterior": ("point",), "prior": ("learned_gaussian", "mixture", "flow"), "objective": ("rae",)},
        "objective: {} does not train a ",
    ),
    ({"prior": ("mixture",), "objective": ("wae",)}, "objective: {} does not train the weights of a MixturePrior; "),
    (
        {"likelihood": ("ms_ssim",), "objective": ("iwae", "iwae gradient=dreg", "iwae gradient=stl")},
        "objective: {} needs a likelihood, and MS-SSIM over 2 scales, windows of 3 is none; ",
    ),
    (
        {"likelihood": ("ms_ssim",), "objective": ("geco",)},
        "objective: {} trains the mean image by an error of its own, to which MS-SSIM over 2 scales",
    ),
    ({"likelihood": PER_PIXEL, "objective": ("geco",)}, "objective: {} does not train the scale of each pixel; "),
]


def has_a_meaning(one: Combination) -> bool:
    """Whether it has the parts that its model has, and no rule refuses it."""
    return one == with_parts_of_its_model(one) and not any(one.has(**rule) for rule, _ in REFUSED)


def with_parts_of_its_model(one: Combination) -> Combination:
    """A model of codes has neither posterior nor prior, one of maps no posterior, and all others have both."""
    if one.model in CODES:
        return one._replace(posterior=NONE, prior=NONE)
    if one.model in WITHOUT_POSTERIOR:
        one = one._replace(posterior=NONE)
    elif one.posterior == NONE:
        one = one._replace(posterior="diagonal_gaussian")
    return one._replace(prior="standard_normal") if one.prior == NONE else one


def of_all_pairs() -> list[Combination]:
    """A few that have a meaning, with all two options that go together at all: each holds the most that are left."""
    every = [one for one in itertools.starmap(Combination, itertools.product(*GROUPS.values())) if has_a_meaning(one)]
    numbers: dict[Any, int] = {}
    pairs = np.array(
        [
            [numbers.setdefault(pair, len(numbers)) for pair in itertools.combinations(enumerate(one), 2)]
            for one in every
        ]
    )
    left, found = np.ones(len(numbers), bool), []
    while left.any():
        best = int(left[pairs].sum(1).argmax())
        found.append(every[best])
        left[pairs[best]] = False
    return found


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
def composed(model: str) -> bytes:
    """The config of a model, pickled, for a copy is made sooner from that."""
    register()
    settings = [f"model.{key}={value}" for key, value in MODELS[model].items()]
    with initialize_config_dir(str(CONF_DIR), version_base=None):
        return pickle.dumps(compose("train", [*TINY, f"model={model}", *settings]))


def steps_of(one: Combination) -> int:
    """As many as move all weights, some of which wait for others that begin as zeros."""
    return 6 if one.model == "hvae" else 2


def config_of(one: Combination) -> dict[str, Any]:
    """The config of a run, with the options' own YAML."""
    config = pickle.loads(composed(one.model))
    OmegaConf.set_struct(config, False)
    config.objective = option("objective", one.objective)
    config.trainer.limit_train_batches = steps_of(one)
    for group in ("posterior", "prior", "likelihood"):
        if getattr(one, group) != NONE:
            config.model[group] = option(f"model/{group}", getattr(one, group))
    resolved: Any = OmegaConf.to_container(config, resolve=True)
    return resolved


@functools.cache
def option(group: str, name: str) -> Any:
    settings = GROUPS[Path(group).name][name]
    return OmegaConf.merge(OmegaConf.load(CONF_DIR / group / f"{name.partition(' ')[0]}.yaml"), settings)


@pytest.mark.parametrize("one", of_all_pairs(), ids=lambda one: "-".join(one).replace(" ", ","))
def test_it_trains_and_is_evaluated_and_sampled_from(one, tmp_path):
    with one_thread():
        parts = build(config_of(one), RunDir(tmp_path))
        before = {name: value.clone() for name, value in parts.module.vae.named_parameters()}
        parts.trainer.fit(parts.module, parts.data)
        assert parts.trainer.global_step == steps_of(one)
        moved = [name for name, value in parts.module.vae.named_parameters() if not torch.equal(value, before[name])]
        if one.model == "fsq":  # all its codes are one at the start, whose vector is 0
            moved += ["decoder.layers.1.weight"]
        assert set(moved) == set(before)
        parts.trainer.test(parts.module, parts.data, verbose=False)
        check_terms(parts.module.results)
        assert ("test/perplexity" in parts.module.results) == (one.model in CODES)
        vae, x = parts.module.vae.eval(), parts.data.images_at(torch.arange(20), "test").images / 255
        with torch.no_grad():
            check_samples(vae)
            if vae.has_density:
                check_bounds(vae, x)
                check_bound_of_one_sample(vae.double(), x.double())


def check_terms(results):
    assert {math.isfinite(mean.value) for mean in results.values()} == {True}
    if "test/elbo" not in results:  # of a code without noise
        assert results.keys() >= {"test/loss", "test/distortion"}
        assert "test/rate" not in results
        return
    if "test/perplexity" in results:
        assert 0 < results["test/codebook_use"].value <= 1 <= results["test/perplexity"].value <= 16
    terms = -results["test/rate"].value - results["test/distortion"].value
    assert results["test/elbo"].value == pytest.approx(terms, rel=1e-5)


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


@pytest.mark.parametrize("rule", range(len(REFUSED)))
def test_what_has_no_meaning_together_is_refused_in_a_line(rule, tmp_path):
    options, told = REFUSED[rule]
    groups = list(options)
    for chosen in itertools.product(*options.values()):
        one = Combination(**dict(zip(groups, chosen, strict=True)))
        one = with_parts_of_its_model(one)
        if sum(one.has(**each) for each, _ in REFUSED) > 1:  # a line of another rule may come first
            continue
        with pytest.raises((UserError, ValueError)) as refusal:
            build(config_of(one), RunDir(tmp_path))
        message = str(refusal.value)
        assert told in re.sub(r"^objective: \w+( with objective\.gradient=\w+)?", "objective: {}", message), one
        assert "\n" not in message
        assert not list(tmp_path.iterdir())


def test_there_is_a_combination_for_every_option_of_the_configs():
    for group, options in GROUPS.items():
        folder = Path(
            CONF_DIR, "objective" if group == "objective" else f"model/{group}" if group != "model" else group
        )
        shipped = {path.stem for path in folder.glob("*.yaml")} - {"auto", "auto_fixed", "base"}
        if group == "model":
            shipped -= {"burda", "conv5", "upsample"}  # networks for larger images, and of the same kind
        assert shipped == {name.partition(" ")[0] for name in options} - {NONE}, group
