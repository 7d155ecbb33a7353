import pytest

from tests.reports.runs_on_disk import DENSITY, figures, write_run, write_seeds
from vae_lightning.reports.comparison import Comparison
from vae_lightning.reports.entries import RUNS, SEEDS, best_entry, entries, entry_of_run, ranks, views
from vae_lightning.reports.runs import find_runs, read_runs


def compare(path) -> Comparison:
    return Comparison(read_runs(find_runs(path)))


def test_runs_that_differ_in_their_seed_alone_are_one_entry(tmp_path):
    comparison = compare(write_seeds(tmp_path, {2: [-150, -151, -155], 8: [-140, -141, -142]}))
    assert comparison.varied == ["model.latent_dim"]
    assert views(comparison) == [SEEDS, RUNS]
    best, second = entries(comparison, comparison.rankings[0], SEEDS)
    assert (best.setting("model.latent_dim"), best.seeds, best.missing) == (8, "0, 1, 2", 0)
    assert best.figure("test/elbo") == pytest.approx(-141)
    assert second.spread("test/elbo").sd == pytest.approx(2.6457513)
    assert second.error("test/elbo") == pytest.approx(4.302653 * 2.6457513 / 3**0.5)
    assert entries(comparison, comparison.rankings[0], RUNS)[0].first.name == "3"


def test_the_best_is_the_best_mean_and_not_the_luckiest(tmp_path):
    comparison = compare(write_seeds(tmp_path, {2: [-100, -190, -190], 8: [-140, -141, -142]}))
    (ranking,) = comparison.rankings
    assert best_entry(entries(comparison, ranking, SEEDS)).setting("model.latent_dim") == 8
    assert best_entry(entries(comparison, ranking, RUNS)).first.name == "0"
    assert list(ranks(entries(comparison, ranking, SEEDS)).values()) == [1, 2]


def test_what_has_not_finished_does_not_count_and_is_told(tmp_path):
    write_seeds(tmp_path, {2: [-150, -151]})
    write_run(
        tmp_path / "9", {"model__latent_dim": 2, "seed": 9}, ["model.latent_dim=2", "seed=9"], figures(-1),
        status="interrupted",
    )  # fmt: skip
    comparison = compare(tmp_path)
    (entry,) = entries(comparison, comparison.rankings[0], SEEDS)
    assert (entry.figure("test/elbo"), entry.missing, entry.seeds) == (-150.5, 1, "0, 1")


def test_a_seed_that_is_there_twice_counts_once(tmp_path):
    write_seeds(tmp_path, {2: [-150, -152]})
    write_run(
        tmp_path / "9", {"model__latent_dim": 2, "seed": 1}, ["model.latent_dim=2", "seed=1"], figures(-152)
    )  # fmt: skip
    (entry,) = entries(compare(tmp_path), compare(tmp_path).rankings[0], SEEDS)
    assert (entry.spread("test/elbo").num, entry.figure("test/elbo"), entry.missing) == (2, -151, 0)


def test_seeds_of_figures_that_do_not_compare_are_no_mean(tmp_path):
    write_run(tmp_path / "0", {"seed": 0}, ["seed=0"], figures(-100))
    write_run(tmp_path / "1", {"seed": 1}, ["seed=1"], figures(7000, **{"test/kind": DENSITY}))
    comparison = compare(tmp_path)
    assert views(comparison) == [RUNS]
    assert comparison.varied == ["seed"]
    assert entry_of_run(comparison) == {}


def test_one_seed_of_each_setting_is_no_repetition(tmp_path):
    for number, dim in enumerate((2, 8)):
        typed = [f"model.latent_dim={dim}", f"seed={number}"]
        write_run(tmp_path / str(number), {"model__latent_dim": dim, "seed": number}, typed, figures(-100 - dim))
    comparison = compare(tmp_path)
    assert comparison.varied == ["model.latent_dim", "seed"]
    assert views(comparison) == [RUNS]


def test_every_run_belongs_to_an_entry(tmp_path):
    comparison = compare(write_seeds(tmp_path, {2: [-150, -151], 8: [-140, -141]}))
    listed = entries(comparison, comparison.rankings[0], SEEDS)
    expected = {run.name: entry.id for entry in listed for run in entry.runs}
    assert entry_of_run(comparison) == expected
    assert len(expected) == 4


def test_seeds_on_other_images_are_other_settings(tmp_path):
    for number, (root, seed) in enumerate([("cats", 0), ("cats", 1), ("dogs", 0), ("dogs", 1)]):
        typed = [f"data.root={root}", f"seed={seed}"]
        write_run(tmp_path / str(number), {"seed": seed}, typed, figures(-100.0 - number))
    comparison = compare(tmp_path)
    assert comparison.varied == ["data.root"]
    listed = entries(comparison, comparison.rankings[0], SEEDS)
    assert [(entry.setting("data.root"), entry.figure("test/elbo")) for entry in listed] == [
        ("cats", -100.5),
        ("dogs", -102.5),
    ]


def test_what_differs_though_it_was_not_typed_is_told_apart(tmp_path):
    for seed, rate in enumerate([0.001, 0.001, 0.5]):  # of another version, say
        write_run(tmp_path / str(seed), {"seed": seed, "optimizer__lr": rate}, [f"seed={seed}"], figures(-100.0 - seed))
    comparison = compare(tmp_path)
    assert comparison.varied == ["optimizer.lr"]
    assert [len(entry.runs) for entry in entries(comparison, comparison.rankings[0], SEEDS)] == [2, 1]


def test_what_follows_the_seed_and_what_one_does_not_know_is_no_difference(tmp_path):
    for seed in (0, 1):
        changes = {"seed": seed, "data__seed": seed} | ({"model__new_key": 3} if seed else {})
        write_run(tmp_path / str(seed), changes, [f"seed={seed}"], figures(-100.0 - seed))
    comparison = compare(tmp_path)
    assert comparison.varied == []
    assert [len(entry.runs) for entry in entries(comparison, comparison.rankings[0], SEEDS)] == [2]
