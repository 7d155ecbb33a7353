import pytest

from tests.reports.runs_on_disk import figures, write_run, write_sweep
from vae_lightning.reports.comparison import Comparison
from vae_lightning.reports.plots import rate_distortion, setting_charts
from vae_lightning.reports.runs import find_runs, read_runs


def compare(path) -> Comparison:
    return Comparison(read_runs(find_runs(path)))


def points(figure):
    (trace,) = [trace for trace in figure.data if trace.hovertext]
    return trace


def test_the_plane_has_a_point_a_run_and_a_ring_around_the_best(tmp_path):
    comparison = compare(write_sweep(tmp_path, [2, 8], [1, 4]))
    write_run(tmp_path / "4", {"model__latent_dim": 2}, ["model.latent_dim=2"], status="failed")
    (ranking,) = comparison.rankings
    chart = rate_distortion(comparison, ranking)
    assert chart is not None
    trace = points(chart.figure)
    assert list(trace.x) == [run.metrics["test/rate"] for run in ranking.records]
    assert list(trace.y) == [run.metrics["test/distortion"] for run in ranking.records]
    assert trace.hovertext[0].startswith("<b>run 2</b><br>latent_dim = 8<br>beta = 1<br>test ELBO -160.52 ± 0.25<br>")
    ring = chart.figure.data[-1]
    assert (ring.x[0], ring.y[0]) == (trace.x[0], trace.y[0])
    assert chart.legend_label == "latent_dim"


def test_lines_of_equal_elbo_are_where_rate_and_distortion_have_that_sum(tmp_path):
    comparison = compare(write_sweep(tmp_path, [2, 8], [1, 4]))
    chart = rate_distortion(comparison, comparison.rankings[0])
    assert chart is not None
    lines, notes = chart.figure.data[0], chart.figure.layout.annotations
    assert len(notes) >= 3
    for index, note in enumerate(notes):
        xs, ys = lines.x[3 * index : 3 * index + 2], lines.y[3 * index : 3 * index + 2]
        elbo = float(note.text.removeprefix("ELBO ").replace(",", ""))
        assert [x + y for x, y in zip(xs, ys, strict=True)] == pytest.approx([-elbo, -elbo])
        assert min(ys) >= chart.figure.layout.yaxis.range[0] - 1e-9
        assert max(ys) <= chart.figure.layout.yaxis.range[1] + 1e-9


@pytest.mark.parametrize("elbo", [-100.0, 40775.0, 0.0])
def test_a_single_tested_run_has_a_plane_too(tmp_path, elbo):
    write_run(tmp_path / "0", {}, [], figures(elbo))
    comparison = compare(tmp_path)
    chart = rate_distortion(comparison, comparison.rankings[0])
    assert chart is not None
    low, high = chart.figure.layout.xaxis.range
    assert low < 20 < high


def test_without_a_tested_run_there_is_no_plane(tmp_path):
    write_run(tmp_path / "0", {}, [], status="failed")
    comparison = compare(tmp_path)
    assert rate_distortion(comparison, comparison.rankings[0]) is None
    assert setting_charts(comparison, comparison.rankings[0]) == []


def test_each_varied_setting_has_its_charts_with_lines_of_the_other(tmp_path):
    comparison = compare(write_sweep(tmp_path, [32, 2, 8], [1, 4]))
    rows = setting_charts(comparison, comparison.rankings[0])
    assert [row.label for row in rows] == ["latent_dim", "beta"]
    assert [chart.title for chart in rows[0].charts] == ["test ELBO", "test rate", "test distortion"]
    elbo = rows[0].charts[0]
    assert elbo.legend_label == "beta"
    assert len(elbo.figure.data) == 2
    for line in elbo.figure.data:
        assert list(line.x) == [2, 8, 32]
        assert line.mode == "lines+markers"
        assert list(line.error_y.array) == [0.25] * 3
    assert list(elbo.figure.data[0].y) != list(elbo.figure.data[1].y)


def test_runs_that_differ_in_more_are_not_joined(tmp_path):
    for n in range(4):
        changes = {"seed": n, "model__latent_dim": n % 2, "objective__beta": n // 2}
        write_run(
            tmp_path / str(n),
            changes,
            [f"{key.replace('__', '.')}={value}" for key, value in changes.items()],
            figures(-9 - n),
        )
    comparison = compare(tmp_path)
    modes = [
        trace.mode for row in setting_charts(comparison, comparison.rankings[0]) for trace in row.charts[0].figure.data
    ]
    assert set(modes) == {"markers"}


def axis_of(tmp_path, values):
    for n, value in enumerate(values):
        write_run(tmp_path / str(n), {"optimizer__lr": value}, [f"optimizer.lr={value}"], figures(-100 - n))
    comparison = compare(tmp_path)
    figure = setting_charts(comparison, comparison.rankings[0])[0].charts[0].figure
    return figure.layout.xaxis, list(figure.data[0].x), figure.data[0].mode


def test_numbers_over_two_decades_have_a_logarithmic_axis(tmp_path):
    axis, xs, mode = axis_of(tmp_path / "log", [0.0001, 0.001, 0.01])
    assert axis.type == "log"
    assert list(axis.ticktext) == ["0.0001", "0.001", "0.01"]
    assert xs == [0.0001, 0.001, 0.01]
    assert mode == "lines+markers"
    assert axis_of(tmp_path / "linear", [1, 50])[0].type is None
    assert axis_of(tmp_path / "zero", [0, 1000])[0].type is None


def test_texts_stand_side_by_side(tmp_path):
    axis, xs, mode = axis_of(tmp_path, ["cosine", "<b>flat</b>", 3])
    assert list(axis.ticktext) == ["3", "&lt;b&gt;flat&lt;/b&gt;", "cosine"]
    assert xs == [0, 1, 2]
    assert mode == "markers"
