import re
from pathlib import Path

import pytest

from tests.colour_vision import SIGHTS, contrast, least_difference
from tests.reports.runs_on_disk import write_run, write_sweep
from vae_lightning.reports import colours
from vae_lightning.reports.colours import Palette, distinct, most_varied
from vae_lightning.reports.comparison import Comparison
from vae_lightning.reports.runs import find_runs, read_runs


def test_the_setting_with_the_most_values_gives_the_colours(tmp_path):
    comparison = Comparison(read_runs(find_runs(write_sweep(tmp_path, [2, 8], [0.5, 1, 4]))))
    assert most_varied(comparison) == "objective.beta"
    assert most_varied(comparison, besides="objective.beta") == "model.latent_dim"
    palette = Palette(comparison, "objective.beta")
    assert [palette.of(run) for run in comparison.runs[:3]] == [palette.of(run) for run in comparison.runs[3:]]
    legend = palette.legend(comparison.runs)
    assert [text for text, _ in legend] == ["0.5", "1", "4"]
    assert len({colour for _, colour in legend}) == 3
    assert [text for text, _ in palette.legend(comparison.runs[:2])] == ["0.5", "1"]


def test_many_numbers_have_a_legend_of_a_few(tmp_path):
    runs = [write_run(tmp_path / str(n), {"seed": n}, [f"seed={n}"]) for n in range(21)]
    palette = Palette(Comparison(read_runs(runs)), "seed")
    assert [text for text, _ in palette.legend(read_runs(runs))] == ["0", "5", "10", "15", "20"]
    names = [write_run(tmp_path / f"t{n}", {"x__y": f"text{n}"}, []) for n in range(21)]
    assert Palette(Comparison(read_runs(names)), "x.y").legend(read_runs(names)) == []


def test_without_a_setting_all_have_one_colour_and_a_damaged_run_is_grey(tmp_path):
    runs = read_runs(find_runs(write_sweep(tmp_path / "a", [2, 8], [1])))
    assert {Palette(Comparison(runs), None).of(run) for run in runs} == {distinct(0)}
    (damaged,) = read_runs([write_run(tmp_path / "b")])
    palette = Palette(Comparison([*runs, damaged]), "model.latent_dim")
    assert palette.of(damaged) == "#9aa5b1"
    assert palette.of(damaged) not in [colour for _, colour in palette.legend(runs)]


@pytest.mark.parametrize("sight", SIGHTS)
def test_curves_are_told_apart_by_everyone(sight):
    assert least_difference([distinct(place) for place in range(8)], sight) > 12
    assert least_difference([colours.scaled(place / 4) for place in range(5)], sight) > 6


def test_curves_are_seen_on_the_light_page_and_on_the_dark():
    papers = re.findall(r"--paper: (#\w{6})", Path(colours.__file__).with_name("page.css").read_text())
    assert len(papers) == 2
    for paper in papers:
        drawn = [distinct(place) for place in range(8)] + [colours.scaled(place / 4) for place in range(5)]
        assert min(contrast(colour, paper) for colour in drawn) > 1.9
