"""The networks as a page has them."""

import numpy as np
import pytest
import torch

from tests.models.test_combinations import Combination, config_of
from tests.models.test_combinations import with_parts_of_its_model as complete
from vae_lightning.config import instantiate
from vae_lightning.explorer.page_networks import networks_of, prior_graph, sampled_by
from vae_lightning.exports.onnx import write_onnx
from vae_lightning.models.latent_model import LatentModel
from vae_lightning.noise import Fresh

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def model(one: Combination) -> LatentModel:
    torch.manual_seed(0)
    vae = instantiate(config_of(one)["model"], "model").eval()
    with torch.no_grad():
        for weights in vae.parameters():
            weights += 0.05 * torch.randn_like(weights)
    return vae


@pytest.mark.parametrize(
    ("one", "how"),
    [
        (Combination(), "moments"),
        (Combination(prior="learned_gaussian"), "moments"),
        (Combination(prior="mixture"), "network"),
        (Combination(prior="vamp"), "network"),
        (Combination(prior="flow"), "pool"),
        (complete(Combination(model="ladder")), "network"),
        (complete(Combination(model="hvae")), "network"),
    ],
)
def test_how_a_prior_is_sampled(one, how, tmp_path):
    vae = model(one)
    assert sampled_by(vae) == how
    if how != "network":
        return
    graph = prior_graph(vae)
    assert write_onnx(graph, tmp_path / "prior.onnx")["largest_difference"] < 1e-5
    with torch.no_grad():
        (z,) = graph.module(*graph.example(4096))
        wanted = vae.draw(Fresh(1, 4096, torch.device("cpu")))[0]
    assert z.shape == wanted.shape == (4096, vae.latent_dim)
    spread = wanted.std(0)
    assert ((z.mean(0) - wanted.mean(0)).abs() < 0.12 * spread).all()
    assert ((z.std(0) / spread - 1).abs() < 0.12).all()


def test_weights_are_half_as_large_and_compute_nearly_the_same(digits):
    networks = networks_of(digits)
    assert set(networks) == {"encoder", "decoder"}
    vae = digits.vae.float().cpu()
    weights = sum(each.numel() for each in vae.decoder.parameters())
    assert len(networks["decoder"]) < 2 * weights + 20_000 < 4 * weights
    session = onnxruntime.InferenceSession(networks["decoder"])
    z = np.random.default_rng(0).standard_normal((7, 4), dtype=np.float32)
    with torch.no_grad():
        wanted = vae.generate(torch.as_tensor(z)).numpy()
    (found,) = session.run(None, {"z": z})
    assert 0 < np.abs(found - wanted).max() < 1 / 255
