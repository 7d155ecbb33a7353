"""FID and KID with weights from a file, from torch's cache, or downloaded; and what happens without any."""

import functools
import hashlib
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance

from tests.trained import opened
from vae_lightning.errors import UserError
from vae_lightning.machine.world import World
from vae_lightning.metrics import features
from vae_lightning.metrics.features import features_of
from vae_lightning.metrics.frechet import frechet_distance
from vae_lightning.metrics.inception import NoWeightsError, inception
from vae_lightning.metrics.samples import SampleQuality, _Given, _Look
from vae_lightning.metrics.score import Score
from vae_lightning.metrics.subject import Subject
from vae_lightning.models.posteriors.point import PointPosterior
from vae_lightning.runs.trained import TrainedRun

MODULE = "torch_fidelity.feature_extractor_inceptionv3"
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def quick_features(monkeypatch, tmp_path):
    monkeypatch.setattr(features, "_STEPS", 3)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # networks of so few steps are for nobody else


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Weights of the right shapes and of no meaning."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{MODULE}.load_state_dict_from_url", lambda *arguments, **options: {})
        patch.setattr(nn.Module, "load_state_dict", lambda *arguments, **options: None)
        torch.manual_seed(0)
        network = FeatureExtractorInceptionV3("random", ["2048"])
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture
def cache(monkeypatch, tmp_path) -> Path:
    """An empty cache of torch's, and no place to download from."""
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(f"{MODULE}.URL_INCEPTION_V3", "http://127.0.0.1:9/weights-inception-0.pth")
    return tmp_path / "hub/checkpoints"


def score(run: TrainedRun, **settings) -> Score:
    return SampleQuality(batch_size=4, **settings)(Subject(run, "test", 0, 5, World()))


def test_figures_are_those_of_torchmetrics(weights, digits):
    found = score(digits, num_images=4, weights=str(weights), kid_subset_size=3)
    assert {name: found.facts[name] for name in ("num_images", "num_samples")} == {"num_images": 4, "num_samples": 4}
    real = digits.data.images_at(torch.arange(4), "test").images.expand(-1, 3, -1, -1)
    z = digits.draw(torch.arange(4), _seed())
    made = (digits.decode(z) * 255).round().to(torch.uint8).expand(-1, 3, -1, -1)
    network = inception(str(weights), World(), CPU)
    seen = torch.cat([network(real), network(made)]).double()
    # They lie in eight dimensions, and the distance is the same by any basis of those: of 2,048 it takes seconds.
    few = seen @ torch.linalg.qr(seen.T).Q
    fid = FrechetInceptionDistance(_Given(8)).set_dtype(torch.float64)
    fid.update(few[:4], real=True)
    fid.update(few[4:], real=False)
    assert found.figures["fid"].value == pytest.approx(float(fid.compute()), rel=1e-4)
    assert found.figures["kid"].value is not None
    assert found.figures["kid"].stderr is None  # all subsets are of the same images


def _seed() -> int:
    from vae_lightning.noise import evaluation_seed

    return evaluation_seed(0, "test", 4)


class _Quick(nn.Module):
    num_images = 0

    def forward(self, images):
        self.num_images += len(images)
        return images.flatten(1).float()[:, 300:320]


@pytest.fixture
def papers(monkeypatch) -> _Quick:
    """Some pixels in the place of Inception's features, which take seconds."""
    network = _Quick()
    monkeypatch.setattr("vae_lightning.metrics.samples.inception", lambda *_: network)
    return network


def test_images_are_at_no_distance_from_themselves(papers, digits, monkeypatch):
    assert score(digits, num_images=6, kid_subset_size=5).figures["fid"].value > 1
    monkeypatch.setattr(_Look, "made", lambda look, draw: look.real())
    found = score(digits, num_images=6, kid_subset_size=5)
    assert found.figures["fid"].value == pytest.approx(0, abs=1e-3)
    assert found.figures["fd_classifier"].value == pytest.approx(0, abs=1e-5)
    assert found.figures["fd_classifier_reconstructions"].value > 0.01


def test_figures_depend_on_the_seed_alone(papers, digits):
    first, again = (score(digits, num_images=3, kid_subset_size=2) for _ in range(2))
    assert first == again


def test_the_papers_network_looks_at_images_and_samples_alone(papers, digits):
    assert score(digits, num_images=6, kid_subset_size=3).figures["fid"].value > 0
    assert papers.num_images == 12


def test_weights_in_the_cache_are_taken(cache, weights):
    cache.mkdir(parents=True)
    shutil.copy(weights, cache / "weights-inception-0.pth")
    seen = inception(None, World(), CPU)(torch.zeros(2, 3, 28, 28, dtype=torch.uint8))
    assert seen.shape == (2, 2048)


@pytest.fixture
def server(weights, tmp_path) -> Iterator[str]:
    """The weights under a name that ends in their hash, served on this machine; its address."""
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:8]
    folder = tmp_path / "served"
    folder.mkdir()
    shutil.copy(weights, folder / f"weights-inception-2015-12-05-{digest}.pth")
    shutil.copy(weights, folder / "weights-inception-2015-12-05-00000000.pth")
    handler = functools.partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}/weights-inception-2015-12-05-{digest}.pth"
        serving.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def test_weights_are_downloaded_once(cache, server, monkeypatch):
    monkeypatch.setattr(f"{MODULE}.URL_INCEPTION_V3", server)
    inception(None, World(), CPU)
    assert [path.name for path in cache.iterdir()] == [Path(server).name]
    monkeypatch.setattr("torch.hub.download_url_to_file", None)
    inception(None, World(), CPU)


def test_a_damaged_download_is_not_kept(cache, server, monkeypatch):
    damaged = f"{server.rpartition('-')[0]}-00000000.pth"
    monkeypatch.setattr(f"{MODULE}.URL_INCEPTION_V3", damaged)
    with pytest.raises(NoWeightsError, match="invalid hash value"):
        inception(None, World(), CPU)
    assert list(cache.iterdir()) == []


def test_without_weights_there_is_a_reason_in_place_of_figures(cache, digits):
    found = score(digits, num_images=5)
    assert found.figures["fd_classifier"].value > 0
    for name in ("fid", "kid"):
        figure = found.figures[name]
        assert figure.value is None
        assert figure.reason is not None
        assert "can't be downloaded" in figure.reason
        assert "samples.weights=<a copy of weights-inception-0.pth>" in figure.reason


def test_a_file_of_other_weights_is_refused(tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"^samples.weights=.*other.pth: not the weights of the Inception network"):
        inception(str(tmp_path / "other.pth"), World(), CPU)


@pytest.mark.parametrize("settings", [{"num_images": 1}, {"kid_subset_size": 1}, {"batch_size": 0}])
def test_too_few_images_are_refused(settings):
    with pytest.raises(ValueError, match=f"^{next(iter(settings))} must be at least"):
        SampleQuality(**settings)


def test_images_that_are_neither_grey_nor_rgb_have_no_figures_and_need_no_weights(digits, monkeypatch):
    monkeypatch.setattr(digits.preprocessing, "channels", 5)
    SampleQuality(weights="/nowhere").check(Subject(digits, "test", 0, 5, World()))
    found = score(digits, num_images=8, weights="/nowhere")
    papers = [found.figures[name] for name in ("fid", "kid")]
    assert [figure.value for figure in papers] == [None, None]
    assert all("have 5 channels" in str(figure.reason) for figure in papers)


def test_a_sampler_has_figures_of_its_own_name_and_leaves_the_priors_as_they_are(cache, digits_run, moved):
    run = opened(moved(digits_run))
    settings = {"num_images": 50, "feature_seed": 1}
    alone, both = (score(run, **settings, sampler=each) for each in ("prior", ["prior", "gmm"]))
    assert {name: both.figures[name] for name in alone.figures} == alone.figures
    assert both.figures.keys() - alone.figures.keys() == {"fid_gmm", "kid_gmm", "fd_classifier_gmm"}
    assert both.figures["fd_classifier_gmm"].label == "FD by classifier, samples of gmm"
    assert both.figures["fd_classifier_gmm"].value != alone.figures["fd_classifier"].value
    again = score(opened(run.run_dir), **settings, sampler="gmm")
    assert again.figures["fd_classifier_gmm"] == both.figures["fd_classifier_gmm"]
    assert "fd_classifier" not in again.figures


def test_the_distance_is_that_of_the_networks_features(cache, digits):
    found = score(digits, num_images=40)
    network = features_of(digits.data, 0, CPU).network
    real = network(digits.data.images_at(torch.arange(40), "test").images.float() / 255)
    made = network(digits.decode(digits.draw(torch.arange(40), _seed())))
    assert found.figures["fd_classifier"].value == pytest.approx(frechet_distance(real, made), rel=1e-3)


def test_a_sampler_that_there_is_not_is_told_before_anything_is_computed(digits):
    message = "samples.sampler=gm: no such option; did you mean gmm?"
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        SampleQuality(sampler=["prior", "gm"]).check(Subject(digits, "test", 0, 5, World()))


def test_a_sampler_that_is_not_for_these_posteriors_is_told_before_any_is_fitted(digits_run, moved):
    run = opened(moved(digits_run))
    run.vae.posterior = PointPosterior(16, 4)
    with pytest.raises(UserError, match=r"^sampler=vamp: needs posteriors that are normal .* valid here: prior, g"):
        SampleQuality(sampler=["prior", "gmm", "vamp"]).check(Subject(run, "test", 0, 5, World()))
    assert not (run.run_dir.path / "samplers").exists()
