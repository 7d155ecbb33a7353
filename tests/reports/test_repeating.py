import json

from tests.reports.runs_on_disk import figures, write_run, write_sweep
from vae_lightning.reports.comparison import Comparison
from vae_lightning.reports.repeating import repeating
from vae_lightning.reports.runs import find_runs, read_runs


def card(path) -> dict[str, str]:
    return repeating(Comparison(read_runs(find_runs(path))))["card"]


def test_a_whole_sweep_is_its_one_command(tmp_path):
    told = card(write_sweep(tmp_path, [2, 8], [1, 0.5]))
    assert told["command"] == "vae-train -m data=digits model.latent_dim=2,8 objective.beta=1,0.5"
    assert told["data"] == "Digits, image_size=28, channels=1, 360 test images"
    assert "code" not in told


def test_of_runs_that_are_no_grid_the_best_is_told(tmp_path):
    write_run(tmp_path / "0", {"model__note": "it's a"}, ["model.note='it''s a'", "seed=1"], figures(-90))
    write_run(tmp_path / "1", {}, ["seed=1"], figures(-100))
    assert card(tmp_path)["command"].endswith("seed=1 # run 0")


def test_machine_and_versions_are_told_without_names_of_hosts_or_places(tmp_path):
    environment = {
        "command": ["vae-train", "data.root=/secret/place"],
        "host": "secret-host",
        "device": "CPU, 2 threads",
        "num_cpus": 2,
        "platform": "Linux-6",
        "git_commit": "abc",
        "versions": {"python": "3.11", "torch": "2.15.0"},
        "started": "2026-11-28T10:00:00+00:00",
    }
    run = write_run(tmp_path / "0", {"data__root": "/secret/place"}, ["data.root=/secret/place"], figures(-90))
    (run / "environment.json").write_text(json.dumps(environment))
    told = card(tmp_path)
    assert told["hardware"] == "CPU, 2 threads, 2 cores; Linux-6"
    assert (told["code"], told["versions"]) == ("commit abc", "python 3.11, torch 2.15.0")
    assert "secret" not in str(told)
    other = write_run(tmp_path / "1", {}, [], figures(-91))
    (other / "environment.json").write_text(json.dumps(environment | {"git_commit": "def"}))
    assert card(tmp_path)["code"] == "commit abc; or commit def"


def test_an_environment_of_odd_content_is_no_hindrance(tmp_path):
    run = write_run(tmp_path / "0", {}, [], figures(-90))
    for content in ("[1]", '{"versions": 3, "device": {"a": 1}, "num_cpus": [2], "num_ranks": "x", "started": 5}', "{"):
        (run / "environment.json").write_text(content)
        assert "data" in card(tmp_path)


def test_signs_that_were_typed_stay_and_a_grid_that_was_never_run_is_not_told(tmp_path):
    for number, (dim, seed) in enumerate([(2, 0), (2, 0), (2, 1), (8, 1)]):
        typed = [
            "+trainer.max_time=00:01:00",
            "~schedule",
            f"model.latent_dim={dim}",
            f"seed={seed}",
            "init_from=/secret",
        ]
        write_run(tmp_path / str(number), {"model__latent_dim": dim, "seed": seed}, typed, figures(-100.0 - number))
    assert card(tmp_path)["command"] == (
        "vae-train +trainer.max_time=00:01:00 '~schedule' model.latent_dim=2 seed=0 # run 0"
    )
