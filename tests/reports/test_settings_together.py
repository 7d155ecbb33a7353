import pytest

from tests.reports.runs_on_disk import figures, write_run, write_seeds, write_sweep
from vae_lightning.reports.comparison import Comparison
from vae_lightning.reports.runs import find_runs, read_runs
from vae_lightning.reports.settings_together import heat_maps, importance, parallel_axes


def compare(path) -> Comparison:
    return Comparison(read_runs(find_runs(path)))


def three(path, num_seeds: int = 1) -> Comparison:
    """A sweep over three settings, of which the second makes nearly all of the difference."""
    grid = [(a, b, c, seed) for a in (1, 2) for b in (1, 2, 4) for c in (1, 2) for seed in range(num_seeds)]
    for number, (a, b, c, seed) in enumerate(grid):
        typed = [f"model.a={a}", f"model.b={b}", f"model.c={c}", f"seed={seed}"]
        changes = {"model__a": a, "model__b": b, "model__c": c, "seed": seed}
        write_run(path / str(number), changes, typed, figures(-100.0 - 10 * b - 0.1 * a - 0.01 * seed))
    return compare(path)


def test_a_grid_of_two_settings_is_a_map_of_each_figure(tmp_path):
    comparison = compare(write_sweep(tmp_path, [2, 8], [1, 4]))
    elbo, _rate, _distortion = heat_maps(comparison, comparison.rankings[0])
    (trace,) = elbo.figure.data
    assert (list(trace.x), list(trace.y)) == (["1", "4"], ["2", "8"])
    assert trace.z[1][0] == comparison.runs[2].metrics["test/elbo"]
    assert trace.text[1][0] == "-160.52"
    assert trace.meta["cells"][1][0] == ["r2"]
    assert elbo.figure.data[0].reversescale is False


def test_of_seeds_a_cell_is_their_mean_and_belongs_to_each(tmp_path):
    for number, (dim, beta, seed) in enumerate([(d, b, s) for d in (2, 8) for b in (1, 4) for s in (0, 1)]):
        changes = {"model__latent_dim": dim, "objective__beta": beta, "seed": seed}
        typed = [f"model.latent_dim={dim}", f"objective.beta={beta}", f"seed={seed}"]
        write_run(tmp_path / str(number), changes, typed, figures(-100.0 - number))
    comparison = compare(tmp_path)
    (trace,) = heat_maps(comparison, comparison.rankings[0])[0].figure.data
    assert trace.z[0][0] == -100.5
    assert trace.meta["cells"][0][0][1:] == ["r0", "r1"]


def test_fewer_or_more_settings_have_no_map(tmp_path):
    one = compare(write_seeds(tmp_path / "one", {2: [-1.0], 8: [-2.0]}))
    assert heat_maps(one, one.rankings[0]) == []
    assert (parallel_axes(one, one.rankings[0]), importance(one, one.rankings[0])) == (None, None)
    many = three(tmp_path / "many")
    assert heat_maps(many, many.rankings[0]) == []


def test_each_run_is_a_line_through_its_settings_to_its_elbo(tmp_path):
    comparison = three(tmp_path)
    chart = parallel_axes(comparison, comparison.rankings[0])
    assert len(chart.figure.data) == 12
    best = chart.figure.data[-1]  # on top
    assert list(best.y) == [0.0, 0.0, 0.0, 1.0]
    assert best.meta["id"] == f"r{comparison.runs.index(comparison.rankings[0].records[0])}"
    texts = [annotation.text for annotation in chart.figure.layout.annotations]
    assert [text for text in texts if text.startswith("<b>")] == ["<b>a</b>", "<b>b</b>", "<b>c</b>", "<b>val ELBO</b>"]


def test_the_setting_that_makes_the_difference_has_most_of_the_variance(tmp_path):
    comparison = three(tmp_path, num_seeds=2)
    (bars,) = importance(comparison, comparison.rankings[0]).figure.data
    shares = dict(zip(bars.y, bars.x, strict=True))
    assert shares["b"] > 0.95
    assert sum(shares.values()) == pytest.approx(1)
    assert set(shares) == {"a", "b", "c", "seed"}


def test_equal_runs_and_few_say_nothing_of_what_matters(tmp_path):
    comparison = three(tmp_path)
    few = Comparison(comparison.runs[:7])
    assert importance(few, few.rankings[0]) is None
    for number in range(12):
        write_run(tmp_path / str(number), metrics=figures(-100.0))
    equal = compare(tmp_path)
    assert importance(equal, equal.rankings[0]) is None
