"""The learned codebook does what the paper says, step by step."""

import pytest
import torch

from vae_lightning.errors import UserError
from vae_lightning.models.quantizers import library as its_library
from vae_lightning.models.quantizers.vector import VectorQuantizer


def quantizer(**options) -> VectorQuantizer:
    torch.manual_seed(0)
    made = VectorQuantizer(**{"num_codes": 5, "code_dim": 3, "dead_below": 0.0} | options)
    codebook = made.codebook._codebook
    codebook.embed.normal_()
    codebook.embed_avg.copy_(codebook.embed)
    return made


def test_each_vector_gets_the_nearest_code_and_pays_for_the_distance():
    made, vectors = quantizer(commitment=0.3).eval(), torch.randn(4, 6, 3)
    seen = made(vectors)
    codes = made.codebook.codebook
    distances = (vectors.unsqueeze(2) - codes).square().sum(-1)
    assert torch.equal(seen.indices, distances.argmin(-1))
    torch.testing.assert_close(seen.vectors, codes[seen.indices])
    torch.testing.assert_close(seen.penalty, 0.3 * distances.amin(-1).sum(1))
    assert torch.equal(made.vectors_of(seen.indices), codes[seen.indices])


@pytest.mark.parametrize("rotation_trick", [False, True])
def test_the_gradient_goes_straight_through_and_the_penalty_has_the_encoders(rotation_trick):
    made, vectors = quantizer(rotation_trick=rotation_trick, commitment=0.5).train(), torch.randn(2, 6, 3)
    vectors.requires_grad_()
    codes = made.codebook.codebook.clone()
    seen, weights = made(vectors), torch.randn(2, 6, 3)
    chosen = codes[seen.indices]
    torch.testing.assert_close(seen.vectors, chosen)
    (through,) = torch.autograd.grad((seen.vectors * weights).sum(), vectors, retain_graph=True)
    if rotation_trick:  # a rotation, and a stretch by the ratio of the norms
        ratio = chosen.norm(dim=-1) / vectors.norm(dim=-1)
        torch.testing.assert_close(through.norm(dim=-1), ratio * weights.norm(dim=-1), rtol=1e-3, atol=1e-4)
        assert not torch.allclose(through, weights, atol=0.1)
    else:
        torch.testing.assert_close(through, weights)
    (of_penalty,) = torch.autograd.grad(seen.penalty.sum(), vectors)
    torch.testing.assert_close(of_penalty, 0.5 * 2 * (vectors - chosen))


def test_codes_follow_the_running_mean_of_their_vectors_in_training_alone():
    made, vectors = quantizer(decay=0.9), torch.randn(2, 6, 3)
    codes = made.codebook.codebook.clone()
    made.eval()(vectors)
    assert torch.equal(made.codebook.codebook, codes)
    seen = made.train()(vectors)
    chosen = torch.nn.functional.one_hot(seen.indices, 5).float().flatten(0, 1)
    counts = 0.9 * torch.ones(5) + 0.1 * chosen.sum(0)
    sums = 0.9 * codes + 0.1 * chosen.T @ vectors.flatten(0, 1)
    torch.testing.assert_close(made.codebook.codebook, sums / counts.unsqueeze(1), rtol=1e-4, atol=1e-5)


def test_what_is_learned_is_in_the_checkpoint_and_in_no_parameter():
    made = quantizer()
    assert list(made.parameters()) == []
    names = {name.rpartition(".")[2] for name in made.state_dict()}
    assert names == {"initted", "cluster_size", "embed_avg", "embed"}


@pytest.mark.parametrize(("dead_below", "all_live"), [(0.0, False), (0.5, True)])
def test_a_code_that_no_vector_is_near_is_replaced_by_one_of_the_batch(dead_below, all_live):
    made = quantizer(dead_below=dead_below, decay=0.5).train()
    made.codebook._codebook.embed[0, 4] = made.codebook._codebook.embed_avg[0, 4] = 100.0
    vectors = torch.randn(8, 6, 3)
    for _ in range(3):
        made(vectors)
    nearest = (made.codebook.codebook.unsqueeze(1) - vectors.flatten(0, 1)).norm(dim=-1).amin(1)
    assert bool(nearest[4] < 1) is all_live


def test_ranks_learn_of_the_vectors_of_all_and_share_what_was_replaced(monkeypatch):
    """As if another rank had the same batch: the codebook is that of the batch twice."""
    vectors, shared = torch.randn(2, 6, 3), []
    alone, among = quantizer().train(), quantizer().train()
    alone(torch.cat([vectors, vectors]))
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda value: value.mul_(2))
    monkeypatch.setattr(torch.distributed, "broadcast", lambda value, src: shared.append(value))
    among(vectors)
    torch.testing.assert_close(among.state_dict(), alone.state_dict())
    assert {id(each) for each in shared} == {id(each) for each in among.codebook._codebook.buffers()}
    shared.clear()
    among.eval()(vectors)
    assert shared == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_codes", 1), ("num_codes", 65_537), ("code_dim", 0), ("commitment", -1), ("dead_below", -1), ("decay", 1.0)],
)
def test_impossible_values_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"^{name} must "):
        VectorQuantizer(**{name: value})


def test_without_the_library_a_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "vector_quantize_pytorch", None)
    with pytest.raises(UserError, match=r"^model\.quantizer: .* pip install 'vae-lightning\[codes\]'$"):
        its_library.library()
