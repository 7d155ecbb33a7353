"""A run directory from a stranger, resumed and opened: its config decides nothing but what is trained and drawn."""

import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import refusal
from tests.runs.test_trained import edit_config
from tests.trained import write_pictures
from vae_lightning.building.trust import Trust, trusting
from vae_lightning.config import instantiate
from vae_lightning.data.mnist import MNIST
from vae_lightning.errors import UserError
from vae_lightning.runs.records import RunDir
from vae_lightning.runs.resuming import resumed_config
from vae_lightning.runs.trained import open_trained

CREATE = "${oc.create:{_target_: os.system, command: 'touch owned'}}"


@pytest.fixture
def run(digits_run, moved) -> RunDir:
    return moved(digits_run)


def tree(folder: Path) -> dict[str, float]:
    """All that is in a folder, with the times of its changes."""
    return {str(path): path.stat().st_mtime for path in sorted(folder.rglob("*"))}


def composed(**keys) -> dict:
    return {"trust": [], "trainer": {}, "output_dir": "outputs"} | keys


# What the command line says


@pytest.mark.parametrize(
    "place", ["data.batch_size", "model.encoder.activation", "callbacks.x", "name", "optimizer.lr"]
)
def test_nothing_stored_is_resolved_by_any_command(run, error_of, generate, place, monkeypatch):
    monkeypatch.setenv("SECRET", "told")
    *parents, name = place.split(".")

    def change(config):
        config["callbacks"] = {"x": {}}
        node = config
        for parent in parents:
            node = node[parent]
        node[name] = CREATE + "${oc.env:SECRET}"

    edit_config(run, change)
    messages = [error_of(f"resume={run.path}", "trainer.max_epochs=3"), refusal(generate, f"run={run.path}", "out=x")]
    for message in messages:
        assert message.startswith(f'{place}="${{oc.create:')
        assert message.endswith(": a stored config is resolved, and may not hold ${")
        assert "told" not in message
    assert not Path("owned").exists()


def test_a_trust_that_is_stored_counts_for_nothing(run, error_of, tmp_path, monkeypatch):
    (tmp_path / "foreign_nets.py").write_text("open('owned', 'w')")
    monkeypatch.syspath_prepend(tmp_path)

    def change(config):
        config["trust"] = ["foreign_nets"]
        config["model"]["decoder"]["_target_"] = "foreign_nets.Net"

    edit_config(run, change)
    expected = "model.decoder._target_=foreign_nets.Net: a stored config may only build one of Conv5Decoder, "
    assert error_of(f"resume={run.path}", "trainer.max_epochs=3").startswith(expected)
    with pytest.raises(UserError, match="may only build"):
        open_trained(str(run.path), device="cpu")
    assert not Path("owned").exists()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("config.yaml", "a: !!python/object/apply:os.system ['touch owned']"),
        ("config.yaml", "a: ["),
        ("config.yaml", "just a text"),
        ("config.yaml", ""),
        ("config.yaml", "name: x\nseed: 0\ndata: 3"),
        ("overrides.yaml", "data: 1"),
        ("overrides.yaml", "- !!python/name:os.system"),
    ],
)
def test_a_file_that_is_none_of_ours_is_told_in_one_line(run, error_of, file, text):
    (run.path / file).write_text(text)
    assert f"resume={run.path}: {file} can't be read (" in error_of(f"resume={run.path}", "trainer.max_epochs=3")
    assert not Path("owned").exists()


def test_a_run_that_lacks_later_keys_is_resumed(run, command):
    edit_config(run, lambda config: [config["trainer"].pop(key) for key in ("compile", "sync_batchnorm")])
    command(f"resume={run.path}", "trainer.max_epochs=3")
    assert run.metrics()["epochs"] == 3


@pytest.mark.parametrize("change", [{"checkpoint": None}, {"checkpoint": {}}, {}], ids=["null", "empty", "none"])
def test_a_run_that_stores_no_checkpoints_saves_them_all_the_same(run, command, change):
    edit_config(run, lambda config: [config.pop("checkpoint"), config.update(change)])
    command(f"resume={run.path}", "trainer.max_epochs=3")
    assert {path.name for path in run.checkpoints.iterdir()} == {"best.ckpt", "last.ckpt"}
    assert open_trained(str(run.path), device="cpu", ckpt="last").epoch == 3


def test_what_is_typed_at_resume_is_the_users(run):
    config = run.config()
    given = config["data"] | {"root": "/mine", "cache_dir": "/cache"}
    typed = ["data.root=/mine", "++data.cache_dir=/cache", "callbacks=default", "name=x", "~logger.csv", "trust=[a]"]
    overrides = ["data.batch_size=7", "data.seed=0"]
    run.write_config(config | {"data": given | {"batch_size": 9}}, overrides)
    whole = composed(data=given | {"batch_size": 7, "seed": 0}, callbacks={"a": {}}, logger=None, trust=["a"])
    stored, trust = resumed_config(run, whole, typed + overrides)
    # The batch size was typed once, and is not what is stored now: what is typed counts, whatever the run began with.
    keys = ["data.root", "data.cache_dir", "data.batch_size", "callbacks", "logger.csv", "data.seed"]
    assert trust == trusting(["a"], [*keys, "output_dir"])
    assert (stored["data"]["batch_size"], stored["callbacks"], stored["trust"]) == (7, {"a": {}}, config["trust"])


def test_what_is_typed_counts_whatever_the_run_says_that_it_began_with(run):
    run.write_config(run.config() | {"data": run.config()["data"] | {"root": "/theirs"}}, ["data.root=/mine", "data=x"])
    whole = composed(data={"root": "/mine"})
    stored, trust = resumed_config(run, whole, ["data.root=/mine", "data=x"])
    assert (stored["data"]["root"], trust.typed) == ("/mine", {"data.root", "output_dir"})


def test_the_folder_of_all_runs_is_the_commands_typed_or_not(run):
    edit_config(run, lambda config: config.update(output_dir="/theirs"))
    stored, trust = resumed_config(run, composed(output_dir="/mine"), [])
    assert (stored["output_dir"], trust.is_typed("output_dir")) == ("/mine", True)


def test_a_root_that_is_typed_stands_in_for_a_stored_archive(run):
    edit_config(run, lambda config: config["data"].update(root=None, archive="faces.zip"))
    stored, _ = resumed_config(run, composed(data={"root": "/mine"}), ["data.root=/mine"])
    assert (stored["data"]["root"], stored["data"]["archive"]) == ("/mine", None)


def test_no_stored_key_runs_under_the_name_of_one_that_was_typed(run, error_of):
    evil = {"_target_": "sympy.sympify", "a": "__import__('pathlib').Path('owned').touch()"}
    edit_config(run, lambda config: config.update(callbacks={"tsne": None, "tsne.x": evil}))
    message = error_of(f"resume={run.path}", "trainer.max_epochs=3", "callbacks.tsne=null")
    assert message == "callbacks: 'tsne.x' can't be a key of a stored config"
    assert not Path("owned").exists()


# Places


def test_a_search_beside_a_strangers_run_is_not_told_of_it(run, command):
    optuna = pytest.importorskip("optuna")
    journal = run.path.parent / "study.log"
    backend = optuna.storages.journal.JournalFileBackend(str(journal))
    optuna.create_study(study_name="search", storage=optuna.storages.JournalStorage(backend)).ask()
    before = journal.read_bytes()
    pruning = {"_target_": "vae_lightning.callbacks.pruning.PruneTrial", "trial": 0}
    edit_config(run, lambda config: config.update(callbacks={"pruning": pruning}))
    command(f"resume={run.path}", "trainer.max_epochs=3")
    assert journal.read_bytes() == before
    assert "a trial that is resumed alone is not reported to its search" in (run.path / "train.log").read_text()


def test_a_resume_writes_into_its_run_only(digits_run, command, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    run = RunDir(shutil.copytree(digits_run.path, tmp_path / "runs/run"))

    def change(config):
        config.update(output_dir=str(elsewhere), run_dir=str(elsewhere / "run"), sweep_dir=str(elsewhere / "sweep"))
        config["callbacks"] = {"pruning": {"_target_": "vae_lightning.callbacks.pruning.PruneTrial", "trial": 0}}
        config["callbacks"]["pruning"]["storage"] = f"sqlite:///{elsewhere / 'study.db'}"
        config["callbacks"]["early"] = {"_target_": "lightning.pytorch.callbacks.EarlyStopping", "monitor": "val/elbo"}
        config["logger"] = {
            "csv": {"_target_": "vae_lightning.loggers.metrics_csv.MetricsCSV", "run_dir": str(elsewhere)}
        }
        config["trainer"].update(default_root_dir=str(elsewhere), profiler="simple", logger=True)
        old = {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "dirpath": str(elsewhere)}
        config["checkpoint"] = {"best": old | {"filename": "../../../x"}, "last": old | {"filename": str(elsewhere)}}

    edit_config(run, change)
    command(f"resume={run.path}", "trainer.max_epochs=3")
    assert list(elsewhere.iterdir()) == []
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["run"]
    assert (run.path / "metrics.csv").is_file()
    assert run.metrics()["epochs"] == 3


def test_a_resume_tells_no_service_of_it(digits_run, command, tmp_path, monkeypatch, capsys):
    run = RunDir(shutil.copytree(digits_run.path, tmp_path / "runs/run"))
    (tmp_path / "runs/mlflow.db").symlink_to(tmp_path / "owned.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mine.db'}")
    monkeypatch.setenv("TRACKIO_SERVER_URL", "http://127.0.0.1:9")
    targets = ("mlflow.MLflow", "wandb.WandB", "trackio.Trackio")
    services = {target.split(".")[0]: {"_target_": f"vae_lightning.loggers.{target}"} for target in targets}
    edit_config(run, lambda config: config.update(logger=services, callbacks={}))
    command(f"resume={run.path}", "trainer.max_epochs=3")
    assert run.metrics()["epochs"] == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]
    assert sorted(path.name for path in run.path.parent.iterdir()) == ["mlflow.db", "run"]
    assert not [path for name in services for path in run.path.glob(f"{name}*")]
    said = "".join(capsys.readouterr())
    assert all(f"logger.{name}: is told nothing of a resumed run until it is typed" in said for name in services)


@pytest.fixture
def pictures(tmp_path, monkeypatch) -> dict:
    """A stored config of a folder whose cache lies in `theirs`; the user's own goes to `mine`."""
    write_pictures(tmp_path / "pictures", 12)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    places = {"root": str(tmp_path / "pictures"), "archive": None, "cache_dir": str(tmp_path / "theirs")}
    shares = {"val_fraction": 0.3, "test_fraction": 0.3, "batch_size": 1, "image_size": 8}
    return {"_target_": "vae_lightning.data.image_folder.ImageFolder"} | places | shares


def images(node: dict, trusted: Trust | None):
    data = instantiate(node, "data", trusted=trusted)
    data.prepare_data()
    return data.load_splits()["train"].pixels


@pytest.mark.parametrize("packed", [False, True])
def test_a_stored_cache_is_read_and_never_written(pictures, tmp_path, packed):
    theirs, mine = tmp_path / "theirs", tmp_path / "mine"
    if packed:
        pictures |= {"root": None, "archive": shutil.make_archive(str(tmp_path / "faces"), "zip", pictures["root"])}
    images(pictures | {"cache_dir": str(tmp_path / "nowhere")}, Trust())
    assert not (tmp_path / "nowhere").exists()
    assert any(mine.rglob("pixels.npy"))
    shutil.rmtree(mine)
    expected = images(pictures, None)  # a typed place is written
    assert any(theirs.rglob("pixels.npy"))
    before = tree(theirs)
    assert (images(pictures, Trust()) == expected).all()
    assert (tree(theirs), mine.exists()) == (before, False)


@pytest.mark.parametrize("content", [b"", b"junk", b"\x93NUMPY", "pipe", "other", "zip"])
def test_a_stored_cache_that_is_not_whole_is_left_alone(pictures, tmp_path, content):
    import numpy as np

    expected = images(pictures, None).clone()
    (file,) = (tmp_path / "theirs").rglob("pixels.npy")
    file.unlink()
    if content == "pipe":
        os.mkfifo(file)
    elif content == "zip":
        np.savez(file.with_suffix(".npz"), a=1)
        file.with_suffix(".npz").rename(file)
    elif content == "other":
        np.save(file, np.zeros((12, 8, 9, 3), np.uint8))
    else:
        file.write_bytes(content)
    before = tree(tmp_path / "theirs")
    assert (images(pictures, Trust()) == expected).all()
    assert tree(tmp_path / "theirs") == before


def test_an_archive_that_is_a_pipe_is_not_waited_for(pictures, tmp_path):
    os.mkfifo(tmp_path / "faces.zip")
    with pytest.raises(UserError, match=r"^data\.archive=.*: is no file$"):
        images(pictures | {"archive": str(tmp_path / "faces.zip")}, Trust())


def test_nothing_is_downloaded_to_where_a_stored_config_says(tmp_path, monkeypatch):
    downloads = []
    monkeypatch.setattr(MNIST, "_fetch", lambda data: downloads.append(data.raw_folder))
    node = {"_target_": "vae_lightning.data.mnist.MNIST", "root": str(tmp_path / "data")}
    stored = instantiate(node, "data", trusted=Trust())
    assert isinstance(stored, MNIST)
    with pytest.raises(UserError, match=rf"^data\.root={tmp_path / 'data'}: .* type data\.root="):
        stored.prepare_data()
    assert downloads == []
    instantiate(node, "data", trusted=trusting((), ["data.root"])).prepare_data()
    assert downloads == [tmp_path / "data/MNIST/raw"]


SECRETS = {
    "labels": ["SECRET:x:0:0\nbin:x:1:1\n", "file,label\nSECRET.png,SECRET\n", "file,SECRET,SECRET\na,b,c\n"],
    "split_file": [
        "key,SECRET\na,b\n",
        "file,split\nSECRET.png,train\n",
        "file,split\na.png,SECRET\n",
        "file,split\nSECRET/../x,train\n",
        '{"SECRET": ["a"]}',
    ],
}


@pytest.mark.parametrize(("key", "text"), [(key, text) for key, texts in SECRETS.items() for text in texts])
def test_no_word_is_shown_of_a_file_that_a_stored_config_names(pictures, tmp_path, key, text):
    secret = tmp_path / f"x{'.json' if text.startswith('{') else '.csv'}"
    secret.write_text(text)
    node = pictures | {key: str(secret)}
    with pytest.raises(UserError, match=r"(?i)SECRET"):
        images(node, trusting((), [f"data.{key}"]))
    with pytest.raises(UserError, match=rf"^data\.{key}={secret}: .* once it is typed\)$") as caught:
        images(node, Trust())
    assert "secret" not in str(caught.value).lower()
    assert caught.value.__cause__ is None


def test_no_word_is_shown_of_what_stands_for_a_table_of_faces_where_a_stored_config_says(tmp_path):
    (tmp_path / "celeba/img_align_celeba").mkdir(parents=True)
    (tmp_path / "celeba/list_eval_partition.txt").write_text("000001.jpg SECRET\n")
    write_pictures(tmp_path / "celeba/img_align_celeba", 1)
    node = {"_target_": "vae_lightning.data.celeba.CelebA", "root": str(tmp_path)}
    with pytest.raises(UserError, match="'SECRET' is none of 0, 1, 2"):
        images(node, trusting((), ["data.root"]))
    with pytest.raises(UserError, match=r"a word is none of 0, 1, 2\); get it anew \(.* once it is typed\)$") as caught:
        images(node, Trust())
    assert "secret" not in str(caught.value).lower()
