"""A command forks its jobs from a process beside it; here it is one without the imports, which take seconds."""

import json
import os
import subprocess
import sys

import pytest

from tests.end_to_end.runs import wait_for
from vae_lightning.launch.forked import WarmProcess
from vae_lightning.runs.records import _is_alive

# Begins as a command does whose process beside it is ready; what a fork does is the word that it is asked for.
COMMAND = """
import json, os, signal, socket, sys, time
from vae_lightning.launch import warm
from vae_lightning.launch.forked import WarmProcess

command = os.getpid()
asking, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
beside = os.fork()
if not beside:
    asking.close()
    request = warm.serve(theirs, command)
    if request["module"] == "tell":
        about = {"parent": os.getppid() == command, "leads": os.getsid(0) == os.getpid() == os.getpgid(0)}
        print(json.dumps(about | {"arguments": request["arguments"], "RANK": request["env"]["RANK"]}), flush=True)
    if request["module"] == "wait":
        time.sleep(60)
    os.kill(os.getpid(), {"die": signal.SIGSEGV}.get(request["module"], 0))
    os._exit(3)
theirs.close()
beside_it = WarmProcess(asking, dict(os.environ), is_ready=True)

def start(word, **variables):
    return beside_it.start((sys.executable, "-u", "-m", word, "an argument"), os.environ | {"RANK": "1"} | variables)
"""


def run(script: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", COMMAND + script]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_fork_is_the_commands_own_child_and_its_end_is_told():
    done = run("print([start(word).wait(20) for word in ('die', 'tell')])")
    told, ends = done.stdout.splitlines()
    assert json.loads(told) == {"parent": True, "leads": True, "arguments": ["an argument"], "RANK": "1"}
    assert (ends, done.stderr) == ("[-11, 3]", "")


def test_one_that_the_command_does_not_learn_of_ends():
    asked = """
answer, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
from vae_lightning.machine.forks import adopting
with adopting():
    socket.send_fds(asking, [json.dumps({"module": "wait"}).encode()], [1, 2, theirs.fileno()])
    child = int(answer.recv(100))
answer.close()  # as Ctrl-C in between does
theirs.close()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run(asked).stdout == "0\n"


def test_nothing_is_left_of_a_command_that_is_killed():
    done = run("print(beside, flush=True); os.kill(os.getpid(), signal.SIGKILL)")
    assert done.returncode == -9
    wait_for(lambda: not _is_alive(int(done.stdout)), within_s=10)


def test_where_what_is_beside_has_ended_nothing_is_forked_and_that_is_told_once():
    done = run(
        "import logging; logging.basicConfig(); os.kill(beside, 9); os.waitpid(beside, 0)\n"
        "print([start('tell') for _ in range(2)])"
    )
    assert done.stdout == "[None, None]\n"
    assert done.stderr.count("the process that jobs are forked from can't be used: ") == 1


@pytest.mark.parametrize(
    ("differs", "forked"),
    [
        ("start('tell', CUDA_VISIBLE_DEVICES='1', TORCHELASTIC_RUN_ID='x', ROLE_RANK='0')", True),
        ("start('tell', PL_GLOBAL_SEED='7', PL_SEED_WORKERS='0')", True),
        ("start('tell', OMP_NUM_THREADS='7')", False),
        ("start('tell', PYTHONPATH='elsewhere')", False),
        ("start('tell', MINE='x')", False),
        ("start('tell', RANK='x' * 200_000)", False),  # more than a request may have
        ("os.chdir('/') or start('tell')", False),
        ("beside_it.start(('/bin/sh', '-m', 'tell'), os.environ | {'RANK': '1'})", False),
    ],
)
def test_what_a_fork_can_not_have_is_started_as_ever(differs, forked):
    done = run(f"child = {differs}\nprint(child and child.wait(20))")
    assert done.stdout.splitlines()[-1] == ("3" if forked else "None")


def test_a_process_with_a_reason_against_it_forks_nothing(caplog):
    import socket

    asking, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.send(b"the imports have started 2 threads")
    beside = WarmProcess(asking, dict(os.environ))
    assert beside.start((sys.executable, "-m", "tell"), dict(os.environ)) is None
    assert "the imports have started 2 threads; each job makes its own imports" in caplog.text
