"""Runs launch.py as a user does, in a process of its own, and reads what it left."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent


def launch(options: Sequence[str], run_dir: Path) -> dict[str, Any]:
    """The summary of one run, with `process_seconds` from start to exit. Raises RuntimeError when it failed."""
    command = [sys.executable, str(ROOT / "launch.py"), *options, "--run-dir", str(run_dir)]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    summary: dict[str, Any] = json.loads((run_dir / "summary.json").read_text())
    return {**summary, "process_seconds": time.monotonic() - began}


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
