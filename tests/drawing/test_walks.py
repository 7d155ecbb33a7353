import itertools

import numpy as np
import pytest
import torch

from tests.drawing.tiles import boxes, coloured, colours, in_pixels, is_whole, letters, visible
from vae_lightning.drawing import grids, sheets, walks
from vae_lightning.drawing.walks import transition_frames, traversal_frames

history_picture = in_pixels(walks.history_picture)
manifold_picture = in_pixels(walks.manifold_picture)
neighbours_picture = in_pixels(walks.neighbours_picture)
transition_picture = in_pixels(walks.transition_picture)
traversal_picture = in_pixels(walks.traversal_picture)

TITLE, CONTEXT = "a walk through the latent space", "mnist_conv · epoch 15"


def traversal(draw, rows=3, columns=5, side=28):
    values = np.linspace(-3, 3, columns).tolist()
    dims, rates = list(range(10, 10 + rows)), [1.5] * rows
    return draw(coloured(rows, columns, side=side), dims, rates, values, TITLE, CONTEXT)


def in_reading_order(places, columns):
    """Whether tiles are in rows and columns."""
    corners = np.array([place[:2] for place in places]).reshape(-1, columns, 2)
    tops, lefts = corners[:, :1, 0], corners[:1, :, 1]
    level = (corners[..., 0] == tops).all() and (corners[..., 1] == lefts).all()
    return bool(level and (np.diff(tops[:, 0]) > 0).all() and (np.diff(lefts[0]) > 0).all())


def shown(frames, count):
    """For each frame the numbers of the images in it."""
    return [np.flatnonzero(visible(frame, count)).tolist() for frame in frames]


# Traversals


@pytest.mark.parametrize(("rows", "columns", "side"), [(1, 1, 28), (3, 5, 28), (20, 13, 28), (3, 9, 64)])
def test_traversal_has_a_row_a_dimension_and_whole_labels(rows, columns, side):
    picture = traversal(traversal_picture, rows, columns, side)
    places = boxes(picture, rows * columns)
    assert in_reading_order(places, columns)
    assert {height % side for *_, height, _ in places} == {0}
    assert is_whole(letters(picture))
    assert max(picture.shape) < 1600


@pytest.mark.parametrize("name", ["dims", "rates", "values"])
@pytest.mark.parametrize("draw", [traversal_picture, traversal_frames])
def test_labels_of_a_traversal_must_match_its_images(draw, name):
    arguments = {"dims": [0, 1], "rates": [1.0, 1.0], "values": [-1.0, 0.0, 1.0]}
    arguments[name] = [*arguments[name], 7]
    with pytest.raises(ValueError, match=f"{name} must be"):
        draw(coloured(2, 3), **arguments, title="", context="")


@pytest.mark.parametrize("columns", [1, 2, 3, 8])
@pytest.mark.parametrize("rows", [1, 3, 20])
def test_traversal_goes_there_and_back(rows, columns):
    frames = traversal(traversal_frames, rows, columns)
    order = [*range(columns), *range(columns - 2, 0, -1)]
    assert shown(frames, rows * columns) == [[row * columns + n for row in range(rows)] for n in order]
    assert len({frame.shape for frame in frames}) == 1
    assert all(is_whole(letters(frame)) for frame in frames)


def test_nothing_jumps_between_frames():
    frames = traversal(traversal_frames, rows=5, columns=7)
    tiles = (frames[0][..., 2] == 230) & (frames[0][..., 0] < 80)
    differs = np.any([(frame != frames[0]).any(axis=-1) for frame in frames], axis=0)
    lowest_tile = np.flatnonzero(tiles.any(axis=1)).max()
    assert not (differs & ~tiles)[: lowest_tile + 1].any()
    assert differs[lowest_tile + 1 :].any()  # the value and the knob


def test_the_knob_moves_to_the_right_and_back():
    frames = traversal(traversal_frames, rows=4, columns=4)
    knobs = [np.flatnonzero(frame[-17, 55:, 0] == 240).mean() for frame in frames]
    assert knobs[:4] == sorted(set(knobs[:4]))
    assert knobs[3] + 55 == pytest.approx(frames[0].shape[1] - 13, abs=1)
    assert knobs[4:] == [knobs[2], knobs[1]]


# Transitions


def transition(pairs=2, paths=2, steps=4):
    """The images and inputs of all pairs, whose colours count along the rows of the picture."""
    rows = coloured(pairs, paths, steps + 2)
    return rows[:, :, 1:-1], ["linear", "spherical"][:paths], rows[:, 0, 0], rows[:, 0, -1]


def test_transition_has_inputs_apart_from_the_images_between():
    images, paths, starts, ends = transition(pairs=1, paths=1)
    picture = transition_picture(images, paths, starts, ends, TITLE, CONTEXT)
    places = boxes(picture, 6)
    assert in_reading_order(places, 6)
    gaps = np.diff([left for _, left, *_ in places]) - places[0][3]
    assert gaps.tolist() == [10, 2, 2, 2, 10]
    assert is_whole(letters(picture))


def test_pairs_are_apart_and_each_path_has_a_row_with_the_inputs():
    images, paths, starts, ends = transition(pairs=3, paths=2)
    picture = transition_picture(images, paths, starts, ends, TITLE, CONTEXT)
    codes = colours(36).numpy()
    rows = [places_of(picture, codes[12 * pair + 6 * path + 1]) for pair, path in itertools.product(range(3), range(2))]
    side = rows[0][2]
    gaps = np.diff([top for top, *_ in rows]) - side
    assert gaps.tolist() == [2, 10, 2, 10, 2]
    for pair in range(3):
        for code, left in ((12 * pair, "first"), (12 * pair + 5, "last")):
            seen = (picture == codes[code]).all(axis=-1)
            assert seen.sum() == 2 * side * side, left
            assert np.flatnonzero(seen.any(axis=1)).min() == rows[2 * pair][0]


def places_of(picture, colour):
    rows, columns = np.nonzero((picture == colour).all(axis=-1))
    return int(rows.min()), int(columns.min()), int(np.ptp(rows) + 1)


@pytest.mark.parametrize(("paths", "steps"), [(1, 1), (2, 2), (2, 5)])
def test_transition_goes_there_and_back(paths, steps):
    images = coloured(3, paths, steps)
    frames = transition_frames(images, ["linear", "spherical"][:paths], TITLE, CONTEXT)
    order = [*range(steps), *range(steps - 2, 0, -1)]
    assert shown(frames, 3 * paths * steps) == [[row * steps + n for row in range(3 * paths)] for n in order]
    assert len({frame.shape for frame in frames}) == 1
    assert all(is_whole(letters(frame)) for frame in frames)


def test_frames_have_a_column_a_pair_and_a_row_a_path():
    images = coloured(2, 3, 1).transpose(0, 1)  # three pairs, two paths
    assert in_reading_order(boxes(transition_frames(images, ["a", "b"], TITLE, CONTEXT)[0], 6), 3)


def test_paths_must_be_named():
    images, paths, starts, ends = transition()
    with pytest.raises(ValueError, match="paths"):
        transition_picture(images, paths[:1], starts, ends, "", "")
    with pytest.raises(ValueError, match="left"):
        transition_frames(images, paths[:1], "", "")


# The plane


@pytest.mark.parametrize(("count", "side"), [(1, 28), (5, 28), (20, 28), (12, 64)])
def test_plane_is_without_gaps_and_the_first_row_on_top(count, side):
    picture = manifold_picture(coloured(count, count, side=side), np.linspace(-2, 2, count).tolist(), TITLE, CONTEXT)
    places = boxes(picture, count * count)
    assert in_reading_order(places, count)
    assert places[-1][0] - places[0][0] == (count - 1) * places[0][2]
    assert places[-1][1] - places[0][1] == (count - 1) * places[0][3]
    assert is_whole(letters(picture))


def test_plane_has_ticks_at_both_ends_of_both_axes():
    picture = manifold_picture(coloured(15, 15), np.linspace(-2, 2, 15).tolist(), TITLE, CONTEXT)
    (top, left, height, width), *_, (bottom, right, *_) = boxes(picture, 225)
    ink = letters(picture)
    for row in (top, bottom):
        assert ink[row : row + height, left - 35 : left].any()
    for column in (left, right):
        assert ink[top - 18 : top, column : column + width].any()
    assert not ink[top : bottom + height, left:].any()


@pytest.mark.parametrize("count", [8, 10, 12])
def test_all_rows_and_columns_of_a_small_plane_are_named(count):
    picture = manifold_picture(coloured(count, count), np.linspace(-2, 2, count).tolist(), TITLE, CONTEXT)
    places, ink = boxes(picture, count * count), letters(picture)
    top, left, *_ = places[0]
    for row, _, height, _ in places[::count]:
        assert ink[row : row + height, left - 35 : left].any()
    for _, column, _, width in places[:count]:
        assert ink[top - 18 : top, column : column + width].any()


def test_values_grow_upwards_and_to_the_right():
    picture = manifold_picture(coloured(3, 3), [0.0, 1.0, 1000.0], TITLE, CONTEXT)
    (top, left, side, _), *_, (bottom, right, *_) = boxes(picture, 9)
    ink = letters(picture)
    upper, lower = (ink[row : row + side, :left].sum() for row in (top, bottom))
    last, first = (ink[top - 18 : top, column : column + side].sum() for column in (right, left))
    assert upper == last > first == lower


def test_plane_needs_a_value_a_column():
    with pytest.raises(ValueError, match="values must be 3, got 2"):
        manifold_picture(coloured(3, 3), [0.0, 1.0], "", "")


# Epochs


def test_history_sets_the_inputs_apart():
    picture = history_picture(coloured(4, 3), ["input", "epoch 1", "epoch 2", "epoch 500"], TITLE, CONTEXT)
    places = boxes(picture, 12)
    assert in_reading_order(places, 3)
    assert (np.diff([top for top, *_ in places[::3]]) - places[0][2]).tolist() == [10, 2, 2]
    assert is_whole(letters(picture))


def test_history_needs_a_label_a_row():
    with pytest.raises(ValueError, match="left must hold 4 labels, got 1"):
        history_picture(coloured(4, 3), ["input"], "", "")


# Neighbours


@pytest.mark.parametrize(("count", "neighbours"), [(1, 1), (6, 2), (7, 5), (16, 3)])
@pytest.mark.parametrize("side", [28, 64])
def test_each_sample_is_beside_its_neighbours(count, neighbours, side):
    rows = coloured(count, neighbours + 1, side=side)
    distances = torch.full((count, neighbours), 0.125)
    picture = neighbours_picture(rows[:, 0], rows[:, 1:], distances, 0.145, TITLE, CONTEXT)
    places = boxes(picture, count * (neighbours + 1))
    for start in range(0, len(places), neighbours + 1):
        row = places[start : start + neighbours + 1]
        assert len({top for top, *_ in row}) == 1
        gaps = np.diff([left for _, left, *_ in row]) - row[0][3]
        assert gaps.tolist() == [10] + [2] * (neighbours - 1)
        ends = row[-1][1] + row[-1][3]
        assert letters(picture)[row[0][0] : row[0][0] + row[0][2], ends : ends + 60].any()
    assert is_whole(letters(picture))
    assert len({left for _, left, *_ in places[:: neighbours + 1]}) == (1 if count <= 6 else 2)


def test_what_is_reconstructed_is_a_posterior_mean_and_says_so(monkeypatch):
    texts = []
    for name in ("with_caption", "with_note"):
        monkeypatch.setattr(sheets, name, lambda picture, text, *others: texts.append(text) or picture)
    in_pixels(grids.comparison_grid)(coloured(2), coloured(2), columns=2, context="run")
    neighbours_picture(coloured(2), coloured(2, 3), torch.zeros(2, 3), 0.1, "samples", "run")
    assert texts == [
        "input above, reconstruction at its posterior mean below",
        "root mean squared pixel difference to the nearest; held-out images reconstructed at their posterior means: "
        "0.100 (median)",
        "samples",
    ]
