"""The processes below this one, and ending them."""

from __future__ import annotations

import subprocess
import sys

import psutil

from driver.processes import descendants, kill

WAITS = [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"]


def test_a_process_that_has_ended_meanwhile_does_not_keep_the_others_alive() -> None:
    children = [subprocess.Popen(WAITS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
    seen = descendants()
    assert {child.pid for child in children} <= {process.pid for process in seen}
    children[0].communicate()  # it ends
    kill(process for process in seen if process.pid in {child.pid for child in children})
    assert children[1].wait(timeout=60) == -9
    children[1].communicate()
    assert not psutil.pid_exists(children[0].pid)
