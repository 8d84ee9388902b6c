"""What does a run keep in memory, does it grow, and does it stay flat while the learner stands still? On Linux."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.launching import new_folder
from benchmarks.memory_idle import measure_idle
from benchmarks.memory_long_run import measure_long_run
from benchmarks.memory_ring import measure_ring
from benchmarks.memory_stopped import measure_stopped
from common.config import BadInput


@dataclass(frozen=True)
class Memory:
    """Samples the unique set size of every process of a run once a second, and fills a large ring by itself."""

    parts: tuple[Literal["actors", "idle", "ring", "stopped"], ...] = ("actors", "idle", "ring", "stopped")
    """actors: a long run; idle: Ray alone, as long; ring: a filled ring; stopped: a run whose learner is stopped."""
    actors: int = 8
    """Actor processes of the runs."""
    seconds: float = 600.0
    """Length of the long run, start included, and of the idle Ray."""
    settle_seconds: float = 60.0
    """Seconds of either before slopes and medians are taken."""
    ring_rows: int = 1_000_000
    """CartPole rows in the ring."""
    ring_repeats: int = 5
    """Rings filled, each in a new process."""
    warm_seconds: float = 60.0
    """Seconds of a run, start included, before its learner is stopped."""
    stopped_seconds: float = 60.0
    """Seconds for which the learner is stopped."""
    after_seconds: float = 30.0
    """Seconds for which the run goes on after that."""
    runs: Path | None = None
    """Folder for the runs [a temporary one]."""


def measure_memory(settings: Memory) -> list[dict[str, Any]]:
    """Rows of every part asked for: one a role, one a ring, one a process of the stopped run."""
    if settings.seconds < settings.settle_seconds + 5:
        raise BadInput(
            f"--seconds {settings.seconds:g}: must be at least 5 more than --settle-seconds {settings.settle_seconds:g}"
        )
    folder = new_folder(settings.runs)
    rows = []
    if "actors" in settings.parts:
        rows += measure_long_run(settings.actors, settings.seconds, settings.settle_seconds, folder / "long")
    if "idle" in settings.parts:
        rows += measure_idle(settings.actors, settings.seconds, settings.settle_seconds)
    if "ring" in settings.parts:
        rows += measure_ring(settings.ring_rows, settings.ring_repeats)
    if "stopped" in settings.parts:
        rows += measure_stopped(
            settings.actors,
            settings.warm_seconds,
            settings.stopped_seconds,
            settings.after_seconds,
            folder / "stopped",
        )
    return rows
