"""Neighbours found in a stream are those of an exhaustive search."""

import pytest
import torch

from vae_lightning.latents.neighbours import nearest


def random_images(num_images, *shape, low=0, high=256):
    return torch.randint(low, high, (num_images, *shape), dtype=torch.uint8)


def exhaustive(queries, images, num_nearest):
    differences = queries.double().flatten(1)[:, None] - images.flatten(1).double() / 255
    distances, order = differences.square().mean(2).sqrt().sort(dim=1, stable=True)
    return images[order[:, :num_nearest]], distances[:, :num_nearest].float()


@pytest.mark.parametrize("batch_size", [1, 3, 50, 1000])
@pytest.mark.parametrize("shape", [(1, 5, 4), (3, 32, 32)])
def test_the_search_is_exhaustive(shape, batch_size):
    images, queries = random_images(200, *shape), torch.rand(6, *shape)
    found, distances = nearest(queries, iter(images.split(batch_size)), 4)
    expected, expected_distances = exhaustive(queries, images, 4)
    assert torch.equal(found, expected)
    torch.testing.assert_close(distances, expected_distances, atol=1e-6, rtol=1e-5)


def test_near_duplicates_are_told_apart_below_the_rounding_of_a_matrix_product():
    bright = random_images(1, 3, 40, 40, low=250).expand(64, -1, -1, -1).clone()
    for index in range(64):  # each one grey level further away in one more pixel
        bright[index].view(-1)[: 63 - index] -= 1
    query = bright[63:].float() / 255
    found, distances = nearest(query, bright.split(10), 8)
    assert torch.equal(found[0], bright[-8:].flip(0))
    assert float(distances[0, 0]) == 0
    assert (distances[0].diff() > 0).all()


def test_an_image_of_the_stream_is_at_distance_zero_from_itself():
    images = random_images(100, 1, 28, 28)
    found, distances = nearest(images[40:50].float() / 255, images.split(33), 1)
    assert torch.equal(found[:, 0], images[40:50])
    assert not distances.any()


def test_equally_near_images_come_in_the_order_of_the_stream():
    queries = torch.full((2, 1, 4, 4), 0.5)
    images = torch.zeros(40, 1, 4, 4, dtype=torch.uint8)
    images.view(40, 16)[torch.arange(40), torch.arange(40) % 16] = 255  # all as far away, and told apart by a pixel
    for batch_size in (1, 7, 40):
        found, _ = nearest(queries, images.split(batch_size), 9)
        assert torch.equal(found, images[:9].expand(2, -1, -1, -1, -1))


def test_a_short_stream_lowers_the_number():
    queries, images = torch.rand(2, 1, 3, 3), random_images(4, 1, 3, 3)
    found, distances = nearest(queries, images.split(3), 10)
    assert found.shape == (2, 4, 1, 3, 3)
    assert distances.shape == (2, 4)
    found, distances = nearest(queries, [], 10)
    assert found.shape == (2, 0, 1, 3, 3)
    assert distances.shape == (2, 0)


def test_memory_format_and_reduced_precision_make_no_difference():
    images, queries = random_images(80, 3, 8, 8), torch.rand(3, 3, 8, 8)
    expected, _ = exhaustive(queries, images, 5)
    stream = images.to(memory_format=torch.channels_last).split(20)
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = nearest(queries.to(memory_format=torch.channels_last), stream, 5)
    assert torch.equal(found, expected)


def test_no_queries_have_no_neighbours():
    found, distances = nearest(torch.rand(0, 1, 3, 3), [random_images(4, 1, 3, 3)], 2)
    assert len(found) == len(distances) == 0


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match=r"^num_nearest must be at least 1, got 0$"):
        nearest(torch.rand(1, 1, 3, 3), [], 0)
    with pytest.raises(ValueError, match=r"^queries must be finite$"):
        nearest(torch.full((1, 1, 3, 3), torch.nan), [], 1)
    with pytest.raises(ValueError, match=r"^batches must be of shape \(1, 3, 3\), got \(1, 4, 4\)$"):
        nearest(torch.rand(1, 1, 3, 3), iter([random_images(2, 1, 4, 4)]), 1)
