"""Asks for a fork of tests/zygote.py in place of `python -m module arguments`, and ends as it does.

`tests.warm.stand_in` makes a program of it, for what starts Python by a shell or by `sys.executable`. It imports few,
so that it takes hundredths of a second. What is no module is run by Python itself.
"""

import array
import json
import os
import signal
import socket
import sys

BY_ITS_NUMBER = ["submitit.local._local"]  # is looked for by the process id of what was started, and imports little


def main() -> None:
    words = sys.argv[1:]
    if words[:1] == ["-u"]:
        del words[0]
    if words[:1] != ["-m"] or words[1] in BY_ITS_NUMBER:
        os.execv(os.environ["TESTS_PYTHON"], [os.environ["TESTS_PYTHON"], *sys.argv[1:]])
    request = {"module": words[1], "arguments": words[2:], "cwd": os.getcwd(), "env": dict(os.environ)}
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # by which Jupyter's client lets its kernel, which has it not, end
    asking = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asking.connect(os.environ["TESTS_ZYGOTE"])
    socket.send_fds(asking, [json.dumps(request).encode()], [1, 2])
    told = asking.recv(4)
    (status,) = array.array("i", told) if told else (1,)
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


main()
