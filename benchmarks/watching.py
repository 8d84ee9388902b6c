"""Runs launch.py as a user does, and hands out its processes once a second."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.launching import ROOT
from common.run_files import SUMMARY

_ROLES = {
    "Actor": "actor",
    "LearnerProcess": "learner",
    "ReplayServer": "replay server",
    "ReplayShard": "replay server",
    "replay": "replay server",
    "Coordinator": "replay coordinator",
    "replay-coordinator": "replay coordinator",
    "Evaluator": "evaluator",
}
Processes = list[tuple[str, psutil.Process]]  # role, process


def launch_and_watch(
    options: Sequence[str], run_dir: Path, each_second: Callable[[float, Processes], None]
) -> dict[str, Any]:
    """Runs launch.py and hands `each_second` the seconds since its start and its processes by role.

    Returns the summary, also of a run that ended with an error, with `exit_code` and with `process_seconds` from start
    to exit. Raises RuntimeError where there is no summary.
    """
    command = [sys.executable, str(ROOT / "launch.py"), *options, "--run-dir", str(run_dir)]
    log = run_dir.parent / f"{run_dir.name}.log"
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:
        try:
            driver, began, ticks = psutil.Process(process.pid), time.monotonic(), 1
            while not _ended(process, began + ticks - time.monotonic()):
                processes = processes_by_role(driver)
                each_second(time.monotonic() - began, processes)
                ticks += 1
            seconds = time.monotonic() - began
        finally:
            if process.poll() is None:
                process.terminate()
    summary = run_dir / SUMMARY
    if not summary.exists():
        raise RuntimeError(f"{' '.join(command)} exited with {process.returncode}:\n{log.read_text()}")
    read: dict[str, Any] = json.loads(summary.read_text())
    return {**read, "exit_code": process.returncode, "process_seconds": seconds}


def run_options(actors: int, seconds: float) -> list[str]:
    """Of a run that ends after so many seconds and by nothing else."""
    limits = ["--no-stop-when-solved", "--max-env-steps", str(10**12), "--max-seconds", str(seconds)]
    return ["--actors", str(actors), "--no-dashboard", *limits]


def processes_by_role(driver: psutil.Process) -> Processes:
    """The driver and everything below it; Ray's own go by the name of their program, script or class."""
    found: Processes = []
    with suppress(psutil.NoSuchProcess):  # the driver has just ended
        found.append(("driver", driver))
        for process in driver.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                found.append((_role(process.cmdline()), process))
    return found


def _role(command: list[str]) -> str:
    """Ray's workers are titled `ray::name` or `ray::Class.method`; a process that is ending has no command left."""
    if command and command[0].startswith("ray::"):
        name = re.sub(r"-\d+$", "", re.split(r"[.:(]", command[0].removeprefix("ray::"))[0])
    else:
        scripts = [part for part in command if part.endswith(".py")]
        name = Path([*scripts, *command, "ending"][0]).stem
    return _ROLES.get(name, name)


def _ended(process: subprocess.Popen[bytes], within: float) -> bool:
    try:
        process.wait(timeout=max(0.0, within))
    except subprocess.TimeoutExpired:
        return False
    return True
