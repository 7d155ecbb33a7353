import math
from dataclasses import replace

import numpy as np
import pytest

from tests.reports.runs_on_disk import write_run, write_seeds
from vae_lightning.reports.comparison import Comparison
from vae_lightning.reports.differences import difference, differences_from_best
from vae_lightning.reports.entries import RUNS, SEEDS, ReportEntry, entries
from vae_lightning.reports.runs import find_runs, read_runs
from vae_lightning.runs.tested_images import TestImages


def two(path, view=SEEDS, **of_dims) -> list[ReportEntry]:
    comparison = Comparison(read_runs(find_runs(write_seeds(path, of_dims["dims"]))))
    return entries(comparison, comparison.rankings[0], view)


def with_images(entry: ReportEntry, elbos: list[np.ndarray], digest: np.ndarray | None = None) -> ReportEntry:
    """The entry as if its runs had recorded these ELBOs of their test images."""
    runs = []
    for run, elbo in zip(entry.runs, elbos, strict=True):
        told = np.arange(len(elbo), dtype=np.uint32) if digest is None else digest
        images = TestImages(elbo.astype(np.float32), np.arange(len(elbo)), told, 1, 0)
        metrics = dict(run.metrics) | {"test/elbo": float(elbo.mean())}
        run = replace(run, metrics=metrics)
        run.__dict__["test_images"] = images
        runs.append(run)
    return replace(entry, runs=tuple(runs))


def test_over_seeds_it_is_the_test_of_welch(tmp_path):
    from scipy.stats import ttest_ind

    best, second = two(tmp_path, dims={2: [-150, -151, -155], 8: [-140, -141, -142]})
    found = difference(second, best)
    expected = ttest_ind([-150, -151, -155], [-140, -141, -142], equal_var=False).confidence_interval(0.95)
    assert found.value == pytest.approx(-11)
    assert found.interval == pytest.approx((expected.low, expected.high))
    assert (found.over, found.num_seeds) == ("seeds", (3, 3))


def test_image_by_image_it_is_the_paired_test(tmp_path):
    from scipy.stats import ttest_rel

    one, other = two(tmp_path, RUNS, dims={2: [-150], 8: [-140]})
    rng = np.random.default_rng(0)
    hard = rng.normal(-100, 30, 400)  # which an image is for both
    first, second = hard + rng.normal(0.2, 1, 400), hard + rng.normal(0, 1, 400)
    found = difference(with_images(one, [first]), with_images(other, [second]))
    expected = ttest_rel(first.astype(np.float32), second.astype(np.float32)).confidence_interval(0.95)
    assert found.interval == pytest.approx((expected.low, expected.high), abs=1e-4)
    assert found.over == "images of one seed each"
    assert found.half_width < 0.2  # of a standard error of 1.5 for either mean


def test_other_images_are_not_paired(tmp_path):
    one, other = two(tmp_path, RUNS, dims={2: [-150], 8: [-140]})
    elbo = np.linspace(-120, -80, 50)
    apart = difference(with_images(one, [elbo]), with_images(other, [elbo], np.arange(1, 51, dtype=np.uint32)))
    assert apart.over == "unpaired images of one seed each"
    assert apart.half_width == pytest.approx(1.959964 * math.hypot(0.25, 0.25))


def test_seeds_and_images_both_make_it_uncertain(tmp_path):
    best, second = two(tmp_path, dims={2: [-150, -151, -155], 8: [-140, -141, -142]})
    rng = np.random.default_rng(1)
    noise = lambda mean: mean + rng.normal(0, 30, 100)  # noqa: E731
    first = with_images(best, [noise(-140), noise(-141), noise(-142)])
    other = with_images(second, [noise(-150), noise(-151), noise(-155)])
    found = difference(other, first)
    assert found.over == "seeds and images"
    seeds_alone = difference(replace(other, runs=tuple(_bare(run) for run in other.runs)), first)
    assert seeds_alone.over == "seeds"
    images = difference(with_images(_single(second), [noise(-150)]), with_images(_single(best), [noise(-140)]))
    assert images.over == "images of one seed each"
    assert found.half_width > seeds_alone.half_width


def _single(entry: ReportEntry) -> ReportEntry:
    return replace(entry, runs=entry.runs[:1])


def _bare(run):
    bare = replace(run)
    bare.__dict__["test_images"] = None
    return bare


def test_noise_is_called_noise(tmp_path):
    best, second = two(tmp_path, dims={2: [-150.0, -152, -151], 8: [-150.2, -149, -151.4]})
    found = difference(second, best)
    assert found.may_be_noise
    assert found.in_words().endswith("over seeds: may be noise")
    assert not difference(*reversed(two(tmp_path / "far", dims={2: [-150, -151], 8: [-50, -50.5]}))).may_be_noise


def test_a_single_seed_beside_several_is_taken_to_spread_as_they_do(tmp_path):
    best, second = two(tmp_path, dims={2: [-150], 8: [-140, -141, -142]})
    found = difference(second, best)
    assert found.half_width == pytest.approx(4.302653 * math.sqrt(1 / 3 + 1), abs=1e-4)


def test_equal_figures_are_certain_and_nothing_else_breaks(tmp_path):
    best, second = two(tmp_path, dims={2: [-150, -150], 8: [-140, -140]})
    assert difference(second, best).interval == (-10, -10)


def test_all_are_compared_with_the_best(tmp_path):
    comparison = Comparison(
        read_runs(find_runs(write_seeds(tmp_path, {2: [-150, -151], 8: [-140, -141], 4: [-1, -2]})))
    )
    listed = entries(comparison, comparison.rankings[0], SEEDS)
    apart = differences_from_best(comparison, comparison.rankings[0], listed)
    assert list(apart) == [entry.id for entry in listed[1:]]
    assert [round(each.value, 6) for each in apart.values()] == [-139.0, -149.0]


def test_figures_beyond_all_measure_have_no_interval(tmp_path):
    best, second = two(tmp_path, dims={2: [-1e299, 1e299], 8: [9e299, 9e299]})
    found = difference(second, best)
    assert (found.interval, found.may_be_noise) == (None, True)
    assert found.in_words().endswith("and nothing tells how far to trust it")


def test_without_the_images_figures_the_errors_are_those_of_the_runs_that_count(tmp_path):
    write_seeds(tmp_path, {2: [-150.0, -151], 8: [-140.0, -141]})
    for number in (0, 2):  # the first of each setting
        write_run(tmp_path / str(number), status="failed", metrics={})
    comparison = Comparison(read_runs(find_runs(tmp_path)))
    best, second = entries(comparison, comparison.rankings[0], SEEDS)
    assert difference(second, best).over == "unpaired images of one seed each"


def test_any_figure_has_a_difference_over_its_seeds(tmp_path):
    best, second = two(tmp_path, dims={2: [-150, -151, -155], 8: [-140, -141, -142]})
    assert difference(second, best, "test/distortion").value == pytest.approx(11)
    assert difference(second, best, "test/fid") is None
