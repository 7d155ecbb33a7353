import pytest

from tests.reports.runs_on_disk import CROSS_ENTROPY, DENSITY, figures, write_run, write_sweep
from vae_lightning.reports.comparison import Comparison, setting_of
from vae_lightning.reports.runs import find_runs, read_runs

ENCODERS = {
    "mlp": {"model__encoder": {"_target_": "x.MLPEncoder", "hidden": [400]}},
    "conv": {"model__encoder": {"_target_": "x.ConvEncoder", "channels": [32, 64], "dropout": 0.1}},
}


def compare(*runs) -> Comparison:
    return Comparison(read_runs(list(runs)))


def test_what_was_typed_and_varies_is_what_varied(tmp_path):
    comparison = Comparison(read_runs(find_runs(write_sweep(tmp_path, [2, 8, 32], [0.5, 1]))))
    assert comparison.varied == ["model.latent_dim", "objective.beta"]
    assert comparison.labels == {"model.latent_dim": "latent_dim", "objective.beta": "beta"}
    assert comparison.values("model.latent_dim") == [2, 8, 32]
    assert comparison.settings_text(comparison.runs[3]) == "latent_dim=8, beta=1"


def test_one_typed_choice_stands_for_all_keys_that_differ_in_its_wake(tmp_path):
    runs = [write_run(tmp_path / name, ENCODERS[name], [f"model={name}", "seed=3"]) for name in ("mlp", "conv")]
    comparison = compare(*runs)
    assert comparison.varied == ["model"]
    assert comparison.values("model") == ["conv", "mlp"]


def test_without_what_was_typed_the_configs_tell_the_difference(tmp_path):
    runs = [write_run(tmp_path / name, ENCODERS[name]) for name in ("mlp", "conv")]
    comparison = compare(*runs)
    assert comparison.labels["model.encoder._target_"] == "encoder"
    assert comparison.varied == [
        "model.encoder._target_",
        "model.encoder.channels",
        "model.encoder.dropout",
        "model.encoder.hidden",
    ]


def test_a_default_that_one_run_typed_and_another_did_not_is_no_difference(tmp_path):
    first = write_run(tmp_path / "0", {}, ["data=digits", "objective.beta=1", "optimizer.lr=0.001"])
    second = write_run(tmp_path / "1", {"objective__beta": 4}, ["objective.beta=4"])
    assert compare(first, second).varied == ["objective.beta"]


def test_a_choice_left_out_counts_as_a_value_when_it_made_a_difference(tmp_path):
    first = write_run(tmp_path / "0", ENCODERS["mlp"], ["model=mlp"])
    second = write_run(tmp_path / "1", ENCODERS["conv"], [])
    comparison = compare(first, second)
    assert comparison.varied == ["model"]
    assert [setting_of(run, "model") for run in comparison.runs] == ["mlp", None]


def test_a_damaged_run_makes_nothing_vary(tmp_path):
    first = write_run(tmp_path / "0", {"seed": 1}, ["data=digits", "seed=1"])
    second = write_run(tmp_path / "1", {"seed": 2}, ["data=digits", "seed=2"])
    damaged = write_run(tmp_path / "2")
    (damaged / "config.yaml").write_text("{[")
    comparison = compare(first, second, damaged)
    assert (comparison.varied, comparison.told_apart) == ([], ["seed"])
    assert comparison.values("seed") == [1, 2]
    assert [comparison.settings_text(run) for run in comparison.runs] == ["seed=1", "seed=2", ""]


def test_runs_with_the_same_settings_vary_in_nothing(tmp_path):
    assert compare(write_run(tmp_path / "0", {}, []), write_run(tmp_path / "1", {}, [])).varied == []


def test_short_names_that_clash_stay_long(tmp_path):
    runs = [
        write_run(tmp_path / str(n), {"data__seed": n, "seed": n + 1}, [f"data.seed={n}", f"seed={n + 1}"])
        for n in range(2)
    ]
    assert compare(*runs).labels == {"data.seed": "data.seed", "seed": "seed"}


def test_the_best_by_validation_comes_first_and_the_failed_last(tmp_path):
    comparison = compare(
        write_run(tmp_path / "failed", {}, status="failed", metrics=figures(-1)),
        write_run(tmp_path / "no_figures", {}),
        write_run(tmp_path / "cut_short", {}, status="interrupted", curve=[-90, -95]),
        write_run(tmp_path / "worse", {}, metrics=figures(-90, **{"val/elbo": -110.0})),
        write_run(tmp_path / "better", {}, metrics=figures(-105, **{"val/elbo": -100.0})),
    )
    assert [run.name for run in comparison.records] == ["better", "worse", "cut_short", "no_figures", "failed"]
    assert comparison.ranks == {"better": 1, "worse": 2}
    (ranking,) = comparison.rankings
    assert ranking.kind == CROSS_ENTROPY


def test_kinds_that_do_not_compare_are_ranked_apart(tmp_path):
    comparison = compare(
        write_run(tmp_path / "0", {"seed": 0}, metrics=figures(-100)),
        write_run(tmp_path / "1", {"seed": 1}, metrics=figures(7000, **{"test/kind": DENSITY})),
        write_run(tmp_path / "2", {"seed": 2}, metrics=figures(-90)),
        write_run(tmp_path / "3", {"seed": 3}, status="failed"),
    )
    assert [(ranking.kind, [run.name for run in ranking.records]) for ranking in comparison.rankings] == [
        (CROSS_ENTROPY, ["2", "0"]),
        (DENSITY, ["1"]),
        (None, ["3"]),
    ]
    assert comparison.ranks == {"2": 1, "0": 2, "1": 1}


def test_a_run_of_before_there_was_a_fit_compares_with_one_of_crops(tmp_path):
    comparison = compare(
        write_run(tmp_path / "0", {}, metrics=figures(-100)),
        write_run(tmp_path / "1", {"data__fit": "crop"}, metrics=figures(-400)),
    )
    assert [[run.name for run in ranking.records] for ranking in comparison.rankings] == [["0", "1"]]


@pytest.mark.parametrize(
    "change",
    [
        {"data__image_size": 64},
        {"data__image_size": [28, 32]},
        {"data__fit": "pad"},
        {"data__channels": 3},
        {"data__binarize": "dynamic"},
    ],
)
def test_other_images_do_not_compare_and_their_failed_runs_go_with_them(tmp_path, change):
    comparison = compare(
        write_run(tmp_path / "0", {}, metrics=figures(-100)),
        write_run(tmp_path / "1", change, metrics=figures(-400)),
        write_run(tmp_path / "2", change, status="failed"),
    )
    (key, value), *_ = change.items()
    assert [[run.name for run in ranking.records] for ranking in comparison.rankings] == [["1", "2"], ["0"]]
    assert comparison.rankings[0].kind == f"{CROSS_ENTROPY}; {key.replace('__', '.')}={value}"
