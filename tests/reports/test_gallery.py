from tests.reports.runs_on_disk import figures, write_run, write_sweep
from vae_lightning.reports.comparison import Comparison
from vae_lightning.reports.gallery import cards, grid
from vae_lightning.reports.runs import find_runs, read_runs


def compare(sweep) -> Comparison:
    return Comparison(read_runs(find_runs(sweep)))


def names(runs) -> list[str]:
    return [run.name for run in runs]


def test_a_sweep_of_two_settings_is_a_grid_with_the_objective_across(tmp_path):
    laid = grid(compare(write_sweep(tmp_path, [2, 8, 32], [0.5, 1])))
    assert laid is not None
    assert (laid.down, laid.across) == ("latent_dim", "beta")
    assert laid.columns == ["0.5", "1"]
    assert [(row, [names(cell) for cell in cells]) for row, cells in laid.rows] == [
        ("2", [["0"], ["1"]]),
        ("8", [["2"], ["3"]]),
        ("32", [["4"], ["5"]]),
    ]
    assert laid.rest == []


def test_cells_may_be_empty_or_shared_and_a_damaged_run_is_in_none(tmp_path):
    sweep = write_sweep(tmp_path, [2, 8], [1, 4])
    for file in (sweep / "3").rglob("*.*"):
        file.unlink()
    (sweep / "3/config.yaml").write_text("{[")
    write_run(sweep / "4", {"model__latent_dim": 2, "objective__beta": 1}, ["model.latent_dim=2"], figures(-100))
    laid = grid(compare(sweep))
    assert laid is not None
    assert [[names(cell) for cell in cells] for _, cells in laid.rows] == [[["4", "0"], ["1"]], [["2"], []]]
    assert names(laid.rest) == ["3"]


def test_one_setting_makes_a_row_in_its_order(tmp_path):
    comparison = compare(write_sweep(tmp_path, [32, 2, 8], [1]))
    assert grid(comparison) is None
    assert names(cards(comparison)) == ["1", "2", "0"]


def test_other_sets_of_runs_come_best_first(tmp_path):
    for n, elbo in enumerate([-120, -100, -110]):
        write_run(tmp_path / str(n), {"seed": n, "model__latent_dim": n, "objective__beta": n}, [], figures(elbo))
    comparison = compare(tmp_path)
    assert grid(comparison) is None
    assert names(cards(comparison)) == ["1", "2", "0"]


def test_a_random_search_over_two_settings_is_no_grid(tmp_path):
    for n in range(6):
        typed = [f"optimizer.lr={n + 1}", f"objective.beta={n + 1}"]
        write_run(tmp_path / str(n), {"optimizer__lr": n + 1, "objective__beta": n + 1}, typed, figures(-100 - n))
    assert grid(compare(tmp_path)) is None
