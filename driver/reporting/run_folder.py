"""The run folder: the files of one run, listed in the README.

A file that cannot be written does not end the run: it is said once, and tried again when it is next due.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import math
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.config import Config
from common.process import this_process
from common.run_files import CONFIG, EPISODES, FLUSH_SECONDS, METRICS, SUMMARY, TENSORBOARD
from common.types import EnvironmentSpec, Look
from driver.reporting.parts import PartWriter, episode_schema, metrics_schema
from driver.reporting.progress import Progress
from driver.reporting.reserve import Reserve
from driver.reporting.run_dir import CLAIM
from driver.reporting.tensorboard import EventFile
from replay_server.episode_log import EpisodeRows

_PACKAGES = ["torch", "gymnasium", "numpy", "ray", "pyarrow", "matplotlib"]
_SUMMARY_BYTES = 16 * 1024  # so that it can still be said what is missing
_MOST_ROWS_KEPT = 100_000


class RunFolder:
    """Writes one run's files."""

    def __init__(
        self,
        path: Path,
        tensorboard: bool = False,
        say: Callable[[str], None] = print,
        reserve_bytes: int = 0,
        most_waiting: int = _MOST_ROWS_KEPT,
    ) -> None:
        """`say` gets a line for each file that cannot be written. `reserve_bytes`: room kept for the last files.

        `most_waiting`: rows of a table that wait for a disk which takes them again; older ones are dropped.
        """
        self.path = path
        self._say = say
        self._reserve = Reserve(path / CLAIM, reserve_bytes)
        self._failed: dict[str, str] = {}  # by file name: why its last writing failed
        self._told: set[str] = set()
        self._most_waiting = most_waiting
        self._dropped: dict[str, int] = {}  # rows, by table
        self._whole: dict[str, bytes] = {}  # by file name: what is written once
        self._episodes = PartWriter(path / EPISODES)
        self._metrics = PartWriter(path / METRICS)
        self._episode_columns: list[dict[str, NDArray[Any]]] = []
        self._metric_rows: list[dict[str, Any]] = []
        self._flushed = time.monotonic()
        self._event_file: EventFile | None = None
        self._try(CLAIM, self._reserve.hold)
        if tensorboard:
            self._try(TENSORBOARD, self._open_event_file)

    def write_config(
        self,
        config: Config,
        environment: EnvironmentSpec,
        solved_return: float | None,
        filled_in: Sequence[str] = (),
    ) -> None:
        """Every setting as resolved, and what the run was made with. `filled_in`: what follows from other settings."""
        content = {
            "settings": flat_settings(config),
            "filled_in": filled_in,
            "environment": {
                "observation_size": environment.observation_size,
                "action_count": environment.action_count,
                "reward_threshold": environment.reward_threshold,
                "solved_return": solved_return,
            },
            "versions": {
                "python": platform.python_version(),
                **{package: importlib.metadata.version(package) for package in _PACKAGES},
            },
            "git_commit": _git_commit(),
            "command_line": sys.argv,
            "process": this_process()._asdict(),
        }
        self._write_whole(CONFIG, _json(content))

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """At every end."""
        self._write_whole(SUMMARY, _json(summary))

    def write_network(self, name: str, content: bytes) -> None:
        """As encode_network made it."""
        self._write_whole(name, content)

    def add_episodes(self, rows: list[EpisodeRows], first_number: int, seconds: float) -> None:
        """Finished episodes, in the order in which the replay server took them."""
        for row in rows:
            count = len(row.episodes.episode_return)
            self._episode_columns.append(
                {
                    "episode": np.arange(first_number, first_number + count),
                    "seconds": np.full(count, seconds),
                    "env_steps": np.full(count, row.env_steps),
                    "learner_steps": np.full(count, row.learner_steps),
                    "actor_id": np.full(count, row.actor_id, dtype=np.int32),
                    "incarnation": np.full(count, row.incarnation, dtype=np.int32),
                    **row.episodes._asdict(),
                }
            )
            first_number += count

    def add_progress(self, progress: Progress) -> None:
        """One row a second."""
        self._add_metrics({"kind": "progress", **progress._asdict(), **progress.time_use})

    def add_look(self, look: Look, seconds: float) -> None:
        """One row a look, second look or confirmation; its steps are those of the params it is about."""
        self._add_metrics(
            {
                "kind": look.kind,
                "seconds": seconds,
                "env_steps": look.env_steps,
                "learner_steps": look.version,
                "evaluation_return": look.mean,
                "evaluation_std": look.std,
                "evaluation_interval_low": look.interval_low,
                "evaluation_interval_high": look.interval_high,
                "evaluation_confidence": look.confidence,
                "evaluation_min": float(look.returns.min()),
                "evaluation_max": float(look.returns.max()),
                "evaluation_episodes": len(look.returns),
                "evaluation_unended": look.unended,
                "evaluation_seed": look.seed,
                "solved": look.solved,
            }
        )

    def flush_if_due(self) -> None:
        """Writes what has come in, every few seconds."""
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes what has come in; what cannot be written is kept for the next time."""
        if self._try(EPISODES, self._flush_episodes):
            self._episode_columns.clear()
        if self._try(METRICS, self._flush_metrics):
            self._metric_rows.clear()
        for name, waiting in ((EPISODES, self._episode_columns), (METRICS, self._metric_rows)):
            if (surplus := len(waiting) - self._most_waiting) > 0:
                del waiting[:surplus]
                self._dropped[name] = self._dropped.get(name, 0) + surplus
        if self._event_file:
            self._try(TENSORBOARD, self._event_file.flush)
        self._flushed = time.monotonic()

    def write_extra(self, name: str, write: Callable[[], object]) -> None:
        """A file that somebody else writes, and that nobody misses."""
        self._try(name, write)

    def finish(self) -> dict[str, str]:
        """The last rows, in the room that nothing else needs now. Returns what is missing: by file name, why."""
        self._reserve.shrink(_SUMMARY_BYTES)
        for name, content in self._whole.items():
            if not (self.path / name).exists():  # somebody has deleted it
                self._write_whole(name, content)
        self.flush()
        lost = {EPISODES: self._episodes.lost(), METRICS: self._metrics.lost()}
        gone = {name: f"{parts} of its parts were deleted" for name, parts in lost.items() if parts}
        dropped = {name: f"{rows} of its rows waited too long for room" for name, rows in self._dropped.items()}
        why_missing = {**gone, **dropped, **self._failed}
        return {name: why for name, why in why_missing.items() if name not in (CLAIM, TENSORBOARD)}

    def close(self) -> None:
        """Nothing is added after this."""
        self._reserve.give_up()
        if self._event_file:
            self._try(TENSORBOARD, self._event_file.close)

    def _open_event_file(self) -> None:
        self._event_file = EventFile(self.path / TENSORBOARD)

    def _flush_episodes(self) -> None:
        import pyarrow as pa  # here, because the start should not wait for it

        schema = episode_schema()
        pieces = [pa.table(columns, schema=schema) for columns in self._episode_columns]
        self._episodes.write(pa.concat_tables(pieces) if pieces else schema.empty_table())

    def _flush_metrics(self) -> None:
        import pyarrow as pa

        self._metrics.write(pa.Table.from_pylist(self._metric_rows, schema=metrics_schema()))

    def _add_metrics(self, row: dict[str, Any]) -> None:
        self._metric_rows.append(row)
        if (event_file := self._event_file) is not None:
            self._try(TENSORBOARD, lambda: event_file.add(row, time.time()))

    def _write_whole(self, name: str, content: bytes) -> None:
        """Under another name, then renamed: whoever reads it has the whole of it, old or new."""
        temporary = self.path / f".{name}"

        def write() -> None:
            try:
                temporary.write_bytes(content)
                temporary.rename(self.path / name)
            except OSError:
                with suppress(OSError):
                    temporary.unlink()
                raise

        self._whole[name] = content
        self._try(name, lambda: self._reserve.spend(write))

    def _try(self, name: str, write: Callable[[], object]) -> bool:
        """Whether it went well. Says once for each file what could not be written."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)  # somebody may have deleted it
            write()
        except OSError as error:
            self._failed[name] = why = error.strerror or str(error)
            if name not in self._told:
                self._told.add(name)
                self._say(f"{self.path / name} cannot be written ({why}); the run goes on")
            return False
        self._failed.pop(name, None)
        return True


def flat_settings(config: Config) -> dict[str, Any]:
    """Every setting under the name that its option has."""
    sections = [getattr(config, section.name) for section in dataclasses.fields(config)]
    return {field.name: getattr(section, field.name) for section in sections for field in dataclasses.fields(section)}


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(_finite(content), indent=2, default=str, allow_nan=False) + "\n").encode()


def _finite(value: Any) -> Any:
    """With null for what is not finite, which JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def _git_commit() -> str | None:
    """Of the code, with a + when it was changed since; None outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        described = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return described.stdout.strip() or None
