"""What README and the pages behind its first commands tell a user to type works as typed."""

import functools
import itertools
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import hydra
import pytest
from PIL import Image

from tests.conftest import TINY
from tests.end_to_end.runs import TORCHRUN, run_command, started
from tests.end_to_end.test_search import assert_trials_are_jobs
from tests.pages import ROOT, page
from tests.reports.runs_on_disk import figures, write_run, write_sweep
from tests.test_config import composed
from vae_lightning import evaluate, generate, report
from vae_lightning.command_line.schema import CONF_DIR, register
from vae_lightning.reports import watching
from vae_lightning.runs.latest import latest_run
from vae_lightning.runs.records import RunDir
from vae_lightning.sweeps import jobs as sweeps
from vae_lightning.sweeps.jobs import Job

README = page("README.md")
BEHIND = (
    "start",
    "train",
    "latent_space",
    "loggers",
    "cluster",
    "speed",
    "metrics",
    "reproductions",
    "optuna",
    "sweeps",
)
PAGES = [README, *(page(f"docs/{name}.md") for name in BEHIND)]
LINES = list(dict.fromkeys(command for one in PAGES for command in one.commands))
TRAIN, GENERATE = "python -m vae_lightning.train", "python -m vae_lightning.generate"
EVALUATE, EXPLORE = "python -m vae_lightning.evaluate", "python -m vae_lightning.explore"
REPORT = "python -m vae_lightning.report"
TRAINING = [line.removeprefix(TRAIN).strip() for line in LINES if line.startswith(TRAIN)]
KINDS = {
    "network": "--config-dir",
    "own": "archive|data=folder",
    "resume": "resume",
    "init_from": "init_from",
    "sweep": "^-m (?!.*(hparams_search|submitit))",
    "search": "hparams_search",
    "cluster": "submitit",
    "ddp": "trainer=ddp ",
    "ranks": "ddp_cpu",  # tests/end_to_end/test_ranks.py has it
    "compile": "compile",  # tests/end_to_end/test_train.py
    "online": r"logger=\[default,wandb\]'$",
}
OF_KIND = {kind: [text for text in TRAINING if re.search(pattern, text)] for kind, pattern in KINDS.items()}
PLAIN = [text for text in TRAINING if not any(text in texts for texts in OF_KIND.values())]
# What is no command of this project, and is looked at by itself or not at all, being another's.
OTHERS = ("make ", "source .venv/bin/activate", "torchrun ", "srun ", "mlflow ui", "tensorboard ")
OTHERS += ('eval "$(vae-train', "vae-train -sc", "python -m venv .venv", "pip install -e . -c constraints.txt")
# Small enough for a test, and never a download; all else is as the pages have it.
SMALL = ["trainer.limit_train_batches=2", "trainer.limit_val_batches=1", "data.eval_batch_size=8"]


def test_every_command_has_a_test():
    commands = (TRAIN, GENERATE, EVALUATE, EXPLORE, REPORT)
    assert [line for line in LINES if not line.startswith((*commands, *OTHERS))] == []
    assert len(PLAIN) >= 4
    assert all(OF_KIND.values())


@pytest.fixture(scope="module")
def place(tmp_path_factory, real_data) -> Path:
    """A folder with MNIST and the first faces, and what was decoded of them."""
    place = tmp_path_factory.mktemp("readme")
    faces = place / "data/anime-faces"
    faces.mkdir(parents=True)
    for number in range(200):
        shutil.copy(real_data / f"anime-faces/{number}.jpg", faces)
    (place / "data/MNIST").symlink_to(real_data / "MNIST")
    return place


@pytest.fixture
def data(place, monkeypatch) -> Path:
    """The faces, which the commands find by the environment variable, as they do MNIST."""
    monkeypatch.setenv("VAE_LIGHTNING_DATA", str(place / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    return place / "data/anime-faces"


def options(text: str) -> list[str]:
    few = ["trainer.max_epochs=1"] if "debug=" in text else ["debug=fast"]
    few += [] if any(text in line for line in README.commands) else ["callbacks=basic"]
    if re.search("model=conv5|anime_", text):  # networks of faces, here with fewer channels
        few += ["model.encoder.channels=[4,8,8,16,16]"]
    return [*shlex.split(text), *few, *SMALL, f"data.batch_size={4 if 'ddp' in text else 8}"]


@pytest.mark.parametrize("text", PLAIN)
def test_training_commands(command, data, tmp_path, text):
    command(*options(text), f"run_dir={tmp_path / 'run'}")
    assert RunDir(tmp_path / "run").status()["status"] == "finished"


@pytest.mark.parametrize("text", OF_KIND["own"])
def test_commands_on_ones_own_images(command, data, tmp_path, text):
    shutil.make_archive(str(tmp_path / "archive"), "zip", data)
    shutil.copytree(data, tmp_path / "holiday/photos")
    command(*options(text), f"run_dir={tmp_path / 'run'}")
    assert RunDir(tmp_path / "run").status()["status"] == "finished"


@pytest.mark.parametrize("text", OF_KIND["resume"])
def test_resuming_commands(command, tmp_path, text):
    path, *more = re.search(r"resume=(\S+)\s*(.*)", text).groups()
    first = [*TINY[:5], "callbacks=none"]
    first += ["trainer.limit_train_batches=1", "trainer.limit_val_batches=1"]
    run = tmp_path / "outputs/2026-11-20/14-03-27_mnist_conv"
    command(*first, "trainer.max_epochs=1", f"run_dir={run}")
    more = more if more != [""] else ["trainer.max_epochs=2"]
    command(f"resume={path}", *more)
    assert RunDir(run).metrics()["epochs"] == int(more[0].rpartition("=")[2])


@pytest.mark.parametrize("text", OF_KIND["init_from"])
def test_beginning_from_another_runs_weights(command, data, tmp_path, text):
    other = tmp_path / "outputs/other"
    command(*options(""), "callbacks=none", f"run_dir={other}")
    command(*options(text), "callbacks=none", f"run_dir={tmp_path / 'run'}")
    assert RunDir(tmp_path / "run").origin()["checkpoint"] == str(other / "checkpoints/best.ckpt")
    # `latest` is this run by now.
    command(*options(text), "callbacks=none", f"resume={tmp_path / 'run'}", "trainer.max_epochs=2")
    assert RunDir(tmp_path / "run").metrics()["epochs"] == 2


@pytest.mark.parametrize("text", OF_KIND["sweep"])
def test_sweeps_are_these_jobs(command, monkeypatch, tmp_path, text):
    # One after another, in this process: tests/end_to_end/test_sweeps.py has joblib's.
    words = [word for word in shlex.split(text) if not word.startswith("hydra")]
    going = tmp_path / "outputs/sweeps/2026-11-20/14-03-27_mnist_conv"
    (write_sweep(going, [2], [1]) / "multirun.yaml").touch()
    jobs: list[Job] = []
    monkeypatch.setattr(sweeps, "run_job", jobs.append)
    command(*words)
    swept = [word.partition("=") for word in words if "," in word]
    expected = itertools.product(*([f"{key}={value}" for value in values.split(",")] for key, _, values in swept))
    typed = [[word for word in job.overrides if not word.startswith("sweep=")] for job in jobs]
    assert sorted(typed) == sorted(map(list, expected))
    assert ("sweep=latest" in words) == (jobs[0].sweep.resolve() == going)
    # One directory, though it is named for the model, which may be swept.
    assert len({job.sweep for job in jobs}) == 1


@pytest.mark.parametrize("text", OF_KIND["search"])
def test_searches(data, tmp_path, text):
    small = ["data=digits", "debug=fast", "callbacks=none", "hydra.sweeper.n_trials=2", "sweep_dir=sweep"]
    done = run_command(*shlex.split(text), *small, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_trials_are_jobs(tmp_path / "sweep", 2, done.stdout)


def test_jobs_of_a_cluster_get_what_they_are_to_have():
    (text,) = OF_KIND["cluster"]
    words = [word for word in shlex.split(text) if word != "-m" and "," not in word]
    register()
    with hydra.initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        launcher = hydra.compose("train", overrides=words, return_hydra_config=True).hydra.launcher
    assert launcher["_target_"] == "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"
    assert (launcher.partition, launcher.gpus_per_node, launcher.timeout_min) == ("gpu", 1, 120)
    assert launcher.additional_parameters.requeue


@pytest.mark.parametrize("text", [line for line in LINES if line.startswith(REPORT)])
def test_reports(monkeypatch, tmp_path, text):
    sweep = tmp_path / "outputs/sweeps/2026-11-20/14-03-27_mnist_conv"
    write_sweep(sweep, [2, 8, 32], [0.5, 1, 4])
    (sweep / "multirun.yaml").touch()
    write_run(tmp_path / "outputs/2026-11-20/single", {}, [], figures(-100))
    shutil.copytree(sweep / "4", tmp_path / "outputs/paper/4")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(watching, "watched_reports", functools.partial(watching.watched_reports, look_s=0.001))
    monkeypatch.setattr(sys, "argv", shlex.split(text)[2:])
    report.main()
    if "table=latex" in text:
        assert r"\toprule" in (sweep / "table.tex").read_text()
        return
    (page,) = tmp_path.rglob("index.html")
    assert "The rate-distortion plane" in page.read_text()


@pytest.fixture(scope="module")
def generated_from(tmp_path_factory) -> Path:
    """A folder with runs of digits, the last of them in no way special, and with some pictures."""
    folder = tmp_path_factory.mktemp("generate")
    for run, settings in {"conditional": ["model.num_classes=10"], "2026-11-20/14-03-27_mnist_conv": []}.items():
        small = [*TINY[:5], "model.latent_dim=8", "callbacks=none", "debug=fast"]
        done = run_command(*small, *settings, f"run_dir=outputs/{run}", cwd=folder)
        assert done.returncode == 0, done.stderr
    (folder / "holiday/photos").mkdir(parents=True)
    for name in ("first.png", "second.jpg", "holiday/photos/beach.jpg"):
        Image.effect_noise((40, 30), 60).save(folder / name)
    return folder


@pytest.mark.parametrize("text", [line for line in LINES if line.startswith(GENERATE)])
def test_generating_commands(monkeypatch, generated_from, text):
    monkeypatch.chdir(generated_from)
    words = shlex.split(text)[2:]
    monkeypatch.setattr(sys, "argv", [*words, "overwrite=true"])
    generate.main()
    chosen = dict(word.split("=", 1) for word in words[1:])
    run = latest_run(Path("outputs")) if chosen["run"] == "latest" else chosen["run"]
    folder = Path(chosen.get("out", f"{run}/generated/{chosen['mode']}"))
    assert len(list(folder.iterdir())) >= 3
    if "num_images" in chosen:
        assert len(list(folder.glob("sample_*.png"))) == int(chosen["num_images"])


@pytest.mark.parametrize("text", [line for line in LINES if line.startswith(EVALUATE)])
def test_evaluating_commands(monkeypatch, generated_from, tmp_path, text):
    monkeypatch.chdir(generated_from)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))  # no weights, and no way to them
    monkeypatch.setattr("torch_fidelity.feature_extractor_inceptionv3.URL_INCEPTION_V3", "http://127.0.0.1:9/none.pth")
    # One after another, in this process: tests/test_evaluate_runs.py has joblib's.
    words = [word for word in shlex.split(text)[2:] if not word.startswith("hydra")]
    chosen = dict(word.split("=", 1) for word in words[1:])
    run = latest_run(Path("outputs"))
    assert run is not None
    if "sweep" in chosen:
        sweep = Path("outputs/sweeps/2026-11-20/15-00-00_mnist_conv")
        run = shutil.copytree(run, sweep / "0")
        (sweep / "multirun.yaml").touch()
    monkeypatch.setattr(sys, "argv", [*words, "nll.num_images=3"])
    evaluate.main()
    figures = run / ("metrics_last.json" if "ckpt" in chosen else "metrics.json")
    wanted = ["elbo", "active_units"] if "[" in text else ["nll"]
    assert all(f'"{chosen.get("split", "test")}/{name}"' in figures.read_text() for name in wanted)


def test_the_explorer_is_written_by_the_command_of_its_page():
    """It is run by tests/end_to_end/test_sharing_page.py."""
    assert {line for line in LINES if line.startswith(EXPLORE)} <= set(page("docs/explorer.md").commands)


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("localhost", 0))
        return server.getsockname()[1]


def assert_one_run_of_two_ranks(folder: Path, agents: list) -> RunDir:
    told = [agent.communicate(timeout=200)[1] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], told
    # The agent that ends last may find the first one's store closed, of which torchrun itself warns.
    assert [re.sub(r"\[W[^\n]*TCPStore\.cpp.*", "", text, flags=re.DOTALL) for text in told] == ["", ""]
    (path,) = (folder / "outputs").glob("*/*")
    run = RunDir(path)
    assert '"num_ranks": 2' in (path / "environment.json").read_text()
    assert run.metrics()["test/num_images"] == 360
    return run


def test_two_nodes_under_torchrun(tmp_path):
    (line,) = [line for line in LINES if line.startswith("torchrun")]
    here = {"--nproc-per-node 4": "--nproc-per-node 1", "node1:29400": f"localhost:{free_port()}", "=ddp": "=ddp_cpu"}
    for old, new in here.items():
        assert old in line
        line = line.replace(old, new)
    program = [sys.executable, "-m", "torch.distributed.run", *shlex.split(line)[1:]]
    options = [*TINY[:2], *TINY[3:], "trainer.max_epochs=1", "trainer.devices=3"]
    run = assert_one_run_of_two_ranks(tmp_path, [started(*options, cwd=tmp_path, program=program) for _ in range(2)])
    assert run.config()["trainer"]["devices"] == 3  # as typed: resumed elsewhere, it trains there
    resumed = run_command(f"resume={run.path}", "trainer.max_epochs=2", cwd=tmp_path, program=TORCHRUN)
    assert resumed.returncode == 0, resumed.stderr
    assert run.metrics()["epochs"] == 2


def test_two_nodes_under_srun(tmp_path, monkeypatch):
    (line,) = [line for line in LINES if line.startswith("srun")]
    python, *words = shlex.split(line.partition("--kill-on-bad-exit=1 ")[2].replace("=ddp", "=ddp_cpu"))
    assert python == "python"
    job = {"SLURM_JOB_ID": str(free_port()), "SLURM_NODELIST": "localhost", "SLURM_NNODES": "2", "SLURM_NTASKS": "2"}
    job |= {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "2"}
    job |= {"SLURM_LOCALID": "0", "SLURM_NTASKS_PER_NODE": "1"}
    tasks = []
    for rank in ("0", "1"):
        for name, value in (job | {"SLURM_PROCID": rank, "SLURM_NODEID": rank}).items():
            monkeypatch.setenv(name, value)
        options = [*TINY[:2], *TINY[3:], "trainer.max_epochs=1"]
        tasks.append(started(*options, cwd=tmp_path, program=[sys.executable, *words]))
    assert_one_run_of_two_ranks(tmp_path, tasks)


def test_online_an_account_is_asked_for(error_of, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    (text,) = OF_KIND["online"]
    assert "wandb login" in error_of(*shlex.split(text), "data=digits")


def test_the_page_of_mlflow_opens_where_the_runs_are():
    (line,) = [line for line in LINES if line.startswith("mlflow")]
    assert line == "mlflow ui --backend-store-uri sqlite:///outputs/mlflow.db"
    assert composed("logger=mlflow")["output_dir"] == "outputs"


def test_four_gpus_are_asked_for():
    (text,) = OF_KIND["ddp"]
    trainer = composed(*shlex.split(text))["trainer"]
    assert (trainer["accelerator"], trainer["devices"], trainer["strategy"]) == ("gpu", 4, "ddp")


def test_make_targets_exist():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = {word for one in PAGES for word in re.findall(r"`make ([a-z-]+)|^make ([a-z-]+) ", one.text, re.MULTILINE)}
    assert {"demo", "test", "docs"} <= {one or other for one, other in named} <= set(targets)


def test_what_the_quick_tests_leave_out_is_there():
    told = subprocess.run(["make", "-n", "check"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    left_out = re.findall(r"--ignore=(\S+)", told)
    assert len(left_out) > 20
    assert [path for path in left_out if not (ROOT / path).exists()] == []


def test_an_own_network_is_one_file_and_one_yaml(command, tmp_path, monkeypatch):
    (source,) = [text for text in README.of("python") if "class LinearEncoder" in text]
    (config,) = README.of("yaml")
    (text,) = OF_KIND["network"]
    (tmp_path / "my_networks.py").write_text(source)
    (tmp_path / "my_conf/model").mkdir(parents=True)
    (tmp_path / "my_conf/model/linear.yaml").write_text(config)
    monkeypatch.syspath_prepend(tmp_path)
    run = tmp_path / "run"
    small = ["data=digits", "trainer=cpu", "trainer.max_epochs=1", "callbacks=none"]
    monkeypatch.chdir(tmp_path)
    command(*shlex.split(text), *small, f"run_dir={run}")
    assert RunDir(run).config()["model"]["encoder"]["width"] == 128
    with pytest.raises(SystemExit, match=r"trust=\[my_networks\]"):
        command(f"resume={run}", "trainer.max_epochs=2")
    command(f"resume={run}", "trainer.max_epochs=2", "trust=[my_networks]")
    assert RunDir(run).metrics()["epochs"] == 2


def test_it_is_one_page():
    assert len(README.text.encode()) <= 9_000


@pytest.mark.parametrize("group", ["data", "objective", "model", "logger", "trainer", "optimizer", "schedule"])
def test_every_option_of_a_group_is_told(group):
    told = page("docs/train.md").part("What can be chosen").text + page("docs/datasets.md").text
    options = {file.stem for file in (CONF_DIR / group).glob("*.yaml")} - {"base"}
    assert {name for name in options if not re.search(rf"`(?:{group}=)?{name}[` ]", told)} == set()


def test_pictures_are_there_and_small():
    pictures = [ROOT / path for path in README.links if path.endswith((".png", ".jpg", ".gif"))]
    assert len(pictures) >= 6
    for picture in pictures:
        with Image.open(picture) as image:
            image.verify()
    assert sum(picture.stat().st_size for picture in (ROOT / "docs/images").iterdir()) < 4_000_000
