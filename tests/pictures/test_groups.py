"""What the groups of a hierarchy add: which latents are given, and what is drawn of the others."""

import re

import numpy as np
import pytest
import torch

from tests.trained import DIGITS, train_once
from vae_lightning.errors import UserError
from vae_lightning.machine.world import World
from vae_lightning.metrics.bounds import Bounds
from vae_lightning.metrics.subject import Subject
from vae_lightning.metrics.units import ActiveUnits
from vae_lightning.pictures.groups import GroupReconstructions, GroupSamples
from vae_lightning.pictures.transition import Transition
from vae_lightning.pictures.traversals import Traversals
from vae_lightning.runs.trained import TrainedRun, open_trained


@pytest.fixture(scope="module")
def ladder(tmp_path_factory) -> TrainedRun:
    settings = [*DIGITS, "model=ladder", "model.latent_dims=[3,2,1]", "model.hidden=8", "trainer.max_epochs=1"]
    callbacks = "[group_reconstructions,group_samples]"
    run = train_once(tmp_path_factory.mktemp("ladder") / "run", *settings, callbacks=callbacks)
    return open_trained(str(run.path), device="cpu")


def test_the_more_groups_the_more_of_the_image(ladder):
    seen = GroupReconstructions(num_images=4).look(ladder)
    originals = ladder.data.examples(4, "val").images.float() / 255
    assert torch.equal(seen.images[:, 0], originals)
    torch.testing.assert_close(seen.images[:, -1], ladder.decode(ladder.encode(originals)))
    cold = ladder.completed(ladder.encode(originals)[:, :3], torch.arange(4), 7, temperature=0.0)
    assert torch.equal(cold[:, :3], ladder.encode(originals)[:, :3])
    torch.testing.assert_close(seen.images[:, 1], ladder.decode(cold))
    assert seen.names[0] == "input"
    assert ladder.units is not None
    assert ladder.units.rate is not None
    assert seen.names[1] == f"1: {float(ladder.units.rate[:3].sum()):.2f}"
    assert seen.names[-1] == f"3: {float(ladder.units.rate.sum()):.2f}"


def test_what_stays_in_a_row_is_that_of_one_sample(ladder):
    seen = GroupSamples(num_images=5, seed=3).look(ladder)
    assert seen.names == ["0", "1", "2"]
    z = ladder.draw(torch.arange(5), 3)
    torch.testing.assert_close(seen.images[0], ladder.decode(z))
    code = z[:1, :5].expand(5, -1)
    drawn = ladder.completed(code, torch.arange(5), 3)
    assert torch.equal(drawn[:, :5], code)
    assert len(drawn[:, 5].unique()) == 5
    again = ladder.completed(z[:1, :3].expand(5, -1), torch.arange(5), 3)
    assert not torch.allclose(again[0], z[0])  # of another noise than the sample whose groups stay
    torch.testing.assert_close(seen.images[2], ladder.decode(drawn))
    assert torch.equal(GroupSamples(num_images=2, seed=3).look(ladder).images, seen.images[:, :2])


def test_they_are_drawn_while_it_trains_and_when_asked(ladder, generate):
    for name in ("group_reconstructions", "group_samples"):
        assert (ladder.run_dir.path / f"images/{name}/epoch_0001.png").is_file()
        generate(f"run={ladder.run_dir.path}", f"mode={name}", "num_images=2", f"out={name}")
    for kind in (GroupReconstructions, GroupSamples):
        picture = kind(num_images=2)
        drawing = picture.draw(picture.look(ladder), "here")
        assert drawing.picture.shape[1] > 2 * 8


def test_the_rates_of_the_groups_are_figures_and_sum_to_the_rate(ladder):
    metrics = ladder.run_dir.metrics()
    rates = [metrics[f"test/rate_group_{number}"] for number in (1, 2, 3)]
    assert sum(rates) == pytest.approx(metrics["test/rate"], rel=1e-5)
    subject = Subject(ladder, "test", 0, 180, World())
    found = Bounds()(subject).figures
    assert [found[f"rate_group_{number}"].value for number in (1, 2, 3)] == pytest.approx(rates, rel=1e-5)
    assert found["rate_group_2"].label == "rate of group 2"
    units = ActiveUnits()(subject).figures
    active = [units[f"active_units_group_{number}"] for number in (1, 2, 3)]
    assert sum(one.value for one in active) == units["active_units"].value
    assert active[0].label == "... in group 1, of 3"


def test_a_model_of_one_group_has_none(digits, generate, digits_run):
    assert "test/rate_group_1" not in digits.run_dir.metrics()
    for kind, name in ((GroupReconstructions, "group_reconstructions"), (GroupSamples, "group_samples")):
        assert kind().why_not(digits.vae) == "for several groups of latents"
        with pytest.raises(SystemExit, match=rf"^error: mode={name}.* for several groups of latents"):
            generate(f"run={digits_run.path}", f"mode={name}", "out=none")


def test_of_many_groups_some_are_shown():
    from vae_lightning.pictures.groups import _shown

    assert _shown(3) == [1, 2, 3]
    assert _shown(40) == [1, 5, 8, 12, 15, 19, 22, 26, 29, 33, 36, 40]


def test_of_a_transition_and_of_traversals_only_the_chosen_groups_move(ladder):
    ways = Transition(num_images=2, num_frames=3, groups=[2]).look(ladder)
    images = ladder.data.examples(2, "val").images.float() / 255
    first, last = ladder.encode(images)
    z = torch.cat([first[:3], last[3:5], first[5:]])
    torch.testing.assert_close(ways.images[0, 0, -1], ladder.decode(z[None])[0])
    assert Transition(num_images=2, groups=[2, 3]).draw(ways, "here").picture.any()
    assert sorted(Traversals(groups=[1, 3], num_columns=2).look(ladder).dims) == [0, 1, 2, 5]
    for kind in (Transition, Traversals):
        for groups in ([0], [4], []):
            with pytest.raises(UserError, match=rf"^groups={re.escape(str(groups))}: choose from 1 to 3$"):
                kind(groups=groups).check(ladder)
    with pytest.raises(UserError, match=r"^groups=\[1\]: without effect beside dims; give one of them$"):
        Traversals(groups=[1], dims=[0]).check(ladder)


def test_encodings_tell_which_dimensions_are_of_which_group(ladder, generate, tmp_path):
    generate(f"run={ladder.run_dir.path}", "mode=encode", "split=val", f"out={tmp_path / 'codes'}")
    with np.load(tmp_path / "codes/posterior.npz") as found:
        assert found["group_dims"].tolist() == [3, 2, 1]
        assert found["loc"].shape[1] == 6


def test_each_group_may_have_a_temperature_of_its_own(ladder, generate, tmp_path):
    indices = torch.arange(4)
    whole = ladder.draw(indices, 3)
    cold = ladder.draw(indices, 3, temperature=[1.0, 0.0, 0.0])
    assert torch.equal(cold[:, :3], whole[:, :3])
    torch.testing.assert_close(cold, ladder.completed(whole[:, :3], indices, 3, temperature=0.0))
    generate(f"run={ladder.run_dir.path}", "mode=samples", "temperature=[1,0,0.5]", f"out={tmp_path / 'cold'}")
    with pytest.raises(SystemExit, match=r"temperature=\[1\.?0?, 0\.5\]: expected one number, or 3, one of each group"):
        generate(f"run={ladder.run_dir.path}", "mode=samples", "temperature=[1,0.5]", "out=none")
