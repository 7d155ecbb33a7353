"""What of a run is in W&B's files, offline."""

import json
import sys
from importlib.util import find_spec

import pytest

from tests.conftest import TINY, refusal
from tests.end_to_end.runs import wait_for
from tests.loggers.offline_wandb import Offline, read_offline
from tests.loggers.tracked import command, picture_files, trained
from vae_lightning.building.trust import Trust
from vae_lightning.config import instantiate
from vae_lightning.errors import UserError
from vae_lightning.loggers.wandb import WandB
from vae_lightning.runs.records import RunDir

pytestmark = pytest.mark.skipif(not find_spec("wandb"), reason="wandb is not installed")  # it takes long to import
OFFLINE = ["logger=[default,wandb]", "logger.wandb.mode=offline", "logger.wandb.tags=[trial]", "tags=[paper]"]
NODE = {"_target_": "vae_lightning.loggers.wandb.WandB"}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunDir:
    """A run of an epoch that has then been gone on with for another."""
    folder = tmp_path_factory.mktemp("wandb")
    run = trained(folder, *OFFLINE)
    command(folder, "resume=outputs/run", "trainer.max_epochs=2")
    return run


@pytest.fixture(scope="module")
def parts(run) -> list[Offline]:
    """What the run and its resumption left."""
    return [read_offline(folder) for folder in sorted((run.path / "wandb").glob("offline-run-*"))]


def test_a_resumed_run_goes_on_as_the_same_and_tells_each_step_once(parts):
    assert len(parts) == 2
    assert {part.run.run_id for part in parts} == {parts[0].run.run_id}
    for name in ("train/loss", "val/elbo", "test/elbo", "images/samples.path"):
        assert [[step for step, _ in part.points(name)] for part in parts] == [[8], [17]]


def test_figures_are_those_of_metrics_csv(run, parts):
    told = [value for part in parts for _, value in part.points("val/elbo")]
    rows = [line.split(",") for line in (run.path / "metrics.csv").read_text().splitlines()]
    column = rows[0].index("val/elbo")
    assert told == [pytest.approx(float(row[column])) for row in rows[1:] if row[column]]


def test_pictures_and_animations_are_there_byte_for_byte(run, parts):
    drawn = picture_files(run)
    assert drawn.keys() == {"images/samples", "images/transition", "animations/transition"}
    folders = sorted((run.path / "wandb").glob("offline-run-*"))
    for name, pictures in drawn.items():
        places = zip(folders, parts, strict=True)
        told = [
            (folder / "files" / path).read_bytes() for folder, part in places for _, path in part.points(f"{name}.path")
        ]
        assert told == pictures


def test_hyperparameters_texts_final_figures_and_the_end_are_there(run, parts):
    part = parts[-1]
    assert (part.config["model.latent_dim"], part.config["objective"], part.config["name"]) == (4, "ELBO", "digits_mlp")
    assert part.config["trainer.max_epochs"] == 2
    final = {name.removeprefix("final/"): value for name, value in part.summary.items() if name.startswith("final/")}
    assert final == pytest.approx(run.metrics())
    assert (part.summary["status"], part.exit_code) == ("finished", 0)
    pages = sorted((run.path / "wandb").glob("offline-run-*/files/media/html/text/config_*"))
    assert "latent_dim: 4" in pages[-1].read_text()
    assert (part.run.display_name, list(part.run.tags), part.run.run_group) == ("outputs/run", ["paper", "trial"], "")


def test_nothing_of_it_leads_out_of_the_run_directory(run):
    assert not [path for path in run.path.rglob("*") if path.is_symlink()]
    assert json.loads((run.path / "wandb.json").read_text())["steps"]["val/elbo"] == 17


def test_a_failed_job_of_a_sweep_is_told_with_its_reason_and_its_group(tmp_path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep/multirun.yaml").touch()
    failing = ["optimizer.lr=1e30", "callbacks=none", "trainer.max_epochs=3", "run_dir=sweep/4"]
    reason = refusal(command, tmp_path, *TINY[:6], *OFFLINE, *failing)
    (folder,) = tmp_path.glob("sweep/4/wandb/*")
    wait_for(lambda: "status" in read_offline(folder).summary)  # its server writes by itself
    part = read_offline(folder)
    assert (part.summary["status"], part.exit_code) == ("failed", 1)
    assert part.summary["reason"] == reason
    assert (part.run.run_group, part.run.display_name) == ("sweep", "sweep/4")


def test_what_was_told_is_soon_on_the_disk_where_a_kill_leaves_it(tmp_path):
    logger = WandB(str(tmp_path), mode="offline")
    logger.log_hyperparams({})
    logger.log_metrics({"loss": 2.0}, 7)
    logger.save()
    (folder,) = tmp_path.glob("wandb/offline-run-*")
    wait_for(lambda: read_offline(folder).points("loss") == [(7, 2.0)], within_s=7)
    logger.end("interrupted", None, {})


def test_what_is_missing_is_said_in_one_line_before_anything_is_written(error_of, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    message = error_of(*TINY, "logger=wandb", "run_dir=run")
    assert message == 'logger=wandb: wandb is not installed: pip install "vae-lightning[wandb]"'
    assert not list(tmp_path.iterdir())


def test_online_an_account_is_needed(error_of, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    message = error_of(*TINY, "logger=wandb", "run_dir=run")
    assert message.startswith("logger.wandb.mode=online: no account is known here; type `wandb login`")
    assert not list(tmp_path.iterdir())


def test_a_mode_that_there_is_not_is_refused(error_of):
    assert "expected online, offline, disabled" in error_of(*TINY, "logger=wandb", "logger.wandb.mode=dry")


def test_a_stored_config_reaches_no_network_and_names_no_account(tmp_path, told):
    stored = NODE | {"mode": "online", "entity": "stranger", "run_dir": "/elsewhere", "project": "p"}
    is_typed = Trust(typed=frozenset({"logger.wandb._target_"}))
    built = instantiate(stored, "logger.wandb", trusted=is_typed, offered={"run_dir": str(tmp_path)})
    assert (built._options["mode"], built._options["entity"]) == ("offline", None)
    assert built.run_dir == tmp_path
    assert len(told()) == 2  # mode and entity; run_dir is the caller's, as ever


def test_a_strangers_run_has_no_name_that_is_none(tmp_path):
    (tmp_path / "wandb.json").write_text(json.dumps({"run": "../../x", "steps": {}}))
    with pytest.raises(UserError, match=r"wandb\.json: can't be read"):
        instantiate(NODE, "logger.wandb", offered={"run_dir": str(tmp_path), "first_step": 3})
