"""Whether the process of a run is still there, and how nice it is."""

from __future__ import annotations

import os
import subprocess
import sys

from common.process import is_there, start_seconds, this_process

WAITS = [sys.executable, "-c", "import sys; sys.stdin.read()"]


def test_a_process_is_there_until_it_ends() -> None:
    child = subprocess.Popen(WAITS, stdin=subprocess.PIPE)
    started = start_seconds(child.pid)
    assert started is not None
    childs = this_process()._replace(pid=child.pid, started=started)
    assert is_there(childs) is True
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is not reaped yet
    assert is_there(childs) is False
    child.communicate()
    assert is_there(childs) is False


def test_a_later_process_with_the_same_number_is_another_one() -> None:
    this = this_process()
    assert is_there(this) is True
    assert is_there(this._replace(started=this.started - 1)) is False


def test_nothing_is_known_of_a_process_on_another_host() -> None:
    assert is_there(this_process()._replace(host="elsewhere.example")) is None


def test_niceness_is_raised_and_never_lowered() -> None:
    """In a process of its own, for nobody but root may lower it again."""
    code = """
import os
from common.process import be_nice
for niceness in (5, 3, 7):
    be_nice(niceness)
    print(os.getpriority(os.PRIO_PROCESS, 0))
"""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert [int(line) for line in printed.split()] == [max(before, niceness) for niceness in (5, 5, 7)]
