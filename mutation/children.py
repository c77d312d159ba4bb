"""Trying things in a copy of this process: what breaks there is gone when the copy ends."""

import math
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from typing import Literal

Outcome = Literal["survived", "killed", "timeout"]


def outcome(attempt: Callable[[], bool], seconds: float, *, patience: int = 1) -> Outcome:
    """Whether `attempt` objects (returns False or raises) in a fork of this process.

    It has so many seconds of a processor's time, and `patience` times as many by the clock: a
    busy machine makes nothing look endless.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _attempt_and_leave(attempt, seconds)
    end = time.monotonic() + patience * seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            if code in (-signal.SIGXCPU, -signal.SIGKILL):
                return "timeout"
            return "survived" if code == 0 else "killed"
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timeout"


def _attempt_and_leave(attempt: Callable[[], bool], seconds: float) -> None:
    os.setpgid(0, 0)  # so that its own children end with it
    most = math.ceil(seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (most, most + 5))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    code = 1
    try:
        code = 0 if attempt() else 1
    finally:
        os._exit(code)
