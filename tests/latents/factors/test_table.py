"""What may be handed over as codes and factors, and what becomes of it."""

import numpy as np
import pytest

from tests.latents.factors.grids import grid
from vae_lightning.errors import ArgumentError
from vae_lightning.latents.factors.table import factor_table, fitting

FACTORS = grid(2, 3, copies=4)
CODES = FACTORS.astype(float)


def test_whole_numbers_and_names_are_classes():
    named = {"size": FACTORS[:, 1] * 10, "colour": np.array(["red", "blue"])[FACTORS[:, 0]]}
    size, colour = factor_table(CODES, named).factors
    assert (size.name, size.num_classes, size.numbers) == ("size", 3, None)
    assert size.classes.tolist() == FACTORS[:, 1].tolist()
    assert colour.classes.tolist() == (1 - FACTORS[:, 0]).tolist()


def test_one_array_of_objects_may_hold_numbers_and_names():
    mixed = np.array([[size, ("red", "blue")[colour]] for colour, size in FACTORS], object)
    assert [factor.num_classes for factor in factor_table(CODES, mixed).factors] == [3, 2]


def test_floats_are_classes_where_there_are_20_of_them_and_numbers_in_bins_where_there_are_more():
    few, many = np.repeat(np.linspace(0, 1, 20), 21), np.repeat(np.linspace(0, 1, 21), 20)
    classes, numbers = factor_table(np.zeros((420, 1)), {"few": few, "many": many}).factors
    assert (classes.num_classes, classes.numbers) == (20, None)
    assert numbers.num_classes == 20
    assert numbers.numbers.tolist() == many.tolist()
    assert numbers.classes.tolist() == [min(number, 19) for number in range(21) for _ in range(20)]


def test_a_bin_of_few_rows_is_joined_to_its_neighbour():
    values = np.r_[np.linspace(0, 0.049, 30), 0.06, np.linspace(0.51, 0.54, 30), 1.0]
    (factor,) = factor_table(np.zeros((62, 1)), {"x": values}).factors
    assert np.bincount(factor.classes).tolist() == [30, 32]


def test_rows_of_which_a_factor_is_unknown_are_left_out():
    gaps = FACTORS.astype(float)
    gaps[:3, 1] = np.nan
    table = factor_table(CODES, gaps)
    assert len(table) == 21
    assert table.codes[:, 0].tolist() != []
    assert [len(factor.classes) for factor in table.factors] == [21, 21]


def test_standardized_latents_have_variance_1_and_idle_ones_0():
    codes = np.c_[CODES * 1000, np.full(24, 0.1)]
    standardized = factor_table(codes, FACTORS).standardized
    assert sorted(np.square(standardized).mean(0).round(12)) == [0, 1, 1]


@pytest.mark.parametrize(
    ("codes", "factors", "names", "expected"),
    [
        (CODES[:, 0], FACTORS, None, "codes: expected the shape [n, D], got [24]"),
        (CODES[:0], FACTORS, None, "codes: expected the shape [n, D], got [0, 2]"),
        (CODES.astype(str).astype(object) + "x", FACTORS, None, "codes: expected numbers [n, D]"),
        (np.where(CODES > 1, np.nan, CODES), FACTORS, None, "codes: 8 values are not finite"),
        (np.zeros((24, 1001)), FACTORS, None, "codes: expected 1000 latents at most, got 1001"),
        (CODES, FACTORS[:, 0], None, "factors: expected the shape [n, F], got [24]"),
        (CODES, FACTORS[:20], None, "factors: column 0 has 20 rows, and codes have 24"),
        (CODES, np.zeros((24, 101), int), None, "factors: expected 1 to 100 of them, got 101"),
        (CODES, FACTORS.T, None, "factors: column 0 has 2 rows, and codes have 24"),
        (CODES, FACTORS, ["size"], "names: expected 2 different ones, got size"),
        (CODES, FACTORS, ["a", "a"], "names: expected 2 different ones, got a, a"),
        (CODES, {"a": FACTORS[:, 0]}, ["a"], "names: the factors have names already"),
        (CODES, {"a": FACTORS}, None, "factors: a: expected the shape [n], got [24, 2]"),
        (CODES, {"a": FACTORS[:, 0], "size": FACTORS[:, 0] * 0 + 7}, None, "factors: size: it is 7 in all rows"),
        (CODES, FACTORS * [1, 0], ["a", "size"], "factors: size: it is 0 in all rows"),
        (
            CODES,
            {"id": np.arange(24)},
            None,
            "factors: id: of its 24 values 0 is that of 1 row in 24, and each needs 4 (floats of more than 20 values "
            "are cut into bins)",
        ),
        (
            CODES,
            {"who": np.array(["ann", "bob"] * 11 + ["eve"] * 2)},
            None,
            "factors: who: of its 3 values eve is that of 2 rows in 24, and each needs 4",
        ),
        (
            CODES,
            {"x": np.r_[np.linspace(0, 1e-9, 22), 1, 1]},
            None,
            "factors: x: nearly all rows lie in one of 20 bins",
        ),
        (CODES, {"x": np.full(24, np.nan)}, None, "factors: no row has a value of each"),
        (CODES, {"x": np.r_[np.zeros(23), np.inf]}, None, "factors: x: it has infinite values"),
        (CODES, {"x": np.array([None] * 24)}, None, "factors: x: its values are neither numbers nor names"),
        (CODES, {"two\nlines": np.zeros(24, int)}, None, r"factors: two\nlines: it is 0 in all rows"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(codes, factors, names, expected):
    with pytest.raises(ArgumentError) as told:
        factor_table(codes, factors, names)
    assert str(told.value) == expected


def test_the_factors_that_fit_are_found_and_the_others_told():
    gaps = np.where(np.arange(24) < 12, np.nan, FACTORS[:, 1])
    half = np.r_[FACTORS[:12, 0], np.full(12, 5)]  # the same wherever `gaps` is known
    columns = {"size": FACTORS[:, 1], "same": np.ones(24), "gaps": gaps, "half": half, "none": np.full(24, np.nan)}
    kept, left_out = fitting(columns)
    assert list(kept) == ["size", "gaps"]
    assert left_out == {
        "same": "it is 1.0 in all rows",
        "none": "it has no value in any row",
        "half": "it is 5 in all rows",
    }
    assert fitting({}) == ({}, {})
