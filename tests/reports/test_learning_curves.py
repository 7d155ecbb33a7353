import pytest

from tests.reports.runs_on_disk import figures, write_run, write_sweep
from vae_lightning.reports.comparison import Comparison
from vae_lightning.reports.learning_curves import learning_curves
from vae_lightning.reports.runs import find_runs, read_runs


def curves(path):
    comparison = Comparison(read_runs(find_runs(path)))
    return learning_curves(comparison, comparison.rankings[0])


def test_all_runs_are_laid_over_each_other(tmp_path):
    validation, loss = curves(write_sweep(tmp_path, [2, 8], [1, 4]))
    assert (validation.title, loss.title) == ("Validation ELBO", "Training loss")
    assert len(validation.figure.data) == 4
    best = validation.figure.data[0]
    assert best.name == "2: latent_dim=8, beta=1"
    assert list(best.x) == [1, 2, 3, 4]
    assert best.y[3] == -160.52 - 200 / 16
    assert best.hovertext == "<b>run 2</b><br>latent_dim=8, beta=1"
    assert len({(line.line.color, line.line.dash) for line in validation.figure.data}) == 4
    assert validation.figure.layout.showlegend


def test_above_thirty_runs_the_legend_gives_way_to_colours(tmp_path):
    for n in range(31):
        write_run(tmp_path / str(n), {"a": n}, [f"+a={n}"], figures(-100 - n), curve=[-200, -100])
    (validation, _) = curves(tmp_path)
    assert not validation.figure.layout.showlegend
    assert [text for text, _ in validation.legend] == ["0", "8", "15", "22", "30"]


@pytest.mark.parametrize(("num_epochs", "num_points"), [(1000, 501), (999, 500)])
def test_long_curves_are_thinned_and_keep_their_ends(tmp_path, num_epochs, num_points):
    for n in range(60):
        write_run(tmp_path / str(n), {"a": n}, [f"+a={n}"], curve=[-5000.0 + epoch for epoch in range(num_epochs)])
    (validation, _) = curves(tmp_path)
    xs = validation.figure.data[0].x
    assert len(xs) == num_points
    assert (xs[0], xs[-1]) == (1, num_epochs)


def test_far_outliers_of_the_first_epochs_do_not_press_the_curves_flat(tmp_path):
    write_run(tmp_path / "0", {}, [], curve=[-1e6, *(-100 - 1 / epoch for epoch in range(1, 30))])
    validation, loss = curves(tmp_path)
    low, high = validation.figure.layout.yaxis.range
    assert -101 < low < -100.3
    assert -100.03 < high < -99
    assert "double click" in validation.note
    assert loss.figure.layout.yaxis.range[1] < 120
    write_run(tmp_path / "0", {}, [], curve=[-100.0 - epoch for epoch in range(30)])
    assert curves(tmp_path)[0].note == ""


def test_what_no_run_has_logged_has_no_chart(tmp_path):
    write_run(tmp_path / "0", {}, [])
    assert curves(tmp_path) == []
    (tmp_path / "0/metrics.csv").write_text("epoch,step,train/loss\n0,9,120.5\n")
    assert [chart.title for chart in curves(tmp_path)] == ["Training loss"]
