"""What `resume=` may name: a run directory, or a checkpoint that lies in one."""

import pytest

from vae_lightning.errors import UserError
from vae_lightning.runs.resuming import resumed_checkpoint, run_to_resume


def test_a_run_directory_or_a_checkpoint_in_it(digits_run):
    assert run_to_resume(str(digits_run.path)) == (digits_run, None)
    assert run_to_resume(str(digits_run.last)) == (digits_run, None)
    assert run_to_resume(str(digits_run.best)) == (digits_run, "best.ckpt")


@pytest.mark.parametrize(("name", "file"), [(None, "last.ckpt"), ("best.ckpt", "best.ckpt"), ("../../x", "x")])
def test_it_lies_among_the_runs_own(digits_run, name, file):
    assert resumed_checkpoint(digits_run, {"resume": name}) == digits_run.checkpoints / file


def test_other_files_are_refused(digits_run, tmp_path):
    (tmp_path / "best.ckpt").touch()
    with pytest.raises(
        UserError, match="is gone on from where it lies, in the checkpoints folder of its run; init_from="
    ):
        run_to_resume(str(tmp_path / "best.ckpt"))
    with pytest.raises(UserError, match=f"no such file; resume={digits_run.path} goes on from last.ckpt"):
        run_to_resume(str(digits_run.checkpoints / "own.ckpt"))
