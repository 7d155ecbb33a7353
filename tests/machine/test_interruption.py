"""SIGTERM and Ctrl-C are raised where they come, wait while they are put off, and never get lost."""

import os
import pickle
import signal
import sys
import threading

import pytest

from vae_lightning.machine import interruption
from vae_lightning.machine.interruption import Interrupted, exit_code, interruptible

BOTH = pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])


def send(number):
    os.kill(os.getpid(), number)


@BOTH
def test_a_signal_is_raised_where_it_comes(number, code):
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as interrupt, interruptible():
        send(number)
    assert exit_code(interrupt.value) == code
    assert signal.getsignal(number) is before


@BOTH
def test_a_signal_that_is_put_off_is_raised_when_it_is_heeded(number, code):
    with interruptible():
        interruption.put_off()
        assert interruption.asked() == 0
        send(number)
        send(number)  # as a launcher may pass on what came from the terminal, too
        assert interruption.asked() == number
        with pytest.raises(Interrupted) as interrupt:
            interruption.heed()
    assert exit_code(interrupt.value) == code
    with interruptible():
        assert interruption.asked() == 0


@BOTH
def test_what_is_undivided_is_done_before_it_is_interrupted(number, code):
    done = []
    with pytest.raises(Interrupted) as interrupt, interruptible(), interruption.undivided():
        done.extend([send(number), "import"])
    assert (exit_code(interrupt.value), done) == (code, [None, "import"])


def test_what_was_heeded_or_put_off_elsewhere_puts_nothing_off():
    interruption.put_off()  # where nobody listens
    with pytest.raises(Interrupted), interruptible():
        send(signal.SIGTERM)
    with interruptible():
        interruption.put_off()
        interruption.heed()
        with pytest.raises(Interrupted):
            send(signal.SIGTERM)


def test_a_process_that_listens_is_ended_hard_if_it_does_not_answer():
    with interruptible():
        assert "lifeline" in {thread.name for thread in threading.enumerate()}
    assert "lifeline" not in {thread.name for thread in threading.enumerate()}


def test_a_second_ctrl_c_does_not_wait(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(interruption.time, "monotonic", lambda: now[0])
    with interruptible():
        interruption.put_off()
        send(signal.SIGTERM)
        now[0] += 1
        send(signal.SIGTERM)  # a scheduler may repeat itself
        with pytest.raises(Interrupted) as interrupt:
            send(signal.SIGINT)
    assert exit_code(interrupt.value) == 130


def test_what_is_ignored_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible():
            send(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_blocks_may_be_nested_and_elsewhere_nothing_is_put_off():
    with interruptible():
        with interruptible():
            interruption.put_off()
            send(signal.SIGTERM)
        with pytest.raises(Interrupted):
            interruption.heed()
    interruption.put_off()
    with pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)
    interruption.heed()


def test_other_threads_leave_the_signals_alone():
    before, seen = signal.getsignal(signal.SIGINT), []

    def act():
        with interruptible():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=act)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_fork_has_pythons_own_handlers():
    with interruptible():
        child = os.fork()
        if child == 0:
            mine = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
            os._exit(0 if mine and signal.getsignal(signal.SIGINT) is signal.default_int_handler else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_interrupt_survives_the_way_between_processes():
    sent = pickle.loads(pickle.dumps(Interrupted(signal.SIGTERM, "go on with resume=x")))
    assert str(sent) == "SIGTERM; go on with resume=x"
    assert exit_code(sent) == 143
    assert exit_code(KeyboardInterrupt()) == 130


@BOTH
def test_a_command_that_is_interrupted_as_it_prepares_data_leaves_nothing(command, tmp_path, monkeypatch, number, code):
    from vae_lightning.data.digits import Digits

    monkeypatch.setattr(Digits, "prepare_data", lambda self: send(number))
    with pytest.raises(SystemExit) as leaving:
        command("data=digits", "model=mlp", "trainer=cpu", f"run_dir={tmp_path / 'run'}")
    assert leaving.value.code == code
    assert list(tmp_path.iterdir()) == []


@BOTH
def test_generate_is_interrupted_alike(digits_run, monkeypatch, tmp_path, number, code, capsys):
    from vae_lightning import generate
    from vae_lightning.models.vae import VAE

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(VAE, "generate", lambda self, z, labels: send(number))
    monkeypatch.setattr(sys, "argv", ["vae-generate", f"run={digits_run.path}", "mode=samples"])
    with pytest.raises(SystemExit) as leaving:
        generate.main()
    assert leaving.value.code == code
    assert capsys.readouterr().err.startswith("interrupted")
    assert list(tmp_path.iterdir()) == []
