"""Worker processes forked from a template, and what happens where there is none."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import ray

from driver.embedded.workers import entry
from driver.embedded.workers.handle import worker_template
from driver.processes import descendants

ROOT = Path(__file__).resolve().parent.parent
# Waits with a file of some session open, under a name, and perhaps with the driver's mark in its environment.
WAITS = """
import sys
from pathlib import Path
file = open(sys.argv[1], "w")
Path("/proc/self/comm").write_text(sys.argv[2])
print("waits", flush=True)
sys.stdin.read()
"""
HOLDS_A_TEMPLATE_AND_A_SESSION = """
import os, subprocess, sys
from driver.processes import descendants
from driver.embedded.workers import entry
from driver.embedded.workers.handle import note_session, worker_template
with worker_template():
    note_session(sys.argv[1])
    subprocess.Popen(["sleep", "300"], start_new_session=True)  # it has the mark
    print(*(process.pid for process in descendants()), flush=True)
    sys.stdin.read()
"""
HOLDS_A_TEMPLATE = """
import sys
from driver.processes import descendants
from driver.embedded.workers.handle import worker_template
with worker_template():
    print(*(process.pid for process in descendants()), flush=True)
    sys.stdin.read()
"""
MAIN = """
import sys, launch
from driver.signals import StopSignals
signals = StopSignals()
signals.install()
sys.exit(launch.main(signals))
"""
PLAIN_START = """
from contextlib import nullcontext
import launch
launch.worker_template = nullcontext
from driver import ray_environment
ray_environment.prepare(embedded=True)
from driver.embedded import start
start.lean = lambda dashboard: nullcontext()
"""


def program(process: psutil.Process) -> str:
    """The file that a Python process runs; nothing of one that has ended."""
    try:
        words = process.cmdline()[1:]
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""
    return next((Path(word).name for word in words if word.endswith(".py")), "")


def start_worker(*arguments: str) -> subprocess.CompletedProcess[str]:
    """As Ray starts one; `--help` makes Ray's worker program say so and end."""
    return subprocess.run(
        [sys.executable, entry.__file__, *arguments],
        env={**os.environ, "RAY_JOB_ID": entry.JOB_ID},
        capture_output=True,  # until the worker has ended too
        text=True,
        check=False,
        timeout=60,
    )


@ray.remote(num_cpus=0)
class Curious:
    def modules(self) -> set[str]:
        return set(sys.modules)

    def settings(self) -> dict[str, str]:
        return dict(os.environ)

    def parents(self) -> list[str]:
        return [program(process) for process in psutil.Process().parents()]

    def random_numbers(self) -> tuple[float, float]:
        import random

        return random.random(), float(np.random.random())

    def arenas(self) -> int:
        """Of glibc's allocator, while eight threads that allocate are alive."""
        together = threading.Barrier(8)

        def allocate(_: int) -> int:
            together.wait()
            return len(bytearray(5000))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(allocate, range(8)))
        libc, text, size = ctypes.CDLL(None), ctypes.c_char_p(), ctypes.c_size_t()
        libc.open_memstream.restype = ctypes.c_void_p
        stream = ctypes.c_void_p(libc.open_memstream(ctypes.byref(text), ctypes.byref(size)))
        libc.malloc_info(0, stream)
        libc.fclose(stream)
        return (text.value or b"").count(b"<heap nr=")


@pytest.fixture
def curious(ray_session: None) -> Any:
    handles = [Curious.remote() for _ in range(2)]
    yield handles
    for handle in handles:
        ray.kill(handle)


def test_workers_are_forked_with_torch_in_place(curious: Any) -> None:
    handle = curious[0]
    assert "template.py" in ray.get(handle.parents.remote(), timeout=60)
    assert {"torch", "gymnasium"} <= ray.get(handle.modules.remote(), timeout=60)


def test_a_forked_worker_has_the_environment_that_ray_gave_it(curious: Any) -> None:
    """What was set after the template had started, by Ray itself and by the session's fixture, is there."""
    settings = ray.get(curious[0].settings.remote(), timeout=60)
    assert settings["RAY_AUTH_MODE"] == "token"
    assert settings["HOME"] == os.environ["HOME"]


def test_forked_workers_share_no_global_random_stream(curious: Any) -> None:
    """Python's and numpy's, which somebody's environment may use."""
    first, second = ray.get([handle.random_numbers.remote() for handle in curious], timeout=60)
    assert first[0] != second[0]
    assert first[1] != second[1]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_a_worker_allocates_from_two_arenas_however_many_threads_it_has(curious: Any) -> None:
    assert ray.get(curious[0].arenas.remote(), timeout=60) == 2


def test_an_embedded_ray_starts_nothing_that_one_machine_does_not_need(ray_session: None) -> None:
    programs = {program(process) for process in descendants()}
    assert "raylet" in {process.name() for process in descendants()}
    assert not programs & {"dashboard.py", "monitor.py", "log_monitor.py"}


def test_without_a_template_a_worker_starts_as_ray_starts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(entry.SOCKET_VARIABLE, raising=False)
    assert not entry.handed_over()
    done = start_worker("--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: default_worker.py")


def test_a_template_that_has_died_keeps_no_worker_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = set(descendants())
    with worker_template():
        (held,) = set(descendants()) - earlier
        held.kill()
        held.wait(timeout=60)
        monkeypatch.setenv("RAY_JOB_ID", entry.JOB_ID)
        assert not entry.handed_over()
        assert start_worker("--help").stdout.startswith("usage: default_worker.py")


def test_a_temporary_folder_too_deep_for_a_socket_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(deep))
    with worker_template():
        socket = Path(os.environ[entry.SOCKET_VARIABLE])
        assert socket.is_socket()
        assert socket.parent.stat().st_mode & 0o777 == 0o700
    assert not socket.parent.exists()
    assert list(deep.iterdir()) == []


def test_a_template_serves_only_the_job_that_it_was_made_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with worker_template():
        monkeypatch.setenv("RAY_JOB_ID", "02000000")
        assert not entry.handed_over()


def test_a_forked_worker_writes_where_ray_told_it_to() -> None:
    with worker_template():
        done = start_worker("--help")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("usage: default_worker.py")


def test_a_template_ends_with_its_driver_and_leaves_nothing() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS_A_TEMPLATE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as driver:
        assert driver.stdout is not None
        (pid,) = (int(word) for word in driver.stdout.readline().split())
        held = psutil.Process(pid)
        (listening,) = (link.laddr for link in held.net_connections(kind="unix") if link.laddr)
        assert Path(listening).exists()
        driver.send_signal(signal.SIGKILL)
    psutil.wait_procs([held], timeout=60)
    assert not held.is_running() or held.status() == psutil.STATUS_ZOMBIE
    assert not Path(listening).parent.exists()


def test_a_template_ends_what_a_killed_driver_leaves_and_nothing_else(tmp_path: Path) -> None:
    session, other = tmp_path / "session_1", tmp_path / "session_11"
    for folder in (session, other):
        folder.mkdir()

    def waits(folder: Path, name: str) -> subprocess.Popen[str]:
        waiting = subprocess.Popen(
            [sys.executable, "-c", WAITS, str(folder / "log"), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "waits\n"
        return waiting

    agent = waits(session, "ray::Agent")
    strangers = [waits(other, "ray::Agent"), waits(session, "tail")]
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS_A_TEMPLATE_AND_A_SESSION, str(session)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    ) as driver:
        assert driver.stdout is not None
        left = [psutil.Process(int(word)) for word in driver.stdout.readline().split()]
        assert len(left) == 2
        driver.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(left, timeout=60)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
    assert agent.wait(timeout=60) == -signal.SIGKILL
    assert [stranger.poll() for stranger in strangers] == [None, None]
    for waiting in (agent, *strangers):
        waiting.kill()
        waiting.communicate()


@pytest.mark.parametrize("variable", ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"])
def test_what_is_imported_before_a_fork_starts_no_thread(variable: str) -> None:
    """Not even where the user asks for threads: a fork would have their locks and not them."""
    template = "driver.embedded.workers.template"
    code = f"import os; from {template} import load; load(); print(len(os.listdir('/proc/self/task')))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, variable: "4"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "1\n", done.stderr


@pytest.mark.parametrize("start", ["forked and lean", "as ray.init does it"])
def test_the_fast_start_and_rays_own_lead_to_the_same_run(start: str, tmp_path: Path) -> None:
    """The slow twin: no template, and nothing of Ray left out."""
    program = f"{PLAIN_START if start == 'as ray.init does it' else ''}{MAIN}"
    options = ["--actors", "2", "--no-dashboard", "--max-learner-steps", "300", "--batch-size", "32"]
    done = subprocess.run(
        [sys.executable, "-c", program, *options, "--run-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["stopped_by"] == "max_learner_steps"
    assert (summary["learner_steps"], summary["target_syncs"]) == (300, 3)
    assert summary["samples_per_insert"] > 0
