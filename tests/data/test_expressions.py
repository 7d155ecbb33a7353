import re
import signal
import threading
import time

import pytest

from vae_lightning.data.expressions import searched
from vae_lightning.data.splitting import groups_of
from vae_lightning.errors import UserError

ENDLESS = "(a+)+$"
NAMES = [f"{'a' * 34}{number}.png" for number in range(3)]


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr("vae_lightning.data.expressions._PATIENCE", 0.2)


def test_an_expression_that_comes_to_no_end_is_refused_with_the_name(hasty):
    started = time.monotonic()
    with pytest.raises(UserError, match=rf"^data\.group_by={re.escape(ENDLESS)}: takes seconds for '{NAMES[0]}'"):
        groups_of(NAMES, ENDLESS)
    assert time.monotonic() - started < 10


def test_many_names_that_take_long_together_are_searched(hasty):
    found = []
    for name, match in searched(re.compile("[0-9]"), map(str, range(50)), "x"):
        time.sleep(0.02)
        found.append((name, match[0]))
    assert found == [(str(number), str(number)[0]) for number in range(50)]


def test_another_timer_is_as_it_was(hasty):
    def mine(*_):
        pass

    before = signal.signal(signal.SIGALRM, mine)
    signal.setitimer(signal.ITIMER_REAL, 1000, 500)
    try:
        assert len(list(searched(re.compile("a"), NAMES, "x"))) == 3
        left, interval = signal.getitimer(signal.ITIMER_REAL)
        assert (signal.getsignal(signal.SIGALRM), interval) == (mine, 500)
        assert 900 < left <= 1000
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_another_thread_is_not_watched_and_gets_the_same():
    found = []
    thread = threading.Thread(target=lambda: found.extend(searched(re.compile("a"), NAMES, "x")))
    thread.start()
    thread.join()
    assert [name for name, _ in found] == NAMES
