"""What of a run is in Trackio's store, where Trackio is installed, and what is said where it is not."""

import json
import re
import sys

import pytest

from tests.conftest import TINY
from tests.loggers.tracked import command, picture_files, trained
from vae_lightning.building.trust import Trust
from vae_lightning.config import instantiate
from vae_lightning.errors import UserError
from vae_lightning.loggers.told import Told
from vae_lightning.loggers.trackio import Trackio, _plain


def test_what_is_missing_is_said_in_one_line_before_anything_is_written(error_of, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "trackio", None)
    message = error_of(*TINY, "logger=trackio", "run_dir=run")
    assert message == 'logger=trackio: trackio is not installed: pip install "vae-lightning[trackio]"'
    assert not list(tmp_path.iterdir())


def test_a_resumed_run_goes_on_with_its_pictures_and_its_end(tmp_path, monkeypatch):
    trackio = pytest.importorskip("trackio", reason="trackio is not installed: it takes pillow below 13 only")
    from trackio.sqlite_storage import SQLiteStorage

    project = f"test-{tmp_path.name}"
    run = trained(tmp_path, "logger=trackio", f"logger.trackio.project={project}")
    command(tmp_path, "resume=outputs/run", "trainer.max_epochs=2")
    name = json.loads((run.path / "trackio.json").read_text())["run"]
    logs = SQLiteStorage.get_logs(project, name)
    assert [log["step"] for log in logs if "val/elbo" in log] == [8, 17]
    for tag in picture_files(run):
        assert [log["step"] for log in logs if tag in log] == [8, 17]
    assert [log["final/test/elbo"] for log in logs if "status" in log][-1] == run.metrics()["test/elbo"]
    assert SQLiteStorage.get_run_config(project, name)["model.latent_dim"] == 4
    trackio.delete_project(project, force=True)


def test_a_stored_config_reaches_no_space(tmp_path, told):
    pytest.importorskip("trackio", reason="trackio is not installed: it takes pillow below 13 only")
    stored = {"_target_": "vae_lightning.loggers.trackio.Trackio", "space_id": "stranger/space"}
    is_typed = Trust(typed=frozenset({"logger.trackio._target_"}))
    built = instantiate(stored, "logger.trackio", trusted=is_typed, offered={"run_dir": str(tmp_path)})
    assert built._space_id is None
    assert len(told()) == 1


@pytest.mark.parametrize("name", [".", "..", ".hidden", "-x", "a/b", "a\n", "a" * 201, ""])
def test_no_run_has_a_name_that_leads_elsewhere(tmp_path, name):
    (tmp_path / "trackio.json").write_text(json.dumps({"run": name, "steps": {}}))
    with pytest.raises(UserError, match=r"trackio\.json: can't be read"):
        Told(tmp_path / "trackio.json", Trackio.pattern, is_resumed=True)


@pytest.mark.parametrize("name", ["2026-11-26/10-00_digits", "../.hidden", "-" * 300 + "a", "Zahl 1/ä", "_a"])
def test_each_run_has_a_name_that_it_is_gone_on_with_by(name):
    assert re.fullmatch(Trackio.pattern, _plain(f"{name}-0123abcd"), re.ASCII)
