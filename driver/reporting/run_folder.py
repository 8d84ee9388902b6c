"""The run folder: the files of one run, listed in the README.

Tables are folders of Parquet parts. A part is written under another name and renamed, so a killed run loses only what
was not flushed yet, and readers never see half a part.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import platform
import re
import subprocess
import sys
import time
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.config import BadInput, Config
from common.process import this_process
from common.run_files import CONFIG, EPISODES, FLUSH_SECONDS, METRICS, SUMMARY, TENSORBOARD
from common.time_use import columns
from common.types import EnvironmentSpec, Look
from driver.reporting.progress import Progress
from driver.reporting.tensorboard import EventFile
from replay_server.episode_log import EpisodeRows

_PACKAGES = ["torch", "gymnasium", "numpy", "ray", "pyarrow", "matplotlib"]


def default_run_dir(env: str, seed: int, kind: str = "") -> Path:
    """`runs/<time>-<env>-<seed>`."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", env)
    return Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{kind}{name}-{seed}"


def create_run_dir(path: Path) -> Path:
    """Makes the folder. Raises BadInput unless it is new or empty, and writable."""
    try:
        if path.exists() and not path.is_dir():
            raise BadInput(f"--run-dir {path}: is a file, and nothing is overwritten; name a new or empty folder")
        if path.exists() and any(path.iterdir()):
            raise BadInput(f"--run-dir {path}: is not empty, and nothing is overwritten; name a new or empty folder")
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise BadInput(f"--run-dir {path}: cannot be written ({error.strerror}); name a folder that can") from None
    return path


class RunFolder:
    """Writes one run's files."""

    def __init__(self, path: Path, tensorboard: bool = False) -> None:
        self.path = path
        self._event_file = EventFile(path / TENSORBOARD) if tensorboard else None
        self._episodes = PartWriter(path / EPISODES)
        self._metrics = PartWriter(path / METRICS)
        self._episode_columns: list[dict[str, NDArray[Any]]] = []
        self._metric_rows: list[dict[str, Any]] = []
        self._flushed = time.monotonic()

    def write_config(self, config: Config, environment: EnvironmentSpec, solved_return: float | None) -> None:
        """Every setting as resolved, and what the run was made with."""
        content = {
            "settings": flat_settings(config),
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
        self._write_json(CONFIG, content)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """At every end."""
        self._write_json(SUMMARY, summary)

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
        """One row a look or confirmation; its steps are those of the params it is about."""
        self._add_metrics(
            {
                "kind": "confirmation" if look.confirmation else "look",
                "seconds": seconds,
                "env_steps": look.env_steps,
                "learner_steps": look.version,
                "evaluation_return": look.mean,
                "evaluation_std": look.std,
                "evaluation_interval_low": look.interval_low,
                "evaluation_interval_high": look.interval_high,
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
        """Writes what has come in."""
        import pyarrow as pa  # here, because the start should not wait for it

        schema = episode_schema()
        pieces = [pa.table(columns, schema=schema) for columns in self._episode_columns]
        self._episodes.write(pa.concat_tables(pieces) if pieces else schema.empty_table())
        self._metrics.write(pa.Table.from_pylist(self._metric_rows, schema=metrics_schema()))
        self._episode_columns.clear()
        self._metric_rows.clear()
        if self._event_file:
            self._event_file.flush()
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Nothing is added after this; a summary and networks may still be written."""
        if self._event_file:
            self._event_file.close()

    def write_network(self, name: str, content: bytes) -> None:
        """As encode_network made it."""
        temporary = self.path / f".{name}"
        temporary.write_bytes(content)
        temporary.rename(self.path / name)

    def _add_metrics(self, row: dict[str, Any]) -> None:
        self._metric_rows.append(row)
        if self._event_file:
            self._event_file.add(row, time.time())

    def _write_json(self, name: str, content: Mapping[str, Any]) -> None:
        temporary = self.path / f".{name}"
        temporary.write_text(json.dumps(content, indent=2, default=str) + "\n")
        temporary.rename(self.path / name)


class PartWriter:
    """A folder of Parquet parts, `part-00000.parquet` and so on, that reads as one table."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._part = 0

    def write(self, table: Any) -> None:
        """One part; the first is written even without rows, so that the folder reads."""
        import pyarrow.parquet as pq

        if table.num_rows == 0 and self._part:
            return
        self._folder.mkdir(exist_ok=True)
        name = f"part-{self._part:05d}.parquet"
        temporary = self._folder / f".{name}"  # readers skip names with a leading dot
        pq.write_table(table, temporary)
        temporary.rename(self._folder / name)
        self._part += 1


def episode_schema() -> Any:
    """The columns of episodes.parquet."""
    import pyarrow as pa

    return pa.schema(
        [
            ("episode", pa.int64()),
            ("seconds", pa.float64()),
            ("env_steps", pa.int64()),
            ("learner_steps", pa.int64()),
            ("actor_id", pa.int32()),
            ("incarnation", pa.int32()),
            ("episode_return", pa.float64()),
            ("length_env_steps", pa.int64()),
            ("epsilon", pa.float32()),
            ("params_version", pa.int64()),
        ]
    )


def metrics_schema() -> Any:
    """The columns of metrics.parquet: Progress, and those of looks; what a row's kind lacks is null."""
    import pyarrow as pa

    types = {int: pa.int64(), float: pa.float64(), str: pa.string()}
    hints = {name: hint for name, hint in typing.get_type_hints(Progress).items() if name != "time_use"}
    progress = [(name, types[(typing.get_args(hint) or (hint,))[0]]) for name, hint in hints.items()]
    return pa.schema(
        [
            ("kind", pa.string()),
            *progress,
            *((name, pa.float64()) for name in columns()),
            ("evaluation_std", pa.float64()),
            ("evaluation_interval_low", pa.float64()),
            ("evaluation_interval_high", pa.float64()),
            ("evaluation_min", pa.float64()),
            ("evaluation_max", pa.float64()),
            ("evaluation_episodes", pa.int64()),
            ("evaluation_unended", pa.int64()),
            ("evaluation_seed", pa.int64()),
            ("solved", pa.bool_()),
        ]
    )


def flat_settings(config: Config) -> dict[str, Any]:
    """Every setting under the name that its option has."""
    sections = [getattr(config, section.name) for section in dataclasses.fields(config)]
    return {field.name: getattr(section, field.name) for section in sections for field in dataclasses.fields(section)}


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
