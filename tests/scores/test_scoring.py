import json

import pytest
import torch

from vae_lightning.errors import UserError
from vae_lightning.runs.images import stream_split
from vae_lightning.scores.complexity import InputComplexity
from vae_lightning.scores.elbo import ELBOScore
from vae_lightning.scores.nll import NLLScore
from vae_lightning.scores.rate import RateScore
from vae_lightning.scores.reconstruction import ReconstructionScore
from vae_lightning.scores.scoring import applicable, batches_of, fitted, scored, together, usual_batches
from vae_lightning.scores.typicality import Typicality


def values_of(run, scores, batch_size=100):
    ready = fitted(scores, lambda: usual_batches(run, 10_000, batch_size))
    batches = batches_of(run, stream_split(run, "test", batch_size))
    return together([scored(ready, batch) for _, batch in batches], ready)


def test_the_mean_over_the_runs_test_images_is_its_own_test_figure(plane, plane_run):
    recorded = json.loads((plane_run.path / "metrics.json").read_text())
    values = values_of(plane, {"elbo": ELBOScore(), "rate": RateScore()})
    assert values["elbo"].mean() == pytest.approx(recorded["test/elbo"], abs=1e-3)
    assert values["rate"].mean() == pytest.approx(recorded["test/rate"], abs=1e-4)


def test_no_score_depends_on_the_batch(plane):
    scores = {"elbo": ELBOScore(2), "nll": NLLScore(4), "typicality": Typicality(), "error": ReconstructionScore()}
    one, other = values_of(plane, scores, 7), values_of(plane, scores, 360)
    for name in scores:
        torch.testing.assert_close(torch.from_numpy(one[name]), torch.from_numpy(other[name]), rtol=1e-4, atol=1e-3)


def test_the_likelihood_is_above_its_bound(plane):
    values = values_of(plane, {"elbo": ELBOScore(64), "nll": NLLScore(64)})
    assert -values["nll"].mean() > values["elbo"].mean()


def test_typicality_is_the_distance_from_the_usual_elbo(plane):
    values = values_of(plane, {"elbo": ELBOScore(), "typicality": Typicality(), "given": Typicality(usual=-100.0)})
    usual = torch.cat([batch.elbo(None) for batch in usual_batches(plane, 10_000, 100)]).mean().item()
    assert values["typicality"].tolist() == pytest.approx(abs(values["elbo"] - usual).tolist())
    assert values["given"].tolist() == pytest.approx(abs(values["elbo"] + 100).tolist())


def test_a_score_that_a_model_has_not_is_left_out_unless_it_was_asked_for(digits, told):
    scores = {"elbo": ELBOScore(), "complexity": InputComplexity()}
    assert list(applicable(digits, scores)) == ["elbo"]
    assert any("without complexity: these are no bits" in line for line in told())
    with pytest.raises(UserError, match="scores=complexity: these are no bits"):
        applicable(digits, scores, ["complexity"])
    with pytest.raises(UserError, match="scores: the model has none of complexity"):
        applicable(digits, {"complexity": InputComplexity()})
