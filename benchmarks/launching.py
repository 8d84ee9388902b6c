"""Runs launch.py as a user does, in a process of its own, and reads what it left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
_TICK_SECONDS = 1.0


class RunFailed(RuntimeError):  # noqa: N818  what became of a run, which may be the result of a measurement
    """A run that exited with something else than 0. `reason`: its error, in one line."""

    def __init__(self, command: Sequence[str], done: subprocess.CompletedProcess[str]) -> None:
        super().__init__(f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        lines = [line for line in (*done.stdout.splitlines(), *done.stderr.splitlines()) if line.strip()]
        self.reason = next((line for line in lines if line.startswith("error")), f"exit code {done.returncode}")


def launch(options: Sequence[str], run_dir: Path, build: Path = ROOT) -> dict[str, Any]:
    """The summary of one run, with `process_seconds` from start to exit. Raises RunFailed."""
    command = [sys.executable, str(build / "launch.py"), *options, "--run-dir", str(run_dir.resolve())]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RunFailed(command, done)
    summary: dict[str, Any] = json.loads((run_dir / "summary.json").read_text())
    return {**summary, "process_seconds": time.monotonic() - began}


@contextmanager
def endless_run(
    options: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """launch.py without any limit, in `folder`/run, with its output in run.log beside it. Ended with the context."""
    python = Path(sys.executable)  # called by its name, which Ray's dashboard shows
    limits = ["--no-stop-when-solved", "--max-env-steps", str(10**12)]
    command = [python.name, str(ROOT / "launch.py"), *options, *limits, "--run-dir", str(folder.resolve() / "run")]
    path = os.pathsep.join([str(python.parent), environment.get("PATH", os.defpath)])
    with (folder / "run.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env={**environment, "PATH": path})
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)


def wait_for(
    what: str, done: Callable[[], bool], patience_seconds: float, run: subprocess.Popen[bytes] | None = None
) -> None:
    """Looks once a second. Raises RuntimeError when it takes too long, or when `run` ends before."""
    deadline = time.monotonic() + patience_seconds
    while not done():
        if run is not None and run.poll() is not None:
            raise RuntimeError(f"the run ended before {what}; see run.log beside its folder")
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {patience_seconds:.0f} s in vain for {what}")
        time.sleep(_TICK_SECONDS)


def new_folder(given: Path | None) -> Path:
    """Where the runs of a measurement go: as asked, else a temporary folder."""
    folder = given or Path(tempfile.mkdtemp(prefix="dqn-benchmark-"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def spread(values: Sequence[float | None], form: str = ",.0f") -> str:
    """`median [lowest, highest]` of the known values."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    return f"{float(np.median(known)):{form}} [{min(known):{form}}, {max(known):{form}}]"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as the docs hold it."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
