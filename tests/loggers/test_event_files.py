"""TensorBoard's event files have everything in order, though the disk was full for a while, and are read again."""

import resource

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event

from tests.disk.full import full
from vae_lightning.loggers.event_files import EventFile, shown_points
from vae_lightning.loggers.tensorboard import TensorBoard, tag_of


def scalars(folder, tag):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_tensorboard_goes_on_where_it_was(tmp_path):
    logger = TensorBoard(str(tmp_path))
    for step, room in enumerate([None, 150, 150, None]):
        with full(resource.RLIM_INFINITY if room is None else room):
            logger.log_metrics({"loss": float(step)}, step)
            logger.save()
    assert scalars(tmp_path, tag_of("loss")) == [(step, float(step)) for step in range(4)]
    logger.finalize("success")


def test_a_tensorboard_that_could_not_even_begin_is_caught_up_with(tmp_path):
    with full():
        logger = TensorBoard(str(tmp_path))
        logger.log_metrics({"loss": 1.0}, 0)
        logger.save()
    logger.log_metrics({"loss": 2.0}, 1)
    logger.finalize("success")
    assert scalars(tmp_path, tag_of("loss")) == [(0, 1.0), (1, 2.0)]


def test_event_files_come_in_order_though_the_clock_is_set_back(tmp_path, monkeypatch):
    for number, (now, first_step) in enumerate([(2e9, 0), (1e9, 2), (1e9, 0)]):
        monkeypatch.setattr("time.time", lambda now=now: now)
        logger = TensorBoard(str(tmp_path), first_step)
        for step in range(first_step, first_step + 3):
            logger.log_metrics({"loss": float(10 * number + step)}, step)
        logger.finalize("success")
    assert len(list(tmp_path.iterdir())) == 3
    found = scalars(tmp_path, tag_of("loss"))
    assert found[:5] == [(0, 0.0), (1, 1.0), (2, 12.0), (3, 13.0), (4, 14.0)]


def test_images_that_are_shown_are_found_up_to_where_a_file_is_cut(tmp_path):
    def image(tag, step):
        event = Event(step=step)
        value = event.summary.value.add(tag=tag)
        value.image.height = 1
        return event

    def write(*events):
        file = EventFile(tmp_path)
        for event in events:
            file.add_event(event)
        file.close()

    start = Event(step=7)
    start.session_log.status = start.session_log.START
    write(image("a", 3), image("a", 7), image("b", 9))
    write(start, image("c", 8), image("d", 10))
    newest = max(tmp_path.iterdir())
    newest.write_bytes(newest.read_bytes()[:-5])
    assert shown_points(tmp_path) == {("a", 3), ("c", 8)}
